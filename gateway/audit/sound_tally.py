"""What is counted of how calls sounded: histograms of the legs of calls that have ended, and turns of those that live.

PURE. Figures are those of the records, labels are kinds of legs, directions and trunks of the configuration.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from gateway.audit.sounds import WAYS, figures
from gateway.base.histogram import Histogram

KINDS: Final = ("browser", "trunk")
"""Kinds of legs."""
OTHER, NONE = "other", "none"
"""Labels of what is told apart no longer, and of what is not there."""

_MOS: Final = (1.5, 2.0, 2.6, 3.1, 3.6, 3.9, 4.1, 4.3)
"""Those of G.109 (2.6, 3.1, 3.6, 4.0, 4.3), and what lies between."""
_SHARES: Final = (0.0, 0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
_TRIPS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


class Sounded(NamedTuple):
    """What of one leg of `call.final` is counted."""

    kind: str
    mos: float | None
    round_trip: float | None
    ways: tuple[tuple[str, float | None, float | None, float | None], ...]
    """Direction, share of lost packets, share lost in bursts, jitter in seconds."""


class SoundTally:
    """Counts how legs sounded."""

    def __init__(self) -> None:
        self.turns: Tally[tuple[str, ...]] = Tally(
            {(kind, NONE, quality): 0 for kind in KINDS for quality in ("bad", "good")}
        )
        """Times a leg has turned, by kind, trunk and what it turned."""
        legs = [(kind, NONE) for kind in KINDS]
        ways = [(kind, NONE, way) for kind in KINDS for way in WAYS]
        self.mos, self.round_trip = Histogram(_MOS, legs), Histogram(_TRIPS, legs)
        self.loss, self.burst_loss = Histogram(_SHARES, ways), Histogram(_SHARES, ways)
        self.jitter = Histogram(_SECONDS, ways)

    def count(self, found: Sounded, trunk: str) -> None:
        """A leg of a call that has ended."""
        leg = (found.kind, trunk if found.kind == "trunk" else NONE)
        _add(self.mos, leg, found.mos)
        _add(self.round_trip, leg, found.round_trip)
        for way, loss, burst_loss, jitter in found.ways:
            _add(self.loss, (*leg, way), loss)
            _add(self.burst_loss, (*leg, way), burst_loss)
            _add(self.jitter, (*leg, way), jitter)

    def turned(self, kind: str, trunk: str, quality: str) -> None:
        """A leg has turned."""
        self.turns[kind, trunk if kind == "trunk" else NONE, quality] += 1


def turn_of(record: Mapping[str, object]) -> tuple[str, str]:
    """Kind of the leg and what it turned, of `leg.quality`."""
    kind, quality = record.get("leg"), record.get("quality")
    return (kind if isinstance(kind, str) and kind in KINDS else OTHER), ("bad" if quality == "bad" else "good")


def sounded(final: Mapping[str, object]) -> Iterator[Sounded]:
    """The legs of a final record."""
    for label, facts in figures(final).items():
        kind = label.partition("-")[0]
        ways = tuple(_way(way, facts[way]) for way in WAYS if facts[way] is not None)
        yield Sounded(kind if kind in KINDS else OTHER, _float(facts["mos"]), _scaled(facts["rtt_ms"], 1000.0), ways)


def _way(way: str, facts: object) -> tuple[str, float | None, float | None, float | None]:
    found = facts if isinstance(facts, dict) else {}
    loss, in_bursts = _scaled(found.get("loss_percent"), 100.0), _scaled(found.get("burst_loss_percent"), 100.0)
    return way, loss, in_bursts, _scaled(found.get("jitter_ms"), 1000.0)


def _add(histogram: Histogram, labels: tuple[str, ...], value: float | None) -> None:
    if value is not None:
        histogram.add(labels, value)


def _scaled(value: object, by: float) -> float | None:
    found = _float(value)
    return found / by if found is not None else None


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
