"""What every leg of a call has: protection, one outgoing stream, its own numbers and news, and who hears it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from gateway.base.errors import MediaError
from gateway.base.values import LegId
from gateway.media.relay_commands import Component, SetKeys
from gateway.media.relay_events import CommandRefused, FailureReason
from gateway.media.relay_quality import LegQuality
from gateway.media.worker import rtcp
from gateway.media.worker.counters import RateLimit, Tally
from gateway.media.worker.digit_player import DigitPlayer
from gateway.media.worker.extension import tells_more
from gateway.media.worker.feedback import IntraRequests, mapped
from gateway.media.worker.latch import Address
from gateway.media.worker.libsrtp import MAX_PACKET
from gateway.media.worker.packet import Packet
from gateway.media.worker.protection import Protection
from gateway.media.worker.reception import Meter
from gateway.media.worker.reporter import Reporter
from gateway.media.worker.reports import Emit, Reports
from gateway.media.worker.route import Route
from gateway.media.worker.srtp import find_suite
from gateway.media.worker.stream import Stream

MAX_RTCP_PER_SECOND = 50
"""Compounds of one leg that are read. Reports come every few seconds, feedback in short bursts."""
MAX_FEEDBACK_PER_SECOND = 20
"""Requests of one leg's peer that are asked of the other side: one for every second or third packet of sound."""


class Shortcut(Protocol):
    """A way packets take without the leg (`lane`), for as long as nothing about it changes."""

    def end(self) -> None:
        """Be taken no more."""

    def catch_up(self) -> None:
        """Tell the leg of what went there since it was told last."""


