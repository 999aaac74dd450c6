"""The threads that wait for the disk, so that the event loop never does.

One thread appends batches of lines, one after the other; another makes durable what was appended (fsync) and keeps the
numbers beside the log. Both are daemons: a disk that never answers keeps neither the gateway nor its end waiting.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.audit.file import AuditFile, Tail
from gateway.audit.ledger import Ledger
from gateway.audit.line import Draft
from gateway.audit.sequence import Numbers, SequenceFile

SYNC_SECONDS = 0.1
"""What was written is made durable within this time; until then a power failure, and nothing less, can lose it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to append, in order."""

    drafts: tuple[Draft, ...]
    first: int
    """Sequence number of the first one."""
    given: int
    """The highest sequence number given so far: what is lost if the process ends before it is written."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    lines: tuple[bytes, ...]
    """Those of its records that are in the file, as they stand there: the first ones."""
    error: str = ""
    """Why the others are not; empty when all of them are."""
    tail: Tail | None = None
    """What the end of a file told that was opened on the way (rotation, restored file)."""
    forgot: bool = False
    """Somebody was taken out of the tables of people meanwhile."""


class Writer(Protocol):
    """What the log needs of who writes for it; tests have one without a thread."""

    def start(self, done: Callable[[Outcome], None]) -> None:
        """Begin to work; `done` gets the outcome of each batch, in the loop of the log."""

    def submit(self, batch: Batch) -> None:
        """Append a batch soon; never waits. Only one is under way at a time."""

    def keep(self, numbers: Numbers) -> None:
        """Remember numbers soon; never waits."""

    def close(self, numbers: Numbers, seconds: float) -> bool:
        """Finish and let go of the files; False when the disk did not allow that in time."""


def append(ledger: Ledger, numbers: SequenceFile, batch: Batch) -> Outcome:
    """Write a batch and say what became of it; numbers that must wait are kept at once."""
    lines, error = tuple[bytes, ...](), ""
    try:
        lines = ledger.append(batch.drafts)
        if len(lines) < len(batch.drafts):
            error = os.strerror(errno.ENOSPC)
    except OSError as failure:
        error = failure.strerror or type(failure).__name__
    if error:
        numbers.keep(Numbers(batch.first + len(lines) - 1, batch.given))
    return Outcome(lines, error, ledger.file.take_tail(), ledger.forgot)


class ThreadWriter:
    """Writes in threads of its own.

    Args:
        deliver: calls a function in the loop of the log, from any thread (`loop.call_soon_threadsafe`).
    """

    def __init__(self, ledger: Ledger, numbers: SequenceFile, deliver: Callable[[Callable[[], None]], object]) -> None:
        self._ledger, self._numbers, self._deliver = ledger, numbers, deliver
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._keeper = _Keeper(numbers)
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._done: Callable[[Outcome], None] = lambda _outcome: None

    def start(self, done: Callable[[Outcome], None]) -> None:
        """Begin to work; `done` gets the outcome of each batch, in the loop of the log."""
        self._done = done
        self._keeper.start()
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Append a batch soon; never waits."""
        self._batches.put(batch)

    def keep(self, numbers: Numbers) -> None:
        """Remember numbers soon; never waits."""
        self._keeper.keep(numbers)

    def close(self, numbers: Numbers, seconds: float) -> bool:
        """Finish and let go of the files; False when the disk did not allow that in time."""
        if self._thread.ident is None:
            return True
        self._batches.put(None)
        self._keeper.keep(numbers)
        kept = self._keeper.close(seconds / 2)
        if kept:
            self._numbers.close()
        self._thread.join(seconds / 2)
        return kept and not self._thread.is_alive()

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            outcome = append(self._ledger, self._numbers, batch)
            if outcome.lines:
                self._keeper.written(self._ledger.file, batch.first + len(outcome.lines) - 1)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._deliver(lambda outcome=outcome: self._done(outcome))  # type: ignore[misc]
        self._ledger.file.close()


class _Keeper:
    """Makes the file durable at most `SYNC_SECONDS` after a line came, many lines at a time."""

    def __init__(self, numbers: SequenceFile) -> None:
        self._sequence = numbers
        self._lock = threading.Lock()
        self._work, self._ending = threading.Event(), threading.Event()
        self._identity, self._fd = (-1, -1), -1
        self._numbers = Numbers()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="audit-keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def written(self, file: AuditFile, number: int) -> None:
        """Lines up to that number are in the file. Called by the writer's thread."""
        with self._lock:
            self._numbers = self._numbers.joined(Numbers(number, number))
            wanted = self._fd < 0 or self._identity != file.identity
            if wanted and not self._ending.is_set():  # after its end nobody would close it
                self._take(file)
        self._work.set()

    def _take(self, file: AuditFile) -> None:
        if self._fd >= 0:  # another file, which was made durable when it was left
            os.close(self._fd)
        self._fd = -1
        with contextlib.suppress(OSError):
            self._identity, self._fd = file.identity, file.duplicate()

    def keep(self, numbers: Numbers) -> None:
        """Numbers to remember."""
        with self._lock:
            self._numbers = self._numbers.joined(numbers)
        self._work.set()

    def close(self, seconds: float) -> bool:
        """Do what is left to do; False when that takes longer."""
        self._ending.set()
        self._work.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        ending = False
        while not ending:
            self._work.wait()
            ending = self._ending.wait(SYNC_SECONDS)
            self._work.clear()
            with self._lock:
                fd, self._fd, numbers = self._fd, -1, self._numbers
            if fd >= 0:
                self._sync(fd)
            self._sequence.keep(numbers)

    def _sync(self, fd: int) -> None:
        try:
            os.fsync(fd)
        except OSError as error:
            if not self._failed:
                _log.error("audit state=unsynced error=%s: a power failure may lose lines", error.strerror)
            self._failed = True
        else:
            self._failed = False
        finally:
            os.close(fd)
