"""The numbers given to records, kept beside the log: what a full disk and a stop lose together is found missing.

The log itself tells the number of its last record. Records that wait in memory have later numbers; if the gateway ends
before they are written, only this file knows them. Its one block is laid down when it is made, so that saying a number
needs no room on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "audit.seq"

SIZE = 64
"""Octets of the file, all in one sector: it is replaced as a whole or not at all."""

MAX_NUMBER = 2**63 - 1
"""What a sequence number may be; a file that says more has been meddled with."""

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Numbers:
    """The two ends of what may be missing."""

    written: int = 0
    """Number of the last record known to be in the log."""
    given: int = 0
    """Number of the last record there was."""

    def joined(self, other: Numbers) -> Numbers:
        """What both know together; numbers only grow."""
        return Numbers(max(self.written, other.written), max(self.given, other.given))


class SequenceFile:
    """Remembers `Numbers` over an end of the process. Any thread may call it; numbers only grow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._lock = threading.Lock()
        self._kept = Numbers()

    def open(self) -> Numbers:
        """What was kept last, (0, 0) when nothing readable was; raises OSError when no number can be kept."""
        fd = os.open(self._path, _FLAGS, _MODE)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            data = os.pread(fd, SIZE, 0)
            if len(data) < SIZE:
                _lay_down(fd)
        except OSError:
            os.close(fd)
            raise
        self._fd, self._kept = fd, _parse(data)
        return self._kept

    def keep(self, numbers: Numbers) -> None:
        """Remember these, unless greater ones are known; a disk that refuses has been told of by the log itself."""
        with self._lock:
            grown = self._kept.joined(numbers)
            if self._fd < 0 or grown == self._kept:
                return
            with contextlib.suppress(OSError):
                os.pwrite(self._fd, _format(grown), 0)
                self._kept = grown

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1


def numbers_in(path: Path) -> Numbers:
    """What the file says, for who only reads it; (0, 0) when nothing readable is there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return Numbers()
    try:
        return _parse(os.pread(fd, SIZE, 0))
    except OSError:
        return Numbers()
    finally:
        os.close(fd)


def _lay_down(fd: int) -> None:
    """Have the block now, while there is room."""
    if os.pwrite(fd, _format(Numbers()), 0) != SIZE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(fd)


def _format(numbers: Numbers) -> bytes:
    text = json.dumps({"written": numbers.written, "given": numbers.given}, separators=(",", ":"))
    return text.encode("ascii").ljust(SIZE - 1) + b"\n"


def _parse(data: bytes) -> Numbers:
    try:
        found = json.loads(data)
    except ValueError:
        return Numbers()
    if not isinstance(found, dict):
        return Numbers()
    return Numbers(_number(found.get("written")), _number(found.get("given")))


def _number(value: object) -> int:
    valid = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER
    return value if valid else 0  # type: ignore[return-value]
