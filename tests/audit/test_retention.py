"""Records that are no longer kept: the log tells of it first, and what is left is still one chain."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.archive import opened, rotated
from gateway.audit.chain import Fault
from gateway.audit.log import FILE_NAME
from gateway.audit.place import AuditPlace
from gateway.audit.pruning import Pruner, marked, plan
from gateway.audit.query import Numbering
from gateway.audit.retention import Retention, reduced
from gateway.audit.rotation import Rotation
from gateway.audit.verify import Verified, Verifier
from tests.audit import samples
from tests.audit.audit_bench import AuditBench
from tests.audit.chained import broken
from tests.audit.disk import FailingDisk

DAY = 86_400


class Archive:
    """A log with a file a day, and who prunes it."""

    def __init__(self, directory: Path, **retention: Any) -> None:
        self.directory, self.days = directory, 0
        self.bench = AuditBench(directory, buffer_octets=1 << 20, rotation=Rotation(daily=True))
        self.place = AuditPlace(directory, retention=Retention(**retention))
        self.bench.log.open()

    def day(self, days: int = 1) -> None:
        """Every type of record, one call of them, then days go by."""
        self.days += 1
        ended = False
        for record in samples.every_record():
            if record["type"] != "call.final" or not ended:
                assert self.bench.write(record | ({"call_uid": f"day{self.days}"} if "call_uid" in record else {}))
            ended = ended or record["type"] == "call.final"
        self.bench.clock.seconds += days * DAY

    def prune(self) -> None:
        pruner = Pruner(lambda: self.place, self.bench.log, self.bench.clock.wall)
        asyncio.run(pruner.once())

    @property
    def files(self) -> list[Path]:
        return [*rotated(self.directory / FILE_NAME)[::-1], self.directory / FILE_NAME]

    @property
    def lines(self) -> list[bytes]:
        found = list[bytes]()
        for path in self.files:
            with opened(path) as stream:
                found += stream.readlines()
        return found

    def told(self) -> list[dict[str, Any]]:
        return [record for line in self.lines if (record := json.loads(line))["type"] == "log.pruned"]

    def verified(self) -> Verified:
        """What `audit verify` finds in the log as it is left."""
        verifier = Verifier()
        for path in self.files:
            with opened(path) as stream:
                for number, octets in enumerate(stream, 1):
                    verifier.take(octets, f"{path.name}:{number}")
        return verifier.end()

    def wrong(self) -> list[str]:
        """In words."""
        return [finding.line for finding in self.verified().findings]


def line(record: dict[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def test_the_detail_goes_first_and_the_ends_of_calls_stay_and_the_chain_holds(tmp_path: Path) -> None:
    archive = Archive(tmp_path, detail_days=90)
    archive.day(days=89)
    archive.prune()
    assert archive.told() == []
    archive.day(days=2)
    written = archive.files[0].stat().st_mtime_ns
    archive.prune()
    old = archive.files[0]
    assert old.stat().st_mtime_ns == written
    kinds = [json.loads(line)["type"] for line in old.read_bytes().splitlines()]
    assert old.name == "audit-20300317T174640Z-1.final.jsonl"
    assert set(kinds) == {"admin.start", "admin.stop", "policy.loaded", "call.final", "log.reduced"}
    assert kinds.count("call.final") == 1
    assert archive.wrong() == []


def test_what_stays_is_told_with_its_hash_before_the_rest_goes(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.day(days=91)
    archive.day()
    archive.prune()
    (told,) = archive.told()
    left = archive.files[0].read_bytes()
    assert (told["what"], told["file"]) == ("detail", archive.files[0].name)
    assert told["sha256"] == hashlib.sha256(left).hexdigest()
    assert told["kept"] == left.count(b"\n")
    assert told["head"] == json.loads(left.splitlines()[-1])["hash"]
    assert (told["first_seq"], told["last_seq"]) == (1, len(samples.every_record()) - 1)


def test_later_the_whole_file_goes_and_the_oldest_line_left_is_anchored(tmp_path: Path) -> None:
    archive = Archive(tmp_path, detail_days=90, final_days=400)
    for _ in range(5):
        archive.day(days=100)
        archive.prune()
    assert [record["what"] for record in archive.told()].count("all") == 1
    assert len(archive.files) == 5 - 1 + 1
    assert archive.wrong() == []
    first = json.loads(archive.lines[0])
    assert first["seq"] > 1
    assert f"records before {first['seq']} were let go, as a log.pruned record says" in archive.verified().remarks


def test_the_numbers_that_went_are_accounted_for(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.day(days=91)
    archive.day()
    archive.prune()
    numbering = Numbering()
    for line in archive.lines:
        numbering.take(json.loads(line))
    assert numbering.gaps == ()


def test_pruning_again_changes_nothing(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.day(days=91)
    archive.day()
    archive.prune()
    before = archive.lines
    archive.prune()
    assert archive.lines == before


def test_what_is_changed_in_the_rest_is_found(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.day(days=91)
    archive.day()
    archive.prune()
    lines = archive.lines
    assert broken(lines) == []
    kept = next(n for n, line in enumerate(lines) if b'"call.final"' in line)
    mark = next(n for n, line in enumerate(lines) if b'"log.reduced"' in line)
    assert broken([*lines[:kept], *lines[kept + 1 :]]) == [(kept + 1, Fault.UNLINKED)]
    assert broken([*lines[:mark], *lines[mark + 1 :]]) == [(mark + 1, Fault.UNLINKED)]
    turned = json.dumps(json.loads(lines[mark]) | {"hash": "0" * 64}).encode()
    assert broken([*lines[:mark], turned, *lines[mark + 1 :]]) == [(mark + 2, Fault.UNLINKED)]


def test_a_reduced_line_nobody_told_of_is_found(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.day()
    archive.day()
    old = archive.files[0]
    old.write_bytes(b"".join(reduced(old.read_bytes().splitlines(keepends=True))))
    assert any("no log.pruned record says" in words for words in archive.wrong())


def test_a_line_of_the_rest_that_was_taken_out_with_its_neighbours_is_found_by_the_hash_of_the_file(
    tmp_path: Path,
) -> None:
    archive = Archive(tmp_path)
    archive.day(days=91)
    archive.day()
    archive.prune()
    assert archive.wrong() == []
    old = archive.files[0]
    lines = old.read_bytes().splitlines(keepends=True)
    final = next(n for n, line in enumerate(lines) if b'"call.final"' in line)
    before, after = json.loads(lines[final]), json.loads(lines[final + 1])
    mark = {**after, "prev_hash": before["prev_hash"], "first_seq": before["seq"]}
    assert after["type"] in ("call.final", "log.reduced")
    mark["type"], mark["hash"] = "log.reduced", after["hash"]
    old.write_bytes(b"".join([*lines[:final], line(mark), *lines[final + 2 :]]))
    assert any("it is not what was left" in words for words in archive.wrong())


def test_an_old_file_removed_without_a_word_is_found_when_the_log_tells_of_another(tmp_path: Path) -> None:
    archive = Archive(tmp_path, detail_days=90, final_days=100)
    for _ in range(4):
        archive.day(days=60)
        archive.prune()
    assert archive.wrong() == []
    assert archive.verified().first_seq > 1
    first = archive.files[0]
    first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[1:]))
    assert any("are gone, and no log.pruned record says so" in words for words in archive.wrong())


def test_reducing_what_was_reduced_changes_nothing() -> None:
    lines = [line({"seq": n, "type": "leg.secured", "hash": "a" * 64}) for n in range(1, 4)]
    once = list(reduced(lines))
    assert len(once) == 1
    assert list(reduced(once)) == once


def test_what_is_no_record_stays(tmp_path: Path) -> None:
    junk = [b"garbage\n", b'{"type":"leg.secured"', b"\xff\n", b"[1]\n"]
    assert list(reduced(junk)) == junk


def test_records_from_before_the_chain_go_without_a_line_in_their_place() -> None:
    old = [line({"v": 1, "seq": 1, "type": "leg.secured"}), line({"v": 1, "seq": 2, "type": "call.final"})]
    assert list(reduced(old)) == old[1:]


def test_while_a_legal_hold_is_on_nothing_goes(tmp_path: Path) -> None:
    archive = Archive(tmp_path, hold=True)
    archive.day(days=1000)
    archive.day()
    before = archive.lines
    archive.prune()
    assert archive.lines == before


def test_nothing_goes_while_the_log_cannot_tell_of_it(tmp_path: Path, disk: FailingDisk) -> None:
    archive = Archive(tmp_path)
    archive.day(days=91)
    archive.day()
    archive.bench.clock.seconds += DAY
    before = archive.lines
    disk.error = 28
    archive.prune()
    assert archive.lines == before
    disk.error = 0
    assert archive.bench.retry()
    archive.prune()
    assert archive.wrong() == []


def test_packed_files_stay_packed(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.day(days=91)
    archive.day()
    old = archive.files[0]
    packed = old.with_name(old.name + ".gz")
    packed.write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()
    archive.prune()
    assert archive.files[0].name == "audit-20300317T174640Z-1.final.jsonl.gz"
    with gzip.open(archive.files[0]) as stream:
        assert hashlib.sha256(stream.read()).hexdigest() == archive.told()[0]["sha256"]
    assert archive.wrong() == []


def test_what_a_crash_left_half_done_is_done_again(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.day(days=91)
    archive.day()
    (tmp_path / "audit-20300317T174640Z-1.reducing").write_bytes(b"half")
    old = archive.files[0]
    step = plan(old, datetime.fromtimestamp(archive.bench.clock.wall(), tz=UTC), archive.place.retention)
    assert step is not None
    assert step.beside is not None
    step.beside.replace(old)  # the crash came before the new name
    archive.prune()
    assert archive.files[0].name == marked(old.name)
    assert archive.wrong() == []
    assert not list(tmp_path.glob("*.reducing"))


@pytest.mark.parametrize("hold", [False, True])
def test_who_is_who_is_forgotten_with_the_last_record_of_a_month(tmp_path: Path, hold: bool) -> None:
    archive = Archive(tmp_path, detail_days=90, final_days=100, hold=hold)
    months = ("2030-03", "2030-04", "2030-06", "2030-07")
    for month in months:
        (tmp_path / f"people-{month}.jsonl").write_bytes(b"")
    archive.day(days=200)  # it is October 2030; what was written before 25 June went
    archive.prune()
    left = {path.name for path in tmp_path.glob("people-*.jsonl")}
    assert left == {f"people-{month}.jsonl" for month in (months if hold else months[2:])}
