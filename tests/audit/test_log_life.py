"""The audit log over a whole life of failures."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.audit import file as file_module
from gateway.audit.archive import rotated
from gateway.audit.log import FILE_NAME
from gateway.audit.rotation import Rotation
from gateway.base.counters import Counter
from tests.audit.audit_bench import AuditBench
from tests.audit.chained import broken
from tests.audit.disk import FailingDisk
from tests.effort import examples


class LogLife(RuleBasedStateMachine):
    """Whatever the disk does: whole lines, in order, and each number is in the file or told of as dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.disk = FailingDisk()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(file_module, "os", self.disk)
        self.bench = AuditBench(Path(self.home.name), buffer_octets=2 * 1024, rotation=Rotation(octets=3000))
        self.announced: list[Sequence[bytes]] = []
        self.bench.log.after_written(self.announced.append)
        self.bench.log.open()
        self.rotated: list[Path] = []
        self.written = 0
        self.may_be_torn = False

    def teardown(self) -> None:
        self.heal()
        assert self.bench.retry()
        self.check_all()
        self.bench.log.close()
        self.patch.undo()
        self.home.cleanup()

    @rule(size=st.integers(0, 200))
    def write(self, size: int) -> None:
        self.bench.write({"type": "x", "n": self.written, "pad": "p" * size})
        self.written += 1

    @rule(failure=st.sampled_from([errno.ENOSPC, errno.EIO, errno.EROFS]))
    def break_disk(self, failure: int) -> None:
        self.disk.error = failure

    @rule(room=st.integers(0, 900))
    def fill_disk(self, room: int) -> None:
        self.disk.room = room

    @rule()
    def break_truncation(self) -> None:
        self.disk.truncate_error = errno.EIO
        self.may_be_torn = True

    @rule(seconds=st.integers(0, 3))
    def hang(self, seconds: int) -> None:
        """The disk does not answer; what is written meanwhile waits, with or without somebody who waits for it."""
        self.bench.writer.hangs = True
        self.write(10)
        self.bench.clock.seconds += seconds
        self.bench.log.watch()

    @rule()
    def answer(self) -> None:
        self.bench.writer.answer()

    @rule()
    def heal(self) -> None:
        self.bench.writer.answer()
        self.disk.error, self.disk.room, self.disk.truncate_error = 0, None, 0

    @rule()
    def ask(self) -> None:
        self.bench.clock.seconds += 1
        if self.bench.counters[Counter.AUDIT_BUFFERED] == 0:
            assert self.bench.accepts() or self.written

    @rule()
    def tick(self) -> None:
        if self.bench.retry() and not self.disk.truncate_error:
            self.may_be_torn = False

    @precondition(lambda self: not (self.disk.truncate_error or self.disk.error) and self.disk.room is None)
    @rule()
    def rotate(self) -> None:
        target = self.bench.directory / f"audit.jsonl.{len(self.rotated)}"
        if (self.bench.directory / FILE_NAME).exists():
            (self.bench.directory / FILE_NAME).rename(target)
            self.rotated.append(target)
        self.tick()

    @invariant()
    def whole_lines(self) -> None:
        current = self.bench.directory / FILE_NAME
        data = current.read_bytes() if current.exists() else b""
        assert self.may_be_torn or not data or data.endswith(b"\n")

    def check_all(self) -> None:
        current = self.bench.directory / FILE_NAME
        files = [*rotated(current)[::-1], *([current] if current.exists() else [])]
        lines = [line for path in files for line in path.read_bytes().splitlines(keepends=True)]
        assert not broken(lines)
        assert lines == [line for batch in self.announced for line in batch]
        records = [json.loads(line) for line in lines]
        seqs = [record["seq"] for record in records]
        assert seqs == sorted(set(seqs))
        dropped = sum(record["dropped"] for record in records if record["type"] == "log.dropped")
        assert sum(record["type"] == "x" for record in records) + dropped == self.written
        missing = set(range(1, max(seqs, default=0) + 1)) - set(seqs)
        assert len(missing) == dropped == self.bench.counters[Counter.AUDIT_DROPPED]
        spans = [(r["first_seq"], r["last_seq"]) for r in records if r["type"] == "log.dropped"]
        assert all(any(low <= seq <= high for low, high in spans) for seq in missing)


TestLogLife = LogLife.TestCase
TestLogLife.settings = settings(max_examples=examples(40), stateful_step_count=40, deadline=None)
