"""One digit on its way through a leg: as far as it was heard, and how it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.base.dtmf import LONGEST, SIGNALS, in_limits
from gateway.media.worker.packet import Packet

EVENT = 4
"""Octets of a telephone-event (RFC 4733 2.3)."""
SEGMENT = 0xFFFF
"""Timestamp units of the longest event that can be written: what lasts longer goes on under another timestamp."""
END = 0x80
VOLUME = 0x3F
LOUD = 10
"""Volume of digits that were told without one: -10 dBm0 (RFC 4733 2.3.4)."""
LOST_SECONDS = 0.2
"""A digit that is not heard of any more for this long has ended: four of the slowest updates (RFC 4733 2.5.1.2)."""


@dataclass(slots=True)
class Digit:
    """What is known of a digit; whoever hears it goes on writing here while it is played."""

    code: int
    began: float
    """Monotonic seconds at which its source began it."""
    length: float
    """Seconds, as far as it was heard."""
    ended: bool = False
    volume: int = LOUD
    heard_at: float = 0.0
    """When something was heard of it last."""

    @property
    def signal(self) -> str:
        """Its name; "" for an event that is no digit."""
        return SIGNALS[self.code] if self.code < len(SIGNALS) else ""

    def grow(self, length: float, ended: bool, now: float) -> bool:
        """More of it was heard; whether that is its end."""
        self.length = max(self.length, length)
        self.heard_at = now
        if ended or self.length >= LONGEST:
            self.end()
        return self.ended

    def end(self) -> None:
        """Nothing more will be heard of it."""
        self.ended, self.length = True, in_limits(self.length)

    def look(self, now: float) -> None:
        """Its end may have been lost (RFC 4733 2.5.2.2)."""
        if not self.ended and now - self.heard_at >= LOST_SECONDS:
            self.end()


@dataclass(frozen=True, slots=True)
class EventPacket:
    """The payload of a packet of an event (RFC 4733 2.3)."""

    code: int
    ended: bool
    volume: int
    duration: int
    """Timestamp units."""

    @classmethod
    def read(cls, packet: Packet) -> EventPacket | None:
        """The first event in a packet, or None where there is none; further ones repeat what was said (RFC 2198)."""
        data, at = packet.data, packet.start
        if len(data) < at + EVENT:
            return None
        second = data[at + 1]
        return cls(data[at], bool(second & END), second & VOLUME, data[at + 2] << 8 | data[at + 3])


class Outlet(Protocol):
    """Where digits go that were heard."""

    def begun(self, digit: Digit, now: float) -> None:
        """A digit begins; it grows, and ends, while it is there."""

    def over(self, digit: Digit, now: float) -> None:
        """Its end was heard."""
