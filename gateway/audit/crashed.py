"""The final record of a call whose end nobody wrote, made from what the log has of it. PURE.

It repeats fields of records that the builders in `record` made, by name; nothing else of a log can come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.audit.facts import UNPROVED
from gateway.base.grades import Grade
from gateway.base.termination import Termination

_OF_THE_START = (
    "call_uid",
    "sip_call_id",
    "dir",
    "trunk",
    "user",
    "from",
    "to",
    "profile",
    "policy_sha256",
    "emergency",
)
"""What the final record of a call has in common with its first."""


def call_crashed(
    start: Mapping[str, object], legs: Iterable[Mapping[str, object]], *, log_ended: str
) -> dict[str, object]:
    """The final record of a call whose end nobody wrote, made from what the log has of it.

    Whether it was answered, for how long and what was counted died with the process: null, not a guess.

    Args:
        start: its call.start record.
        legs: its leg records, oldest first.
        log_ended: time of the last record before the end of that run; the call ended then or later.
    """
    proved, grades, codes = _what_is_known(legs)
    fields: dict[str, object] = {
        "answered": None,
        "duration": None,
        "log_ended": log_ended,
        "termination": Termination.CRASH.slug,
        "party": str(Termination.CRASH.party),
        "sip_status": 0,
        "grade_at_answer": None,
        "grade_current": None,
        "grade_worst": min(grades).name if grades else None,
        "legs": proved,
        "codes": sorted(codes),
        "codecs": [],
        "counters": {},
        "recorded": False,
    }
    return {"type": "call.final"} | {key: start.get(key) for key in _OF_THE_START} | fields


def _what_is_known(legs: Iterable[Mapping[str, object]]) -> tuple[dict[str, str], list[Grade], set[str]]:
    """The last grade of each leg, every grade that was allowed, every code; a refused change never came to be."""
    legs = list(legs)
    labels, proved = _labels(legs), dict[str, str]()
    grades: list[Grade] = []
    codes: set[str] = set()
    for found in legs:
        listed = found.get("codes")
        codes |= {code for code in listed if isinstance(code, str)} if isinstance(listed, list) else set()
        leg, grade = labels[_leg(found)], found.get("grade_after")
        if found.get("type") == "leg.pending":
            proved.setdefault(leg, UNPROVED)
        elif found.get("decision") == "allowed" and isinstance(grade, str) and grade in Grade.__members__:
            proved[leg] = grade
            grades.append(Grade[grade])
    return proved, grades, codes


def _leg(found: Mapping[str, object]) -> tuple[int, str]:
    """Number and kind of the leg a record is about."""
    number = found.get("leg_id")
    return (number if isinstance(number, int) else 0), str(found.get("leg"))


def _labels(legs: Iterable[Mapping[str, object]]) -> dict[tuple[int, str], str]:
    """The first leg of a kind is called by its kind, a further one with its number, as the posture of a call has it."""
    labels: dict[tuple[int, str], str] = {}
    for number, kind in sorted({_leg(found) for found in legs}):
        labels[number, kind] = kind if kind not in labels.values() else f"{kind}-{number}"
    return labels
