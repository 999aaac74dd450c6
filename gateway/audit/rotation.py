"""When a file of the log is full, and what it is called then. PURE."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BEGINNING = re.compile(rb'\{"v":\d+,"seq":(\d{1,18}),"ts":"([^"\\]{20,40})"')
_DATE = slice(0, len("2030-01-02"))


@dataclass(frozen=True, slots=True)
class Rotation:
    """How long records go into one file."""

    octets: int = 0
    """A file that is larger gets no further record; 0: of any size."""
    daily: bool = False
    """Each day (UTC) has a file of its own."""

    def is_due(self, size: int, began: str, now: str) -> bool:
        """Whether the record of this time opens a new file.

        Args:
            size: octets of the file.
            began: time of its first record.
        """
        return bool(self.octets and size >= self.octets) or (self.daily and began[_DATE] < now[_DATE])


def first_record(octets: bytes) -> tuple[str, str]:
    """Number and time of the record a file begins with; empty when it begins with none of ours."""
    found = _BEGINNING.match(octets)
    return (found[1].decode("ascii"), found[2].decode("ascii", errors="replace")) if found else ("", "")


def name_of(began: str, seq: str) -> str:
    """What a full file is called: `audit-20300102T030405Z-17.jsonl`, by time and number of its first record."""
    digits = re.sub(r"[^0-9T]", "", began.partition(".")[0])
    return f"audit-{digits}Z-{seq}.jsonl"
