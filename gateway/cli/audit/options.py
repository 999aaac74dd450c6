"""Which log a command reads, and which records of it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.audit.query import Wanted
from gateway.audit.severity import Severity
from gateway.base.errors import ConfigError
from gateway.base.grades import Grade
from gateway.cli.output import FilePath
from gateway.config.load import read_audit_directory

PLACES = (Path("gateway.yaml"), Path("/etc/sip-gateway/gateway.yaml"))
"""Gateway files that are looked for when neither log nor file is named."""

WHICH = (
    click.argument("path", metavar="[FILE]", required=False, type=FilePath()),
    click.option("-c", "--config", type=FilePath(), help="Read the log that this gateway file names."),
)
CHOICES = (
    click.option("--call", default="", help="Of this call: c-81f00d2a as page and log say, call_uid or SIP Call-ID."),
    click.option("--user", default="", help="Of calls of this user."),
    click.option("--trunk", default="", help="Of calls over this trunk."),
    click.option("--since", default="", help="From then on: 24h, 7d, or UTC as 2030-01-02, 2030-01-02T10:30."),
    click.option("--until", default="", help="Up to then, written the same way; of a day or minute, all of it."),
    click.option(
        "--severity",
        type=click.Choice([level.value for level in Severity], case_sensitive=False),
        default=Severity.OK.value,
        help="Of this severity or worse.",
    ),
    click.option("--downgraded", is_flag=True, help="What was weaker than wanted, tolerated or refused."),
    click.option(
        "--grade",
        "grades",
        multiple=True,
        type=click.Choice(list(Grade.__members__), case_sensitive=False),
        help="Of this grade; may be repeated.",
    ),
)
"""Options that choose records; `audit.query.Wanted` has the same."""

_SPAN = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TIME = re.compile(r"\d{4}(-\d\d){0,2}(T\d\d(:\d\d){0,2}(\.\d+)?Z?)?")


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the arguments that say which log is read."""
    for option in reversed(WHICH):
        command = option(command)
    return command


def choosing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that choose records."""
    for option in reversed(CHOICES):
        command = option(command)
    return command


def find_log(path: Path | None, config: Path | None) -> Path:
    """The log that is meant: the one named, that of a gateway file, or that of the gateway file there is here.

    Raises:
        ConfigError: there is none.
    """
    if path is not None:
        return path
    named = config or next((place for place in PLACES if place.exists()), None)
    if named is None:
        raise ConfigError("which log is meant?", remedy="name the log, its directory, or the gateway file by --config")
    directory = read_audit_directory(named)
    if directory is None:
        raise ConfigError("it names no audit log", file=str(named), key="audit.directory")
    return directory


def wanted(choice: dict[str, Any]) -> Wanted | None:
    """What was chosen, None when nothing was: then what is no record is shown too."""
    call, user, trunk = (str(choice[name]).strip() for name in ("call", "user", "trunk"))
    found = Wanted(
        call,
        user,
        trunk,
        since=_time("--since", choice["since"]),
        until=_time("--until", choice["until"]),
        least=Severity(str(choice["severity"]).upper()),
        downgraded=bool(choice["downgraded"]),
        grades=frozenset(str(grade).upper() for grade in choice["grades"]),
    )
    return None if found == Wanted() else found


def _time(option: str, given: str) -> str:
    """A time as records write it, or its beginning."""
    written = given.strip()
    span = _SPAN.fullmatch(written.lower())
    if span is not None:
        return _ago(int(span[1]), _UNITS[span[2]])
    written = written.upper().replace(" ", "T")
    if written and not _TIME.fullmatch(written):
        remedy = "write 30m, 24h, 7d or 4w, or UTC as 2030-01-02 or 2030-01-02T10:30"
        raise ConfigError(f"{option} {given!r} is no time", remedy=remedy)
    return written.removesuffix("Z")


def _ago(count: int, unit: str) -> str:
    now = datetime.datetime.now(datetime.UTC)
    try:
        return f"{now - datetime.timedelta(**{unit: count}):%Y-%m-%dT%H:%M:%S.%f}"
    except OverflowError:
        return "0001"
