"""What is received on a leg, as RFC 3550 A.1, A.3 and A.8 have it measured. Pure: time is an argument.

A source that runs smoothly takes the short way (`flat`), where its stream notes its numbers anyway: while it does, the
`Source` looks there instead of being told of each packet; jitter the lane reckons.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from gateway.media.relay_quality import Reception
from gateway.media.worker import rtcp
from gateway.media.worker.bursts import Losses
from gateway.media.worker.counters import Tally
from gateway.media.worker.stream import MAX_DROPOUT, MAX_MISORDER, SHORTEST_PACKET, signed

MAX_SOURCES = 8
"""Sources of a leg told apart at a time; of the one silent for longest only the sums remain."""
MIN_SEQUENTIAL = 2
"""Packets of a source before it is reported on (RFC 3550 A.1): one packet may be anybody's mistake."""
MAX_JUMP = 2.0
"""Seconds between what the clock and the timestamps say: more is another clock, not jitter."""
GAIN = 1 / 16
"""Of the jitter estimate (RFC 3550 A.8)."""
UNMEASURED = -1.0
"""The highest jitter of a source of which there was none yet."""
_WORD = 0xFFFF


class Ridden(Protocol):
    """A stream, as far as it tells of the source it is made of."""

    high: int
    timestamp: int
    at: float


