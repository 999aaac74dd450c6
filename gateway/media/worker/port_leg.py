"""A leg with ports of its own, plain or keyed, and the source rule that decides who is heard.

What comes to its ports is told apart by its first octet (RFC 7983): media, checks of a peer that makes some
(`port_ice`), and DTLS (`port_dtls`).
"""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import replace
from ipaddress import ip_address
from socket import socket

from gateway.base.values import HostPort, LegId
from gateway.media.relay_commands import Component, SetKeys, SetPeer
from gateway.media.relay_events import FailureReason, RejectCode, UnsentCause
from gateway.media.relay_protocol import MAX_DATAGRAM
from gateway.media.worker.latch import (
    NOWHERE,
    Address,
    AllowedSources,
    KeyedLatch,
    NominatedLatch,
    PlainLatch,
    Verdict,
)
from gateway.media.worker.leg import Leg
from gateway.media.worker.libsrtp import MAX_PACKET
from gateway.media.worker.packet import SHORTEST, Packet
from gateway.media.worker.port_dtls import PortDtls
from gateway.media.worker.port_pair import PortPair
from gateway.media.worker.reports import Emit

_REJECTS = {Verdict.STRANGER: RejectCode.LATCH_MISMATCH, Verdict.INTRUDER: RejectCode.MID_RELATCH}


