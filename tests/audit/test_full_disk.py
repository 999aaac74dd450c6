"""A disk that is really full: the kernel says so, not the test. Mounting one needs root."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.log import FILE_NAME
from gateway.audit.place import MEBIBYTE
from tests.audit.audit_bench import AuditBench

SIZE = 64 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for some hundred records."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root; tests/audit/test_recovery.py does it with a fake disk")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount (a container without CAP_SYS_ADMIN)")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Use up what is left."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as handle:
        for size in (4096, 1):
            try:
                while True:
                    handle.write(b"x" * size)
            except OSError:
                continue
    return ballast


def records(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / FILE_NAME).read_bytes().splitlines()]


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "killed"])
def test_what_a_full_disk_lost_is_told_of_after_a_stop_and_a_start(small_disk: Path, orderly: bool) -> None:
    bench = AuditBench(small_disk, buffer_octets=MEBIBYTE)
    bench.log.open()
    assert bench.write({"type": "call.start", "call_uid": "one"})
    ballast = fill(small_disk)
    while bench.write({"type": "x", "pad": "y" * 200}):
        pass  # what is left of the last page of the log
    for _ in range(5):
        assert not bench.write({"type": "x"})
    last = records(small_disk)[-1]["seq"]
    if orderly:
        bench.log.close()
    else:
        bench.writer.close_files()
    ballast.unlink()

    again = AuditBench(small_disk, buffer_octets=MEBIBYTE)
    again.log.open()
    told = [r for r in records(small_disk) if r["type"] == "log.dropped"]
    assert [(r["first_seq"], r["last_seq"], r["dropped"]) for r in told] == [(last + 1, last + 6, 6)]
    seqs = [r["seq"] for r in records(small_disk)]
    assert seqs == sorted(set(seqs))
    assert again.log.recovered == 1
    again.log.close()


def test_every_line_of_a_disk_that_filled_up_is_whole(small_disk: Path) -> None:
    bench = AuditBench(small_disk, buffer_octets=MEBIBYTE)
    bench.log.open()
    bench.write({"type": "x", "n": 0})
    fill(small_disk)
    for number in range(1, 200):
        bench.write({"type": "x", "n": number})
    assert not bench.log.available
    assert [r["n"] for r in records(small_disk)] == list(range(len(records(small_disk))))
    assert (small_disk / FILE_NAME).read_bytes().endswith(b"\n")
    bench.log.close()
