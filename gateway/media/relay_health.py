"""Whether a relay worker still does its work, judged by what it answers. Pure: time is an argument.

An open control socket proves nothing: a stopped process keeps it. So each worker is asked once a second, and one that
owes an answer is not given new calls while another can take them.
"""

from __future__ import annotations

HEARTBEAT_SECONDS = 1.0
"""How often a worker is asked."""
MAX_MISSED = 3
"""Seconds a worker may leave a heartbeat unanswered: with the third one it is dead. Beats are counted, not timed, so
that a gateway which was itself held up does not take its workers for hung."""
SLOW_SECONDS = 0.25
"""A worker answers within milliseconds; one that has not after this is not preferred for new calls."""


class Health:
    """What one worker owes: at most one heartbeat at a time, and the calls it has not opened in time."""

    def __init__(self) -> None:
        self._number = 0
        self._asked_at: float | None = None
        self._missed = 0
        self._unopened: set[int] = set()
        self._owed: frozenset[int] = frozenset()
        self._disordered = False

    @property
    def missed(self) -> int:
        """Beats gone by since the last one that was answered."""
        return self._missed

    @property
    def hung(self) -> bool:
        """True for a worker that will not answer, or answers what came later and not what came first."""
        return self._missed >= MAX_MISSED or self._disordered

    def slow(self, now: float) -> bool:
        """True while an answer is overdue."""
        late = self._asked_at is not None and now - self._asked_at > SLOW_SECONDS
        return late or bool(self._unopened)

    def beat(self, now: float) -> int | None:
        """A second has gone by: the number of the heartbeat to send, or None while the last one is unanswered."""
        if self._asked_at is not None:
            self._missed += 1
            return None
        self._number += 1
        self._asked_at, self._owed = now, frozenset(self._unopened)
        return self._number

    def answered(self, number: int) -> None:
        """The worker answered a heartbeat. Messages keep their order: what it owed before, it must have answered."""
        if number != self._number:
            return
        self._asked_at, self._missed = None, 0
        self._disordered = bool(self._owed & self._unopened)

    def overdue(self, call: int) -> None:
        """A call or leg of it was not opened in time; it has been closed again, and that is answered in any case."""
        self._unopened.add(call)

    def settled(self, call: int) -> None:
        """The worker said something of this call after all."""
        self._unopened.discard(call)
