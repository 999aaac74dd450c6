"""Lets old records go: the detail of a file first, later the whole file, each told of by the log before it happens."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

from gateway.audit.archive import DAMAGED, Record, opened, parsed, rotated, whole_lines
from gateway.audit.file import MODE, TAIL_WINDOW
from gateway.audit.line import MAX_LINE
from gateway.audit.log import FILE_NAME, AuditLog
from gateway.audit.people import forget_before
from gateway.audit.place import AuditPlace
from gateway.audit.retention import Retention, pruned, reduced

MAX_FILES = 4096
"""Old files gone through: eleven years of daily ones."""

EVERY_SECONDS = 3600.0
"""Between two looks at the files."""

MARK = ".final"
"""In the name of a file whose detail went: `audit-20300102T030405Z-17.final.jsonl`."""

REST_LINES, REST_SECONDS = 2000, 0.01
"""While a large file is gone through, calls get a turn."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One file of which something is to go, and the record that says so."""

    path: Path
    record: Record
    beside: Path | None = None
    """What is to take its place; None: nothing."""

    def do(self) -> None:
        """Now, for the record is written; raises OSError."""
        if self.beside is None:
            self.path.unlink()
            return
        os.replace(self.beside, self.path)
        self.path.rename(self.path.with_name(marked(self.path.name)))


class Pruner:
    """Goes through the files once an hour.

    Args:
        place: as it is configured now.
        clock: wall clock.
    """

    def __init__(
        self,
        place: Callable[[], AuditPlace],
        log: AuditLog,
        clock: Callable[[], float] = time.time,  # noqa: TID251
    ) -> None:
        self._place, self._audit, self._clock = place, log, clock

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.once()
            except OSError as error:
                _log.warning("audit state=unpruned error=%s", error.strerror)
            await asyncio.sleep(EVERY_SECONDS)

    async def once(self) -> None:
        """Let go what is too old now, file by file, oldest first."""
        now = datetime.fromtimestamp(self._clock(), tz=UTC)
        place = self._place()
        current = place.directory / FILE_NAME
        for path in reversed(await asyncio.to_thread(rotated, current, MAX_FILES)):
            step = await asyncio.to_thread(plan, path, now, place.retention)
            if step is not None and await self._written(step.record):
                await asyncio.to_thread(step.do)
        if not place.retention.hold:
            await asyncio.to_thread(forget_before, place.directory, _days_before(now, place.retention.final_days))

    async def _written(self, record: Record) -> bool:
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._audit.write(record, lambda found: None if told.done() else told.set_result(found))
        return await told


def marked(name: str) -> str:
    """The name of a file whose detail went."""
    return name if MARK in name else name.replace(".jsonl", f"{MARK}.jsonl", 1)


def plan(path: Path, now: datetime, retention: Retention) -> Step | None:
    """What of a file is to go at this time; None: nothing, or it cannot be read."""
    if retention.hold:
        return None
    with contextlib.suppress(*DAMAGED):
        last = _last(path)
        written = str(last.get("ts", ""))
        if last and written < _days_before(now, retention.final_days):
            return Step(path, pruned(file=path.name, first=_first(path), last=last, kept=0, sha256=""))
        if last and MARK not in path.name and written < _days_before(now, retention.detail_days):
            beside, kept, digest = _reduce(path)
            name = marked(path.name)
            record = pruned(file=name, first=_first(path), last=last, kept=kept, sha256=digest)
            return Step(path, record, beside)
    return None


def _days_before(now: datetime, days: int) -> str:
    return (now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S")


def _first(path: Path) -> Record:
    return next((record for line in whole_lines(path, MAX_LINE, from_end=False) if (record := parsed(line))), {})


def _last(path: Path) -> Record:
    found: Record = {}
    for line in whole_lines(path, TAIL_WINDOW):
        found = parsed(line) or found
    return found


def _reduce(path: Path) -> tuple[Path, int, str]:
    """The file without its detail, beside it; how many lines it has, and their SHA-256."""
    beside = path.with_name(f"{path.name.partition('.')[0]}.reducing")
    beside.unlink(missing_ok=True)
    kept, digest = 0, hashlib.sha256()
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    with open(fd, "wb") as plain, opened(path) as source, _packed(plain, path) as target:
        for line in reduced(_resting(source)):
            kept += 1
            digest.update(line)
            target.write(line)
        target.flush()
        os.fsync(fd)
    os.utime(beside, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))  # it is as old as what it has
    return beside, kept, digest.hexdigest()


@contextlib.contextmanager
def _packed(plain: BinaryIO, like: Path) -> Iterator[BinaryIO]:
    """What is written is compressed if that file is."""
    if like.suffix != ".gz":
        yield plain
        return
    with gzip.open(plain, "wb") as stream:
        yield cast(BinaryIO, stream)


def _resting(lines: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines, 1):
        if number % REST_LINES == 0:
            time.sleep(REST_SECONDS)
        yield line
