"""How many calls may live at the same time, in all and for one user: a budget for each kind of call.

What strangers can cause (calls that ring at a user) never uses up what she may dial, and a call for help never uses up,
nor waits for, anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from gateway.base.termination import Termination

MAX_CALLS_PER_USER = 8
"""Calls one browser user may have dialled at once: a person has two ears, a fraudster dials in parallel."""
MAX_INBOUND_PER_USER = 8
"""Calls to one user at once, answered ones included; those of trunks and those of other users are counted apart, so
that strangers keep no colleague away."""
MAX_RINGING_PER_USER = 4
"""Of these, calls that ring: who gets a fifth would not look at it, and a flood must not bury the page."""
MAX_EMERGENCY_PER_USER = 3
"""Emergency calls of one user at once: one talks, one hangs while its line dies, one is dialled anew or bridges police
and ambulance. A page that dials 112 in a loop must not keep a call centre busy."""
RINGING_SHARE = 0.5
"""Part of all calls that may be ringing ones from trunks: unanswered calls must not keep people from dialling."""


class CallKind(Enum):
    """Whose budget a call belongs to."""

    DIALLED = auto()
    """From a browser."""
    INBOUND = auto()
    """From a trunk, wherever it goes."""
    EMERGENCY = auto()
    """From a browser, to an emergency number."""
    CALLED = auto()
    """To a user, from a trunk: the callee's part of an inbound call, from when she has been found."""
    INTERNAL = auto()
    """To a user, from a browser: the callee's part of a call that takes its caller's place among those she dialled."""


_CALLEES = frozenset({CallKind.CALLED, CallKind.INTERNAL})
"""Part of a call that has its place already."""


def _never() -> bool:
    return False


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """The place of one live call."""

    user: str
    kind: CallKind
    rings: Callable[[], bool] = _never
    """Whether the call still waits for somebody to answer it."""
    counts: Callable[[], bool] = _always
    """Whether the user still takes part in it: of a group that was called, those who did not answer do not."""


class CallCaps:
    """Counts live calls by kind, in total and per user."""

    def __init__(self, total: int, *, per_user: int = MAX_CALLS_PER_USER) -> None:
        self._total, self._per_user = total, per_user
        self._seats: dict[str, list[Seat]] = {}
        self._ordinary = self._emergency = 0

    def limit(self, total: int, *, per_user: int = MAX_CALLS_PER_USER) -> None:
        """Hold calls that begin from now on to these; no call there is has to end."""
        self._total, self._per_user = total, per_user

    @property
    def live(self) -> int:
        """Calls of every kind."""
        return self._ordinary + self._emergency

    def take(
        self, user: str, kind: CallKind, rings: Callable[[], bool] = _never, counts: Callable[[], bool] = _always
    ) -> Seat | Termination:
        """The seat of one more call, or why there is none."""
        refusal = self._refusal(user, kind)
        if refusal is not None:
            return refusal
        seat = Seat(user, kind, rings, counts)
        self._seats.setdefault(user, []).append(seat)
        self._count(kind, 1)
        return seat

    def release(self, seat: Seat) -> None:
        """That call has ended. A second release changes nothing."""
        seats = self._seats.get(seat.user, [])
        if seat not in seats:
            return
        seats.remove(seat)
        self._count(seat.kind, -1)
        if not seats:
            del self._seats[seat.user]

    def _count(self, kind: CallKind, more: int) -> None:
        if kind is CallKind.EMERGENCY:
            self._emergency += more
        elif kind not in _CALLEES:
            self._ordinary += more

    def _refusal(self, user: str, kind: CallKind) -> Termination | None:
        held = [seat for seat in self._seats.get(user, ()) if seat.kind is kind and seat.counts()]
        if kind is CallKind.EMERGENCY:
            return Termination.EMERGENCY_LIMIT if len(held) >= MAX_EMERGENCY_PER_USER else None
        if kind in _CALLEES:
            return self._callee_refusal(held)
        if kind is CallKind.INBOUND:
            return self._inbound_refusal()
        if len(held) >= self._per_user:
            return Termination.USER_LIMIT  # it is hers to end one, whatever else is full
        return Termination.OVERLOADED if self._ordinary >= self._total else None

    def _callee_refusal(self, held: list[Seat]) -> Termination | None:
        """What one person can be called by at once, by trunks and by other users each."""
        many = len(held) >= MAX_INBOUND_PER_USER or sum(seat.rings() for seat in held) >= MAX_RINGING_PER_USER
        return Termination.USER_BUSY if many else None

    def _inbound_refusal(self) -> Termination | None:
        """What all trunks together may bring."""
        full = self._ordinary >= self._total or self._ringing() >= max(1, int(self._total * RINGING_SHARE))
        return Termination.OVERLOADED if full else None

    def _ringing(self) -> int:
        """Calls from trunks that nobody has answered yet."""
        return sum(seat.rings() for seats in self._seats.values() for seat in seats if seat.kind is CallKind.INBOUND)
