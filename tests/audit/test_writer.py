"""The writing threads: order, durability, and an end that waits for no disk."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.audit.log import FILE_NAME, AuditLog
from gateway.audit.place import AuditPlace
from gateway.audit.sequence import FILE_NAME as SEQUENCE_NAME
from gateway.base.counters import Counters
from tests.audit.chained import broken
from tests.audit.disk import FailingDisk

pytestmark = pytest.mark.asyncio
WAIT = 5.0


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[AuditLog]:
    loop = asyncio.get_running_loop()
    made = AuditLog(AuditPlace(tmp_path), Counters(), deliver=loop.call_soon_threadsafe)
    made.open()
    yield made
    made.close()


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / FILE_NAME).read_bytes().splitlines()]


async def written(log: AuditLog, record: dict[str, object]) -> bool:
    """Write a record and wait for it."""
    told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    log.write(record, told.set_result)
    return await asyncio.wait_for(told, WAIT)


async def test_a_record_is_in_the_file_when_its_writer_is_told(log: AuditLog, tmp_path: Path) -> None:
    for number in range(20):
        assert await written(log, {"type": "x", "n": number})
        assert lines(tmp_path)[-1]["n"] == number


async def test_many_records_keep_their_order(log: AuditLog, tmp_path: Path) -> None:
    for number in range(2000):
        log.write({"type": "x", "n": number})
    assert await written(log, {"type": "x", "n": 2000})
    found = lines(tmp_path)
    assert [record["n"] for record in found if record["type"] == "x"] == list(range(2001))
    assert [record["seq"] for record in found] == list(range(1, len(found) + 1))
    assert broken((tmp_path / FILE_NAME).read_bytes().splitlines(keepends=True)) == []


async def test_what_one_step_of_the_loop_writes_goes_to_the_disk_together(tmp_path: Path, disk: FailingDisk) -> None:
    loop = asyncio.get_running_loop()
    log = AuditLog(AuditPlace(tmp_path), Counters(), deliver=loop.call_soon_threadsafe, soon=loop.call_soon)
    log.open()
    for number in range(10):
        log.write({"type": "x", "n": number})
    assert await written(log, {"type": "x", "n": 10})
    assert [data.count(b"\n") for data in disk.writes] == [11]
    log.write({"type": "x", "n": 11})
    assert log.close()  # also what was not handed over yet
    assert [record["n"] for record in lines(tmp_path)] == list(range(12))


async def test_the_loop_goes_on_while_the_disk_hangs(log: AuditLog, disk: FailingDisk) -> None:
    disk.answers.clear()
    log.write({"type": "x"})
    await asyncio.to_thread(disk.asked.wait, WAIT)
    assert log.available
    disk.answers.set()
    assert await written(log, {"type": "y"})


async def test_what_is_written_is_made_durable_without_asking_and_many_lines_at_a_time(
    log: AuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []
    done = threading.Event()
    real = os.fsync

    def fsync(fd: int) -> None:
        real(fd)
        status = os.fstat(fd)
        synced.append((status.st_ino, status.st_size))
        if (tmp_path / FILE_NAME).stat().st_size == status.st_size:
            done.set()

    monkeypatch.setattr("gateway.audit.writer.os.fsync", fsync)
    for number in range(50):
        assert await written(log, {"type": "x", "n": number})
    assert await asyncio.to_thread(done.wait, WAIT)
    status = (tmp_path / FILE_NAME).stat()
    assert (status.st_ino, status.st_size) in synced
    assert len(synced) < 50


async def test_the_number_of_the_last_line_is_kept_beside_the_log(log: AuditLog, tmp_path: Path) -> None:
    for _ in range(3):
        await written(log, {"type": "x"})
    assert log.close()
    assert json.loads((tmp_path / SEQUENCE_NAME).read_bytes()) == {"written": 3, "given": 3}


async def test_closing_does_not_wait_for_a_disk_that_hangs(
    log: AuditLog, disk: FailingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.audit.log.CLOSE_SECONDS", 0.2)
    disk.answers.clear()
    log.write({"type": "x"})
    await asyncio.to_thread(disk.asked.wait, WAIT)
    assert not log.close()
    disk.answers.set()


async def test_the_numbers_of_what_hangs_are_kept_by_a_thread_that_does_not(
    log: AuditLog, disk: FailingDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.audit.log.CLOSE_SECONDS", 0.5)
    await written(log, {"type": "x"})
    disk.answers.clear()
    for _ in range(4):
        log.write({"type": "x"})
    await asyncio.to_thread(disk.asked.wait, WAIT)
    assert not log.close()
    assert json.loads((tmp_path / SEQUENCE_NAME).read_bytes()) == {"written": 1, "given": 5}
    disk.answers.set()


async def test_an_outcome_that_comes_after_the_loop_was_closed_is_nobodys(tmp_path: Path) -> None:
    def closed(_told: object) -> None:
        raise RuntimeError("Event loop is closed")

    log = AuditLog(AuditPlace(tmp_path), Counters(), deliver=closed)
    log.open()
    log.write({"type": "x"})
    assert log.close()
    assert len(lines(tmp_path)) == 1


async def test_a_log_that_was_never_opened_can_be_closed(tmp_path: Path) -> None:
    assert AuditLog(AuditPlace(tmp_path), Counters(), deliver=lambda _told: None).close()


async def test_neither_thread_nor_file_is_left_when_the_log_is_closed(tmp_path: Path) -> None:
    log = AuditLog(AuditPlace(tmp_path), Counters(), deliver=asyncio.get_running_loop().call_soon_threadsafe)
    before, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    log.open()
    assert threading.active_count() == before + 2
    assert log.close()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (before, files)