class Leg(ABC):
    """One peer. A kind of leg says how its packets come and go.

    Args:
        number: its id in the call.
        emit: where its events go.
        used: SSRCs of the call, so that none is used twice.
    """

    def __init__(self, number: LegId, emit: Emit, used: deque[int]) -> None:
        self.id = number
        self._tally = Tally()
        self.reports = Reports(number, emit)
        self._stream = Stream(used)
        self.meter = Meter()
        """What its peer sends."""
        self.protection = Protection(self._tally, self.reports)
        self.digits = DigitPlayer(self)
        """Digits its peer is to hear."""
        self.longest = MAX_PACKET
        """Octets of the longest RTP packet that can be sent."""
        self.routes: tuple[Route, ...] = ()
        """Those it is the source of."""
        self.expected: frozenset[int] = frozenset()
        """Payload types that are passed on."""
        self.extensions: frozenset[int] = frozenset()
        """Header extensions that are passed on."""
        self.way_out: Shortcut | None = None
        """How packets of its peer are passed on, when that goes smoothly."""
        self.way_in: Shortcut | None = None
        """How packets come to it, likewise."""
        self.reporter = Reporter(self)
        """RTCP to and from its peer."""
        self.intra_requests = IntraRequests()
        self._source: Leg | None = None
        """Whom its peer hears."""
        self._rtcp_rate, self._feedback_rate = RateLimit(MAX_RTCP_PER_SECOND), RateLimit(MAX_FEEDBACK_PER_SECOND)

    @property
    def tally(self) -> Tally:
        """What was counted of its packets, up to now."""
        self.catch_up()
        return self._tally

    @property
    def stream(self) -> Stream:
        """What its peer receives, up to now."""
        self.catch_up()
        return self._stream

    def catch_up(self) -> None:
        """Take note of the packets that took a way without the leg."""
        if self.way_out is not None:
            self.way_out.catch_up()
        if self.way_in is not None:
            self.way_in.catch_up()

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Whether what is sent now would leave."""

    @property
    def can_report(self) -> bool:
        """Whether RTCP that is sent now would leave."""
        return self.is_ready

    @abstractmethod
    def send(self, packet: bytes, rtcp: bool) -> bool:
        """Send a packet in clear, protected if the leg is keyed; whether it left."""

    @property
    @abstractmethod
    def rtcp_peer(self) -> tuple[Address, bool] | None:
        """Where RTCP of the peer belongs, and whether it shares the port of RTP; None while that is not known."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the leg holds of the system."""

    @property
    def quality(self) -> LegQuality:
        """Up to now."""
        self.catch_up()
        view = self.reporter.view
        return LegQuality(self.meter.reception, view.sent, view.rtt, view.metrics)

    def unsettle(self) -> None:
        """Something about the leg changes: its next packets go the long way."""
        for way in (self.way_out, self.way_in):
            if way is not None:
                way.end()
        self.way_out = self.way_in = None

    def move_to(self, number: LegId, emit: Emit, used: deque[int]) -> None:
        """Be a leg of another call from now on: its peer notices nothing of it."""
        self.id = number
        self.reports.move_to(number, emit)
        self.stream.move_to(used)

    def hold(self, held: bool, now: float) -> None:  # noqa: B027
        """Say whether nobody hears the peer, so that its silence proves nothing."""

    def connect(self, outgoing: Sequence[Route], incoming: Route | None, now: float) -> None:
        """Take the routes from this leg and the one to it."""
        self.unsettle()
        self.routes = tuple(outgoing)
        self.expected = frozenset(kind for route in outgoing for kind in route.payloads)
        self.extensions = frozenset(number for route in outgoing for number in route.extensions)
        self._source = incoming.source if incoming is not None else None
        self.hold(not any(route.is_open for route in outgoing), now)

    def set_keys(self, command: SetKeys, now: float) -> bool:
        """Install keys; an unknown suite or a key of another length is refused, never guessed. Whether they are in."""
        suite = find_suite(command.suite, command.tx, command.rx)
        if suite is None or command.component not in tuple(Component):
            self.refuse(FailureReason.BAD_KEYS)
            return False
        try:
            renewed = self.protection.install(suite, command, now)
        except MediaError:
            self.refuse(FailureReason.BAD_KEYS)
            return False
        if renewed:
            self.stream.renew()
        return True

    def refuse(self, reason: FailureReason) -> None:
        """Tell that a command for this leg cannot be obeyed."""
        self.reports.emit(CommandRefused(self.id, reason.value))

    def tick(self, now: float, silence_seconds: float) -> None:
        """Look at the clock: about once a second, whether or not packets come."""
        self.catch_up()
        self.reports.tick(now, silence_seconds)
        self.protection.tick(now)
        self.reporter.tick(now)

    def accepted(self, packet: Packet, now: float) -> None:
        """A packet of the peer is in clear and its source is right: pass it on to whom it concerns."""
        reports, tally = self.reports, self._tally
        reports.heard = True
        if not reports.has_started:
            reports.started()
        if packet.is_rtcp:
            tally.rtcp_rx += 1
            if reports.tells_rtcp:
                self.tell_rtcp(packet.data, sent=False)
            self._take_rtcp(packet.data, now)
            return
        if self.way_out is not None:
            self.way_out.end()
            self.way_out = None
        tally.rtp_rx += 1
        if packet.is_odd:
            if not packet.is_whole():
                tally.malformed_dropped += 1
                return
            if packet.start > packet.end and self.protection.keys.ready and tells_more(packet, self.extensions):
                reports.leaked()
        self.meter.take(packet.sequence, packet.timestamp, packet.ssrc, self._clock_of(packet.payload_type), now)
        if not self.routes:
            tally.unrouted_dropped += 1
        for route in self.routes:
            route.relay(packet, now)

    def tell_rtcp(self, compound: bytes, *, sent: bool) -> None:
        """A compound packet came or left, and somebody wants to know."""
        peer = self.rtcp_peer
        if peer is not None:
            self.reports.rtcp(peer[0], compound, muxed=peer[1], sent=sent)

    def _clock_of(self, kind: int) -> int:
        """Timestamp units a second of a payload type; 0 for unknown ones, and for events, that all tell one moment."""
        for route in self.routes:
            payload = route.payloads.get(kind)
            if payload is not None:
                return 0 if payload.is_event else payload.clock_rate
        return 0

    def _take_rtcp(self, packet: bytes, now: float) -> None:
        """RTCP of the peer ends here, but for what it asks of whoever it hears."""
        parts = rtcp.read(packet)
        if parts is None or not self._rtcp_rate.allows(now):
            self.tally.rtcp_rejected += 1
            return
        proof, stream = self.protection.proof, self.stream
        if proof.wants_report and stream.packets and rtcp.reports_on(parts, stream.ssrc):
            self.protection.peer_reports()
        self.reporter.read(parts, now)
        for part in parts:
            if part[1] in (rtcp.RTPFB, rtcp.PSFB) and not self._ask(part, now):
                self.tally.feedback_dropped += 1

    def _ask(self, part: bytes, now: float) -> bool:
        source = self._source
        if source is None or not self._feedback_rate.allows(now):
            return False
        request = mapped(part, self.stream, source.stream.ssrc, self.intra_requests, source.intra_requests)
        return request is not None and source.reporter.ask(request)
