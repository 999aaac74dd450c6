"""One record as one line: the envelope every record gets, and JSON in printable ASCII.

A line is made in two steps, by two threads: who gives a record its number drafts it, who writes it seals it with the
hash of the line before (`chain`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from gateway.audit.chain import HEAD, SEAL_OCTETS
from gateway.audit.checkpoint import TYPE as CHECKPOINT
from gateway.audit.clean import Cleaned, cleaned_record
from gateway.audit.people import Entry, People

VERSION = 2
"""Version of the record format, the field `v`; 1 had no chain."""

MAX_LINE = 65536
"""Octets of one line; a longer record is replaced by its identifying fields."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ENVELOPE = frozenset({*HEAD, "prev_hash", "hash"})
"""Names the log gives itself: no record brings them, but for its type and its call."""

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True).encode


class Draft(NamedTuple):
    """A record that has its number, and not yet its place in the chain."""

    text: bytes
    """In canonical form, without the closing brace."""
    seq: int
    ts: str
    is_checkpoint: bool = False
    """It is completed and signed when its place is known."""
    people: tuple[Entry, ...] = ()
    """What the tables must have before it is written."""


class LineFormat:
    """Puts records into the envelope: version, number, times, where.

    Args:
        clock: wall clock, for timestamps only.
        monotonic_ns: for the order of records within one boot.
        people: who calls people by pseudonyms; None: they stand in the log by name.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,  # noqa: TID251
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        people: People | None = None,
    ) -> None:
        self._clock, self._monotonic_ns, self.people = clock, monotonic_ns, people
        self._where = f'"boot_id":{_encode(_boot_id())},"node":{_encode(os.uname().nodename)}'

    def draft(self, record: Mapping[str, object], seq: int) -> Draft:
        """The record with its number and its time: what `chain.sealed` makes a line of."""
        now, people = self._now(), tuple[Entry, ...]()
        if self.people is not None:
            record, people = self.people.hide(_clean(record), now)
        text = self._text(record, seq, now)
        if len(text) + SEAL_OCTETS > MAX_LINE:
            kept = {key: record[key] for key in ("type", "call_uid", "leg") if key in record}
            text = self._text(kept | {"oversize": len(text) + SEAL_OCTETS}, seq, now)
        return Draft(text, seq, now, people=people)

    def checkpoint(self, seq: int) -> Draft:
        """A checkpoint; what it says is known when its place is."""
        now = self._now()
        return Draft(self._text({"type": CHECKPOINT}, seq, now), seq, now, is_checkpoint=True)

    def _now(self) -> str:
        now = datetime.fromtimestamp(self._clock(), tz=UTC).isoformat(timespec="microseconds")
        return now[:-6] + "Z"

    def _text(self, record: Mapping[str, object], seq: int, now: str) -> bytes:
        fields = _clean(record)
        head = f'{{"v":{VERSION},"seq":{seq},"ts":"{now}","mono_ns":{self._monotonic_ns()},{self._where}'
        for name in ("type", "call_uid"):
            if name in fields:
                head += f',"{name}":{_encode(fields[name])}'
        rest = _encode({name: value for name, value in fields.items() if name not in _ENVELOPE})
        return (f"{head},{rest[1:-1]}" if rest != "{}" else head).encode("ascii")


def _clean(record: Mapping[str, object]) -> Cleaned:
    return record if isinstance(record, Cleaned) else cleaned_record(record)


def _boot_id() -> str:
    """The kernel's id of this boot, so that mono_ns values are only compared within one; empty where there is none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