class PortLeg(Leg):
    """One peer with an address: deaf and dumb until `set_peer`."""

    def __init__(self, number: LegId, emit: Emit, used: deque[int], sockets: PortPair) -> None:
        super().__init__(number, emit, used)
        self.longest = MAX_DATAGRAM
        own: PortLeg = weakref.proxy(self)  # no circle: a leg that is closed is gone at once
        self.protection.is_peer = lambda host: own._by_paths or host in own._allowed
        self.sockets = sockets
        self.dtls = PortDtls(self.tally, self.reports)
        self._peer: SetPeer | None = None
        """What was last said of the peer."""
        self._allowed = AllowedSources(("0.0.0.0", 0), ())
        self._plain: PlainLatch | None = None
        self._keyed: KeyedLatch | None = None
        self.latch: PlainLatch | KeyedLatch | None = None
        """The one of them there is."""
        self._rtcp: Address | None = None
        self._mux = False
        self._by_paths = False
        """The peer checks paths, and is heard on those."""
        self._held = True

    def set_peer(self, command: SetPeer, now: float) -> None:
        """Take the signalled addresses; the same ones again forget nothing. A bad one changes nothing."""
        was_keyed = self._peer is not None and self._peer.keyed
        try:
            self._configure(command, now)
        except ValueError:
            self.refuse(FailureReason.BAD_ADDRESS)
            return
        self.reports.expected(now)
        if command.keyed != was_keyed:
            proof = self.protection.proof
            proof.begin() if command.keyed else proof.stop()

    def set_keys(self, command: SetKeys, now: float) -> bool:
        """Install keys. Whoever gives keys means them: nothing plain from here on, also when the word of it is late."""
        generation = self.protection.keys.generation
        taken = super().set_keys(command, now)
        if taken and self._peer is not None and not self._peer.keyed:
            self.set_peer(replace(self._peer, keyed=True), now)
        if self.protection.keys.generation != generation:
            self._follow_handshake()
        return taken

    def _follow_handshake(self) -> None:
        """Who has proved by DTLS to be the peer is sent to where it did so, also where it stands in for another."""
        shown = self.dtls.target(Component.RTP)
        if shown is not None and self._keyed is not None and not self._by_paths:
            self._keyed.target, self._keyed.candidate = shown, None

    def hold(self, held: bool, now: float) -> None:
        """Say whether nobody hears the peer, so that its silence proves nothing."""
        if held == self._held:
            return
        self._held = held
        if self._plain is not None:
            self._plain.hold(held, now)

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram that came to the RTP port."""
        packet = self._read(data)
        if packet is None or not self._is_media(data, source, Component.RTP, now):
            return
        if packet.is_rtcp and not self._mux:
            self.tally.rtcp_rejected += 1
        elif self._by_paths and not self._is_on_path(source):
            self.tally.unvalidated_dropped += 1
            self._tell_stranger(source)
        elif self._keyed is not None:
            self._authenticate(self._keyed, packet, source, now)
        elif packet.is_rtcp:
            self._judge_rtcp(packet, source, now)
        else:
            self._judge(packet, source, now)

    def receive_rtcp(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram that came to the RTCP port."""
        if len(data) < SHORTEST and data:
            self.tally.rtcp_rejected += 1
            return
        packet = self._read(data)
        if packet is None or not self._is_media(data, source, Component.RTCP, now):
            return
        if self._mux or not packet.is_rtcp:
            self.tally.rtcp_rejected += 1
        elif self._keyed is None:
            self._judge_rtcp(packet, source, now)
        elif self.protection.open(packet, source, now):
            self.accepted(packet, now)

    @property
    def is_ready(self) -> bool:
        keyed = self.latch is self._keyed
        return self.latch is not None and self._is_reachable and (not keyed or self.protection.keys.sender is not None)

    @property
    def rtcp_peer(self) -> tuple[Address, bool] | None:
        return None if self.latch is None else (self._rtcp_target, self._mux)

    @property
    def can_report(self) -> bool:
        return self.is_ready and (self.latch is self._plain or self.protection.seals_rtcp)

    def send(self, packet: bytes, rtcp: bool) -> bool:
        """Send a packet to where the peer's media is, protected if the leg is keyed; whether it left."""
        latch = self.latch
        if latch is None:
            self.tally.unkeyed_dropped += 1
            return False
        sealed = self.protection.seal(packet, rtcp) if latch is self._keyed else packet
        if sealed is None or not self._put(sealed, rtcp, latch.target):
            return False
        if rtcp:
            self.tally.rtcp_tx += 1
            if self.reports.tells_rtcp:
                self.tell_rtcp(packet, sent=True)
        else:
            self.tally.rtp_tx += 1
        return True

    def set_ice(self, ufrag: str, password: bytes) -> None:
        """Answer checks on the RTP port under this name."""
        self.dtls.set_ice(ufrag, password)

    def send_dtls(self, datagram: bytes, component: int) -> None:
        """Send a DTLS datagram from one of the ports; lost ones are repeated by DTLS itself."""
        is_rtcp = component == Component.RTCP
        target = self.dtls.target(Component.RTCP if is_rtcp else Component.RTP)
        if target is None or not self._sent(self.sockets.rtcp if is_rtcp else self.sockets.rtp, datagram, target):
            self.tally.unsent += 1

    def close(self) -> None:
        self.sockets.close()

    def _configure(self, command: SetPeer, now: float) -> None:
        """Raises ValueError for a bad address."""
        if command == self._peer:
            if self._plain is not None:
                self._plain.described(now)
            return
        allowed = AllowedSources(canonical(command.rtp), command.sources)
        rtcp = canonical(command.rtcp) if command.rtcp is not None and command.rtcp.port else None
        if self._peer is not None and self._peer.keyed != command.keyed:
            self.reports.restarted()
            self.stream.renew()  # what was sent in clear is unknown to the SRTP context, and no SSRC serves both
        self._peer, self._allowed, self._rtcp = command, allowed, rtcp
        self._by_paths = command.keyed and command.ice
        self._mux = command.mux or self._by_paths
        self.longest = MAX_PACKET if command.keyed else MAX_DATAGRAM
        self._keyed = self._keyed_latch() if command.keyed else None
        self._plain = None if command.keyed else PlainLatch(allowed, now)
        self.latch = self._plain or self._keyed
        if self._plain is not None:
            self._plain.hold(self._held, now)
        self._expect_dtls(command.keyed and command.dtls, now)

    def _keyed_latch(self) -> KeyedLatch:
        if not self._by_paths:
            return KeyedLatch(self._allowed)
        ice = self.dtls.ice
        return NominatedLatch(self._allowed, ice.paths.nominated if ice is not None else None)

    def _expect_dtls(self, wanted: bool, now: float) -> None:
        if not wanted:
            self.dtls.stop(now)
        elif self._by_paths:
            self.dtls.expect_on_paths(self._allowed, now)
        else:
            self.dtls.expect(self._allowed, None if self._mux else self._signalled_rtcp, now)

    @property
    def _is_reachable(self) -> bool:
        """Whether there is somebody to send to: a peer on hold by address wants nothing."""
        if self._by_paths:
            return self.latch is not None and self.latch.target != NOWHERE
        return self._allowed.reachable

    @property
    def _rtcp_target(self) -> Address:
        """Where RTCP belongs when it has its own port: as signalled (RFC 3605), or the port above a stand-in."""
        if self.latch is None or self.latch.target == self._allowed.signalled:
            return self._signalled_rtcp
        host, port = self.latch.target
        return host, port + (not self._mux)

    @property
    def _signalled_rtcp(self) -> Address:
        if self._mux:
            return self._allowed.signalled
        return self._rtcp or (self._allowed.signalled[0], self._allowed.signalled[1] + 1)

    def _read(self, data: bytes) -> Packet | None:
        """A datagram of a size that can be media."""
        if SHORTEST <= len(data) <= MAX_DATAGRAM:
            return Packet(data)
        if not data:
            self.tally.empty_dropped += 1
        elif len(data) > MAX_DATAGRAM:
            self.tally.oversize_dropped += 1
        else:
            self.tally.malformed_dropped += 1
        return None

    def _is_media(self, data: bytes, source: Address, component: Component, now: float) -> bool:
        """Whether a datagram is media; what it is else is dealt with."""
        first = data[0]
        if 127 < first < 192:
            return True
        if 19 < first < 64:
            self.dtls.take(data, source, component, now)
        elif first < 4 and self.dtls.ice is not None and component is Component.RTP:
            self._check(data, source, now)
        else:
            self.tally.malformed_dropped += 1
        return False

    def _check(self, data: bytes, source: Address, now: float) -> None:
        answer = self.dtls.check(data, source, now)
        if answer is not None and not self._sent(self.sockets.rtp, answer, source):
            self.tally.unsent += 1
        nominated = self.dtls.ice.paths.nominated if self.dtls.ice is not None else None
        if self._by_paths and self._keyed is not None and nominated and nominated != self._keyed.target:
            was, self._keyed.target = self._keyed.target, nominated
            if was != NOWHERE or nominated != self._allowed.signalled:
                self._moved(nominated)

    def _is_on_path(self, source: Address) -> bool:
        return self.dtls.ice is not None and source in self.dtls.ice.paths

    def _authenticate(self, latch: KeyedLatch, packet: Packet, source: Address, now: float) -> None:
        if not self.protection.open(packet, source, now):
            return
        if latch.authenticated(source, now) is Verdict.LEARNED:
            self._moved(source)
        self.accepted(packet, now)

    def _judge(self, packet: Packet, source: Address, now: float) -> None:
        if self._plain is None:
            self.protection.unkeyed(source)
        elif packet.is_odd and not packet.is_whole():
            self.tally.malformed_dropped += 1
        else:
            known = packet.payload_type in self.expected
            verdict = self._plain.judge(source, packet.ssrc, packet.sequence, known, now)
            if verdict is Verdict.LEARNED:
                self._moved(source)
            if verdict is Verdict.ACCEPT or verdict is Verdict.LEARNED:
                self.accepted(packet, now)
            else:
                self._refused(verdict, source)

    def _moved(self, source: Address) -> None:
        self.unsettle()
        self.tally.source_moved += 1
        self.reports.learned(source, self._allowed.signalled)

    def _refused(self, verdict: Verdict, source: Address) -> None:
        if verdict is Verdict.PENDING:
            self.tally.source_pending += 1
            return
        self.tally.source_rejected += 1
        self.reports.rejected(source, _REJECTS[verdict])

    def _judge_rtcp(self, packet: Packet, source: Address, now: float) -> None:
        if self._plain is None:
            self.tally.unkeyed_dropped += 1
            return
        if source == self._allowed.signalled and self._plain.signalled_spoke(now) is Verdict.LEARNED:
            self._moved(source)
        if source in (self._rtcp_target, self._signalled_rtcp):
            self.accepted(packet, now)
            return
        self.tally.source_rejected += 1
        self._tell_stranger(source)

    def _tell_stranger(self, source: Address) -> None:
        """Another port of an allowed host is common with NAT, and where paths are checked: no attack worth an alarm."""
        if source[0] not in self._allowed:
            self.reports.rejected(source, RejectCode.LATCH_MISMATCH)

    def _put(self, data: bytes, rtcp: bool, target: Address) -> bool:
        own = self.sockets.rtp
        if rtcp:
            own, target = own if self._mux else self.sockets.rtcp, self._rtcp_target
        if self._is_reachable:
            if self._sent(own, data, target):
                return True
            if not rtcp:
                self.reports.unsent(UnsentCause.UNSENT)
        self.tally.unsent += 1
        return False

    @staticmethod
    def _sent(own: socket, data: bytes, target: Address) -> bool:
        try:
            own.sendto(data, target)
        except (OSError, OverflowError):
            # Full buffer, unreachable, or the port above 65535: late media is worth nothing: no second try.
            return False
        return True


def canonical(address: HostPort) -> Address:
    """The address in the form `recvfrom` gives; raises ValueError when it is no IP address or has no port."""
    if not 0 < address.port < 65536:
        raise ValueError("no port")
    return str(ip_address(address.host)), address.port
