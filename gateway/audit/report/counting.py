"""What came of a month of calls, counted record by record. PURE.

Whatever a month had, what is kept is bounded: lists have a length, and what is counted by a name that comes from the
log has a limit of names. What did not fit is counted and told of.
"""

from __future__ import annotations

import calendar
import datetime
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.audit.facts import short_id
from gateway.audit.joining import Call, Calls
from gateway.audit.pick import Record, moment, number, part, seconds, text, texts
from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.termination import Termination

MAX_NAMES = 200
"""Different trunks, codes, exceptions or sources that are counted apart; the rest is counted together."""

MAX_LISTED = 40
"""Violations, broken pins and outages that are listed; more are counted."""

OTHERS = "(others)"
"""What stands for everything beyond `MAX_NAMES`."""

UNKNOWN = "UNKNOWN"
"""In place of a grade: answered, and the log has no grade for it."""

GRADES: tuple[str, ...] = (*(grade.name for grade in sorted(Grade, reverse=True)), UNKNOWN)
"""The order in which grades are told, best first."""


@dataclass(slots=True)
class Tally:
    """Calls of one day, one trunk, or all of them."""

    grades: Counter[str] = field(default_factory=Counter)
    """Answered calls by their worst grade."""
    seconds: Counter[str] = field(default_factory=Counter)
    """How long was spoken under each grade; of calls that do not say, all of it under the worst."""
    refused: int = 0
    """Not put through because of their encryption."""
    unanswered: int = 0
    """Neither answered nor refused for that."""
    crashed: int = 0
    """Nobody knows whether they were answered: their end died with the gateway."""

    @property
    def answered(self) -> int:
        """Calls in which somebody spoke."""
        return sum(self.grades.values())

    @property
    def protected(self) -> int:
        """Those of them whose every leg was encrypted and verified, from beginning to end."""
        return sum(self.grades[grade.name] for grade in Grade if grade >= Grade.HOP_BY_HOP)

    @property
    def total(self) -> int:
        """All calls."""
        return self.answered + self.refused + self.unanswered + self.crashed

    def add(self, call: Call) -> None:
        """One call that ended."""
        if call.answered:
            grade = call.worst.name if call.worst is not None else UNKNOWN
            self.grades[grade] += 1
            self.seconds.update(_spoken(call, grade))
        elif call.refused_for_encryption:
            self.refused += 1
        elif text(call.final, "termination") == Termination.CRASH.slug:
            self.crashed += 1
        else:
            self.unanswered += 1


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once."""

    at: datetime.datetime | None
    call: str
    trunk: str
    codes: tuple[str, ...]
    what: str


@dataclass(slots=True)
class ExceptionUse:
    """An exception of the policy, and what it was good for."""

    owner: str = ""
    reason: str = ""
    expires: str = ""
    calls: int = 0


@dataclass(slots=True)
class Listed:
    """The first events of a kind, and how many there were."""

    events: list[Event] = field(default_factory=list)
    count: int = 0

    def add(self, event: Event) -> None:
        self.count += 1
        if len(self.events) < MAX_LISTED:
            self.events.append(event)


class Month:
    """Takes the records of a log, oldest first, and counts what belongs to one month (UTC).

    Args:
        name: `2026-11`.
    """

    def __init__(self, name: str) -> None:
        self.year, self.month = int(name[:4]), int(name[5:7])
        self.all = Tally()
        self.days = [Tally() for _ in range(calendar.monthrange(self.year, self.month)[1])]
        self.trunks: dict[str, Tally] = {}
        self.reasons: Counter[str] = Counter()
        """Calls by the codes their records have."""
        self.exceptions: dict[str, ExceptionUse] = {}
        self.violations = Listed()
        self.pins = Listed()
        self.outages = Listed()
        self.policies = Listed()
        self.failed_sign_ins: Counter[str] = Counter()
        """By source."""
        self.lost_records = 0
        self.nodes: dict[str, None] = {}
        self.records = 0
        self._calls = Calls()

    def take(self, record: Record) -> None:
        """The next record."""
        ended = self._calls.take(record)
        at = moment(record)
        if at is None or (at.year, at.month) != (self.year, self.month):
            return
        self.records += 1
        node = text(record, "node")
        if node and len(self.nodes) < MAX_NAMES:
            self.nodes[node] = None
        if ended is not None:
            self._ended(ended, at)
        self._note(record, at)

    @property
    def still_open(self) -> int:
        """Calls without an end, whenever they began."""
        return sum(1 for _ in self._calls.still_open())

    def _ended(self, call: Call, at: datetime.datetime) -> None:
        trunk = _within(self.trunks, text(call.facts, "trunk") or "-")
        for tally in (self.all, self.days[at.day - 1], self.trunks.setdefault(trunk, Tally())):
            tally.add(call)
        for code in {*call.codes, *texts(call.final, "codes")}:
            self.reasons[_within(self.reasons, code)] += 1
        for name in call.exceptions:
            self.exceptions.setdefault(_within(self.exceptions, name), ExceptionUse()).calls += 1

    def _note(self, record: Record, at: datetime.datetime) -> None:
        kind = text(record, "type")
        if kind == "leg.violation":
            self.violations.add(_event(record, at, _decided(record)))
        if kind != "call.final" and Code.PIN_BID_DOWN in texts(record, "codes"):
            self.pins.add(_event(record, at, _decided(record)))
        if kind == "policy.exception_used":
            self._exception(record)
        elif kind == "auth.fail":
            source = _within(self.failed_sign_ins, text(record, "source") or "unknown")
            self.failed_sign_ins[source] += number(record, "count") or 1
        elif kind == "policy.loaded":
            self.policies.add(_event(record, at, _policy(record)))
        elif kind in ("log.dropped", "log.recovered"):
            self._outage(record, at, kind)

    def _exception(self, record: Record) -> None:
        name = text(record, "exception_id") or text(record, "id")
        if not name:
            return
        use = self.exceptions.setdefault(_within(self.exceptions, name), ExceptionUse())
        use.owner, use.reason = text(record, "owner") or use.owner, text(record, "reason") or use.reason
        use.expires = text(record, "expires") or use.expires

    def _outage(self, record: Record, at: datetime.datetime, kind: str) -> None:
        if kind == "log.dropped":
            self.lost_records += number(record, "dropped")
            self.outages.add(_event(record, at, f"{number(record, 'dropped')} records were lost"))
        elif record.get("cause") == "crash":
            calls = number(record, "open_calls")
            self.outages.add(_event(record, at, f"the gateway had ended without a word; {calls} calls had no end"))
        elif record.get("cause") == "torn_line":
            self.outages.add(_event(record, at, "an unfinished last line was cut off"))
        else:
            lasted = seconds(record, "seconds") or 0.0
            self.outages.add(_event(record, at, f"the log could not be written for {lasted:.0f} s"))


def _spoken(call: Call, worst: str) -> dict[str, int]:
    """Seconds by grade: a call that became weaker was not weak all the time."""
    told = part(call.final, "seconds_per_grade")
    found = {grade: round(lasted) for grade in GRADES if (lasted := seconds(told, grade)) is not None}
    return found or {worst: round(seconds(call.final, "duration") or 0.0)}


def _within(names: Iterable[str], name: str) -> str:
    """The name, or `OTHERS` where there are too many already."""
    known = names if isinstance(names, dict) else dict.fromkeys(names)
    return name if name in known or len(known) < MAX_NAMES else OTHERS


def _event(record: Record, at: datetime.datetime, what: str) -> Event:
    uid = text(record, "call_uid")
    return Event(at, short_id(uid) if uid else "", text(record, "trunk"), texts(record, "codes"), what)


def _decided(record: Record) -> str:
    if record.get("decision") == "allowed":
        return "let through"
    status = number(part(record, "sip_sent"), "code")
    return f"refused with {status}" if status else "refused"


def _policy(record: Record) -> str:
    listed = record.get("policies")
    named = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    profiles = ", ".join(f"{text(item, 'trunk')}: {text(item, 'profile')}" for item in named[:8])
    digest = text(record, "sha256") or text(record, "policy_sha256")
    parts = (profiles, f"hash {digest[:12]}" if digest else "", text(record, "difference"))
    return "; ".join(part_ for part_ in parts if part_) or "a policy was loaded"
