"""Records and calls of the audit log: all of them, or those that are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.text import Text

from gateway.audit.archive import Record, parsed, sequence_number
from gateway.audit.call_table import table
from gateway.audit.coloured import STYLES, coloured, remark
from gateway.audit.facts import short_id
from gateway.audit.joining import Call, Calls
from gateway.audit.naming import Names
from gateway.audit.pick import text
from gateway.audit.query import Gap, Numbering, Wanted, gaps_by_place, is_pulse
from gateway.audit.reading import log_files, read_lines
from gateway.audit.severity import Severity
from gateway.audit.story import MAX_RECORDS, Said, story
from gateway.base.errors import ConfigError

MAX_CANDIDATES = 20
"""Calls named when the beginning of an id fits more than one."""


def show_log(path: Path, wanted: Wanted | None = None, *, as_json: bool = False) -> Iterator[Text]:
    """The records in the file, or in the audit log of the directory with its rotated files, oldest first.

    Without a choice every line is shown, what is no record too, and holes in the numbering where they are. With one,
    the holes come last: a record that is asked for may be in one.

    Args:
        as_json: the lines as they stand in the file, for other programs.
    """
    files = log_files(path)
    gaps = gaps_by_place(_numbering(files).gaps)
    for line in read_lines(files, None if as_json else Names(path)):
        record = parsed(line.octets)
        if wanted is None and not as_json:
            yield from map(_gap, gaps.pop(sequence_number(record), ()))
        if not as_json and is_pulse(record):
            continue
        if wanted is None or (record and wanted.matches(record)):
            yield _as_it_stands(line.octets) if as_json else coloured(line.octets)
    if not as_json:
        yield from (_gap(gap) for found in gaps.values() for gap in found if not gap.accounted)


def show_calls(path: Path, wanted: Wanted | None = None) -> Iterator[Text]:
    """A table of calls, in the order in which they ended; those that go on come last."""
    wanted = wanted or Wanted()
    yield from table(call for call in read_calls(path) if is_wanted(call, wanted))


def read_calls(path: Path) -> Iterator[Call]:
    """The calls of a log, each when its end is read; those without an end last."""
    calls = Calls()
    for record in read_records(path):
        ended = calls.take(record)
        if ended is not None:
            yield ended
    yield from calls.still_open()


def read_records(path: Path, wanted: Wanted | None = None) -> Iterator[Record]:
    """The records of a log, all or those that are asked for; what is none is passed over."""
    for line in read_lines(log_files(path), Names(path)):
        if wanted is not None and not wanted.may_match(line.octets):
            continue
        record = parsed(line.octets)
        if record and (wanted is None or wanted.matches(record)):
            yield record


def is_wanted(call: Call, wanted: Wanted) -> bool:
    """Whether this call is asked for: by its last record, or its first while there is no last one."""
    if wanted.downgraded and not call.downgraded:
        return False
    grades = {str(call.final.get("grade_worst"))} | {side.grade.name for side in call.sides.all() if side.grade}
    if wanted.grades and wanted.grades.isdisjoint(grades):
        return False
    return wanted.but_for_grades().matches(call.facts)


def tell_call(path: Path, name: str) -> Iterator[Text]:
    """One call's story in plain words.

    Raises:
        ConfigError: there is no such call, or more than one.
    """
    records, left_out = _of_call(path, name)
    for number, said in enumerate(story(records, left_out)):
        if said.heading and number:
            yield Text("")
        yield _styled(said)


def call_as_json(path: Path, name: str) -> Iterator[str]:
    """Its records, for other programs."""
    yield from (json.dumps(record) for record in _of_call(path, name)[0])


def _of_call(path: Path, name: str) -> tuple[list[Record], int]:
    """The records of the one call that fits, and how many more there are."""
    wanted = Wanted(call=name.strip())
    if not wanted.call.removeprefix("c-"):
        raise ConfigError("no call is named", remedy="see sip-gateway audit show --calls")
    found: list[Record] = []
    left_out, calls = 0, dict[str, None]()
    for record in read_records(path, wanted):
        if len(calls) <= MAX_CANDIDATES:
            calls[text(record, "call_uid")] = None
        left_out += len(found) >= MAX_RECORDS
        if len(found) < MAX_RECORDS or record.get("type") == "call.final":
            found.append(record)
    _check_one(wanted.call, list(calls))
    return found, left_out


def _check_one(name: str, calls: list[str]) -> None:
    if not calls:
        raise ConfigError(f"the log has no call {name!r}", remedy="see sip-gateway audit show --calls")
    if len(calls) > 1:
        more = " and more" if len(calls) > MAX_CANDIDATES else ""
        listed = ", ".join(map(short_id, calls[:MAX_CANDIDATES]))
        raise ConfigError(f"{name!r} fits several calls: {listed}{more}", remedy="write more of the id")


def _styled(said: Said) -> Text:
    return Text(said.words, style="bold" if said.heading else STYLES[said.level])


def _as_it_stands(line: bytes) -> Text:
    return Text(line.decode("ascii", errors="backslashreplace").rstrip("\n"))


def _gap(gap: Gap) -> Text:
    return remark(gap.words, Severity.INFO if gap.accounted else Severity.HIGH)


def _numbering(files: Iterable[Path]) -> Numbering:
    numbering = Numbering()
    for line in read_lines(files):
        numbering.take(parsed(line.octets))
    return numbering
