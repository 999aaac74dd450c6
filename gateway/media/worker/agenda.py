"""What a worker does at a moment of its own choosing, rather than because a packet came."""

from __future__ import annotations

import heapq
import itertools
from typing import Protocol

NEVER = float("inf")
MAX_WAKES = 16
"""At a time: each may send a report or look at a call, and media waits meanwhile."""


class Timed(Protocol):
    """Somebody who wants to be woken."""

    due: float
    """When; `NEVER` for not at all."""

    def wake(self, now: float) -> None:
        """It is time; `due` says by now when the next time is."""


class Agenda:
    """Who is to be woken when. Each is on it once; a moment that was changed is passed over when it comes."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Timed]] = []
        self._order = itertools.count()
        self.away = 0.0
        """Seconds packets may have waited for the worker: so long ago nothing was left to read."""

    @property
    def next(self) -> float:
        """When somebody is to be woken next; `NEVER` when nobody is."""
        return self._entries[0][0] if self._entries else NEVER

    def set(self, who: Timed, due: float) -> None:
        """Wake somebody then, and not when it was said before."""
        if who.due == due:
            return
        who.due = due
        if due < NEVER:
            heapq.heappush(self._entries, (due, next(self._order), who))

    def run(self, now: float) -> None:
        """Wake whoever is due, `MAX_WAKES` at most: who is left comes first the next time, after media."""
        for _ in range(MAX_WAKES):
            if self.next > now:
                return
            due, _, who = heapq.heappop(self._entries)
            if who.due == due:
                who.due = NEVER
                who.wake(now)
