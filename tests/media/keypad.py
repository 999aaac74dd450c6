"""Digits on the wire: a keypad that presses them as telephone-events, and a receiver that reads them by the book."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.base.dtmf import SIGNALS
from tests.media import packets
from tests.media.listener import HeardPacket

SEGMENT = 0xFFFF


@dataclass
class Keypad:
    """One source of events; each packet comes with the moment it leaves."""

    kind: int = 101
    rate: int = 8000
    """Of its events."""
    clock: int = 8000
    """Of its timestamps: that of the audio beside them."""
    ssrc: int = 0x5EED
    sequence: int = 1000
    update: float = 0.05
    began: float = 100.0
    ends: int = 3

    def timestamp(self, now: float) -> int:
        return round((now - self.began) * self.clock)

    def packet(self, code: int, units: int, timestamp: int, *, end: bool = False, marker: bool = False) -> bytes:
        self.sequence += 1
        payload = struct.pack("!BBH", code, end << 7 | 10, units)
        return packets.rtp(
            self.sequence, payload_type=self.kind, ssrc=self.ssrc, marker=marker, payload=payload, timestamp=timestamp
        )

    def press(self, signal: str, seconds: float, now: float) -> Iterator[tuple[float, bytes]]:
        """RFC 4733 2.5.1: updates, segments of what is too long, and the end three times."""
        code, at, base, timestamp = SIGNALS.index(signal), self.update, 0, self.timestamp(now)
        first = True
        while at < seconds:
            while round(at * self.rate) - base > SEGMENT:
                yield now + at, self.packet(code, SEGMENT, timestamp)
                base, timestamp = base + SEGMENT, timestamp + SEGMENT * self.clock // self.rate
            yield now + at, self.packet(code, round(at * self.rate) - base, timestamp, marker=first)
            at, first = at + self.update, False
        if round(seconds * self.rate) - base > SEGMENT:
            yield now + seconds, self.packet(code, SEGMENT, timestamp)
            base, timestamp = base + SEGMENT, timestamp + SEGMENT * self.clock // self.rate
        for n in range(self.ends):
            units = round(seconds * self.rate) - base
            yield now + seconds + n * 0.02, self.packet(code, units, timestamp, end=True, marker=first)


@dataclass
class HeardDigit:
    """A digit as the receiver has it."""

    code: int
    timestamp: int
    duration: int
    arrived: float
    begins: bool = False
    """The marker is on its first packet."""
    markers: int = 0
    ends: int = 0
    durations: list[int] = field(default_factory=list)

    @property
    def signal(self) -> str:
        return SIGNALS[self.code]


def read_digits(heard: Iterable[HeardPacket], kind: int, scale: int = 1) -> list[HeardDigit]:
    """The events of this payload type, by their timestamp.

    Args:
        scale: timestamp units in one unit of their durations.
    """
    found: list[HeardDigit] = []
    for packet in heard:
        if packet.kind != kind:
            continue
        code, second, duration = struct.unpack("!BBH", packet.payload)
        last = found[-1] if found else None
        if last is None or packet.timestamp != last.timestamp:
            if last is not None and not last.ends and _is_segment(packet.timestamp, last, scale):
                last.timestamp = packet.timestamp
                last.durations.append(duration)
            else:
                last = HeardDigit(code, packet.timestamp, 0, packet.arrived, packet.marker, durations=[duration])
                found.append(last)
        assert last is not None
        assert last.code == code, "one timestamp, two codes"
        assert duration >= last.durations[-1], "a digit became shorter"
        last.durations[-1] = duration
        last.duration = sum(last.durations)
        last.markers += packet.marker
        last.ends += second >> 7
    return found


def _is_segment(timestamp: int, last: HeardDigit, scale: int) -> bool:
    return last.durations[-1] == SEGMENT and (timestamp - last.timestamp) & 0xFFFFFFFF == SEGMENT * scale
