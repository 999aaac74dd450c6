"""Reads a log as somebody who does not trust it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gateway.audit.chain import Fault, Link, examine
from gateway.audit.signing_key import load_public
from gateway.audit.verify import Verifier


def broken(lines: Iterable[bytes], before: Link | None = Link()) -> list[tuple[int, Fault]]:  # noqa: B008 - frozen
    """What is wrong in a log, by the place of the line, from 1."""
    found: list[tuple[int, Fault]] = []
    for place, line in enumerate(lines, 1):
        examined = examine(line, before)
        found += [(place, fault) for fault in examined.faults]
        before = examined.link
    return found


def verified(lines: Iterable[bytes], key: Path) -> list[str]:
    """What `audit verify` finds wrong in a log whose checkpoints this key signed."""
    verifier = Verifier([load_public(key)])
    for place, line in enumerate(lines, 1):
        verifier.take(line, f"audit.jsonl:{place}")
    return [finding.line for finding in verifier.end().findings]
