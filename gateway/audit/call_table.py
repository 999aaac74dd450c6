"""Calls as a table for a terminal: one row each, and below it what the codes in it mean. PURE but for rich."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.text import Text

from gateway.audit.clean import cleaned_text
from gateway.audit.coloured import STYLES
from gateway.audit.facts import short_id
from gateway.audit.joining import MAX_NAMES, Call
from gateway.audit.pick import before, moment, seconds, text
from gateway.audit.severity import Severity
from gateway.audit.words import code_words, grade_of
from gateway.base.grades import Grade

_WIDTHS = (19, 10, 31, 12, 9, 15)
_HEADINGS = ("BEGAN (UTC)", "CALL", "FROM -> TO", "TRUNK", "LASTED", "GRADE", "WHY")


@dataclass(slots=True)
class CallTable:
    """Makes rows as the calls come, so that the table may be any length."""

    _codes: set[str] = field(default_factory=set)
    rows: int = 0

    def heading(self) -> Text:
        """The first line."""
        return Text(_row(_HEADINGS), style="bold")

    def row(self, call: Call) -> Text:
        """One call."""
        self.rows += 1
        self._codes |= {code for code in call.codes if len(self._codes) < MAX_NAMES}
        grade, level = _grade(call)
        cells = (_began(call), short_id(call.uid), _parties(call), text(call.facts, "trunk"), _lasted(call), grade)
        return Text(_row((*map(cleaned_text, cells), _why(call))), style=STYLES[level])

    def legend(self) -> Iterator[Text]:
        """What the codes mean that were in it."""
        if self._codes:
            yield Text("")
        for code in sorted(self._codes):
            yield Text(f"{code:<28}{code_words(code)}", style="dim")


def table(calls: Iterable[Call]) -> Iterator[Text]:
    """Heading, rows and legend; without a call, words that say so."""
    made = CallTable()
    for call in calls:
        if not made.rows:
            yield made.heading()
        yield made.row(call)
    yield from made.legend() if made.rows else [Text("no such call")]


def _row(cells: Iterable[str]) -> str:
    *fixed, last = cells
    return "  ".join((*(_fit(cell, width) for cell, width in zip(fixed, _WIDTHS, strict=True)), last)).rstrip()


def _fit(cell: str, width: int) -> str:
    return f"{cell:<{width}}" if len(cell) <= width else f"{cell[: width - 1]}\N{HORIZONTAL ELLIPSIS}"


def _began(call: Call) -> str:
    at = moment(call.start) or before(moment(call.final), seconds(call.final, "duration"))
    return f"{at:%Y-%m-%d %H:%M:%S}" if at is not None else "?"


def _parties(call: Call) -> str:
    return f"{text(call.facts, 'from') or '?'} -> {text(call.facts, 'to') or '?'}"


def _lasted(call: Call) -> str:
    if not call.final:
        return "goes on"
    lasted = seconds(call.final, "duration")
    if not call.answered or lasted is None:
        return "-"
    whole = round(lasted)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60:02d}s"


def _grade(call: Call) -> tuple[str, Severity]:
    if not call.answered and call.refused_for_encryption:
        return "refused", Severity.LOW
    if not call.final:
        grades = [side.grade for side in call.sides.all() if side.grade is not None and not side.lost]
        return _named(min(grades, default=None))
    return _named(grade_of(call.final.get("grade_worst")))


def _named(grade: Grade | None) -> tuple[str, Severity]:
    if grade is None:
        return "-", Severity.INFO
    if grade >= Grade.HOP_BY_HOP:
        return grade.name, Severity.OK
    return grade.name, Severity.LOW if grade >= Grade.PARTIAL else Severity.HIGH


def _why(call: Call) -> str:
    codes = " ".join(sorted(call.codes))
    ended = text(call.final, "termination") if call.refused_for_encryption else ""
    return "  ".join(words for words in (codes, f"ended by {ended}" if ended else "") if words)
