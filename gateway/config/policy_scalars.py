"""The scalars of the policy file: codes, suites, time zones and hours of the week."""

from __future__ import annotations

import difflib
import re
from datetime import UTC, date, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator

from gateway.base.codes import Code
from gateway.base.crypto_suite import BY_NAME
from gateway.policy.times import DAY, DAYS, Window

EXAMPLE = "for example Mon-Fri 08:00-18:00, or 22:00-06:00 Europe/Berlin"
_HOURS = re.compile(r"(?:([A-Za-z,-]+) )?(\d\d):(\d\d)-(\d\d):(\d\d)(?: (\S+))?", re.ASCII)


def _code(value: str) -> str:
    near = difflib.get_close_matches(value, list(Code), n=1)
    if value not in set(Code):
        raise ValueError(f"there is no such code: did you mean {near[0]}?" if near else "there is no such code")
    return value


def _suite(value: str) -> str:
    if value not in BY_NAME:
        raise ValueError(f"there is no such suite here: {', '.join(BY_NAME)}")
    return value


def zone(name: str) -> tzinfo:
    """The time zone of that name.

    Raises:
        ValueError: there is none.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # of the last, ZoneInfoNotFoundError is one
        raise ValueError("there is no such time zone: expected a name such as Europe/Berlin, or UTC") from None


def _zone(value: str) -> str:
    zone(value)
    return value


def _day(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[1-8]\d{3}-\d\d-\d\d", value, re.ASCII):
        raise ValueError("expected a day, for example 2030-12-31")
    return date.fromisoformat(value)


def _hours(value: str) -> str:
    window(value, "UTC")
    return value


def window(text: str, place: str) -> Window:
    """The hours of the week that a text names.

    Args:
        place: the time zone where the text names none.

    Raises:
        ValueError: it names none.
    """
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError(f"expected days, hours and perhaps a time zone, {EXAMPLE}")
    days, *clock, own_place = found.groups()
    first, end = _minute(clock[0], clock[1]), _minute(clock[2], clock[3])
    if first == end or first == DAY:
        raise ValueError("these hours are none: 00:00-24:00 is a whole day")
    name = own_place or place
    return Window(text, _days(days) if days else frozenset(range(7)), first, end % DAY or end, zone(name), name)


def _minute(hours: str, minutes: str) -> int:
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or minute > DAY:
        raise ValueError(f"expected times from 00:00 to 24:00, {EXAMPLE}")
    return minute


def _days(text: str) -> frozenset[int]:
    """Days and ranges of days: `Mon-Fri`, `Sat,Sun`, `Sat-Mon`."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"expected days as {', '.join(DAYS)}, {EXAMPLE}")
        start, end = DAYS.index(first), DAYS.index(last or first)
        found.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return frozenset(found)


Day = Annotated[date, BeforeValidator(_day)]
CodeName = Annotated[str, AfterValidator(_code)]
SuiteName = Annotated[str, AfterValidator(_suite)]
TimeZone = Annotated[str, AfterValidator(_zone)]
HoursOfWeek = Annotated[str, AfterValidator(_hours)]
