"""Windows of the week: when a rule holds, by the clock on the wall of a place, summer time and all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY = 24 * 60
"""Minutes of a day, as its clock shows them."""


@dataclass(frozen=True, slots=True)
class Window:
    """Some hours of some days, by the clock of one time zone."""

    text: str
    """As it was written."""
    days: frozenset[int]
    """Days it begins on; 0 is Monday."""
    first: int
    """Minute of the day it begins at."""
    end: int
    """Minute it is over at; not after `first`: on the next day."""
    zone: tzinfo
    place: str
    """Name of the zone."""

    def contains(self, at: datetime) -> bool:
        """Whether a moment lies in it; `at` has a time zone."""
        local = at.astimezone(self.zone)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.first < self.end:
            return day in self.days and self.first <= minute < self.end
        late = day in self.days and minute >= self.first
        return late or ((day - 1) % 7 in self.days and minute < self.end)

    def minutes(self) -> frozenset[int]:
        """The minutes of a week that it holds, from Monday 00:00."""
        length = self.end - self.first if self.first < self.end else DAY - self.first + self.end
        starts = (day * DAY + self.first for day in self.days)
        return frozenset((start + offset) % (7 * DAY) for start in starts for offset in range(length))


def together_hold(windows: Iterable[Window], narrow: Window) -> bool:
    """Whether some windows have every moment of another one; clocks of different places are not compared."""
    held: frozenset[int] = frozenset()
    return narrow.minutes() <= held.union(*(w.minutes() for w in windows if w.place == narrow.place))
