"""Hears the digits of one source in its telephone-events (RFC 4733 2.5.2): each once, whatever was lost or repeated.

Packets of one event share its timestamp. A packet of another timestamp begins the next one, unless it is late, or
goes on with an event that is too long for one (a segment, RFC 4733 2.5.1.3).
"""

from __future__ import annotations

from gateway.base.dtmf import LONGEST
from gateway.base.short import Short
from gateway.media.worker.digit import SEGMENT, Digit, EventPacket, Outlet
from gateway.media.worker.packet import MARKER, Packet
from gateway.media.worker.stream import signed

SEGMENT_SLACK = 0.05
"""Seconds by which a segment may begin beside the end of the one before: senders cut at their packets."""
MAX_KNOWN = 8
"""Events remembered that were heard already, for packets of theirs that come late."""
LATE_SECONDS = 0.5
"""How late those may be: above what networks delay, below the time in which a key is pressed again."""
MAX_LATE = 9.0
"""Seconds a packet of an earlier event may be late by its timestamp: the longest event at 8000 Hz, and a little."""


class DigitReader:
    """One source as it is heard by one leg.

    Args:
        outlet: where its digits go.
    """

    __slots__ = ("_before", "_digit", "_duration", "_is_open", "_known", "_ssrc", "_timestamp", "outlet")

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self._digit: Digit | None = None
        self._ssrc = self._timestamp = 0
        self._known: Short[tuple[tuple[int, int, int], float]] = Short(MAX_KNOWN)
        """Source, timestamp and code of the latest events, and when they began to be the ones before."""
        self._is_open = False
        """Its source has not ended the event, whatever became of the digit."""
        self._duration = 0
        """Of the segment that is heard now."""
        self._before = 0
        """Timestamp units of the segments before it."""

    def read(self, packet: Packet, clock_rate: int, now: float) -> None:
        """Take a packet of an event; `clock_rate` is that of its payload type."""
        event = EventPacket.read(packet)
        if event is None:
            return
        digit = self._digit
        if digit is None or packet.ssrc != self._ssrc:
            self._begin(packet, event, clock_rate, now)
        elif packet.timestamp != self._timestamp:
            self._other(digit, packet, event, clock_rate, now)
        elif event.code != digit.code:  # some devices do not let the timestamp count on from digit to digit
            self._begin(packet, event, clock_rate, now)
        else:
            self._go_on(digit, event, clock_rate, now)

    def _other(self, digit: Digit, packet: Packet, event: EventPacket, clock_rate: int, now: float) -> None:
        """A packet of another timestamp than the present event's."""
        step = signed(packet.timestamp - self._timestamp)
        if -MAX_LATE * clock_rate < step < 0:
            return
        same = event.code == digit.code and self._is_open and not packet.data[1] & MARKER
        if same and 0 <= step - SEGMENT + SEGMENT_SLACK * clock_rate <= 2 * SEGMENT_SLACK * clock_rate:
            self._before, self._duration = self._before + min(step, SEGMENT), 0
        elif not (same and step <= event.duration - self._duration):  # some devices let the timestamp count on
            self._begin(packet, event, clock_rate, now)
            return
        self._timestamp = packet.timestamp
        self._go_on(digit, event, clock_rate, now)

    def _begin(self, packet: Packet, event: EventPacket, clock_rate: int, now: float) -> None:
        key = (packet.ssrc, packet.timestamp, event.code)
        if any(key == known and now - since < LATE_SECONDS for known, since in self._known):
            return
        before = self._digit
        if before is not None:
            self._known.append(((self._ssrc, self._timestamp, before.code), now))
        if before is not None and not before.ended:  # its end was lost
            before.end()
            self.outlet.over(before, now)
        self._ssrc, self._timestamp, self._before = packet.ssrc, packet.timestamp, 0
        length = min(event.duration / clock_rate, LONGEST)
        digit = self._digit = Digit(event.code, now - length, 0.0, volume=event.volume)
        self._duration, self._is_open = event.duration, not event.ended
        digit.grow(length, event.ended, now)
        self.outlet.begun(digit, now)

    def _go_on(self, digit: Digit, event: EventPacket, clock_rate: int, now: float) -> None:
        self._duration, self._is_open = max(self._duration, event.duration), self._is_open and not event.ended
        if digit.ended:
            return
        if digit.grow((self._before + event.duration) / clock_rate, event.ended, now):
            self.outlet.over(digit, now)
