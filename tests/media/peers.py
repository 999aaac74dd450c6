"""A browser and a trunk on loopback, and a call between them through a real relay worker."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any, Protocol, TypeVar

from aioice import stun
from pylibsrtp import Error, Policy, Session

from gateway.base.counters import Counters
from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80, CryptoSuite
from gateway.base.values import HostPort, LegId, LegKind, Secret
from gateway.media.places import BrowserPlace, MediaPlaces, TrunkPlace
from gateway.media.relay_call import LegCounters, RelayCall
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import (
    MAX_LIFETIME,
    IcePort,
    OpenLeg,
    OwnPort,
    PayloadMap,
    RelayPlan,
    Route,
    SendDtls,
    SetIce,
    SetKeys,
    SetPeer,
)
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_events import RelayEvent, SourceLearned
from gateway.media.worker.libsrtp import Context
from tests.media import packets
from tests.media.packets import Relayed
from tests.rig.srtp import PROFILES

_NET = f"127.{20 + os.getpid() % 200}.{os.getpid() // 200 % 250}"
"""A corner of loopback of our own: test runs side by side do not meet."""
LOOPBACK = f"{_NET}.1"
SECOND_LOOPBACK = f"{_NET}.2"
TRUNK_BIND = f"{_NET}.3"
BROWSER_HOST = f"{_NET}.10"
TRUNK_HOST = f"{_NET}.20"
MEDIA_NETWORK = f"{_NET}.32/28"
IN_MEDIA_NETWORK = f"{_NET}.33"
ATTACKER = f"{_NET}.66"

WAIT_SECONDS = 10.0
BROWSER_PORT = 10000
QUIET = 3600.0
"""Seconds between reports of a worker whose own RTCP is not what a test is about."""
PAYLOADS = {0: 8, 111: 96, 101: 110}
"""Browser to trunk."""
BACK = {to: source for source, to in PAYLOADS.items()}

BROWSER, TRUNK = LegId(1), LegId(2)
KINDS = {BROWSER: LegKind.BROWSER, TRUNK: LegKind.TRUNK}

E = TypeVar("E")


class Totals:
    """The counters of a call with one browser and one trunk: RTP by its side, everything else in sum."""

    def __init__(self, legs: LegCounters) -> None:
        self._numbers: Counter[str] = Counter()
        for leg, numbers in legs.items():
            for field in fields(PacketCounters):
                side = f"{KINDS[leg]}_" if field.name.startswith("rtp_") else ""
                self._numbers[side + field.name.removeprefix("rtp_")] += getattr(numbers, field.name)

    def __getattr__(self, name: str) -> int:
        return self._numbers[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Totals) and self._numbers == other._numbers

    __hash__ = None  # type: ignore[assignment]


def plan(numbers: Mapping[int, int], *, is_open: bool = True) -> RelayPlan:
    """A plan that passes these payload types on."""
    return RelayPlan(tuple(PayloadMap(number, becomes) for number, becomes in numbers.items()), is_open)


def keys_command(leg: LegId, keys: Keys, lifetime: int = MAX_LIFETIME) -> SetKeys:
    """The relay's side of a peer's keys."""
    from_peer, to_peer = keys.names
    return SetKeys(leg, keys.suite.name, keys.to_peer, keys.from_peer, to_peer, from_peer, lifetime)


def media(
    *, workers: int = 1, trunk_ports: tuple[int, int] = (20000, 20999), first_port: int = BROWSER_PORT, spare: int = 0
) -> MediaPlaces:
    return MediaPlaces(
        browser=BrowserPlace(
            bind=(LOOPBACK, SECOND_LOOPBACK),
            advertised=("203.0.113.1", "203.0.113.2"),
            ports=range(first_port, first_port + workers + spare),
        ),
        trunk=TrunkPlace(TRUNK_BIND),
        trunk_ports=range(trunk_ports[0], trunk_ports[1] + 1),
        workers=workers,
    )


@asynccontextmanager
async def running_pool(
    config: MediaPlaces, counters: Counters | None = None, **options: float
) -> AsyncIterator[RelayPool]:
    pool = RelayPool(config, counters or Counters(), **{"report_seconds": QUIET, **options})
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


def free_pair(host: str = LOOPBACK) -> int:
    """An even port that is free together with the next one."""
    while True:
        with _udp(host) as first:
            port: int = first.getsockname()[1]
            if port % 2:
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
                second.bind((host, port + 1))
                return port


def _udp(host: str, port: int = 0) -> socket.socket:
    own = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    own.setblocking(False)
    own.bind((host, port))
    return own


def new_key(suite: CryptoSuite = AES_CM_128_HMAC_SHA1_80) -> Secret[bytes]:
    return Secret(secrets.token_bytes(suite.master_length))


class Wide(Context):
    """A session of a suite that pylibsrtp does not name; `test_srtp_vectors` holds the adapter to the RFC for it."""

    def __init__(self, suite: CryptoSuite, key: Secret[bytes], kind: int, mki: bytes) -> None:
        super().__init__(suite, key, kind, mki)

    def protect(self, packet: bytes) -> bytes:
        return self._process(packet, self.run)

    def protect_rtcp(self, packet: bytes) -> bytes:
        return self._process(packet, self.run_rtcp)

    unprotect, unprotect_rtcp = protect, protect_rtcp

    def _process(self, packet: bytes, run: Callable[[Any, Any, Any], int]) -> bytes:
        self.buffer[0 : len(packet)], self.length[0] = packet, len(packet)
        if run(self.session, self.data, self.length):
            raise Error("refused")
        return bytes(self.buffer[0 : self.length[0]])


class Keys:
    """SRTP keys of one leg and the peer's two sessions over them.

    Args:
        names: what the packets from the peer and those to it call their keys.
    """

    def __init__(
        self,
        suite: CryptoSuite = AES_CM_128_HMAC_SHA1_80,
        from_peer: Secret[bytes] | None = None,
        to_peer: Secret[bytes] | None = None,
        *,
        names: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        self.suite, self.names = suite, names
        self.from_peer, self.to_peer = from_peer or new_key(suite), to_peer or new_key(suite)
        self.sender = self._session(self.from_peer, Policy.SSRC_ANY_OUTBOUND, names[0])
        self.receiver = self._session(self.to_peer, Policy.SSRC_ANY_INBOUND, names[1])

    def _session(self, key: Secret[bytes], kind: int, mki: bytes) -> Session | Wide:
        profile = next((known.library for known in PROFILES if known.sdes == self.suite.name), None)
        if profile is None or mki:
            return Wide(self.suite, key, kind, mki)
        return Session(Policy(key=key.reveal(), ssrc_type=kind, srtp_profile=profile))

    def protect(self, packet: bytes) -> bytes:
        is_rtcp = 64 <= packet[1] & 0x7F <= 95
        return bytes(self.sender.protect_rtcp(packet) if is_rtcp else self.sender.protect(packet))

    def unprotect(self, packet: bytes) -> bytes:
        is_rtcp = 64 <= packet[1] & 0x7F <= 95
        return bytes(self.receiver.unprotect_rtcp(packet) if is_rtcp else self.receiver.unprotect(packet))


class Peer:
    """A UDP socket with an address of its own."""

    def __init__(self, host: str, port: int = 0) -> None:
        self.socket = _udp(host, port)
        self.address = HostPort(*self.socket.getsockname()[:2])

    def send(self, data: bytes, to: HostPort) -> None:
        self.socket.sendto(data, (to.host, to.port))

    async def receive(self) -> Relayed:
        return (await self.receive_from())[0]

    async def receive_from(self) -> tuple[Relayed, HostPort]:
        async with asyncio.timeout(WAIT_SECONDS):
            data, source = await asyncio.get_running_loop().sock_recvfrom(self.socket, 4096)
        return Relayed(data), HostPort(*source[:2])

    def pending(self) -> list[Relayed]:
        """What has arrived and was not read."""
        arrived: list[Relayed] = []
        while True:
            try:
                arrived.append(Relayed(self.socket.recv(4096)))
            except BlockingIOError:
                return arrived

    def close(self) -> None:
        self.socket.close()


class HasIceNames(Protocol):
    """What a browser was told to check under."""

    ufrag: str
    password: str


class HasPorts(Protocol):
    """Where a trunk was told to send."""

    @property
    def trunk_rtp(self) -> HostPort: ...

    @property
    def trunk_rtcp(self) -> HostPort: ...


class BrowserPeer(Peer):
    """A browser: checks, and SRTP under the keys of its leg."""

    def __init__(self, call: HasIceNames, host: str = BROWSER_HOST) -> None:
        super().__init__(host)
        self.call = call
        self.keys = Keys()
        self.server = HostPort(LOOPBACK, BROWSER_PORT)

    def request(self, *, nominate: bool = True, role: str = "ICE-CONTROLLING", password: str | None = None) -> bytes:
        attributes: dict[str, Any] = {"USERNAME": f"{self.call.ufrag}:theirs", "PRIORITY": 1, role: 7}
        if nominate:
            attributes["USE-CANDIDATE"] = None
        message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=attributes)
        message.add_message_integrity((password or self.call.password).encode())
        return bytes(message)

    async def check(self, *, nominate: bool = True, role: str = "ICE-CONTROLLING") -> stun.Message:
        """Send a check and wait for its answer."""
        self.send(self.request(nominate=nominate, role=role), self.server)
        data, source = await self._receive_past_dtls()
        assert source == self.server, "the answer comes from where the check was sent to"
        answer = stun.parse_message(data)
        assert answer.check_message_integrity(self.call.password.encode())
        return answer

    def send_media(self, packet: bytes) -> None:
        self.send(self.keys.protect(packet), self.server)

    async def receive_media(self) -> Relayed:
        return Relayed(self.keys.unprotect((await self._receive_past_dtls())[0]))

    async def _receive_past_dtls(self) -> tuple[Relayed, HostPort]:
        """What comes next that is no flight of the handshake: the last one is repeated when its answer is late."""
        while True:
            data, source = await self.receive_from()
            if not 20 <= data[0] <= 63:
                return data, source


class TrunkPeer:
    """A trunk: an RTP and an RTCP socket, and SRTP if it has keys."""

    def __init__(self, call: HasPorts, host: str = TRUNK_HOST) -> None:
        self.call = call
        self.rtp, self.rtcp = Peer(host), Peer(host)
        self.keys: Keys | None = None

    def send_media(self, packet: bytes) -> None:
        self.rtp.send(self._sealed(packet), self.call.trunk_rtp)

    def send_rtcp(self, packet: bytes) -> None:
        self.rtcp.send(self._sealed(packet), self.call.trunk_rtcp)

    async def receive_media(self) -> Relayed:
        return Relayed(self._opened(await self.rtp.receive()))

    async def receive_rtcp(self) -> Relayed:
        return Relayed(self._opened(await self.rtcp.receive()))

    def _sealed(self, packet: bytes) -> bytes:
        return self.keys.protect(packet) if self.keys else packet

    def _opened(self, packet: bytes) -> bytes:
        return self.keys.unprotect(packet) if self.keys else packet

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


class RelayedCall:
    """A call in the relay with a browser and a trunk, which hear each other."""

    def __init__(self, host: str = "") -> None:
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(12)
        self.events: list[RelayEvent] = []
        self._news = asyncio.Event()
        self.relay: RelayCall
        self.browser, self.trunk = BrowserPeer(self, host or BROWSER_HOST), TrunkPeer(self, host or TRUNK_HOST)
        self._others: list[Peer] = []
        self._payloads: tuple[Mapping[int, int], Mapping[int, int]] = ({}, {})
        self._open = True, True

    def restart(self) -> tuple[str, str]:
        """An ICE restart: new credentials, which the browser uses from now on. Returns those before."""
        before = self.ufrag, self.password
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(12)
        self.relay.send(SetIce(BROWSER, self.ufrag, Secret(self.password)))
        return before

    async def open(self, pool: RelayPool, bind: str = TRUNK_BIND, *, tells_rtcp: bool = False) -> None:
        self.relay = await pool.open(
            OpenLeg(BROWSER, IcePort(self.ufrag, Secret(self.password)), tells_rtcp),
            OpenLeg(TRUNK, OwnPort(bind), tells_rtcp),
            listener=self._listen,
        )

    def _listen(self, event: RelayEvent) -> None:
        self.events.append(event)
        self._news.set()

    @property
    def candidates(self) -> tuple[HostPort, ...]:
        return self.relay.legs[BROWSER].rtp

    @property
    def trunk_rtp(self) -> HostPort:
        return self.relay.legs[TRUNK].rtp[0]

    @property
    def trunk_rtcp(self) -> HostPort:
        return self.relay.legs[TRUNK].rtcp or self.trunk_rtp

    def key_browser(self) -> None:
        self.relay.send(keys_command(BROWSER, self.browser.keys))

    def key_trunk(self, suite: CryptoSuite = AES_CM_128_HMAC_SHA1_80) -> None:
        self.trunk.keys = Keys(suite)
        self.relay.send(keys_command(TRUNK, self.trunk.keys))

    def signal_trunk(self, *, keyed: bool = False, mux: bool = False, sources: tuple[str, ...] = ()) -> None:
        rtcp = None if mux else self.trunk.rtcp.address
        self.relay.send(SetPeer(TRUNK, keyed, self.trunk.rtp.address, rtcp, mux, sources))

    def set_payloads(self, to_trunk: Mapping[int, int], to_browser: Mapping[int, int]) -> None:
        """Say which payload types pass, and as what."""
        self._payloads = to_trunk, to_browser
        self._route()

    def set_direction(self, *, to_trunk: bool, to_browser: bool) -> None:
        """Hold RTP one way, or both, or none."""
        self._open = to_trunk, to_browser
        self._route()

    def _route(self) -> None:
        for ends, numbers, is_open in zip(
            ((BROWSER, TRUNK), (TRUNK, BROWSER)), self._payloads, self._open, strict=True
        ):
            self.relay.send(Route(*ends, plan(numbers, is_open=is_open)))

    def send_dtls(self, data: bytes) -> None:
        self.relay.send(SendDtls(BROWSER, data))

    async def counters(self) -> Totals:
        """The counters now; every earlier command is in effect then."""
        return Totals(await self.relay.counters())

    async def close(self) -> Totals:
        """End the call; the final counters."""
        return Totals(await self.relay.close())

    async def connect(
        self, *, suite: CryptoSuite | None = None, mux: bool = False, sources: tuple[str, ...] = ()
    ) -> None:
        """Check, keys, trunk and payload types; with a suite the trunk leg is keyed."""
        await self.browser.check()
        self.key_browser()
        if suite is not None:
            self.key_trunk(suite)
        self.signal_trunk(keyed=suite is not None, mux=mux, sources=sources)
        self.set_payloads(PAYLOADS, BACK)
        await self.counters()

    def peer(self, host: str) -> Peer:
        """One more socket that is closed with the call."""
        self._others.append(Peer(host))
        return self._others[-1]

    async def event(self, kind: type[E], seconds: float = WAIT_SECONDS) -> E:
        """The first event of that kind, waited for if need be."""
        async with asyncio.timeout(seconds):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                self._news.clear()
                await self._news.wait()

    async def until(self, reached: Callable[[Totals], bool]) -> Totals:
        """Wait until the counters say so."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                counters = await self.counters()
                if reached(counters):
                    return counters
                await asyncio.sleep(0.002)

    def close_peers(self) -> None:
        self.browser.close()
        self.trunk.close()
        for peer in self._others:
            peer.close()


async def stands_in(call: RelayedCall, source: Peer) -> None:
    """Let another source send until it has the silent trunk's place, and the browser has read what came of it."""
    async with asyncio.timeout(WAIT_SECONDS):
        for n in range(0x10000):
            source.send(packets.rtp(n, payload_type=8), call.trunk_rtp)
            if any(isinstance(event, SourceLearned) for event in call.events):
                break
            await asyncio.sleep(0.02)
    await call.counters()
    call.browser.pending()


@asynccontextmanager
async def new_call(pool: RelayPool) -> AsyncIterator[RelayedCall]:
    """A fresh call in a pool, closed at the end."""
    call = RelayedCall()
    try:
        await call.open(pool)
        yield call
        await call.close()
    finally:
        call.close_peers()
