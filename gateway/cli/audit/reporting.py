"""The report of a month, and the records of calls for other programs."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from gateway.audit.archive import parsed
from gateway.audit.cdr import cdr, csv_lines
from gateway.audit.query import Wanted
from gateway.audit.reading import log_files, read_lines
from gateway.audit.report.counting import Month
from gateway.audit.report.page import Made, page
from gateway.audit.verify import Verifier
from gateway.base.errors import ConfigError
from gateway.cli.audit.showing import is_wanted, read_calls

_MONTH = re.compile(r"(19|20)\d\d-(0[1-9]|1[0-2])")


def month_named(name: str) -> str:
    """A month as `2026-11`; without one, the month before this one, which is complete.

    Raises:
        ConfigError: it is no month.
    """
    if not name:
        first = datetime.datetime.now(datetime.UTC).replace(day=1)
        return f"{first - datetime.timedelta(days=1):%Y-%m}"
    if not _MONTH.fullmatch(name):
        raise ConfigError(f"--month {name!r} is no month", remedy="write it as 2026-11")
    return name


def report(log: Path, month: str, verifier: Verifier, notes: list[str]) -> tuple[str, bool]:
    """The page, and whether the log is intact: every line is read once, counted and checked."""
    counts = Month(month)
    try:
        for line in read_lines(log_files(log)):
            verifier.take(line.octets, line.place)
            counts.take(parsed(line.octets))
    except ConfigError as error:
        verifier.damaged(str(error))
    verified = verifier.end()
    verified.remarks += notes
    made = Made(datetime.datetime.now(datetime.UTC), version("sip-gateway"), str(log), verifier.signatures.keys)
    return page(counts, verified, made), verified.intact


def save(path: Path, text: str) -> None:
    """Write a page; raises ConfigError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the report cannot be written: {error.strerror}", file=str(path)) from None


def cdr_lines(log: Path, wanted: Wanted, *, as_json: bool) -> Iterator[str]:
    """The ended calls that are asked for, as CSV with its line ends, or as JSON lines."""
    calls = (call for call in read_calls(log) if call.final and is_wanted(call, wanted))
    if as_json:
        yield from (f"{json.dumps(cdr(call), ensure_ascii=False)}\n" for call in calls)
    else:
        yield from csv_lines(calls)
