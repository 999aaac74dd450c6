"""Files of the log that are full: each record is in one of them, and they are one chain."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.audit.archive import rotated
from gateway.audit.log import FILE_NAME
from gateway.audit.rotation import Rotation, first_record, name_of
from tests.audit.audit_bench import AuditBench
from tests.audit.chained import broken
from tests.audit.disk import FailingDisk

DAY = 86_400


def opened(directory: Path, **settings: object) -> AuditBench:
    made = AuditBench(directory, buffer_octets=1 << 20, rotation=Rotation(**{"daily": True, **settings}))  # type: ignore[arg-type]
    made.log.open()
    return made


def _refuse(*_names: object) -> None:
    raise PermissionError(1, "not here")


def files(directory: Path) -> list[Path]:
    """Oldest first."""
    return [*rotated(directory / FILE_NAME)[::-1], directory / FILE_NAME]


def lines(directory: Path) -> list[bytes]:
    return [line for path in files(directory) for line in path.read_bytes().splitlines(keepends=True)]


def test_a_full_file_gets_no_further_record_and_its_name_tells_where_it_begins(tmp_path: Path) -> None:
    bench = opened(tmp_path, octets=2000)
    for number in range(30):
        bench.write({"type": "x", "n": number})
        bench.clock.seconds += 1
    assert len(files(tmp_path)) > 3
    assert broken(lines(tmp_path)) == []
    assert sum(b'"type":"x"' in line for line in lines(tmp_path)) == 30
    for path in files(tmp_path)[:-1]:
        seq, began = first_record(path.read_bytes())
        assert path.name == name_of(began, seq)
        assert 2000 <= path.stat().st_size < 2500
        assert path.stat().st_mode & 0o777 == 0o600
    assert files(tmp_path)[0].name == "audit-20300317T174640Z-1.jsonl"


def test_each_day_has_a_file_of_its_own_also_over_a_restart(tmp_path: Path) -> None:
    first = opened(tmp_path, octets=0)
    first.write({"type": "x"})
    first.log.close()
    second = opened(tmp_path, octets=0)
    second.write({"type": "x"})
    assert len(files(tmp_path)) == 1
    second.clock.seconds += DAY
    second.write({"type": "y"})
    assert [path.read_bytes().count(b'"type":"y"') for path in files(tmp_path)] == [0, 1]
    assert broken(lines(tmp_path)) == []


def test_a_clock_that_was_set_back_opens_no_new_file(tmp_path: Path) -> None:
    bench = opened(tmp_path, octets=0)
    bench.write({"type": "x"})
    bench.clock.set_back(DAY)
    bench.write({"type": "x"})
    assert len(files(tmp_path)) == 1


def test_without_rotation_there_is_one_file_whatever_its_size_and_age(tmp_path: Path) -> None:
    bench = opened(tmp_path, octets=0, daily=False)
    for _ in range(50):
        bench.write({"type": "x", "pad": "y" * 250})
        bench.clock.seconds += DAY
    assert len(files(tmp_path)) == 1


def test_what_hinders_the_rotation_hinders_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = opened(tmp_path, octets=1000)
    monkeypatch.setattr("gateway.audit.file.os.link", _refuse)
    for number in range(20):
        assert bench.write({"type": "x", "n": number})
    assert len(files(tmp_path)) == 1
    monkeypatch.undo()
    assert bench.write({"type": "x", "n": 20})
    assert len(files(tmp_path)) == 2
    assert broken(lines(tmp_path)) == []


def test_a_name_that_is_taken_is_not_written_over(tmp_path: Path) -> None:
    bench = opened(tmp_path, octets=1000)
    taken = tmp_path / "audit-20300317T174640Z-1.jsonl"
    taken.write_bytes(b"mine\n")
    for number in range(20):
        assert bench.write({"type": "x", "n": number})
    assert taken.read_bytes() == b"mine\n"
    assert (tmp_path / FILE_NAME).read_bytes().count(b"\n") >= 20


def test_a_rotation_that_a_crash_interrupted_is_finished(tmp_path: Path) -> None:
    bench = opened(tmp_path, octets=1000)
    bench.write({"type": "x", "pad": "y" * 250})
    os.link(tmp_path / FILE_NAME, tmp_path / "audit-20300317T174640Z-1.jsonl")
    bench.writer.close_files()
    again = opened(tmp_path, octets=1000)
    for number in range(3):
        again.write({"type": "x", "pad": "y" * 250, "n": number})
    assert not files(tmp_path)[0].samefile(tmp_path / FILE_NAME)
    assert broken(lines(tmp_path)) == []


def test_a_torn_line_is_taken_back_before_the_file_is_left(tmp_path: Path, disk: FailingDisk) -> None:
    bench = opened(tmp_path, octets=500)
    bench.write({"type": "x", "pad": "y" * 200})
    disk.room, disk.truncate_error = 50, 5
    bench.write({"type": "x", "pad": "y" * 200})
    disk.room, disk.truncate_error = None, 0
    assert bench.retry()
    bench.write({"type": "x"})
    assert broken(lines(tmp_path)) == []
    assert len(files(tmp_path)) > 1
