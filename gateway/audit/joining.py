"""Makes calls of records: each with its first and last record, its sides, and what was weak in it. PURE.

A log may be any length: what is kept is only what calls that still go on need, within limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.audit.pick import Record, text, texts
from gateway.audit.severity import ENCRYPTION_REFUSED
from gateway.audit.sides import Sides
from gateway.audit.words import grade_of
from gateway.base.grades import Grade

MAX_OPEN = 20_000
"""Calls without an end that are kept: twenty times what a gateway takes at once. Beyond them the oldest is let go."""

MAX_NAMES = 64
"""Different codes, and different exceptions, kept of one call."""

FOR_ENCRYPTION = frozenset(ENCRYPTION_REFUSED)
"""Ends of calls that were not put through, or not kept up, because of their encryption."""


@dataclass(slots=True)
class Call:
    """What the log tells of one call."""

    uid: str
    start: Record = field(default_factory=dict)
    """Empty when the log begins after it."""
    final: Record = field(default_factory=dict)
    """Empty while it goes on."""
    sides: Sides = field(default_factory=Sides)
    codes: set[str] = field(default_factory=set)
    """Every code that any of its records has."""
    exceptions: set[str] = field(default_factory=set)
    """Exceptions of the policy it made use of."""
    violations: int = 0
    """Records of what policy refused, or would have."""
    weakened: bool = False
    """A leg was weaker than wanted, or would have been had it not been refused."""

    @property
    def facts(self) -> Record:
        """The record that tells who called whom."""
        return self.final or self.start

    @property
    def answered(self) -> bool:
        """It is known to have been answered."""
        return self.final.get("answered") is True

    @property
    def worst(self) -> Grade | None:
        """The worst grade it ever had."""
        return grade_of(self.final.get("grade_worst"))

    @property
    def refused_for_encryption(self) -> bool:
        """It did not come to be, or not stay, because of its encryption."""
        return text(self.final, "termination") in FOR_ENCRYPTION

    @property
    def downgraded(self) -> bool:
        """It was weaker than every leg encrypted and verified, or somebody tried to make it so."""
        worst = self.worst
        return self.weakened or self.refused_for_encryption or (worst is not None and worst < Grade.HOP_BY_HOP)


class Calls:
    """Follows the records of a log, oldest first."""

    def __init__(self) -> None:
        self._open: dict[str, Call] = {}
        self.let_go = 0
        """Calls without an end that were too many to be kept."""

    def take(self, record: Record) -> Call | None:
        """The next record; the call it ends, if it ends one."""
        uid = text(record, "call_uid")
        if not uid:
            return None
        call = self._call(uid)
        _follow(call, record)
        if record.get("type") != "call.final":
            return None
        call.final = record
        del self._open[uid]
        return call

    def still_open(self) -> Iterator[Call]:
        """The calls whose end has not come, oldest first."""
        yield from self._open.values()

    def _call(self, uid: str) -> Call:
        found = self._open.get(uid)
        if found is None:
            if len(self._open) >= MAX_OPEN:
                del self._open[next(iter(self._open))]
                self.let_go += 1
            found = self._open[uid] = Call(uid)
        return found


def _follow(call: Call, record: Record) -> None:
    kind = text(record, "type")
    if kind == "call.start":
        call.start = record
    call.sides.take(record)
    call.weakened = call.weakened or kind in ("leg.downgraded", "leg.violation")
    call.violations += kind == "leg.violation"
    _keep(call.codes, texts(record, "codes"))
    exception = text(record, "exception_id")
    _keep(call.exceptions, [exception] if exception else [])


def _keep(kept: set[str], more: Iterable[str]) -> None:
    for name in more:
        if len(kept) < MAX_NAMES:
            kept.add(name)
