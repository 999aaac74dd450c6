"""An audit log on a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.audit.ledger import Ledger
from gateway.audit.line import LineFormat
from gateway.audit.log import FILE_NAME, AuditLog
from gateway.audit.people import People
from gateway.audit.place import MEBIBYTE, AuditPlace
from gateway.audit.sequence import Numbers, SequenceFile
from gateway.audit.writer import Batch, Outcome, append
from gateway.base.counters import Counters

BUFFER_OCTETS = MEBIBYTE // 100
"""Ten kilobytes: some thirty short records."""


class Clock:
    """Wall and monotonic time that stand still until told."""

    def __init__(self) -> None:
        self.seconds = 0
        self._behind = 0

    def set_back(self, seconds: int) -> None:
        """Somebody sets the wall clock back."""
        self._behind += seconds

    def wall(self) -> float:
        return 1_900_000_000.25 + self.seconds - self._behind

    def monotonic_ns(self) -> int:
        return (1000 + self.seconds) * 1_000_000_000


class Inline:
    """A writer without threads: what it is given is done before it returns, unless the disk hangs."""

    def __init__(self, ledger: Ledger, sequence: SequenceFile) -> None:
        self._ledger, self._sequence = ledger, sequence
        self._done: Callable[[Outcome], None] = lambda _outcome: None
        self.hangs = False
        self._held: list[Batch] = []

    def start(self, done: Callable[[Outcome], None]) -> None:
        self._done = done

    def submit(self, batch: Batch) -> None:
        if self.hangs:
            self._held.append(batch)
        else:
            self._done(append(self._ledger, self._sequence, batch))

    def answer(self) -> None:
        """The disk answers again: what hung in it is written."""
        self.hangs = False
        held, self._held = self._held, []
        for batch in held:
            self.submit(batch)

    def keep(self, numbers: Numbers) -> None:
        self._sequence.keep(numbers)

    def close(self, numbers: Numbers, seconds: float) -> bool:
        self._sequence.keep(numbers)
        self.close_files()
        return not self._held

    def close_files(self) -> None:
        """As the end of a process does it: nothing more is said."""
        self._sequence.close()
        self._ledger.file.close()


def inline_log(directory: Path, **settings: Any) -> AuditLog:
    """An open audit log that writes at once."""
    log = AuditLog(AuditPlace(directory, **settings), Counters(), deliver=lambda told: told(), writer=Inline)
    log.open()
    return log


class AuditBench:
    """An audit log with everything around it that a test looks at."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.clock, self.counters = Clock(), Counters()
        self.directory = directory
        place = AuditPlace(directory, **{"buffer_octets": BUFFER_OCTETS, **settings})
        people = People(directory) if place.pseudonyms else None
        self.log = AuditLog(
            place,
            self.counters,
            deliver=lambda told: told(),
            form=LineFormat(self.clock.wall, self.clock.monotonic_ns, people),
            monotonic_ns=self.clock.monotonic_ns,
            writer=self._make_writer,
        )

    def _make_writer(self, ledger: Ledger, sequence: SequenceFile) -> Inline:
        self.writer = Inline(ledger, sequence)
        return self.writer

    def write(self, record: Mapping[str, object]) -> bool:
        """Write a record; whether it is in the file now."""
        told: list[bool] = []
        self.log.write(record, told.append)
        return told == [True]

    def retry(self) -> bool:
        """A second later, try again; whether the log is well then."""
        self.clock.seconds += 1
        self.log.watch()
        return self.log.available

    @property
    def lines(self) -> list[bytes]:
        return (self.directory / FILE_NAME).read_bytes().splitlines(keepends=True)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def accepts(self) -> bool:
        """A call, so that a type checker does not take the second answer for the first."""
        return self.log.accepting_calls

    def types(self) -> list[str]:
        return [record["type"] for record in self.records]
