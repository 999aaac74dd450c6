"""The append-only file under the audit log: whole lines or nothing, and notice when it is moved or deleted."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MODE = 0o600
"""Only the gateway's user reads the log; others get it through the command line or a sink."""

TAIL_WINDOW = 262144
"""Octets looked at from the end when the file is opened: four of the longest lines."""

FIRST_OCTETS = 128
"""Of a file: number and time of its first record are in them."""

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
"""O_RDWR to read the tail, and because a FIFO in the file's place then cannot hang the gateway."""


@dataclass(frozen=True, slots=True)
class Tail:
    """What the end of the file told when it was opened."""

    torn: bytes = b""
    """The unfinished last line that was cut off."""
    last_seq: int = 0
    """Sequence number of the last readable record, 0 when there is none."""


class AuditFile:
    """One log file, written by this process alone (an advisory lock keeps a second gateway out).

    Not for two threads at once: once the log is open it belongs to the writer.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._identity = (-1, -1)
        self._torn_at = -1
        self._tail: Tail | None = None

    def open(self) -> None:
        """Open or create the file and cut a torn last line; raises OSError."""
        self.close()
        fd = os.open(self.path, _FLAGS, MODE)
        try:
            self._tail = self._prepare(fd)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd

    def take_tail(self) -> Tail | None:
        """What the file's end told, once after each time it was opened, be it by open() or by following a rotation."""
        tail, self._tail = self._tail, None
        return tail

    def append(self, lines: Sequence[bytes]) -> int:
        """Write whole lines in one write() and say how many are in the file; fewer than given: there is no more room.

        Raises:
            OSError: none of them is.
        """
        self._ensure_open()
        size = os.fstat(self._fd).st_size
        written = self._write_at(size, b"".join(lines))
        whole, octets = _whole(lines, written)
        if octets != written:
            with contextlib.suppress(OSError):  # repeated before the next line
                self._cut(size + octets)
        if os.fstat(self._fd).st_nlink == 0:
            self.close()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return whole

    @property
    def size(self) -> int:
        """Octets of the file, 0 while it is not open."""
        return os.fstat(self._fd).st_size if self._fd >= 0 else 0

    def first_octets(self) -> bytes:
        """What the file begins with."""
        return os.pread(self._fd, FIRST_OCTETS, 0) if self._fd >= 0 else b""

    def move_away(self, name: str) -> None:
        """Give the file its last name, in the same directory; the next line opens a new one. Raises OSError."""
        if self._torn_at >= 0 or not self._is_current():
            return
        target = self.path.with_name(name)
        try:
            os.link(self.path, target)  # unlike a rename it replaces nothing
        except FileExistsError:
            if not target.samefile(self.path):  # else a start ended between this and the next line
                raise
        os.unlink(self.path)
        self.close()

    @property
    def identity(self) -> tuple[int, int]:
        """Which file is written: its device and number."""
        return self._identity

    def duplicate(self) -> int:
        """A descriptor of its own for who makes the file durable; raises OSError."""
        return os.dup(self._fd)

    def close(self) -> None:
        """Let go of the file; a failing disk has said what it had to say in append()."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.fsync(self._fd)
            with contextlib.suppress(OSError):
                os.close(self._fd)
        self._fd, self._torn_at = -1, -1

    def _prepare(self, fd: int) -> Tail:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        _lock(fd)
        os.fchmod(fd, MODE)
        self._identity = (status.st_dev, status.st_ino)
        return _mend(fd, status.st_size)

    def _ensure_open(self) -> None:
        """Follow a rotated or restored file; a record written to a deleted one would be no record."""
        current = self._fd >= 0 and self._is_current()
        if self._torn_at >= 0:
            with contextlib.nullcontext() if current else contextlib.suppress(OSError):
                self._cut(self._torn_at)
        if not current:
            self.open()

    def _is_current(self) -> bool:
        try:
            status = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _write_at(self, size: int, line: bytes) -> int:
        try:
            return os.write(self._fd, line)
        except OSError:
            self._cut(size)
            raise

    def _cut(self, size: int) -> None:
        """Take back part of a line; when even that fails it is repeated before the next line."""
        self._torn_at = size
        if os.fstat(self._fd).st_size > size:
            os.ftruncate(self._fd, size)
        self._torn_at = -1


def _whole(lines: Sequence[bytes], written: int) -> tuple[int, int]:
    """How many lines the first octets hold whole, and how many octets that are."""
    octets = 0
    for count, line in enumerate(lines):
        if octets + len(line) > written:
            return count, octets
        octets += len(line)
    return len(lines), octets


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(errno.EBUSY, "another process writes this log") from error


def _mend(fd: int, size: int) -> Tail:
    """Cut what follows the last newline: a line the machine died in."""
    start = max(0, size - TAIL_WINDOW)
    window = os.pread(fd, TAIL_WINDOW, start)
    whole, newline, torn = window.rpartition(b"\n")
    if not newline and start > 0:
        raise OSError(errno.EINVAL, "the file does not look like an audit log")
    if torn:
        os.ftruncate(fd, size - len(torn))
    return Tail(torn, _last_seq(whole))


def _last_seq(lines: bytes) -> int:
    """The sequence number of the last readable record in the window."""
    for line in reversed(lines.split(b"\n")):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        seq = record.get("seq") if isinstance(record, dict) else None
        if isinstance(seq, int) and not isinstance(seq, bool) and 0 < seq < 2**63:
            return seq
    return 0
