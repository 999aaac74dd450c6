"""Reads a log as somebody who does not trust it."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.audit.chain import Fault, Link, examine


def broken(lines: Iterable[bytes], before: Link | None = Link()) -> list[tuple[int, Fault]]:  # noqa: B008 - frozen
    """What is wrong in a log, by the place of the line, from 1."""
    found: list[tuple[int, Fault]] = []
    for place, line in enumerate(lines, 1):
        examined = examine(line, before)
        found += [(place, fault) for fault in examined.faults]
        before = examined.link
    return found
