"""One line of the log on its way to a sink, and whether a sink wants it. PURE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.audit.checkpoint import TYPE as CHECKPOINT
from gateway.audit.render import parse_line
from gateway.audit.severity import Severity, severity
from gateway.audit.sinks.plan import Records
from gateway.base.codes import Code

DROPPED = "log.sink_dropped"
"""The record by which the log tells what a sink did not get. The log itself has all of it."""

ALWAYS = frozenset({CHECKPOINT, DROPPED})
"""Types every sink gets."""

DOWNGRADES = frozenset({"leg.downgraded", "leg.violation", "policy.exception_used", "log.dropped", *ALWAYS})
"""Types a sink for downgrades gets."""

GRAVE = frozenset({Code.PIN_BID_DOWN, Code.DTLS_FP_MISMATCH})
"""Codes that say somebody is between: HIGH, whatever policy made of them."""

_HEAD = re.compile(
    rb'\A\{"v":\d+,"seq":(\d{1,19}),"ts":"([^"]*)","mono_ns":\d+,"boot_id":"[^"]*",'
    rb'"node":"((?:[^"\\]|\\.)*)","type":"((?:[^"\\]|\\.)*)"'
)

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Item:
    """One line, and what its head says of it."""

    line: bytes
    """As it stands in the file, without the line feed."""
    seq: int
    ts: str
    kind: str

    @property
    def is_checkpoint(self) -> bool:
        return self.kind == CHECKPOINT

    @property
    def is_vital(self) -> bool:
        """Every sink gets it, and there is room of its own for it."""
        return self.kind in ALWAYS

    @property
    def record(self) -> Record:
        """All of it."""
        return parse_line(self.line) or {}

    def is_for(self, records: Records) -> bool:
        """Whether a sink with this filter wants it."""
        if records is Records.ALL:
            return True
        return self.kind in (ALWAYS if records is Records.CHECKPOINTS else DOWNGRADES)


def item_of(line: bytes) -> Item | None:
    """A line of the log as it goes to sinks; None: it is none the log writes today."""
    found = _HEAD.match(line)
    if found is None:
        return None
    return Item(line.rstrip(b"\n"), int(found[1]), found[2].decode("ascii"), found[4].decode("ascii"))


def attention(record: Record) -> Severity:
    """How much attention a record deserves outside: as `audit show` has it, and HIGH for somebody in between."""
    return Severity.HIGH if GRAVE.intersection(codes_of(record)) else severity(record)


def codes_of(record: Record) -> tuple[str, ...]:
    """The codes a record names."""
    codes = record.get("codes")
    return tuple(code for code in codes if isinstance(code, str)) if isinstance(codes, list) else ()


def grade_of(record: Record) -> str:
    """The grade a record is about: of a leg that after it, of an ended call the worst; empty when it has none."""
    return text_of(record, "grade_after") or text_of(record, "grade_worst")


def text_of(record: Record, name: str) -> str:
    """A text of a record, empty when it has none of that name."""
    value = record.get(name)
    return value if isinstance(value, str) else ""
