"""When a leg has turned bad, and when it is good again: with hysteresis, so that nobody is told of every hiccup. PURE.

A leg is bad once its score was below one mark several times running, and good again once it was above a higher mark a
few times more. Between the marks, and while too little is heard to judge it (hold, silence suppression), it stays what
it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.quality.leg import LegScore, Measurement, score

BAD_TIMES = 2
"""Scores below the lower mark, one after the other, that make a leg bad."""
GOOD_TIMES = 3
"""Scores above the higher mark, one after the other, that make it good again: it should not be said too early."""
LEAST_PACKETS = 50
"""Packets of one way that are judged: a second of speech. Of fewer a single loss says nothing."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is bad and what is good, as MOS-CQ, and how often it is looked at."""

    bad: float = 3.6
    """Below that (R = 70) many users are dissatisfied (G.109)."""
    good: float = 3.9
    """From that on a leg that was bad is good again."""
    seconds: float = 10.0
    """From one look to the next."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A leg has turned bad, or is good again."""

    is_bad: bool
    score: LegScore
    """Of the stretch that decided."""
    lasted: float
    """Seconds it was what it is no more; 0 at the first turn."""


@dataclass
class QualityWatch:
    """Follows one leg. Bounded: it keeps two measurements, whatever the leg lasts."""

    last: Measurement | None = None
    """What was counted when it was looked at last."""
    latest: LegScore | None = None
    """Of the stretch before that."""
    is_bad: bool = False
    turns: int = 0
    lowest: float | None = None
    """Worst MOS of one stretch."""
    bad_seconds: float = 0.0
    """How long it was bad, all in all, up to its last turn."""
    _since: float | None = field(default=None, repr=False)
    """When it turned last."""
    _running: int = field(default=0, repr=False)
    """Scores one after the other that speak for a turn."""

    def look(self, measured: Measurement, codec: str, now: float, marks: Marks) -> Turn | None:
        """The next measurement, at `now` (monotonic seconds)."""
        before, self.last = self.last, measured
        self.latest = found = score(measured, before, codec, least=LEAST_PACKETS)
        if found.mos is None:
            return None
        self.lowest = found.mos if self.lowest is None else min(self.lowest, found.mos)
        speaks = found.mos >= marks.good if self.is_bad else found.mos < marks.bad
        self._running = self._running + 1 if speaks else 0
        if self._running < (GOOD_TIMES if self.is_bad else BAD_TIMES):
            return None
        return self._turn(found, now)

    def bad_until(self, now: float) -> float:
        """Seconds it was bad, those that go on included."""
        return self.bad_seconds + (now - self._since if self.is_bad and self._since is not None else 0.0)

    def _turn(self, found: LegScore, now: float) -> Turn:
        lasted = now - self._since if self._since is not None else 0.0
        self.bad_seconds = self.bad_until(now)
        self.is_bad, self._since, self._running = not self.is_bad, now, 0
        self.turns += 1
        return Turn(self.is_bad, found, lasted)
