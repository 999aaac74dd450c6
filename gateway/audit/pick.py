"""Takes facts out of records that anybody may have changed: whatever is not as it should be is as if it were missing.

PURE. Text that comes from here is harmless for a terminal; a page still has to escape it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping

from gateway.audit.clean import cleaned

Record = Mapping[str, object]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")

MAX_SECONDS = 10 * 366 * 86400.0
"""No call lasts longer than ten years; a record that says so is no reason to fail at arithmetic."""


def text(record: Record, *path: str) -> str:
    """The harmless text under a path of keys; empty when it is missing or null."""
    value: object = record.get(path[0])
    for key in path[1:]:
        value = value.get(key) if isinstance(value, dict) else None
    if value is None or isinstance(value, dict | list):
        return ""
    return str(cleaned(value))


def texts(record: Record, key: str) -> tuple[str, ...]:
    """The texts of a list; whatever else stands in it is left out."""
    found = record.get(key)
    return tuple(str(cleaned(item)) for item in found if isinstance(item, str)) if isinstance(found, list) else ()


def part(record: Record, *path: str) -> Record:
    """The object under a path of keys; empty when there is none."""
    value: object = record.get(path[0])
    for key in path[1:]:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def number(record: Record, key: str) -> int:
    """The whole number under a key; 0 when there is none."""
    value = record.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else 0


def seconds(record: Record, key: str) -> float | None:
    """The stretch of time under a key; None when there is none."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= MAX_SECONDS else None


def moment(record: Record, key: str = "ts") -> datetime.datetime | None:
    """When it was, in UTC; None for anything that is no time as records write it."""
    found = text(record, key)
    if not _TIME.fullmatch(found):
        return None
    try:
        return datetime.datetime.fromisoformat(found)
    except ValueError:
        return None


def before(moment_: datetime.datetime | None, seconds_: float | None) -> datetime.datetime | None:
    """So many seconds earlier."""
    if moment_ is None or seconds_ is None:
        return None
    try:
        return moment_ - datetime.timedelta(seconds=seconds_)
    except OverflowError:
        return None


def pinned(record: Record) -> str:
    """Whose pin a record is about."""
    return f"trunk {name}" if (name := text(record, "trunk")) else f"user {text(record, 'user')}"
