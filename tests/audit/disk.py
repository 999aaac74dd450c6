"""A disk that fails on command: stands in for the `os` module inside gateway.audit.file."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import Any

import pytest

HANG_SECONDS = 60.0
"""A test that forgets to let the disk answer ends all the same."""


class FailingDisk:
    """Passes everything to `os`, but fails or shortens writes, and truncations, as told."""

    def __init__(self) -> None:
        self.error = 0
        """errno of every write; 0 for none."""
        self.room: int | None = None
        """Octets that still fit; a write beyond them is short, the next one fails."""
        self.good_writes: int | None = None
        """Writes that still succeed before `error` strikes."""
        self.truncate_error = 0
        self.writes: list[bytes] = []
        self.answers, self.asked = threading.Event(), threading.Event()
        """A write waits until the disk `answers`; it has been `asked` when one waits."""
        self.answers.set()
        self.delay = 0.0
        """Seconds each write takes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        """Like os.write on a disk in this state."""
        if not self.answers.is_set():
            self.asked.set()
            self.answers.wait(HANG_SECONDS)
        if self.delay:
            time.sleep(self.delay)
        self.writes.append(data)
        if self.good_writes:
            self.good_writes -= 1
        elif self.error:
            raise OSError(self.error, os.strerror(self.error))
        if self.room is None:
            return os.write(fd, data)
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = os.write(fd, data[: self.room])
        self.room -= taken
        return taken

    def ftruncate(self, fd: int, length: int) -> None:
        """Like os.ftruncate on a disk in this state."""
        if self.truncate_error:
            raise OSError(self.truncate_error, os.strerror(self.truncate_error))
        os.ftruncate(fd, length)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FailingDisk:
    """The disk under every AuditFile of the test."""
    failing = FailingDisk()
    monkeypatch.setattr("gateway.audit.file.os", failing)
    return failing
