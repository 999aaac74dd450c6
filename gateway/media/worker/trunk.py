"""The trunk leg of a session: own ports, plain or keyed, and the source rule that decides who is heard."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Container
from ipaddress import ip_address

from gateway.base.values import HostPort
from gateway.media.relay_protocol import MAX_DATAGRAM, RejectCode, SetTrunk, UnsentCause
from gateway.media.worker import rtp
from gateway.media.worker.counters import Tally
from gateway.media.worker.latch import Address, AllowedSources, KeyedLatch, PlainLatch, Verdict
from gateway.media.worker.protection import Protection
from gateway.media.worker.reports import Reports
from gateway.media.worker.srtp import MAX_PACKET
from gateway.media.worker.stream import Stream
from gateway.media.worker.trunk_sockets import TrunkSockets

MIN_RTCP = 8
_REJECTS = {Verdict.STRANGER: RejectCode.LATCH_MISMATCH, Verdict.INTRUDER: RejectCode.MID_RELATCH}


class TrunkLeg:
    """One trunk call: deaf and dumb until `configure`."""

    def __init__(self, sockets: TrunkSockets, tally: Tally, reports: Reports, ssrcs: deque[int]) -> None:
        self.stream = Stream(ssrcs)
        """What we send to the trunk."""
        self.longest = MAX_DATAGRAM
        """Octets of the longest RTP packet that can be sent."""
        self.protection = Protection("trunk", tally, reports)
        self.protection.is_peer = lambda host: host in self._allowed
        self.sockets = sockets
        self.mux = False
        self._tally, self._reports = tally, reports
        self._current: SetTrunk | None = None
        self._allowed = AllowedSources(("0.0.0.0", 0), ())
        self._plain: PlainLatch | None = None
        self._keyed: KeyedLatch | None = None
        self._rtcp: Address | None = None
        self._held = False

    @property
    def described(self) -> SetTrunk | None:
        """What was last said of the peer."""
        return self._current

    def configure(self, command: SetTrunk, now: float) -> None:
        """Take the signalled addresses; the same ones again forget nothing. Raises ValueError for a bad address."""
        if command == self._current:
            if self._plain is not None:
                self._plain.described(now)
            return
        allowed = AllowedSources(canonical(command.rtp), command.sources)
        rtcp = canonical(command.rtcp) if command.rtcp is not None and command.rtcp.port else None
        if self._current is not None and self._current.keyed != command.keyed:
            self._reports.restarted("trunk")
            self.stream.renew()  # what was sent in clear is unknown to the SRTP context, and no SSRC serves both
        self._current, self._allowed, self._rtcp, self.mux = command, allowed, rtcp, command.rtcp_mux
        self.longest = MAX_PACKET if command.keyed else MAX_DATAGRAM
        self._keyed = KeyedLatch(allowed) if command.keyed else None
        self._plain = None if command.keyed else PlainLatch(allowed, now)
        if self._plain is not None:
            self._plain.hold(self._held, now)

    def hold(self, held: bool, now: float) -> None:
        """Say whether the trunk is expected to be silent."""
        self._held = held
        if self._plain is not None:
            self._plain.hold(held, now)

    @property
    def _target(self) -> Address | None:
        latch = self._plain or self._keyed
        return latch.target if latch is not None else None

    @property
    def _rtcp_target(self) -> Address | None:
        """Where RTCP belongs: with muxing to the RTP address, else signalled (RFC 3605), else the port above RTP."""
        target = self._target
        if target is None or self.mux:
            return target
        return self._signalled_rtcp if target == self._allowed.signalled else (target[0], target[1] + 1)

    @property
    def _signalled_rtcp(self) -> Address:
        if self.mux:
            return self._allowed.signalled
        return self._rtcp or (self._allowed.signalled[0], self._allowed.signalled[1] + 1)

    def receive(self, packet: bytes, source: Address, payloads: Container[int], now: float) -> bytes | None:
        """Take a packet from the RTP port; the RTP packet (or with muxing, RTCP packet) in clear, or None."""
        if len(packet) < MIN_RTCP:
            self._tally.malformed_dropped += 1
            return None
        rtcp = rtp.is_rtcp(packet)
        if rtcp and not self.mux:
            self._tally.rtcp_rejected += 1
            return None
        if self._keyed is not None:
            return self._authenticate(self._keyed, packet, rtcp, source, now)
        return self._accept_rtcp(packet, source, now) if rtcp else self._accept_rtp(packet, source, payloads, now)

    def receive_rtcp(self, packet: bytes, source: Address, now: float) -> bytes | None:
        """Take a packet from the RTCP port; the RTCP packet in clear, or None."""
        if self.mux or len(packet) < MIN_RTCP or not rtp.is_rtcp(packet):
            self._tally.rtcp_rejected += 1
            return None
        if self._keyed is not None:
            clear = self.protection.open(packet, True, source, now)
            return self._accepted(clear, True) if clear is not None else None
        return self._accept_rtcp(packet, source, now)

    def send(self, packet: bytes, rtcp: bool) -> bool:
        """Send a packet to where the trunk's media is, protected if the leg is keyed; whether it left."""
        target = self._rtcp_target if rtcp else self._target
        if self._current is None or target is None:
            self._tally.unkeyed_dropped += 1
            return False
        sealed = self.protection.seal(packet, rtcp) if self._current.keyed else packet
        if sealed is None:
            return False
        own = self.sockets.rtcp if rtcp and not self.mux else self.sockets.rtp
        if not self._allowed.reachable or not _put(own, sealed, target):
            self._not_sent()
            return False
        if rtcp:
            self._tally.rtcp_tx += 1
        else:
            self._tally.trunk_tx += 1
        return True

    def _not_sent(self) -> None:
        self._tally.unsent += 1
        if self._allowed.reachable:  # a peer on hold by address wants nothing
            self._reports.unsent("trunk", UnsentCause.UNSENT)

    def _authenticate(self, latch: KeyedLatch, packet: bytes, rtcp: bool, source: Address, now: float) -> bytes | None:
        clear = self.protection.open(packet, rtcp, source, now)
        if clear is None:
            return None
        if latch.authenticated(source, now) is Verdict.LEARNED:
            self._moved(source)
        return self._accepted(clear, rtcp)

    def _accept_rtp(self, packet: bytes, source: Address, payloads: Container[int], now: float) -> bytes | None:
        if self._plain is None:
            self._tally.unkeyed_dropped += 1
            return None
        if rtp.header_ends(packet) is None:
            self._tally.malformed_dropped += 1
            return None
        known = rtp.payload_type(packet) in payloads
        verdict = self._plain.judge(source, rtp.ssrc(packet), rtp.sequence(packet), known, now)
        if verdict is Verdict.ACCEPT:
            return self._accepted(packet, False)
        if verdict is Verdict.LEARNED:
            self._moved(source)
            return self._accepted(packet, False)
        self._refused(verdict, source)
        return None

    def _moved(self, source: Address) -> None:
        self._tally.source_moved += 1
        self._reports.learned(source, self._allowed.signalled)

    def _refused(self, verdict: Verdict, source: Address) -> None:
        if verdict is Verdict.PENDING:
            self._tally.source_pending += 1
            return
        self._tally.source_rejected += 1
        self._reports.rejected("trunk", source, _REJECTS[verdict])

    def _accept_rtcp(self, packet: bytes, source: Address, now: float) -> bytes | None:
        if self._plain is None:
            self._tally.unkeyed_dropped += 1
            return None
        if source == self._allowed.signalled and self._plain.signalled_spoke(now) is Verdict.LEARNED:
            self._moved(source)
        if source in (self._rtcp_target, self._signalled_rtcp):
            return self._accepted(packet, True)
        self._tally.source_rejected += 1
        # RTCP from another port of an allowed host is common with NAT, and no attack worth an alarm.
        if source[0] not in self._allowed:
            self._reports.rejected("trunk", source, RejectCode.LATCH_MISMATCH)
        return None

    def _accepted(self, clear: bytes, rtcp: bool) -> bytes:
        if rtcp:
            self._tally.rtcp_rx += 1
        else:
            self._tally.trunk_rx += 1
        self._reports.started("trunk")
        return clear


def canonical(address: HostPort) -> Address:
    """The address in the form `recvfrom` gives; raises ValueError when it is no IP address or has no port."""
    if not 0 < address.port < 65536:
        raise ValueError("no port")
    return str(ip_address(address.host)), address.port


def _put(own: socket.socket, packet: bytes, target: Address) -> bool:
    try:
        own.sendto(packet, target)
    except (OSError, OverflowError):
        # Full buffer, unreachable, or the port above 65535: late media is worth nothing, so there is no second try.
        return False
    return True
