"""Who could hear a call, from when to when: the grade of the call over time, from its leg records. PURE."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.audit.pick import Record, before, moment, number, seconds, text, texts
from gateway.audit.sides import JUDGED, is_in_force, place_of
from gateway.audit.words import grade_of
from gateway.base.codes import known_codes
from gateway.base.grades import Grade
from gateway.policy.catalogue import CAPS

MOMENT = datetime.timedelta(milliseconds=5)
"""Shorter stretches are the order in which records of one message were written."""

Why = tuple[tuple[str, tuple[str, ...]], ...]
"""For each leg that is to blame: between whom it was, and the codes."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time in which the same people could listen."""

    since: datetime.datetime
    until: datetime.datetime
    grade: Grade | None
    """None while a leg had no keys yet."""
    why: Why
    answered: bool


@dataclass(frozen=True, slots=True)
class _Leg:
    grade: Grade | None
    place: str
    codes: tuple[str, ...]


def answered_at(records: Sequence[Record]) -> datetime.datetime | None:
    """When the call was answered; None when it never was, or nobody knows."""
    for record in records:
        if record.get("type") == "call.final" and record.get("answered") is True:
            return before(moment(record), seconds(record, "duration"))
    return None


def stretches(records: Sequence[Record]) -> list[Stretch]:
    """The stretches in which there was something to hear: from when both sides were agreed, or from the answer on."""
    merged: list[Stretch] = []
    for stretch in _raw(records, answered_at(records)):
        last = merged[-1] if merged else None
        if last is not None and _alike(last, stretch):
            merged[-1] = replace(last, until=stretch.until)
        elif stretch.until - stretch.since >= MOMENT:
            merged.append(stretch)
    return merged


def _alike(one: Stretch, other: Stretch) -> bool:
    return (one.grade, one.why, one.answered) == (other.grade, other.why, other.answered)


def _raw(records: Sequence[Record], answered: datetime.datetime | None) -> Iterator[Stretch]:
    """One stretch between any two records, cut at the answer."""
    legs: dict[int, _Leg] = {}
    last: datetime.datetime | None = None
    for record in records:
        at = moment(record)
        if at is None:
            continue
        if last is not None and at > last:
            yield from _cut(legs, last, at, answered)
        last = at if last is None else max(at, last)
        _follow(legs, record)


def _cut(
    legs: dict[int, _Leg], since: datetime.datetime, until: datetime.datetime, answered: datetime.datetime | None
) -> Iterator[Stretch]:
    if answered is None or answered <= since:
        if len(legs) > 1 or (legs and answered is not None):
            yield _stretch(legs, since, until, answered=answered is not None)
        return
    if len(legs) > 1:
        yield _stretch(legs, since, min(until, answered), answered=False)
    if answered < until and legs:
        yield _stretch(legs, answered, until, answered=True)


def _stretch(legs: dict[int, _Leg], since: datetime.datetime, until: datetime.datetime, *, answered: bool) -> Stretch:
    known = [leg.grade for leg in legs.values() if leg.grade is not None]
    pending = len(known) < len(legs)
    grade = min(known) if known else None
    if grade is None or (pending and grade >= Grade.HOP_BY_HOP):
        return Stretch(since, until, None, (), answered)
    why = () if grade >= Grade.HOP_BY_HOP else _blame(legs, grade)
    return Stretch(since, until, grade, why, answered)


def _blame(legs: dict[int, _Leg], grade: Grade) -> Why:
    return tuple((leg.place, leg.codes) for leg in legs.values() if leg.grade is grade)


def _follow(legs: dict[int, _Leg], record: Record) -> None:
    leg = number(record, "leg_id")
    if record.get("type") == "leg.lost":
        legs.pop(leg, None)
    elif text(record, "type") in JUDGED and is_in_force(record):
        grade = grade_of(record.get("grade_after"))
        if record.get("type") == "leg.pending":
            grade = None
        legs[leg] = _Leg(grade, place_of(record), _to_blame(texts(record, "codes"), grade))


def _to_blame(codes: tuple[str, ...], grade: Grade | None) -> tuple[str, ...]:
    """Those codes that keep the leg from a better grade; all of them where none is known to."""
    capping = tuple(code for code in codes for known in known_codes([code]) if CAPS.get(known) == grade)
    return capping or codes
