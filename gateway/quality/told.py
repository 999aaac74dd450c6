"""Quality in the words and units of records, tables and pages: percent, milliseconds, MOS with two places. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.quality.heard import Heard, Reception
from gateway.quality.leg import LegScore, Measurement, Way, score
from gateway.quality.watch import QualityWatch

Facts = Mapping[str, object]

BAD, GOOD = "bad", "good"
NEWS = 0.2
"""A MOS that changed by less is no news."""


def way_facts(found: Heard | None) -> dict[str, object] | None:
    """One direction; None where nothing is known of it."""
    if found is None:
        return None
    return {
        "mos": round(found.mos, 2),
        "packets": found.packets,
        "loss_percent": _percent(found.loss),
        "burst_loss_percent": _percent(found.burst_loss),
        "jitter_ms": _milliseconds(found.jitter),
        "delay_ms": _milliseconds(found.delay),
    }


def score_facts(found: LegScore) -> dict[str, object]:
    """Both directions of a leg over some stretch."""
    return {
        "mos": round(found.mos, 2) if found.mos is not None else None,
        "rtt_ms": _milliseconds(found.rtt),
        "heard": way_facts(found.heard),
        "sent": way_facts(found.sent),
    }


def final_facts(measured: Measurement, watch: QualityWatch, codec: str, now: float) -> dict[str, object] | None:
    """What a leg was like over all its life; None where nothing was ever heard on it.

    Args:
        watch: who followed it while the call stood.
        now: when it ended (monotonic seconds).
    """
    found = score(measured, None, codec)
    if found.mos is None:
        return None
    facts = score_facts(found)
    for name, way, counted in (("heard", found.heard, measured.heard), ("sent", found.sent, measured.sent)):
        known = way_facts(way)
        if known is not None and counted is not None:
            facts[name] = known | _counted(counted)
    if isinstance(sent := facts["sent"], dict) and (told := measured.told) is not None:
        facts["sent"] = sent | {
            "discard_percent": _percent(told.discard_rate),
            "buffer_ms": _milliseconds(told.buffer_delay),
            "told_mos": told.mos_cq,
        }
    lowest = {"mos_lowest": round(watch.lowest, 2) if watch.lowest is not None else None}
    return facts | lowest | {"bad_seconds": round(watch.bad_until(now), 1)}


def _counted(counted: Reception) -> dict[str, object]:
    return {
        "lost": max(counted.lost, 0),
        "bursts": counted.bursts,
        "burst_lost": counted.burst_lost,
        "jitter_max_ms": _milliseconds(counted.jitter_max),
    }


@dataclass(frozen=True, slots=True)
class Side:
    """One leg of a call, as one of its browsers is told of it."""

    leg: str
    """`browser`: the reader's own; `trunk`: the one to the other end, of either kind."""
    is_bad: bool
    score: LegScore

    def as_dict(self) -> dict[str, object]:
        """As an object of JSON."""
        return {"leg": self.leg, "quality": BAD if self.is_bad else GOOD, **score_facts(self.score)}


@dataclass(frozen=True, slots=True)
class CallQuality:
    """How a call sounds, as one of its browsers is told."""

    sides: Sequence[Side]
    """The reader's own first."""

    @property
    def worst(self) -> Side | None:
        """The side that makes it bad; None while it is not."""
        bad = [side for side in self.sides if side.is_bad]
        return min(bad, key=lambda side: side.score.mos or 0.0, default=None)

    def as_dict(self) -> dict[str, object]:
        """As an object of JSON; `hears` is who hears badly."""
        worst = self.worst
        way = worst.score.worse if worst is not None else None
        found = worst.score.way(way) if worst is not None and way is not None else None
        return {
            "quality": BAD if worst is not None else GOOD,
            "where": worst.leg if worst is not None else "",
            "hears": _who(worst.leg, way) if worst is not None and way is not None else "",
            "cause": found.cause.value if found is not None else "",
            "legs": [side.as_dict() for side in self.sides],
        }

    def is_news(self, before: CallQuality | None) -> bool:
        """Whether somebody who was told that would want to be told this."""
        if before is None or [s.leg for s in before.sides] != [s.leg for s in self.sides]:
            return True
        return any(_differ(one, other) for one, other in zip(before.sides, self.sides, strict=True))


def _differ(one: Side, other: Side) -> bool:
    if one.is_bad != other.is_bad or (one.score.mos is None) != (other.score.mos is None):
        return True
    return abs((one.score.mos or 0.0) - (other.score.mos or 0.0)) >= NEWS


def _who(leg: str, way: Way) -> str:
    """What we send on the reader's own leg she hears, and what we get from the other end."""
    return "you" if (leg == "browser") == (way is Way.SENT) else "other"


def _percent(share: float) -> float:
    return round(100.0 * share, 2)


def _milliseconds(seconds: float | None) -> float | None:
    return round(1000.0 * seconds, 1) if seconds is not None else None
