"""What a soak shows: samples over time in, findings out. Pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MAX_LOSS = 0.001
"""Share of all packets."""
MAX_DELAY_GROWTH, DELAY_SLACK = 1.5, 1.0
"""How much larger the p99 of the last third may be than that of the first, and by how many milliseconds at least."""
MAX_MEMORY_GROWTH, MEMORY_SLACK = 0.05, 4096.0
"""Share of its level by which memory may grow in all, and kilobytes that are no growth."""
LONG_ENOUGH = 300.0
"""Seconds after settling from which on a trend of memory says something: caches and allocators fill before."""


@dataclass(frozen=True)
class Sample:
    """What was seen in one interval."""

    at: float
    """Seconds since the first call."""
    calls: int
    gateway_kilobytes: float
    """Private memory, as of worker."""
    worker_kilobytes: float
    gateway_busy: float
    """Share of a core, as of worker."""
    worker_busy: float
    sent: int
    arrived: int
    p50: float
    """Milliseconds of delay, likewise the next two."""
    p99: float
    worst: float
    late: float
    """The p99 of how late the load itself was, milliseconds."""


@dataclass(frozen=True)
class Outcome:
    """What was known in the end."""

    begun: int
    failures: tuple[str, ...]
    sent: int
    lost: int
    descriptors_before: int
    """Of gateway and worker, without calls."""
    descriptors_after: int
    live_after: float
    restarted: float
    dropped: float
    """Records the audit log lost."""


@dataclass(frozen=True)
class Finding:
    """One thing that was to be shown; `holds` is None where the time was too short to say."""

    what: str
    value: str
    holds: bool | None


def settled(samples: Sequence[Sample], after: float) -> list[Sample]:
    """Those in which everything had come up."""
    return [sample for sample in samples if sample.at >= after]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all points (Theil-Sen): one outlier says nothing."""
    slopes = [(b - a) / (t - s) for (s, a), (t, b) in itertools.combinations(points, 2) if t > s]
    return statistics.median(slopes) if slopes else 0.0


def judged(samples: Sequence[Sample], outcome: Outcome, after: float) -> list[Finding]:
    """Everything that is to hold.

    Args:
        after: seconds from which on the samples count.
    """
    steady = settled(samples, after)
    loss = outcome.lost / max(outcome.sent, 1)
    found = [
        Finding("calls that failed", f"{len(outcome.failures)} of {outcome.begun}", not outcome.failures),
        Finding(
            f"packets lost, at most {MAX_LOSS:.1%}",
            f"{outcome.lost} of {outcome.sent} ({loss:.4%})",
            loss <= MAX_LOSS and outcome.sent > 0,
        ),
        _delay(steady),
        _memory("gateway", steady, lambda sample: sample.gateway_kilobytes),
        _memory("relay worker", steady, lambda sample: sample.worker_kilobytes),
    ]
    spare = outcome.descriptors_after - outcome.descriptors_before
    return [
        *found,
        Finding("calls left over in the end", f"{outcome.live_after:g}", not outcome.live_after),
        Finding("descriptors more than before the first call", str(spare), spare <= 0),
        Finding("relay workers restarted", f"{outcome.restarted:g}", not outcome.restarted),
        Finding("records the audit log dropped", f"{outcome.dropped:g}", not outcome.dropped),
    ]


def _delay(steady: Sequence[Sample]) -> Finding:
    third = len(steady) // 3
    what = f"p99 of delay, last third against first, at most {MAX_DELAY_GROWTH:g} x or {DELAY_SLACK:g} ms more"
    if not third:
        return Finding(what, "too few samples", None)
    first, last = (statistics.median(s.p99 for s in part) for part in (steady[:third], steady[-third:]))
    holds = last <= max(MAX_DELAY_GROWTH * first, first + DELAY_SLACK)
    return Finding(what, f"{first:.2f} ms, then {last:.2f} ms", holds)


def _memory(name: str, steady: Sequence[Sample], of: Callable[[Sample], float]) -> Finding:
    what = f"growth of the {name}, at most {MAX_MEMORY_GROWTH:.0%} or {MEMORY_SLACK / 1024:g} MB in all"
    if len(steady) < 3:
        return Finding(what, "too few samples", None)
    seconds = steady[-1].at - steady[0].at
    level = statistics.median(of(sample) for sample in steady)
    grown = slope([(sample.at, of(sample)) for sample in steady]) * seconds
    value = f"{grown / 1024:+.1f} MB in {seconds:.0f} s at {level / 1024:.0f} MB"
    if seconds < LONG_ENOUGH:
        return Finding(what, f"{value}; too short to judge", None)
    return Finding(what, value, grown <= max(MAX_MEMORY_GROWTH * level, MEMORY_SLACK))
