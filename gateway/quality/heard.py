"""One direction of one leg over a stretch of time: from packets to what people hear. PURE.

What is assumed: the listener's buffer is as long as three times the jitter, 20 ms at least and 200 ms at most, and
where that is too short packets come too late, which is as if they were lost; half of the round trip is the way of the
sound. A listener that reports its own buffer and what came too late for it (RFC 3611 4.7) is taken at its word instead.
Only this leg is judged: what happens beyond it is another leg's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.quality import emodel

BUFFER_LEAST, BUFFER_MOST = 0.020, 0.200
"""Seconds a listener's buffer holds at least, and at most."""
BUFFER_JITTERS = 3.0
"""So many times the mean deviation: nineteen packets of twenty are there by then, and a buffer hides the twentieth."""
DENSEST = 0.95
"""Of a burst that is told: denser ones are as bad as this."""
MAX_DELAY = 10.0
"""Seconds: a round trip or jitter above is a mistake of whoever told it, and as bad as this."""


class Reception(Protocol):
    """What a receiver counted of a stream since it began; `media.relay_quality.Reception` has this shape."""

    @property
    def expected(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def jitter(self) -> float | None: ...
    @property
    def jitter_max(self) -> float | None: ...
    @property
    def bursts(self) -> int: ...
    @property
    def burst_lost(self) -> int: ...
    @property
    def burst_packets(self) -> int: ...


class Told(Protocol):
    """What a listener says itself of how it hears (RFC 3611 4.7); `media.relay_quality.VoipMetrics` has this shape."""

    @property
    def discard_rate(self) -> float: ...
    @property
    def burst_density(self) -> float: ...
    @property
    def buffer_delay(self) -> float: ...
    @property
    def mos_cq(self) -> float | None: ...


class Cause(StrEnum):
    """What weighs most of all that is wrong."""

    LOSS = "loss"
    DELAY = "delay"
    JITTER = "jitter"


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was counted of a stream from one moment to another."""

    expected: int = 0
    lost: int = 0
    jitter: float | None = None
    """Seconds (RFC 3550 A.8), at the end of it."""
    bursts: int = 0
    """Stretches in which losses were less than 16 packets apart (RFC 3611 4.7.2)."""
    burst_lost: int = 0
    burst_packets: int = 0

    @classmethod
    def between(cls, now: Reception, before: Reception | None = None) -> Stretch:
        """What came since; a count that has begun anew, as those of a new stream do, is taken whole."""
        if before is None or now.expected < before.expected or now.bursts < before.bursts:
            return cls(now.expected, now.lost, now.jitter, now.bursts, now.burst_lost, now.burst_packets)
        return cls(
            now.expected - before.expected,
            now.lost - before.lost,
            now.jitter,
            now.bursts - before.bursts,
            now.burst_lost - before.burst_lost,
            now.burst_packets - before.burst_packets,
        )

    @property
    def loss(self) -> float:
        """Share of packets that never came; what came twice makes no call better than it was."""
        return _share(self.lost, self.expected)

    @property
    def burst_loss(self) -> float:
        """Share of packets that were lost in bursts."""
        return _share(min(self.burst_lost, max(self.lost, 0)), self.expected)

    @property
    def burst_ratio(self) -> float:
        """Mean run of lost packets, measured in that of random loss (G.107 7.5); 1 where losses are single.

        The runs themselves are not counted. Inside a burst the chance that the next packet is lost too is taken to be
        its share of lost ones, so a burst without a gap counts as what it is, and losses outside of bursts as single.
        """
        lost, in_bursts = self.lost, min(self.burst_lost, self.lost)
        if lost <= 0 or in_bursts <= 0 or self.bursts <= 0:
            return 1.0
        bursts = min(self.bursts, in_bursts)
        again = _share(in_bursts - bursts, self.burst_packets - bursts)
        runs = lost - in_bursts + bursts + (in_bursts - bursts) * (1.0 - again)
        return max(1.0, lost / runs * (1.0 - self.loss))


@dataclass(frozen=True, slots=True)
class Heard:
    """What people hear of it."""

    mos: float
    rating: float
    loss: float
    """Share of packets that never came, 0 to 1."""
    burst_loss: float
    """That part of it that came in bursts."""
    burst_ratio: float
    jitter: float | None
    """Seconds."""
    delay: float
    """Seconds from mouth to ear on this leg, as far as it can be known."""
    cause: Cause
    packets: int
    """It was made of so many."""


def heard(stretch: Stretch, round_trip: float | None, codec: str, told: Told | None = None) -> Heard:
    """Judge one direction.

    Args:
        round_trip: seconds, of this leg; None while nobody has measured it, which counts as none.
        codec: name of what is spoken.
        told: what the listener says of itself.
    """
    known = emodel.codec_of(codec)
    jitter = None if stretch.jitter is None else min(max(stretch.jitter, 0.0), MAX_DELAY)
    way = min(max(round_trip or 0.0, 0.0), MAX_DELAY) / 2.0
    buffer, late = (
        _buffer(jitter or 0.0) if told is None else (_within(told.buffer_delay), _within(told.discard_rate, 1))
    )
    runs = max(stretch.burst_ratio, _told_ratio(stretch, told))
    delay = known.packet + known.lookahead + buffer + way
    missing = 1.0 - (1.0 - stretch.loss) * (1.0 - late)
    found = emodel.rating(delay=delay, loss=missing, burst_ratio=runs, codec=known)
    by_loss = emodel.loss_impairment(stretch.loss, runs, known)
    by_late = emodel.loss_impairment(missing, runs, known) - by_loss
    by_delay = emodel.delay_impairment(delay)
    waits_for_jitter = buffer > max(way, BUFFER_LEAST)
    weights = {
        Cause.LOSS: by_loss - known.impairment,
        Cause.JITTER: by_late + (by_delay if waits_for_jitter else 0.0),
        Cause.DELAY: 0.0 if waits_for_jitter else by_delay,
    }
    return Heard(
        mos=emodel.opinion(found),
        rating=found,
        loss=stretch.loss,
        burst_loss=stretch.burst_loss,
        burst_ratio=runs,
        jitter=jitter,
        delay=delay,
        cause=max(weights, key=lambda cause: weights[cause]),
        packets=stretch.expected,
    )


def _buffer(jitter: float) -> tuple[float, float]:
    """How long a usual buffer is, and the share of packets that come too late for it."""
    buffer = min(max(BUFFER_JITTERS * jitter, BUFFER_LEAST), BUFFER_MOST)
    return buffer, _late(jitter, buffer)


def _told_ratio(stretch: Stretch, told: Told | None) -> float:
    """The burst ratio by what a listener says of its bursts: there the next packet is lost with that chance."""
    if told is None or stretch.lost <= 0:
        return 1.0
    return max(1.0, (1.0 - stretch.loss) / (1.0 - _within(told.burst_density, DENSEST)))


def _within(value: float, most: float = MAX_DELAY) -> float:
    return min(max(value, 0.0), most)


def _late(jitter: float, buffer: float) -> float:
    """Share of packets a buffer is too short for, if deviations are spread as those of queues are (Laplace)."""
    if jitter <= 0.0:
        return 0.0
    return max(0.0, math.exp(-buffer / jitter) - math.exp(-BUFFER_JITTERS))


def _share(part: int, whole: int) -> float:
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else 0.0
