"""One record as one line: the envelope every record gets, and JSON in printable ASCII."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from gateway.audit.clean import cleaned_mapping

VERSION = 1
"""Version of the record format, the field `v`."""

MAX_LINE = 65536
"""Octets of one line; a longer record is replaced by its identifying fields."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LineFormat:
    """Puts records into the envelope: version, number, times, where.

    Args:
        clock: wall clock, for timestamps only.
        monotonic_ns: for the order of records within one boot.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,  # noqa: TID251
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._clock, self._monotonic_ns = clock, monotonic_ns
        self._where = {"boot_id": _boot_id(), "node": os.uname().nodename}

    def encode(self, record: Mapping[str, object], seq: int) -> bytes:
        """The whole line with its newline, at most `MAX_LINE` octets."""
        line = self._encode(record, seq)
        if len(line) <= MAX_LINE:
            return line
        kept = {key: record[key] for key in ("type", "call_uid", "leg") if key in record}
        return self._encode(kept | {"oversize": len(line)}, seq)

    def _encode(self, record: Mapping[str, object], seq: int) -> bytes:
        now = datetime.fromtimestamp(self._clock(), tz=UTC).isoformat(timespec="microseconds")
        envelope = {"v": VERSION, "seq": seq, "ts": now.removesuffix("+00:00") + "Z", "mono_ns": self._monotonic_ns()}
        envelope |= self._where
        fields = envelope | cleaned_mapping(record) | envelope
        return json.dumps(fields, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def _boot_id() -> str:
    """The kernel's id of this boot, so that mono_ns values are only compared within one; empty where there is none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
