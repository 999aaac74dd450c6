"""One call in the worker: two legs and what goes between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from gateway.media.relay_protocol import (
    MAX_DATAGRAM,
    FailureReason,
    Format,
    Leg,
    OpenSession,
    SessionCounters,
    SessionFailed,
    SetDirection,
    SetKeys,
    SetPayloads,
    SetTrunk,
    UnsentCause,
)
from gateway.media.worker import rtcp, rtp
from gateway.media.worker.browser import BrowserLeg
from gateway.media.worker.counters import RateLimit, Tally
from gateway.media.worker.credentials import Credentials
from gateway.media.worker.latch import Address
from gateway.media.worker.reports import Emit, Reports
from gateway.media.worker.srtp import find_suite
from gateway.media.worker.stream import MAX_REMEMBERED, Payload
from gateway.media.worker.trunk import TrunkLeg
from gateway.media.worker.trunk_sockets import TrunkSockets

MAX_RTCP_PER_SECOND = 50
"""Per direction. Reports come every few seconds, feedback in short bursts."""


COMFORT_NOISE = (13, 19)
"""Payload types that describe silence (RFC 3389, and 19 of before): who sends them unasked loses no sound."""

AnyLeg: TypeAlias = BrowserLeg | TrunkLeg


@dataclass(slots=True)
class _Way:
    """One direction of a session: from the peer of one leg to the peer of the other."""

    source: AnyLeg
    target: AnyLeg
    towards: Leg
    payloads: dict[int, Payload] = field(default_factory=dict)
    is_open: bool = True
    rtcp_rate: RateLimit = field(default_factory=lambda: RateLimit(MAX_RTCP_PER_SECOND))

    def set_open(self, is_open: bool) -> None:
        """Hold or release; what was held back is no loss to the receiver."""
        if not is_open:
            self.target.stream.cut()
        self.is_open = is_open


class Session:
    """The relay of one call."""

    def __init__(self, command: OpenSession, sockets: TrunkSockets, consent_seconds: float, emit: Emit) -> None:
        self.number = command.session
        self.tally = Tally()
        self._reports = Reports(command.session, emit)
        ssrcs: deque[int] = deque(maxlen=MAX_REMEMBERED)
        credentials = Credentials(command.ice_ufrag, command.ice_pwd.reveal().encode())
        self.browser = BrowserLeg(credentials, consent_seconds, self.tally, self._reports, ssrcs)
        self.trunk = TrunkLeg(sockets, self.tally, self._reports, ssrcs)
        self._emit = emit
        self._trunk_keyed = False
        self._to_trunk = _Way(self.browser, self.trunk, "trunk")
        self._to_browser = _Way(self.trunk, self.browser, "browser")

    def set_keys(self, command: SetKeys, now: float) -> None:
        """Install keys; an unknown suite or a key of another length is refused, never guessed."""
        suite = find_suite(command.suite, command.tx, command.rx)
        if suite is None:
            self._emit(SessionFailed(self.number, FailureReason.BAD_KEYS))
            return
        leg: AnyLeg = self.browser if command.leg == "browser" else self.trunk
        keys, generation = leg.protection.keys, leg.protection.keys.generation
        if keys.install(suite, command.tx, command.rx, now):
            leg.stream.renew()
        if keys.generation != generation:
            leg.protection.proof.begin()
        described = self.trunk.described
        if leg is self.trunk and described is not None and not described.keyed:
            # Whoever gives keys means them: nothing plain from here on, also when the word of it is late or lost.
            self.set_trunk(replace(described, keyed=True), now)

    def set_trunk(self, command: SetTrunk, now: float) -> None:
        """Take the trunk's addresses; a bad one is refused and changes nothing."""
        try:
            self.trunk.configure(command, now)
        except ValueError:
            self._emit(SessionFailed(self.number, FailureReason.BAD_ADDRESS))
            return
        self._reports.expected(now)
        if command.keyed != self._trunk_keyed:
            self._trunk_keyed = command.keyed
            proof = self.trunk.protection.proof
            proof.begin() if command.keyed else proof.stop()

    def set_payloads(self, command: SetPayloads) -> None:
        self._to_trunk.payloads = _payloads("browser", command.to_trunk, command.formats)
        self._to_browser.payloads = _payloads("trunk", command.to_browser, command.formats)

    def set_direction(self, command: SetDirection, now: float) -> None:
        self._to_trunk.set_open(command.to_trunk)
        self._to_browser.set_open(command.to_browser)
        self.trunk.hold(not command.to_browser, now)

    def tick(self, now: float, silence_seconds: float) -> None:
        """Look at the clock: about once a second, whether or not packets come."""
        self._reports.tick(now, silence_seconds)
        for leg in (self.browser, self.trunk):
            leg.protection.tick(now)

    def from_browser(self, packet: bytes, source: tuple[Any, ...], now: float) -> None:
        """Relay a packet that came from a validated path."""
        clear = self.browser.receive(packet, source, now)
        if clear is not None:
            self._relay(clear, self._to_trunk, now)

    def from_trunk(self, packet: bytes, source: Address, now: float) -> None:
        """Relay a packet that came to the RTP port."""
        if not self._is_sized(packet):
            return
        clear = self.trunk.receive(packet, source, self._to_browser.payloads, now)
        if clear is not None:
            self._relay(clear, self._to_browser, now)

    def rtcp_from_trunk(self, packet: bytes, source: Address, now: float) -> None:
        """Relay a packet that came to the RTCP port."""
        if not self._is_sized(packet):
            return
        clear = self.trunk.receive_rtcp(packet, source, now)
        if clear is not None:
            self._relay_rtcp(clear, self._to_browser, now)

    def close(self) -> SessionCounters:
        """Close the sockets; the final counters."""
        self.trunk.sockets.close()
        return self.tally.freeze()

    def _relay(self, packet: bytes, way: _Way, now: float) -> None:
        if rtp.is_rtcp(packet):
            self._relay_rtcp(packet, way, now)
        elif way.is_open:
            self._relay_rtp(packet, way, now)
        else:
            self.tally.held_dropped += 1

    def _relay_rtp(self, packet: bytes, way: _Way, now: float) -> None:
        ends = rtp.header_ends(packet)
        if ends is None:
            self.tally.malformed_dropped += 1
            return
        payload = way.payloads.get(packet[1] & 0x7F)
        if payload is None or len(packet) > way.target.longest:
            self._cannot_leave(way, packet[1] & 0x7F)
            return
        stream = way.target.stream
        sequence, timestamp, ssrc = rtp.numbers(packet)
        place = stream.place(sequence, timestamp, ssrc, payload, now)
        if place is None:
            self.tally.stale_dropped += 1
        elif way.target.send(rtp.rewrite(packet, ends, payload, stream.ssrc, place), False):
            stream.packets += 1
            stream.octets += len(packet) - ends[1]

    def _cannot_leave(self, way: _Way, kind: int) -> None:
        """Count and report a packet of a payload type nobody agreed to, or one too long for SRTP."""
        if kind in way.payloads:
            self.tally.srtp_unsendable += 1
            self._reports.unsent(way.towards, UnsentCause.UNSENDABLE)
            return
        self.tally.unmapped_dropped += 1
        if way.payloads and kind not in COMFORT_NOISE:  # before the first agreement every packet is early
            self._reports.unsent(way.towards, UnsentCause.UNMAPPED)

    def _relay_rtcp(self, packet: bytes, way: _Way, now: float) -> None:
        protection, stream = way.source.protection, way.source.stream
        if protection.proof.wants_report and stream.packets and rtcp.reports_on(packet, stream.ssrc):
            protection.peer_reports()
        written = rtcp.translate(packet, way.target.stream, way.source.stream, now)
        if written is None or not way.rtcp_rate.allows(now):
            self.tally.rtcp_rejected += 1
        else:
            way.target.send(written, True)

    def _is_sized(self, packet: bytes) -> bool:
        if not packet:
            self.tally.empty_dropped += 1
        elif len(packet) > MAX_DATAGRAM:
            self.tally.oversize_dropped += 1
        else:
            return True
        return False


def _payloads(source: Leg, numbers: Mapping[int, int], formats: Sequence[Format]) -> dict[int, Payload]:
    """The entries that are payload types at all, with their formats; 64 to 95 would read as RTCP (RFC 5761 4)."""

    def fits(kind: int) -> bool:
        return 0 <= kind <= 127 and not 64 <= kind <= 95

    payloads = {kind: Payload(mapped) for kind, mapped in numbers.items() if fits(kind) and fits(mapped)}
    rates = {known.payload_type: known.clock_rate for known in formats if known.leg != source and known.is_event}
    for known in formats:
        if known.leg == source and known.payload_type in payloads:
            number = payloads[known.payload_type].number
            there = rates.get(number, 0) if known.is_event else 0
            payloads[known.payload_type] = Payload(number, known.clock_rate, known.is_event, there)
    return payloads
