"""The files of the log: the one that is written and the rotated ones before it, read line by line within limits."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from gateway.audit.line import MAX_LINE

MAX_FILES = 64
"""Rotated files looked at when the gateway starts: two months of daily ones."""

DAMAGED = (OSError, EOFError, zlib.error)
"""What reading a file, compressed or not, can raise."""

Record = Mapping[str, object]


def rotated(current: Path, most: int = MAX_FILES) -> list[Path]:
    """Older files, newest first by their first number: audit.jsonl.1, audit.jsonl-20300101.gz, audit-20300101.jsonl.

    Args:
        most: so many are looked at, those changed last.
    """
    stem = current.name.partition(".")[0]
    found: list[tuple[float, Path]] = []
    with suppress(OSError):
        for path in current.parent.glob(f"{stem}*"):
            if path.name != current.name and ".jsonl" in path.name and path.is_file() and not path.is_symlink():
                found.append((path.stat().st_mtime, path))
    newest = [path for _, path in sorted(found, reverse=True)[:most]]
    return sorted(newest, key=_first_number, reverse=True)


def _first_number(path: Path) -> int:
    with suppress(*DAMAGED):
        for line in whole_lines(path, MAX_LINE, from_end=False):
            return sequence_number(parsed(line))
    return 0


def whole_lines(path: Path, room: int, *, from_end: bool = True) -> Iterator[bytes]:
    """The whole lines in the last `room` octets; of a compressed file, or if asked, in the first ones."""
    with opened(path) as stream:
        if from_end and path.suffix != ".gz" and size_of(path) > room:
            stream.seek(size_of(path) - room - 1)  # one more: a line that begins exactly there is whole
            stream.readline(room)
        read = 0
        while read < room and (line := stream.readline(MAX_LINE)):
            read += len(line)
            if line.endswith(b"\n"):
                yield line


def opened(path: Path) -> BinaryIO:
    """The file for reading, unpacked if it is compressed; raises OSError."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def size_of(path: Path) -> int:
    """Octets on the disk."""
    return path.stat().st_size


def parsed(line: bytes) -> Record:
    """The record in a line, empty when it is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def sequence_number(record: Record) -> int:
    """The `seq` of a record, 0 when it has none."""
    seq = record.get("seq")
    valid = isinstance(seq, int) and not isinstance(seq, bool) and 0 < seq < 2**63
    return cast(int, seq) if valid else 0
