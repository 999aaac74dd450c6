"""Call detail records: one row for each ended call, with what every leg of it really was. PURE.

A spreadsheet takes a cell that begins with `=` for a formula, whoever wrote it; callers choose their names. So no cell
of the CSV begins with a character that begins one.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable, Iterator
from typing import Final

from gateway.audit.facts import short_id
from gateway.audit.joining import Call
from gateway.audit.pick import before, moment, number, part, seconds, text, texts
from gateway.audit.sounds import figures, lowest_opinion, words
from gateway.audit.words import ending
from gateway.base.grades import Grade

MAX_CELL = 1000
"""Characters of one cell: the sides of a call with many forks are cut there in CSV, never in JSON."""

_FORMULA: Final = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What a cell that is computed can begin with, in every spelling that spreadsheets take."""

COLUMNS: Final = (
    "call",
    "call_uid",
    "sip_call_id_browser",
    "sip_call_id_trunk",
    "sip_call_id_peer",
    "direction",
    "trunk",
    "user",
    "from",
    "to",
    "began",
    "answered_at",
    "ended",
    "answered",
    "ringing_seconds",
    "talking_seconds",
    "termination",
    "termination_words",
    "ended_by",
    "sip_status",
    "cause",
    "grade_at_answer",
    "grade_worst",
    "grade_at_end",
    "seconds_per_grade",
    "grade_refused",
    "codes",
    "legs",
    "suites",
    "codec",
    "mos",
    "quality",
    "profile",
    "policy_sha256",
    "rule_id",
    "exceptions",
    "emergency",
)
"""The columns of the CSV, and the names of the JSON."""


def cdr(call: Call) -> dict[str, object]:
    """The row of an ended call; numbers are numbers, what nobody knows is null."""
    final, start = call.final, call.start
    ended, began, lasted = moment(final), moment(start), seconds(final, "duration")
    answered = before(ended, lasted) if call.answered else None
    legs = [side.as_dict() for side in call.sides.all()]
    sounded = figures(final)
    row: dict[str, object] = {
        "call": short_id(call.uid),
        "call_uid": call.uid,
        "sip_call_id_browser": text(final, "sip_call_id", "browser"),
        "sip_call_id_trunk": text(final, "sip_call_id", "trunk"),
        "sip_call_id_peer": text(final, "sip_call_id", "peer"),
        "direction": text(final, "dir"),
        "began": _time(began),
        "answered_at": _time(answered),
        "ended": _time(ended),
        "answered": final.get("answered") if isinstance(final.get("answered"), bool) else None,
        "ringing_seconds": _between(began, answered or (ended if not call.answered else None)),
        "talking_seconds": lasted if call.answered else None,
        "termination": text(final, "termination"),
        "termination_words": ending(text(final, "termination")),
        "ended_by": text(final, "party"),
        "sip_status": number(final, "sip_status"),
        "cause": _cause(call),
        "grade_at_answer": text(final, "grade_at_answer") or None,
        "grade_worst": text(final, "grade_worst") or None,
        "grade_at_end": text(final, "grade_current") or None,
        "seconds_per_grade": _per_grade(call),
        "grade_refused": text(final, "grade_refused") or None,
        "codes": sorted({*call.codes, *texts(final, "codes")}),
        "legs": legs,
        "suites": {str(leg["leg"]): leg["suite"] for leg in legs},
        "mos": lowest_opinion(sounded),
        "quality": sounded,
        "rule_id": text(final, "rule_id") or None,
        "exceptions": sorted(call.exceptions),
        "emergency": final.get("emergency") is True,
    }
    row |= {name: text(final, name) for name in ("trunk", "user", "from", "to", "codec", "profile", "policy_sha256")}
    return {name: row[name] for name in COLUMNS}


def csv_lines(calls: Iterable[Call]) -> Iterator[str]:
    """CSV (RFC 4180) with a heading, a line for each call."""
    yield _csv(COLUMNS)
    for call in calls:
        yield _csv(_cell(name, value) for name, value in cdr(call).items())


def _csv(cells: Iterable[str]) -> str:
    made = io.StringIO()
    csv.writer(made, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow([_safe(cell) for cell in cells])
    return made.getvalue()


def _safe(cell: str) -> str:
    """Text that no spreadsheet computes: an apostrophe before it says that it is text."""
    cut = cell[:MAX_CELL]
    return f"'{cut}" if cut.lstrip()[:1] in _FORMULA and cut.strip() else cut


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "legs" and isinstance(value, list):
        return "; ".join(_leg(leg) for leg in value)
    if name == "quality" and isinstance(value, dict):
        return "; ".join(f"{leg}: {words(facts)}" for leg, facts in value.items())
    if isinstance(value, dict):
        return "; ".join(f"{key}: {'none' if found == '' else found}" for key, found in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _leg(leg: dict[str, object]) -> str:
    """`trunk: sdes AEAD_AES_256_GCM tls TLSv1.3 verified HOP_BY_HOP`."""
    verified = "verified" if leg["verified"] is True else "unverified"
    words = [leg["keying"], leg["suite"], leg["signalling"], leg["tls_version"], verified, leg["grade"]]
    return f"{leg['leg']}: {' '.join(str(word) for word in words if word)}"


def _per_grade(call: Call) -> dict[str, float]:
    """How long the call had each grade since its answer, best first."""
    told = part(call.final, "seconds_per_grade")
    pairs = ((grade.name, seconds(told, grade.name)) for grade in sorted(Grade, reverse=True))
    return {name: lasted for name, lasted in pairs if lasted is not None}


def _cause(call: Call) -> str:
    protocol, said = text(call.final, "cause", "protocol"), text(call.final, "cause", "text")
    given = call.final.get("cause")
    value = number(given, "number") if isinstance(given, dict) else 0
    return " ".join(word for word in (protocol, str(value) if value else "", said) if word)


def _time(at: datetime.datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z" if at is not None else None


def _between(since: datetime.datetime | None, until: datetime.datetime | None) -> float | None:
    if since is None or until is None:
        return None
    return round(max((until - since).total_seconds(), 0.0), 3)
