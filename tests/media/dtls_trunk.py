"""A trunk that makes its keys by DTLS on the ports of its media, with and without ICE; OpenSSL at its end."""

from __future__ import annotations

import asyncio
import datetime

from aioice import stun

from gateway.base.values import HostPort, Secret
from gateway.media.relay_commands import Component, SendDtls, SetIce, SetKeys, SetPeer
from gateway.media.relay_events import DtlsReceived
from gateway.sdp.keying import Fingerprint
from gateway.webrtc.dtls import DtlsEndpoint, DtlsIdentity, DtlsState
from tests.media import packets
from tests.media.packets import Relayed
from tests.media.peers import BACK, PAYLOADS, TRUNK, WAIT_SECONDS, Peer, RelayedCall
from tests.rig.srtp import Certificate, DtlsPeer, Srtp

CERTIFICATE = Certificate()
IDENTITY = DtlsIdentity.generate(datetime.datetime.now(datetime.UTC))
UFRAG, PASSWORD = "trunkleg", "p" * 24


def nominating_check(ufrag: str, password: str, *, nominate: bool = True) -> bytes:
    """A connectivity check (RFC 8445 7.1)."""
    attributes: dict[str, object] = {"USERNAME": f"{ufrag}:theirs", "PRIORITY": 1, "ICE-CONTROLLING": 7}
    if nominate:
        attributes["USE-CANDIDATE"] = None
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=attributes)
    message.add_message_integrity(password.encode())
    return bytes(message)


class Shake:
    """One handshake, over one pair of ports.

    Args:
        own: the peer's socket.
        to: where it sends.
        client: whether the peer begins.
    """

    def __init__(
        self, call: RelayedCall, own: Peer, to: HostPort, *, client: bool, component: Component = Component.RTP
    ) -> None:
        self._call, self._own, self._to, self.component = call, own, to, component
        self.peer = DtlsPeer(CERTIFICATE, client=client)
        kind, _, value = CERTIFICATE.fingerprint.partition(" ")
        wanted = [Fingerprint(kind, bytes.fromhex(value.replace(":", "")))]
        self.endpoint = DtlsEndpoint(IDENTITY, "server" if client else "client", wanted)
        self._read = 0

    def begin(self) -> None:
        """The client says its first word."""
        self._put(self.peer.receive(b""))
        if not self.peer.client:
            self.endpoint.start(0.0)
            self._send()

    async def run(self) -> Srtp:
        """Until both have keys; the peer's own."""
        async with asyncio.timeout(WAIT_SECONDS):
            while self.endpoint.state is not DtlsState.CONNECTED or self.peer.srtp is None:
                self.step()
                await asyncio.sleep(0.002)
        return self.peer.srtp

    def step(self) -> None:
        """Take what has come on both sides."""
        told = [event for event in self._call.events if isinstance(event, DtlsReceived)]
        for event in told[self._read :]:
            if event.component == self.component:
                self.endpoint.receive(event.data, 0.0)
        self._read = len(told)
        self._send()
        for datagram in self._own.pending():
            if 19 < datagram[0] < 64:
                self._put(self.peer.receive(datagram))

    def keys(self, component: Component) -> SetKeys:
        """The relay's side of what came out."""
        keys = self.endpoint.keys
        assert keys is not None
        return SetKeys(TRUNK, keys.suite.name, keys.tx, keys.rx, component=component)

    def _send(self) -> None:
        for datagram in self.endpoint.take_datagrams():
            self._call.relay.send(SendDtls(TRUNK, datagram, self.component))

    def _put(self, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            self._own.send(datagram, self._to)


class DtlsTrunk:
    """The trunk's end of a call.

    Args:
        mux: RTCP shares the port of RTP.
        ice: it checks paths first.
        own: its socket, if not the one it signals.
    """

    def __init__(self, call: RelayedCall, *, mux: bool = True, ice: bool = False, own: Peer | None = None) -> None:
        self.call, self.mux, self.ice = call, mux, ice
        self.own = own or call.trunk.rtp
        self.srtp: Srtp | None = None
        self.srtcp: Srtp | None = None

    async def describe(self, sources: tuple[str, ...] = ()) -> None:
        """The browser is there, and the trunk has been described; keys are to come."""
        call = self.call
        await call.browser.check()
        call.key_browser()
        if self.ice:
            call.relay.send(SetIce(TRUNK, UFRAG, Secret(PASSWORD)))
        self.signal(sources)
        call.set_payloads(PAYLOADS, BACK)
        await call.counters()

    def signal(self, sources: tuple[str, ...] = ()) -> None:
        rtp, rtcp = self.call.trunk.rtp.address, None if self.mux else self.call.trunk.rtcp.address
        self.call.relay.send(SetPeer(TRUNK, True, rtp, rtcp, self.mux, sources, dtls=True, ice=self.ice))

    def handshake(self, *, client: bool = True, component: Component = Component.RTP) -> Shake:
        if component is Component.RTCP:
            return Shake(self.call, self.call.trunk.rtcp, self.call.trunk_rtcp, client=client, component=component)
        return Shake(self.call, self.own, self.call.trunk_rtp, client=client)

    async def connect(self, *, client: bool = True) -> None:
        """Handshakes and keys, one of each or one for each port."""
        self.srtp = self.srtcp = await self._shake(client, Component.RTP)
        if not self.mux:
            self.srtcp = await self._shake(client, Component.RTCP)
        await self.call.counters()

    async def _shake(self, client: bool, component: Component) -> Srtp:
        shake = self.handshake(client=client, component=component)
        shake.begin()
        srtp = await shake.run()
        self.call.relay.send(shake.keys(Component.BOTH if self.mux else component))
        return srtp

    def send(self, packet: bytes) -> None:
        assert self.srtp is not None
        self.own.send(self.srtp.seal(packet), self.call.trunk_rtp)

    async def hears(self, own: Peer | None = None) -> Relayed:
        """The next packet of media, in clear."""
        assert self.srtp is not None
        while True:
            datagram = await (own or self.own).receive()
            if 127 < datagram[0] < 192:
                clear = self.srtp.open(datagram)
                assert clear is not None
                return Relayed(clear)

    async def talks(self, sequence: int) -> None:
        """One packet each way."""
        self.send(packets.rtp(sequence, payload_type=8))
        assert await self.call.browser.receive_media() == packets.rtp(sequence)
        self.call.browser.send_media(packets.rtp(sequence))
        assert await self.hears() == packets.rtp(sequence, payload_type=8)

    def check(self, own: Peer, *, nominate: bool = True, password: str = PASSWORD, ufrag: str = UFRAG) -> None:
        """Send a connectivity check."""
        own.send(nominating_check(ufrag, password, nominate=nominate), self.call.trunk_rtp)

    async def checked(self, own: Peer, *, nominate: bool = True) -> stun.Message:
        """Send a check; its answer, which is authenticated and comes from where the check went."""
        self.check(own, nominate=nominate)
        data, source = await own.receive_from()
        assert source == self.call.trunk_rtp
        answer = stun.parse_message(data)
        assert answer.check_message_integrity(PASSWORD.encode())
        return answer
