from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.chain import GENESIS, Link, examine
from gateway.audit.line import MAX_LINE
from gateway.audit.log import DEADLINE_SECONDS, FILE_NAME, MAX_BATCH, NEW_CALL_SHARE
from gateway.audit.place import MEBIBYTE
from gateway.base.counters import Counter
from gateway.base.errors import ConfigError
from tests.audit.audit_bench import BUFFER_OCTETS, AuditBench
from tests.audit.disk import FailingDisk
from tests.audit.samples import every_record
from tests.audit.test_clean import ANY_TEXT, ANYTHING


@pytest.fixture
def bench(tmp_path: Path) -> AuditBench:
    made = AuditBench(tmp_path / "log")
    made.log.open()
    return made


def fill(bench: AuditBench, limit: int = 1000) -> int:
    """Write until the log wants no new calls; how many records that took."""
    for count in range(1, limit):
        bench.write({"type": "call.start", "number": count})
        if not bench.accepts():
            return count
    raise AssertionError("the log never refused")


def test_a_record_becomes_one_line_that_says_when_where_and_in_which_order(bench: AuditBench) -> None:
    assert bench.write({"type": "admin.start", "version": "1"})
    assert bench.write({"type": "admin.stop"})
    first, second = bench.records
    envelope = ["v", "seq", "ts", "mono_ns", "boot_id", "node", "type"]
    assert list(first) == [*envelope, "version", "prev_hash", "hash"]
    assert (first["v"], first["seq"], second["seq"]) == (2, 1, 2)
    assert first["ts"] == "2030-03-17T17:46:40.250000Z"
    assert first["mono_ns"] == 1_000_000_000_000
    assert bench.accepts()


def test_a_record_cannot_forge_its_place_in_the_log(bench: AuditBench) -> None:
    forged = {"seq": 99, "ts": "yesterday", "v": 7, "node": "elsewhere", "prev_hash": "1" * 64, "hash": "2" * 64}
    bench.write({"type": "x"} | forged)
    (record,) = bench.records
    assert (record["seq"], record["v"], record["prev_hash"]) == (1, 2, GENESIS)
    assert not examine(bench.lines[0], Link()).faults
    assert record["ts"].startswith("2030-")


def test_every_type_of_record_is_written_and_read_back_unchanged(bench: AuditBench) -> None:
    for record in every_record():
        assert bench.write(record)
    for written, record in zip(bench.records, every_record(), strict=True):
        assert {key: written[key] for key in record} == record


def test_the_directory_is_made_for_the_gateway_alone(tmp_path: Path) -> None:
    bench = AuditBench(tmp_path / "a" / "b")
    bench.log.open()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b" / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_made_stops_the_gateway_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="the audit log cannot be written") as caught:
        AuditBench(tmp_path / "file" / "log").log.open()
    assert caught.value.key == "audit.directory"
    assert caught.value.remedy


def test_a_second_gateway_on_the_same_log_does_not_start(bench: AuditBench) -> None:
    with pytest.raises(ConfigError, match="another process writes this log"):
        AuditBench(bench.directory).log.open()


def test_a_restart_goes_on_counting(bench: AuditBench) -> None:
    bench.write({"type": "admin.start"})
    bench.write({"type": "admin.stop"})
    bench.log.close()
    again = AuditBench(bench.directory)
    again.log.open()
    again.write({"type": "admin.start"})
    assert [record["seq"] for record in again.records] == [1, 2, 3]


def test_a_line_torn_by_a_crash_is_moved_into_a_record(bench: AuditBench) -> None:
    bench.write({"type": "admin.start"})
    bench.log.close()
    with (bench.directory / FILE_NAME).open("ab") as handle:
        handle.write(b'{"v":1,"seq":2,"type":"call.fin\xff\x1b')
    again = AuditBench(bench.directory)
    again.log.open()
    _, recovered, _ = again.records
    assert (recovered["type"], recovered["cause"], recovered["seq"]) == ("log.recovered", "torn_line", 2)
    assert recovered["octets"] == 33
    assert recovered["fragment"] == '{"v":1,"seq":2,"type":"call.fin\ufffd\\x1b'


