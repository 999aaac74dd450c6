"""A log whose old records went by retention verifies; one from which somebody took them does not."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from gateway.audit.archive import rotated
from gateway.audit.log import FILE_NAME
from gateway.audit.place import AuditPlace
from gateway.audit.pruning import Pruner
from gateway.audit.reading import log_files, read_lines
from gateway.audit.retention import Retention
from gateway.audit.rotation import Rotation
from gateway.audit.verify import Verified, Verifier
from tests.audit.history import History


def verify(directory: Path, *, whole: bool = True) -> Verified:
    verifier = Verifier(whole=whole)
    for line in read_lines(log_files(directory)):
        verifier.take(line.octets, line.place)
    return verifier.end()


def aged(directory: Path, batches: int, *, final_days: int = 400) -> list[Path]:
    """Calls of each kind every 25 days, and what retention leaves of them; the files, oldest first."""
    history = History(directory, rotation=Rotation(daily=True))
    for _ in range(batches):
        history.some_calls(7)
        history.bench.clock.seconds += 25 * 86_400
    place = AuditPlace(directory, retention=Retention(90, final_days))
    asyncio.run(Pruner(lambda: place, history.bench.log, history.bench.clock.wall).once())
    return log_files(directory)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Four files, of which the oldest is thinned out."""
    return aged(tmp_path, 4)


def test_a_log_whose_old_detail_went_is_intact(files: list[Path]) -> None:
    assert any(b'"log.reduced"' in line.octets for line in read_lines(files[:1]))
    found = verify(files[0].parent)
    assert found.findings == []
    assert found.intact


def test_a_log_whose_oldest_file_went_is_intact_and_says_so(tmp_path: Path) -> None:
    aged(tmp_path, 5, final_days=110)
    found = verify(tmp_path)
    assert found.findings == []
    assert f"records before {found.first_seq} were let go, as a log.pruned record says" in found.remarks


def test_an_oldest_file_that_somebody_removed_is_told_where_the_log_begins(files: list[Path]) -> None:
    oldest, second, third = files[:3]
    oldest.unlink()
    finding = verify(second.parent).findings[0]
    assert finding.place == f"{second.name}:1"
    assert "it was taken out" in finding.words
    assert verify(third, whole=False).findings == [], "of a part of a log nothing else is to be expected"


def test_a_thinned_out_file_that_was_changed_afterwards_is_named(files: list[Path]) -> None:
    oldest = files[0]
    before, after = b'"log.reduced","first_seq"', b'"log.reduced", "first_seq"'
    oldest.write_bytes(oldest.read_bytes().replace(before, after))
    assert oldest.name in verify(oldest.parent).findings[0].place


def test_records_taken_out_behind_a_line_that_says_they_went_are_found(files: list[Path]) -> None:
    path = files[1]
    lines = path.read_bytes().splitlines(keepends=True)
    first, last = json.loads(lines[3]), json.loads(lines[5])
    forged = {**{name: last[name] for name in ("v", "seq", "ts", "mono_ns", "boot_id", "node")}, "type": "log.reduced"}
    ends = {"first_seq": first["seq"], "records": 3, "prev_hash": first["prev_hash"], "hash": last["hash"]}
    path.write_bytes(b"".join([*lines[:3], json.dumps(forged | ends).encode() + b"\n", *lines[6:]]))
    assert "no log.pruned record says that they went" in " ".join(f.words for f in verify(path.parent).findings)


def test_a_thinned_out_file_that_was_packed_afterwards_is_the_same_file(files: list[Path]) -> None:
    oldest = files[0]
    oldest.with_name(f"{oldest.name}.gz").write_bytes(gzip.compress(oldest.read_bytes()))
    oldest.unlink()
    assert verify(oldest.parent).findings == []


def test_a_file_of_each_day_is_one_log(tmp_path: Path) -> None:
    history = History(tmp_path, rotation=Rotation(daily=True))
    for _ in range(3):
        history.some_calls(3)
        history.bench.clock.seconds += 86_400
    history.stop()
    assert len(rotated(tmp_path / FILE_NAME)) >= 3
    assert verify(tmp_path).findings == []
