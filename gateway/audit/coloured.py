"""Audit records for a terminal: one line each, in the colour of its severity."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from gateway.audit.render import parse_line, render_line
from gateway.audit.severity import Severity, severity

STYLES: Final = {
    Severity.OK: "green",
    Severity.INFO: "",
    Severity.LOW: "yellow",
    Severity.MEDIUM: "dark_orange",
    Severity.HIGH: "bold red",
}


def coloured(line: bytes) -> Text:
    """One line of the audit log; what is no record stands out."""
    record = parse_line(line)
    return Text(render_line(line), style=STYLES[Severity.HIGH if record is None else severity(record)])


def remark(words: str, level: Severity) -> Text:
    """A line about the log that is in no record."""
    return Text(f"?  {level:<6}  {words}", style=STYLES[level])