class Source:
    """The packets of one SSRC."""

    __slots__ = (
        "_counted",
        "_expected_before",
        "_losses",
        "_received",
        "_received_before",
        "_report",
        "_restart",
        "_stream",
        "_tally",
        "at",
        "first",
        "high",
        "jitter",
        "offset",
        "rate",
        "ssrc",
        "timestamp",
        "worst",
    )

    def __init__(self, ssrc: int, sequence: int) -> None:
        self.ssrc = ssrc
        self.first = self.high = sequence
        """Sequence numbers with their cycles: the first and the highest."""
        self.rate, self.timestamp, self.at = 0, 0, 0.0
        """Of the last packet in order whose clock is known: units a second, timestamp, and when it came."""
        self.jitter, self.worst = 0.0, UNMEASURED
        """RFC 3550 A.8, seconds; and the highest it has been."""
        self.offset = 0
        """Between the numbers of the stream it rides and its own."""
        self._received = 1
        self._losses = Losses()
        self._expected_before = self._received_before = 0
        self._report: tuple[int, float] | None = None
        """Its last sender report: the middle of the NTP time, and when it came."""
        self._restart = -1
        """The number after one that was far from all others (RFC 3550 A.1: bad_seq)."""
        self._stream: Ridden | None = None
        self._tally = Tally()
        self._counted = 0

    def take(self, sequence: int, timestamp: int, rate: int, now: float) -> bool:
        """Note a packet; False when the source counts from there anew (RFC 3550 A.1).

        Args:
            rate: timestamp units a second; 0 where the timestamp says nothing of when the packet was sent.
        """
        step = (sequence - self.high) & _WORD
        behind = -step & _WORD
        if 0 < step <= MAX_DROPOUT and self._may_follow(step, timestamp, rate, now):
            self.high += step
            if step > 1:
                self._missed(self.high, step)
        elif behind < MAX_MISORDER:
            self._received += 1
            self._losses.came(self.high - behind)
            return True
        else:
            is_restart, self._restart = sequence == self._restart, (sequence + 1) & _WORD
            return not is_restart
        self._received += 1
        self._restart = -1
        if rate:
            self.clock(timestamp, rate, now)
        return True

    def clock(self, timestamp: int, rate: int, now: float) -> None:
        """Reckon with a timestamp (RFC 3550 A.8)."""
        if rate == self.rate:
            drift = (now - self.at) - signed(timestamp - self.timestamp) / rate
            if -MAX_JUMP <= drift <= MAX_JUMP:
                self.drifted(drift)
        self.rate, self.timestamp, self.at = rate, timestamp, now

    def drifted(self, seconds: float) -> None:
        """A packet came so much later after the one before than it was sent after it."""
        self.jitter = jitter = self.jitter + ((seconds if seconds > 0 else -seconds) - self.jitter) * GAIN
        self.worst = max(self.worst, jitter)

    def missed(self, high: int, step: int) -> None:
        """The stream it rides skipped numbers on its way to `high`."""
        self._missed(high + self.offset, step)

    def ride(self, stream: Ridden, tally: Tally) -> None:
        """From now on the stream notes its numbers, and the tally of the leg how many came."""
        self._stream, self._tally, self._counted = stream, tally, tally.rtp_rx
        self.offset = self.high - stream.high

    def catch_up(self) -> None:
        """Take over what the stream it rides has noted."""
        if self._stream is not None:
            self.high, self.timestamp, self.at = (
                self._stream.high + self.offset,
                self._stream.timestamp,
                self._stream.at,
            )
            self._received += self._tally.rtp_rx - self._counted
            self._counted = self._tally.rtp_rx

    def alight(self) -> None:
        """Be told of each packet again."""
        self.catch_up()
        self._stream = None

    def reported(self, middle: int, now: float) -> None:
        """It sent a sender report with this in the middle of its NTP time."""
        self._report = middle, now

    def block(self, now: float) -> rtcp.Block | None:
        """What to report to it (RFC 3550 A.3); None when it sent nothing since the last time."""
        expected, received = self.expected - self._expected_before, self._received - self._received_before
        if received <= 0 or self._received < MIN_SEQUENTIAL:
            return None
        self._expected_before, self._received_before = self.expected, self._received
        fraction = min(max(expected - received, 0) * 256 // expected, 255) if expected > 0 else 0
        lost = min(max(self.expected - self._received, -0x800000), 0x7FFFFF)
        middle, at = self._report or (0, now)
        jitter = min(round(self.jitter * self.rate), 0xFFFFFFFF)
        delay = min(round((now - at) * 65536), 0xFFFFFFFF)
        return rtcp.Block(self.ssrc, fraction, lost, self.high & 0xFFFFFFFF, jitter, middle, delay)

    @property
    def expected(self) -> int:
        return self.high - self.first + 1

    @property
    def losses(self) -> Losses:
        return self._losses

    def _may_follow(self, step: int, timestamp: int, rate: int, now: float) -> bool:
        """Whether there was time for the packets between: else they were never sent."""
        if step == 1 or not rate:
            return True
        seconds = signed(timestamp - self.timestamp) / rate if rate == self.rate else 0.0
        return (step - 1) * SHORTEST_PACKET <= max(seconds, now - self.at)

    def _missed(self, high: int, step: int) -> None:
        self._losses.missed(high - step + 1, high - 1)


class Meter:
    """All that is received on one leg."""

    def __init__(self) -> None:
        self.present: Source | None = None
        """Who was heard last."""
        self._sources: OrderedDict[int, Source] = OrderedDict()
        """By their SSRC, the latest last."""
        self._before = Reception()
        """What those add up to that are forgotten."""

    def take(self, sequence: int, timestamp: int, ssrc: int, rate: int, now: float) -> None:
        """Note a packet of RTP; `rate` as in `Source.take`."""
        source = self.present
        if source is None or source.ssrc != ssrc:
            source = self.present = self._sources.pop(ssrc, None)
        if source is None or not source.take(sequence, timestamp, rate, now):
            source = self._begin(source, ssrc, sequence)
            if rate:
                source.clock(timestamp, rate, now)
        self._sources[ssrc] = self.present = source
        if len(self._sources) > MAX_SOURCES:
            self._before = _sum(self._before, self._sources.popitem(last=False)[1])

    def in_step(self, ssrc: int, stream: Ridden, rate: int) -> Source | None:
        """The present source, if the stream knows of it what is known here, so that it may ride it."""
        source = self.present
        if source is None or (source.ssrc, source.rate) != (ssrc, rate) or (source.high - stream.high) & _WORD:
            return None
        return source if (source.timestamp, source.at) == (stream.timestamp, stream.at) else None

    def sender_report(self, ssrc: int, middle: int, now: float) -> None:
        """A source says what it has sent; of one that was not heard yet there is nothing to report either."""
        source = self._sources.get(ssrc)
        if source is not None:
            source.reported(middle, now)

    def report_blocks(self, now: float) -> list[rtcp.Block]:
        """What to report on the sources heard since the last time."""
        for source in self._sources.values():
            source.catch_up()
        found = [source.block(now) for source in self._sources.values()]
        return [block for block in found if block is not None]

    @property
    def reception(self) -> Reception:
        """All of it, up to now."""
        total = self._before
        for source in self._sources.values():
            source.catch_up()
            total = _sum(total, source)
        return total

    def _begin(self, former: Source | None, ssrc: int, sequence: int) -> Source:
        if former is not None:
            self._before = _sum(self._before, former)
        return Source(ssrc, sequence)


def _sum(total: Reception, source: Source) -> Reception:
    losses = source.losses.so_far
    worst = max(source.worst, UNMEASURED if total.jitter_max is None else total.jitter_max)
    return Reception(
        total.expected + source.expected,
        total.lost + losses.lost,
        total.jitter if source.worst < 0 else source.jitter,
        None if worst < 0 else worst,
        total.bursts + losses.count,
        total.burst_lost + losses.inside,
        total.burst_packets + losses.packets,
    )
