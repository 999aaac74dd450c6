"""How many requests the stack takes on at once: budgets that cannot use up each other's share.

Requests are told apart by what refusing them would break (the lane) and by who sends them (the source, and whether it
is a trunk). A flood in one lane of one source leaves every other lane and source as it was. A request inside a dialog
that only ends something (BYE) is taken whatever the load: refused, its call would go on for ever.
"""

from __future__ import annotations

from collections import Counter as Tally
from enum import Enum, auto

from gateway.sip.message import Request

MAX_WAITING = 2000
"""Requests of one lane that wait for an answer, those of trunks and of everybody else apart: beyond, answering new ones
late helps nobody."""
MAX_PER_SOURCE = 200
"""Those of one source (a connection, or a datagram address), so that one peer cannot use up the others' share."""
MAX_PER_TRUNK = 1000
"""Those of one configured trunk, which carries the calls of many people."""
MAX_ANSWERED = 20_000
"""Answered requests of one lane kept up to 32 s to absorb retransmissions: some 600 requests a second over UDP."""
MAX_ANSWERED_PER_SOURCE = 10_000
"""Those of one source: half, so that a flood from one leaves room for the rest."""


class Lane(Enum):
    """What a request asks for, as far as budgets go."""

    DIALOG = auto()
    """Something inside a dialog, or the end of a request: BYE, CANCEL, re-INVITE."""
    EMERGENCY = auto()
    """A call to an emergency number."""
    CALL = auto()
    """Any other new call."""
    OTHER = auto()
    """OPTIONS, REGISTER and all the rest."""


Share = tuple[Lane, str]
"""A lane and whose part of it: one source's, or that of all trunks or of everybody else."""


class Budget:
    """Counts server transactions, waiting and answered, by lane and source."""

    def __init__(self) -> None:
        self._waiting: Tally[Share] = Tally()
        self._answered: Tally[Share] = Tally()
        self._forgettable: dict[Share, dict[str, None]] = {}

    @property
    def is_empty(self) -> bool:
        """True when nothing is counted."""
        return not (self._waiting or self._answered or self._forgettable)

    def has_room(self, lane: Lane, source: str, request: Request, *, trunk: bool) -> bool:
        """Whether one more request is taken. An end (BYE, CANCEL) always is."""
        if request.method in ("BYE", "CANCEL"):
            return True
        own, all_ = _shares(lane, source, trunk)
        if self._waiting[own] >= (MAX_PER_TRUNK if trunk else MAX_PER_SOURCE) or self._waiting[all_] >= MAX_WAITING:
            return False
        full = self._answered[own] >= MAX_ANSWERED_PER_SOURCE or self._answered[all_] >= MAX_ANSWERED
        return request.method != "INVITE" or not full

    def begun(self, lane: Lane, source: str, *, trunk: bool) -> None:
        """A request waits for its answer."""
        for share in _shares(lane, source, trunk):
            self._waiting[share] += 1

    def answered(self, lane: Lane, source: str, key: str, *, trunk: bool, invite: bool) -> None:
        """The request of that transaction has its final response."""
        for share in _shares(lane, source, trunk):
            _take_one(self._waiting, share)
            self._answered[share] += 1
            if not invite:
                self._forgettable.setdefault(share, {})[key] = None

    def surplus(self, lane: Lane, source: str, *, trunk: bool) -> str:
        """The transaction to forget when too many are answered: the oldest of the fuller share, or "".

        An answered INVITE is never forgotten early: its retransmission would be a second call. The retransmission of
        anything else is answered once more.
        """
        own, all_ = _shares(lane, source, trunk)
        for share, limit in ((own, MAX_ANSWERED_PER_SOURCE), (all_, MAX_ANSWERED)):
            if self._answered[share] > limit and (keys := self._forgettable.get(share)):
                return next(iter(keys))
        return ""

    def ended(self, lane: Lane, source: str, key: str, *, trunk: bool, waiting: bool) -> None:
        """A transaction is gone."""
        for share in _shares(lane, source, trunk):
            _take_one(self._waiting if waiting else self._answered, share)
            if (keys := self._forgettable.get(share)) is not None:
                keys.pop(key, None)
                if not keys:
                    del self._forgettable[share]


def _shares(lane: Lane, source: str, trunk: bool) -> tuple[Share, Share]:
    return (lane, source), (lane, "all trunks" if trunk else "all others")


def _take_one(tally: Tally[Share], share: Share) -> None:
    tally[share] -= 1
    if not tally[share]:
        del tally[share]
