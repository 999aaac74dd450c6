"""Questions to the audit log: which records are wanted, and whether all that were numbered are there.

Every record has a number that goes on across restarts and files. A number that is missing is accounted for by a
`log.dropped` record, or somebody removed a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from gateway.audit import checkpoint, heartbeat
from gateway.audit.archive import Record, sequence_number
from gateway.audit.facts import short_id
from gateway.audit.joining import FOR_ENCRYPTION
from gateway.audit.pick import text
from gateway.audit.retention import PRUNED, REDUCED
from gateway.audit.severity import Severity, severity
from gateway.audit.words import grade_of
from gateway.base.grades import Grade

_ESCAPED = b"\\u00"
"""No line that the log wrote has it: what it would stand for is written as it is, or is no part of a record."""

PULSE = frozenset({checkpoint.TYPE, heartbeat.TYPE})
"""Types of what the log says without being asked."""

MAX_GAPS = 1000
"""Holes that are told of; a log with more has no order worth a list."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are asked for; what is left empty does not choose."""

    call: str = ""
    """A call as page and log name it (`c-81f00d2a`), its `call_uid`, the beginning of one, or a SIP Call-ID."""
    user: str = ""
    trunk: str = ""
    since: str = ""
    """UTC time as records write it, or its beginning: `2030-01-02T10`."""
    until: str = ""
    """The same; what the beginning of a time names belongs to it: of `2030-01-02` all of that day."""
    least: Severity = Severity.OK
    downgraded: bool = False
    """Only what was weaker than wanted, tolerated or refused."""
    grades: frozenset[str] = frozenset()
    """Only what has one of these grades."""

    def matches(self, record: Record) -> bool:
        """Whether this record is asked for."""
        return (
            self._is_call(record)
            and (not self.user or self._is_users(record))
            and (not self.trunk or record.get("trunk") == self.trunk)
            and self.is_in_time(record)
            and _rank(severity(record)) >= _rank(self.least)
            and (not self.downgraded or _is_downgraded(record))
            and (not self.grades or not self.grades.isdisjoint(_grades(record)))
        )

    def may_match(self, line: bytes) -> bool:
        """Whether it is worth reading this line: one of another call is not, and most lines are."""
        if not self.call:
            return True
        mark = json.dumps(self.call.removeprefix("c-"))[1:-1].encode("ascii")
        return mark in line or _ESCAPED in line

    def but_for_grades(self) -> Wanted:
        """The same question without what only a whole call can answer."""
        return replace(self, downgraded=False, grades=frozenset())

    def is_in_time(self, record: Record) -> bool:
        """Whether it was written in the time asked for."""
        at = str(record.get("ts", ""))
        return (not self.since or at >= self.since) and (not self.until or at[: len(self.until)] <= self.until)

    def _is_users(self, record: Record) -> bool:
        """Whether a record is about this user: of a call between two, about either."""
        names = ("user", "to") if record.get("dir") == "internal" else ("user",)
        return self.user.lower() in {str(record.get(name, "")).lower() for name in names}

    def _is_call(self, record: Record) -> bool:
        if not self.call:
            return True
        uid, ids = str(record.get("call_uid", "")), record.get("sip_call_id")
        if isinstance(ids, dict) and self.call in ids.values():
            return True
        return bool(uid) and (short_id(uid) == self.call or uid.startswith(self.call.removeprefix("c-")))


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers no record has."""

    first: int
    last: int
    accounted: bool
    """A `log.dropped` record tells of them."""

    @property
    def words(self) -> str:
        """For people, in one line."""
        numbers = f"record {self.first} is" if self.first == self.last else f"records {self.first} to {self.last} are"
        if self.accounted:
            return f"{numbers} missing, as a log.dropped or log.pruned record says"
        return f"{numbers} missing and no record says why: a line was removed, or a file is not here"


@dataclass(slots=True)
class Numbering:
    """Follows the numbers of a log, oldest record first, and keeps the holes."""

    _last: int = 0
    _holes: list[tuple[int, int]] = field(default_factory=list)
    _dropped: list[tuple[int, int]] = field(default_factory=list)

    def take(self, record: Record) -> None:
        """The next record of the log; what has no number is passed over."""
        number = sequence_number(record)
        if record.get("type") in ("log.dropped", PRUNED):
            self._drop(record)
        if not number:
            return
        if record.get("type") == REDUCED:  # it stands for what is not here
            self._last = max(self._last, number)
            return
        if self._last and number > self._last + 1 and len(self._holes) < MAX_GAPS:
            self._holes.append((self._last + 1, number - 1))
        self._last = max(self._last, number)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The holes, once the whole log has been read: a `log.dropped` record comes after what it tells of."""
        return tuple(gap for hole in self._holes for gap in self._explained(hole))

    def _drop(self, record: Record) -> None:
        first, last = record.get("first_seq"), record.get("last_seq")
        if isinstance(first, int) and isinstance(last, int) and 0 < first <= last:
            self._dropped.append((first, last))

    def _explained(self, hole: tuple[int, int]) -> Iterator[Gap]:
        """The parts of a hole: those some `log.dropped` covers, and those none does."""
        at, end = hole
        for first, last in sorted(self._dropped):
            if last < at or first > end:
                continue
            if first > at:
                yield Gap(at, first - 1, accounted=False)
            yield Gap(max(first, at), min(last, end), accounted=True)
            at = min(last, end) + 1
        if at <= end:
            yield Gap(at, end, accounted=False)


def is_pulse(record: Record) -> bool:
    """A heartbeat or a checkpoint: two lines a minute that say nothing to people; `audit verify` looks at them."""
    return record.get("type") in PULSE


def gaps_by_place(gaps: Iterable[Gap]) -> dict[int, list[Gap]]:
    """The gaps by the number of the record that stands behind each hole, where they are to be told."""
    found: dict[int, list[Gap]] = {}
    pending: list[Gap] = []
    for gap in gaps:
        if pending and pending[-1].last + 1 != gap.first:
            found[pending[-1].last + 1] = pending
            pending = []
        pending.append(gap)
    if pending:
        found[pending[-1].last + 1] = pending
    return found


def _is_downgraded(record: Record) -> bool:
    """A leg below what was wanted, or a call that was: by its worst grade, or by what it was refused for."""
    if record.get("type") == "call.final":
        worst = grade_of(record.get("grade_worst"))
        refused = record.get("grade_refused") is not None or text(record, "termination") in FOR_ENCRYPTION
        return refused or (worst is not None and worst < Grade.HOP_BY_HOP)
    return record.get("type") in ("leg.downgraded", "leg.violation")


def _grades(record: Record) -> set[str]:
    """The grades a record tells of: of a leg as it is now, of a call as it was at its worst."""
    return {str(record.get(name)) for name in ("grade_after", "grade_worst") if isinstance(record.get(name), str)}


def _rank(level: Severity) -> int:
    return list(Severity).index(level)
