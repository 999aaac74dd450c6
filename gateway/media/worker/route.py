"""A route: what the peer of one leg sends leaves on another, under the numbers of that side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.media.relay_commands import PayloadMap, RelayPlan
from gateway.media.relay_events import UnsentCause
from gateway.media.worker.packet import Packet
from gateway.media.worker.rtp import rewrite
from gateway.media.worker.stream import Payload

if TYPE_CHECKING:
    from gateway.media.worker.leg import Leg

COMFORT_NOISE = (13, 19)
"""Payload types that describe silence (RFC 3389, and 19 of before): who sends them unasked loses no sound."""


class Route:
    """One direction between two legs."""

    __slots__ = ("is_open", "payloads", "sink", "source")

    def __init__(self, source: Leg, sink: Leg, plan: RelayPlan) -> None:
        self.source, self.sink = source, sink
        self.payloads: dict[int, Payload] = {}
        self.is_open = True
        self.follow(plan)

    def follow(self, plan: RelayPlan) -> None:
        """Go by this plan from now on; what is held back is no loss to the receiver."""
        self.payloads = _payloads(plan.payloads)
        self.is_open = plan.is_open
        if not plan.is_open:
            self.sink.stream.cut()

    def relay(self, packet: Packet, now: float) -> None:
        """Pass on an RTP packet in clear."""
        sink = self.sink
        if not self.is_open:
            sink.tally.held_dropped += 1
            return
        payload = self.payloads.get(packet.payload_type)
        if payload is None or len(packet.data) > sink.longest:
            self._cannot_leave(packet.payload_type)
            return
        stream = sink.stream
        place = stream.place(packet.sequence, packet.timestamp, packet.ssrc, payload, now)
        if place is None:
            sink.tally.stale_dropped += 1
        elif sink.send(rewrite(packet, payload, stream.ssrc, place), False):
            stream.packets += 1
            stream.octets += len(packet.data) - packet.start

    def _cannot_leave(self, kind: int) -> None:
        """Count and report a packet of a payload type nobody agreed to, or one too long for SRTP."""
        if kind in self.payloads:
            self.sink.tally.srtp_unsendable += 1
            self.sink.reports.unsent(UnsentCause.UNSENDABLE)
            return
        self.sink.tally.unmapped_dropped += 1
        if self.payloads and kind not in COMFORT_NOISE:  # before the first agreement every packet is early
            self.sink.reports.unsent(UnsentCause.UNMAPPED)


def _payloads(maps: tuple[PayloadMap, ...]) -> dict[int, Payload]:
    """The entries that are payload types at all, with a clock; 64 to 95 would read as RTCP (RFC 5761 4)."""

    def fits(kind: int) -> bool:
        return 0 <= kind <= 127 and not 64 <= kind <= 95

    return {
        entry.payload_type: Payload(entry.becomes, entry.clock_rate, entry.is_event, entry.clock_rate_there)
        for entry in maps
        if fits(entry.payload_type) and fits(entry.becomes) and entry.clock_rate > 0 and entry.clock_rate_there >= 0
    }