def test_a_torn_line_that_cannot_be_recorded_stops_the_start(tmp_path: Path, disk: FailingDisk) -> None:
    (tmp_path / FILE_NAME).write_bytes(b'{"seq":1')
    disk.error = errno.ENOSPC
    with pytest.raises(ConfigError, match="No space left"):
        AuditBench(tmp_path).log.open()


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_records_wait_in_memory_and_follow_in_order_when_the_disk_is_back(
    bench: AuditBench, disk: FailingDisk, failure: int
) -> None:
    assert bench.write({"type": "a"})
    disk.error = failure
    assert not bench.write({"type": "b"})
    assert not bench.write({"type": "c"})
    assert bench.accepts()
    assert bench.types() == ["a"]
    bench.clock.seconds = 5
    disk.error = 0
    assert bench.write({"type": "d"})
    assert bench.types() == ["a", "b", "c", "d", "log.recovered"]
    assert [record["seq"] for record in bench.records] == [1, 2, 3, 4, 5]
    recovered = bench.records[4]
    assert (recovered["buffered"], recovered["dropped"], recovered["seconds"]) == (2, 0, 5.0)
    assert bench.records[1]["mono_ns"] == 1_000_000_000_000, "a record keeps the time it was made"
    assert bench.counters[Counter.AUDIT_BUFFERED] == 2


def test_a_full_buffer_refuses_new_calls_and_keeps_room_for_the_running_ones(
    bench: AuditBench, disk: FailingDisk
) -> None:
    disk.error = errno.ENOSPC
    taken = fill(bench)
    assert bench.counters[Counter.AUDIT_DROPPED] == 0
    assert taken == bench.counters[Counter.AUDIT_BUFFERED]
    for _ in range(int(taken * (1 - NEW_CALL_SHARE) / NEW_CALL_SHARE) - 1):
        bench.write({"type": "call.final"})
    assert bench.counters[Counter.AUDIT_DROPPED] == 0


def test_what_does_not_fit_is_counted_and_the_log_is_told(bench: AuditBench, disk: FailingDisk) -> None:
    disk.error = errno.ENOSPC
    total = 200
    for number in range(total):
        bench.write({"type": "x", "number": number})
    dropped = bench.counters[Counter.AUDIT_DROPPED]
    kept = bench.counters[Counter.AUDIT_BUFFERED]
    assert dropped > 0
    assert dropped + kept == total
    disk.error = 0
    assert bench.retry()
    assert bench.types() == ["x"] * kept + ["log.dropped", "log.recovered"]
    assert [record["number"] for record in bench.records[:kept]] == list(range(kept)), "the oldest are kept"
    lost, recovered = bench.records[-2:]
    assert (lost["dropped"], lost["first_seq"], lost["last_seq"]) == (dropped, kept + 1, total)
    assert (recovered["buffered"], recovered["dropped"]) == (kept, dropped)
    assert bench.accepts()


def test_the_memory_held_while_the_disk_is_full_has_a_limit(bench: AuditBench, disk: FailingDisk) -> None:
    disk.error = errno.ENOSPC
    for _ in range(500):
        bench.write({"type": "x", "text": "y" * 200})
    disk.error = 0
    bench.retry()
    held = sum(len(line) for line, record in zip(bench.lines, bench.records, strict=True) if record["type"] == "x")
    assert held <= BUFFER_OCTETS


def test_refuse_new_wants_no_new_call_from_the_first_failure_on(tmp_path: Path, disk: FailingDisk) -> None:
    bench = AuditBench(tmp_path, refuses_at_once=True)
    bench.log.open()
    assert bench.accepts()
    disk.error = errno.EIO
    assert not bench.write({"type": "x"})
    assert not bench.accepts()
    disk.error = 0
    assert bench.retry()
    assert bench.accepts()
    assert bench.types() == ["x", "log.recovered"]


def test_asking_for_a_new_call_tries_the_disk_again_but_not_more_than_once_a_second(
    tmp_path: Path, disk: FailingDisk
) -> None:
    bench = AuditBench(tmp_path, refuses_at_once=True)
    bench.log.open()
    disk.error = errno.EIO
    bench.write({"type": "x"})
    attempts = len(disk.writes)
    assert [bench.accepts() for _ in range(100)] == [False] * 100
    assert len(disk.writes) == attempts
    bench.clock.seconds += 1
    assert [bench.accepts() for _ in range(100)] == [False] * 100
    assert len(disk.writes) == attempts + 1
    disk.error = 0
    assert not bench.accepts()
    bench.clock.seconds += 1
    assert bench.accepts()


