"""A route: what the peer of one leg sends leaves on another, under the numbers of that side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.media.relay_commands import EventFormat, PayloadMap, RelayPlan
from gateway.media.relay_events import UnsentCause
from gateway.media.worker.digit_reader import DigitReader
from gateway.media.worker.digit_teller import DigitTeller
from gateway.media.worker.extension import passed_on
from gateway.media.worker.packet import Packet
from gateway.media.worker.rtp import rewrite
from gateway.media.worker.stream import Payload

if TYPE_CHECKING:
    from gateway.media.worker.leg import Leg

COMFORT_NOISE = (13, 19)
"""Payload types that describe silence (RFC 3389, and 19 of before): who sends them unasked loses no sound."""


class Route:
    """One direction between two legs."""

    __slots__ = ("_reader", "_teller", "extensions", "is_open", "payloads", "sink", "source")

    def __init__(self, source: Leg, sink: Leg, plan: RelayPlan) -> None:
        self.source, self.sink = source, sink
        self.payloads: dict[int, Payload] = {}
        self.extensions: dict[int, int] = {}
        """Header extensions that are passed on, and their numbers there."""
        self.is_open = True
        self._teller = DigitTeller(source)
        self._reader = DigitReader(sink.digits)
        self.follow(plan)

    def follow(self, plan: RelayPlan) -> None:
        """Go by this plan from now on; what is held back is no loss to the receiver."""
        self.payloads = {**_heard(plan.heard), **_payloads(plan.payloads)}
        self.extensions = {
            entry.number: entry.becomes
            for entry in plan.extensions
            if 0 < entry.number < 256 and 0 < entry.becomes < 256
        }
        self.is_open = plan.is_open
        self.sink.digits.formats = tuple(form for form in plan.events if _is_format(form))
        # A digit in the middle of which that changes stays with whom it was begun for, and is none of the other's.
        self._reader.outlet = self._teller if plan.tells_digits else self.sink.digits
        if not plan.is_open:
            self.sink.stream.cut()
            self.sink.digits.hush()

    def end(self) -> None:
        """The sink hears the source no more: what comes next is a stream of its own, whatever its numbers are."""
        self._teller.stop()
        self.sink.digits.formats = ()
        self.sink.digits.hush()
        self.sink.stream.hand_over()

    def relay(self, packet: Packet, now: float) -> None:
        """Pass on an RTP packet in clear."""
        sink = self.sink
        if not self.is_open:
            sink.tally.held_dropped += 1
            return
        payload, stream = self.payloads.get(packet.payload_type), sink.stream
        if payload is None:  # left out, which is no gap: a receiver would take the silence for packets it lost
            stream.absorb(packet.sequence, packet.ssrc, now)
        if payload is None or len(packet.data) > sink.longest:
            self._cannot_leave(packet.payload_type)
            return
        if payload.is_event:
            stream.absorb(packet.sequence, packet.ssrc, now)
            self._reader.read(packet, payload.clock_rate, now)
            return
        away = sink.digits.agenda.away
        place = stream.place(packet.sequence, packet.timestamp, packet.ssrc, payload, now, away)
        if place is None:
            sink.tally.stale_dropped += 1
        elif sink.digits.is_speaking:
            stream.withdraw(place)
            sink.tally.audio_replaced += 1
        elif sink.send(rewrite(packet, payload, stream.ssrc, place, self._extension(packet)), False):
            stream.packets += 1
            stream.octets += len(packet.data) - packet.start

    def _extension(self, packet: Packet) -> bytes:
        """What of its header extension goes on, as far as there is room."""
        if not self.extensions or packet.start == packet.end:
            return b""
        found, there = passed_on(packet, self.extensions), packet.start - packet.end
        return found if len(packet.data) - there + len(found) <= self.sink.longest else b""

    def _cannot_leave(self, kind: int) -> None:
        """Count and report a packet of a payload type nobody agreed to, or one too long for SRTP."""
        if kind in self.payloads:
            self.sink.tally.srtp_unsendable += 1
            self.sink.reports.unsent(UnsentCause.UNSENDABLE)
            return
        self.sink.tally.unmapped_dropped += 1
        if self.payloads and kind not in COMFORT_NOISE:  # before the first agreement every packet is early
            self.sink.reports.unsent(UnsentCause.UNMAPPED)


def _fits(kind: int) -> bool:
    """Whether it is a payload type at all; 64 to 95 would read as RTCP (RFC 5761 4)."""
    return 0 <= kind <= 127 and not 64 <= kind <= 95


def _payloads(maps: tuple[PayloadMap, ...]) -> dict[int, Payload]:
    """The entries that are payload types, with a clock."""
    return {
        entry.payload_type: Payload(entry.becomes, entry.clock_rate)
        for entry in maps
        if _fits(entry.payload_type) and _fits(entry.becomes) and entry.clock_rate > 0
    }


def _heard(formats: tuple[EventFormat, ...]) -> dict[int, Payload]:
    """telephone-event as it comes: it is heard and not passed on."""
    return {
        form.payload_type: Payload(form.payload_type, form.clock_rate, is_event=True)
        for form in formats
        if _is_format(form)
    }


def _is_format(form: EventFormat) -> bool:
    return _fits(form.payload_type) and form.clock_rate > 0
