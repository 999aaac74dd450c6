"""A gateway that is killed while fifty calls live: the log is whole, and each call has one end after the next start."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter as Tally
from pathlib import Path

import pytest

from gateway.audit.archive import rotated
from gateway.audit.log import FILE_NAME, AuditLog
from gateway.audit.place import MEBIBYTE, AuditPlace
from gateway.audit.rotation import Rotation
from gateway.base.counters import Counters
from tests.audit.chained import verified

CALLS = 50
DEADLINE = 30.0

PROGRAM = f"""
import asyncio, sys
from tests.audit.test_killed import live
asyncio.run(live(sys.argv[1], {CALLS}))
"""


def place(directory: str) -> AuditPlace:
    rotation = Rotation(octets=MEBIBYTE // 8)
    return AuditPlace(Path(directory), buffer_octets=8 * MEBIBYTE, rotation=rotation, pseudonyms=True)


async def live(directory: str, calls: int) -> None:
    """Calls that begin, have legs and end, so many at a time, until somebody ends this."""
    loop = asyncio.get_running_loop()
    log = AuditLog(place(directory), Counters(), deliver=loop.call_soon_threadsafe, soon=loop.call_soon)
    log.open()
    log.write({"type": "admin.start", "recovered": log.recovered})
    await asyncio.gather(*(_calls(log, number) for number in range(calls)))


async def _calls(log: AuditLog, number: int) -> None:
    turn = 0
    while True:
        turn += 1
        uid = f"{os.getpid()}x{number}x{turn}"
        for kind in ("call.start", "leg.secured", "leg.downgraded", "call.final"):
            written = asyncio.get_running_loop().create_future()
            log.write({"type": kind, "call_uid": uid, "user": f"user{number}", "leg": "trunk"}, written.set_result)
            await written
            log.watch()


@pytest.mark.parametrize("octets", [20_000, 400_000], ids=["at-once", "in-full-flight"])
def test_after_a_kill_the_log_verifies_and_every_call_has_one_end(tmp_path: Path, octets: int) -> None:
    kinds = Tally[str]()
    for _ in range(2):  # the second start finds what the first left, and is killed too
        _run_and_kill(tmp_path, octets)
    loop = asyncio.new_event_loop()
    log = AuditLog(place(str(tmp_path)), Counters(), deliver=loop.call_soon_threadsafe)
    log.open()
    log.close()
    loop.close()
    files = [*rotated(tmp_path / FILE_NAME)[::-1], tmp_path / FILE_NAME]
    lines = [line for path in files for line in path.read_bytes().splitlines(keepends=True)]
    assert verified(lines, tmp_path / "audit.key") == []
    records = [json.loads(line) for line in lines]
    kinds.update(record["type"] for record in records)
    assert kinds["call.start"] == kinds["call.final"]
    ends = Tally(record["call_uid"] for record in records if record["type"] == "call.final")
    assert set(ends.values()) == {1}
    crashed = [record for record in records if record.get("termination") == "crash"]
    assert 0 < len(crashed) <= 2 * CALLS
    assert sum(record.get("cause") == "crash" for record in records) == 2
    assert kinds["log.checkpoint"] > 0


def _run_and_kill(directory: Path, octets: int) -> None:
    """Let it live until it has written so much more, then end it without a word."""
    before = _written(directory)
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(directory)], stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + DEADLINE
            while _written(directory) < before + octets and time.monotonic() < end and process.poll() is None:
                time.sleep(0.005)
            assert process.poll() is None
        finally:
            os.kill(process.pid, signal.SIGKILL)


def _written(directory: Path) -> int:
    found = 0
    for path in directory.glob("audit*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # it was given its last name in this moment
            found += path.stat().st_size
    return found