def test_a_deleted_directory_is_an_outage_and_a_restored_one_ends_it(bench: AuditBench) -> None:
    bench.write({"type": "before"})
    shutil.rmtree(bench.directory)
    assert not bench.write({"type": "meanwhile"})
    fill(bench)
    assert not bench.accepts()
    bench.directory.mkdir()
    bench.clock.seconds += 2
    assert bench.accepts()
    assert bench.types()[0] == "meanwhile"
    assert bench.types()[-1] == "log.recovered"
    assert (bench.directory / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_directory_replaced_by_a_file_is_an_outage(bench: AuditBench) -> None:
    shutil.rmtree(bench.directory)
    bench.directory.write_text("in the way")
    assert not bench.write({"type": "x"})
    bench.directory.unlink()
    bench.directory.mkdir()
    assert bench.write({"type": "y"})
    assert bench.types() == ["x", "y", "log.recovered"]


def test_rotation_loses_nothing_and_is_no_outage(bench: AuditBench) -> None:
    bench.write({"type": "one"})
    rotated = bench.directory / "audit.jsonl.1"
    (bench.directory / FILE_NAME).rename(rotated)
    assert bench.write({"type": "two"})
    assert [record["seq"] for record in bench.records] == [2]
    assert json.loads(rotated.read_bytes())["seq"] == 1


def test_a_file_restored_with_a_torn_line_is_mended_while_running(bench: AuditBench) -> None:
    bench.write({"type": "one"})
    (bench.directory / FILE_NAME).rename(bench.directory / "moved")
    (bench.directory / FILE_NAME).write_bytes(b'{"seq":40,"type":"old"}\n{"seq":41')
    assert bench.write({"type": "two"})
    assert bench.write({"type": "three"})
    assert bench.types() == ["old", "two", "log.recovered", "three"]
    assert [record["seq"] for record in bench.records] == [40, 2, 41, 42]


WIDE = {"type": "x", "wide": [["\U0001f600" * 256] * 10]}
"""A record that has no place beside another in the small buffer of a bench."""


def test_a_loss_is_reported_once_even_if_the_disk_fails_between_the_reports(
    bench: AuditBench, disk: FailingDisk
) -> None:
    disk.error = errno.EIO
    assert not bench.write({"type": "w"})
    assert not bench.write(WIDE)
    assert bench.counters[Counter.AUDIT_DROPPED] == 1
    disk.good_writes = 1
    assert not bench.retry()
    disk.room = 0
    assert not bench.retry()
    assert bench.types() == ["w"]
    disk.error, disk.room = 0, None
    assert bench.retry()
    assert bench.types() == ["w", "log.dropped", "log.recovered"]
    assert [record["seq"] for record in bench.records] == [1, 3, 4], "reports that failed leave no gap of their own"


def test_what_is_lost_while_the_end_of_an_outage_is_being_written_is_told_of_too(
    bench: AuditBench, disk: FailingDisk
) -> None:
    disk.error = errno.EIO
    bench.write({"type": "w"})
    bench.write(WIDE)
    disk.good_writes = 1
    assert not bench.retry()
    bench.write(WIDE)
    disk.error = 0
    assert bench.retry()
    assert bench.types() == ["w", "log.dropped", "log.recovered", "log.dropped", "log.recovered"]
    spans = [(r["first_seq"], r["last_seq"]) for r in bench.records if r["type"] == "log.dropped"]
    assert spans == [(2, 2), (5, 5)]
    assert [record["seq"] for record in bench.records] == [1, 3, 4, 6, 7]


def test_nothing_is_taken_between_a_loss_and_the_line_that_tells_of_it(bench: AuditBench, disk: FailingDisk) -> None:
    """Numbers that are missing stand in one row, so that a stop in the middle of an outage can be accounted for."""
    disk.error = errno.EIO
    for record in ({"type": "w"}, WIDE, {"type": "small"}):
        bench.write(record)
    disk.error = 0
    assert bench.retry()
    assert bench.types() == ["w", "log.dropped", "log.recovered"]
    assert (bench.records[1]["first_seq"], bench.records[1]["last_seq"]) == (2, 3)


def test_a_line_longer_than_the_whole_buffer_is_written_when_the_disk_is_well(bench: AuditBench) -> None:
    assert bench.write(WIDE)
    assert bench.log.available


def test_one_lost_record_is_enough_to_refuse_new_calls(bench: AuditBench, disk: FailingDisk) -> None:
    disk.error = errno.EIO
    assert not bench.write({"type": "w"})
    assert bench.accepts()
    assert not bench.write(WIDE)
    assert not bench.accepts()


def test_a_second_outage_has_the_whole_buffer_again(bench: AuditBench, disk: FailingDisk) -> None:
    disk.error = errno.EIO
    first = fill(bench)
    disk.error = 0
    assert bench.retry()
    bench.clock.seconds += 5
    disk.error = errno.EIO
    assert abs(fill(bench) - first) <= 1


def test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_no_half_line(bench: AuditBench, disk: FailingDisk) -> None:
    bench.write({"type": "one"})
    disk.room = 10
    assert not bench.write({"type": "two"})
    assert bench.types() == ["one"]
    disk.room = None
    assert bench.write({"type": "three"})
    assert bench.types() == ["one", "two", "three", "log.recovered"]


def test_an_outage_that_ends_only_for_a_moment_is_reported_once_it_is_over(
    bench: AuditBench, disk: FailingDisk
) -> None:
    disk.error = errno.EIO
    for number in range(200):
        bench.write({"type": "x", "number": number})
    disk.error = 0
    disk.room = 600
    assert not bench.retry()
    assert "log.recovered" not in bench.types()
    disk.room = None
    assert bench.retry()
    assert bench.types().count("log.recovered") == bench.types().count("log.dropped") == 1
    seqs = [record["seq"] for record in bench.records]
    assert seqs == sorted(set(seqs))


def test_the_alarm_about_an_outage_does_not_depend_on_the_log(
    bench: AuditBench, disk: FailingDisk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.error = errno.ENOSPC
    for _ in range(3):
        bench.write({"type": "x"})
    assert [r.getMessage() for r in caplog.records] == [
        "audit state=available->unavailable error=No space left on device"
    ]


def test_a_record_too_long_for_a_line_keeps_who_it_was_about(bench: AuditBench) -> None:
    wide = {f"field{n}": ["\U0001f600" * 256] * 64 for n in range(60)}
    assert bench.write({"type": "call.start", "call_uid": "c1", **wide})
    (record,) = bench.records
    assert (record["type"], record["call_uid"]) == ("call.start", "c1")
    assert record["oversize"] > MAX_LINE
    assert len(bench.lines[0]) <= MAX_LINE


def test_a_real_file_size_limit_leaves_whole_lines_only(tmp_path: Path) -> None:
    """The kernel makes the short write here, not the test."""
    program = f"""
import resource
from pathlib import Path
from tests.audit.audit_bench import inline_log
log = inline_log(Path({str(tmp_path)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
told = []
for n in range(20):
    log.write({{"type": "x", "n": n}}, told.append)
written = sum(told)
assert 0 < written < 20, written
data = Path({str(tmp_path)!r}, "audit.jsonl").read_bytes()
assert data.endswith(b"\\n") and data.count(b"\\n") == written, data
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write({{"type": "x", "n": 20}})
assert log.available
log.close()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    records = [json.loads(line) for line in (tmp_path / FILE_NAME).read_bytes().splitlines()]
    assert [r["n"] for r in records if r["type"] == "x"] == list(range(21))
    assert records[-1]["type"] == "log.recovered"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> AuditBench:
    made = AuditBench(tmp_path_factory.mktemp("shared"))
    made.log.open()
    return made


@given(record=st.dictionaries(ANY_TEXT, ANYTHING, max_size=5))
def test_exactly_one_record_per_line_whatever_the_strings_contain(
    shared: AuditBench, record: dict[str, object]
) -> None:
    path = shared.directory / FILE_NAME
    before = path.stat().st_size
    assert shared.write(record)
    with path.open("rb") as handle:
        handle.seek(before)
        line = handle.read()
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert len(line.decode("ascii").splitlines()) == 1
    json.loads(line)


@pytest.mark.parametrize("text", ["a\r\nb", "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e", "\ud83d", "\x00", "U" * 1_000_000])
def test_hostile_text_stays_in_its_line(bench: AuditBench, text: str) -> None:
    assert bench.write({"type": "call.start", "user_agent": text})
    (line,) = bench.lines
    assert len(line.decode("utf-8").splitlines()) == 1
    assert len(line) < 4096
    json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8")  # no lone surrogate is left to choke a reader


def told(bench: AuditBench, record: dict[str, object]) -> list[bool]:
    """Write a record; the list that will hold what became of it."""
    answers: list[bool] = []
    bench.log.write(record, answers.append)
    return answers


def test_who_waits_for_a_record_is_told_when_it_is_written(bench: AuditBench) -> None:
    bench.writer.hangs = True
    first, second = told(bench, {"type": "a"}), told(bench, {"type": "b"})
    assert (first, second) == ([], [])
    bench.writer.answer()
    assert (first, second) == ([True], [True])
    assert bench.types() == ["a", "b"]
    assert bench.counters[Counter.AUDIT_BUFFERED] == 0


def test_a_disk_that_does_not_answer_is_waited_for_until_the_deadline_and_no_longer(bench: AuditBench) -> None:
    bench.writer.hangs = True
    first = told(bench, {"type": "a"})
    bench.clock.seconds += int(DEADLINE_SECONDS) - 1
    bench.log.watch()
    assert first == []
    late = told(bench, {"type": "b"})
    bench.clock.seconds += 1
    bench.log.watch()
    assert (first, late) == ([False], [False])
    assert told(bench, {"type": "c"}) == [False], "nobody waits for a disk known to hang"
    assert bench.accepts()
    bench.writer.answer()
    assert bench.types() == ["a", "b", "c", "log.recovered"]
    assert (bench.records[3]["reason"], bench.records[3]["buffered"]) == ("the disk does not answer", 3)
    assert told(bench, {"type": "d"}) == [True]


def test_a_record_is_told_of_once(bench: AuditBench) -> None:
    bench.writer.hangs = True
    first = told(bench, {"type": "a"})
    for _ in range(5):
        bench.clock.seconds += 1
        bench.log.watch()
    bench.writer.answer()
    assert first == [False]


def test_refuse_new_wants_no_new_call_as_soon_as_the_deadline_has_passed(tmp_path: Path) -> None:
    bench = AuditBench(tmp_path, refuses_at_once=True)
    bench.log.open()
    bench.writer.hangs = True
    bench.write({"type": "a"})
    assert bench.accepts()
    bench.clock.seconds += int(DEADLINE_SECONDS)
    bench.log.watch()
    assert not bench.accepts()
    bench.writer.answer()
    assert bench.accepts()


def test_the_memory_held_while_the_disk_hangs_has_a_limit(bench: AuditBench) -> None:
    bench.writer.hangs = True
    for _ in range(500):
        bench.write({"type": "x", "text": "y" * 200})
    assert bench.counters[Counter.AUDIT_DROPPED] > 400
    bench.writer.answer()
    assert bench.retry()
    (lost,) = [r for r in bench.records if r["type"] == "log.dropped"]
    kept = [r["seq"] for r in bench.records if r["type"] == "x"]
    assert kept == list(range(1, lost["first_seq"]))
    assert lost["last_seq"] == 500


def test_a_disk_that_is_slow_rather_than_dead_is_waited_for(bench: AuditBench) -> None:
    answers: list[list[bool]] = []
    for number in range(5):
        bench.writer.hangs = True
        answers.append(told(bench, {"type": "x", "n": number}))
        bench.clock.seconds += 1
        bench.log.watch()
        bench.writer.answer()
    assert answers == [[True]] * 5
    assert bench.log.available


def test_records_made_while_the_writer_is_busy_go_to_it_together(bench: AuditBench, disk: FailingDisk) -> None:
    bench.writer.hangs = True
    for number in range(10):
        bench.write({"type": "x", "n": number})
    bench.writer.answer()
    assert [data.count(b"\n") for data in disk.writes] == [1, 9]
    assert [record["n"] for record in bench.records] == list(range(10))


def test_a_backlog_is_written_in_pieces(tmp_path: Path, disk: FailingDisk) -> None:
    bench = AuditBench(tmp_path, buffer_octets=MEBIBYTE)
    bench.log.open()
    bench.writer.hangs = True
    for _ in range(1 + 2 * MAX_BATCH):
        bench.write({"type": "x"})
    bench.writer.answer()
    assert [data.count(b"\n") for data in disk.writes] == [1, MAX_BATCH, MAX_BATCH]


def test_who_is_told_may_write_at_once(bench: AuditBench) -> None:
    """What waited for a record usually writes the next one."""
    bench.writer.hangs = True
    answers: list[bool] = []
    bench.log.write({"type": "a"}, lambda _written: bench.log.write({"type": "c"}, answers.append))
    bench.write({"type": "b"})
    bench.writer.answer()
    assert bench.types() == ["a", "b", "c"]
    assert answers == [True]
