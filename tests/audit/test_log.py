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

from gateway.audit.log import FILE_NAME, MAX_LINE, NEW_CALL_SHARE, AuditLog
from gateway.base.counters import Counter
from gateway.base.errors import ConfigError
from tests.audit.bench import BUFFER_MB, Bench
from tests.audit.disk import FailingDisk
from tests.audit.samples import every_record
from tests.audit.test_clean import ANY_TEXT, ANYTHING


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path / "log")
    made.log.open()
    return made


def fill(log: AuditLog, limit: int = 1000) -> int:
    """Write until the log wants no new calls; how many records that took."""
    for count in range(1, limit):
        log.write({"type": "call.start", "number": count})
        if not log.accepting_calls:
            return count
    raise AssertionError("the log never refused")


def test_a_record_becomes_one_line_that_says_when_where_and_in_which_order(bench: Bench) -> None:
    assert bench.log.write({"type": "admin.start", "version": "1"})
    assert bench.log.write({"type": "admin.stop"})
    first, second = bench.records
    assert list(first) == ["v", "seq", "ts", "mono_ns", "boot_id", "node", "type", "version"]
    assert (first["v"], first["seq"], second["seq"]) == (1, 1, 2)
    assert first["ts"] == "2030-03-17T17:46:40.250000Z"
    assert first["mono_ns"] == 1_000_000_000_000
    assert bench.accepts()


def test_a_record_cannot_forge_its_place_in_the_log(bench: Bench) -> None:
    bench.log.write({"type": "x", "seq": 99, "ts": "yesterday", "v": 7, "node": "elsewhere"})
    (record,) = bench.records
    assert (record["seq"], record["v"]) == (1, 1)
    assert record["ts"].startswith("2030-")


def test_every_type_of_record_is_written_and_read_back_unchanged(bench: Bench) -> None:
    for record in every_record():
        assert bench.log.write(record)
    for written, record in zip(bench.records, every_record(), strict=True):
        assert {key: written[key] for key in record} == record


def test_the_directory_is_made_for_the_gateway_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "a" / "b")
    bench.log.open()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b" / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_made_stops_the_gateway_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="the audit log cannot be written") as caught:
        Bench(tmp_path / "file" / "log").log.open()
    assert caught.value.key == "audit.directory"
    assert caught.value.remedy


def test_a_second_gateway_on_the_same_log_does_not_start(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="another process writes this log"):
        Bench(bench.directory).log.open()


def test_a_restart_goes_on_counting(bench: Bench) -> None:
    bench.log.write({"type": "admin.start"})
    bench.log.close()
    again = Bench(bench.directory)
    again.log.open()
    again.log.write({"type": "admin.start"})
    assert [record["seq"] for record in again.records] == [1, 2]


def test_a_line_torn_by_a_crash_is_moved_into_a_record(bench: Bench) -> None:
    bench.log.write({"type": "admin.start"})
    bench.log.close()
    with (bench.directory / FILE_NAME).open("ab") as handle:
        handle.write(b'{"v":1,"seq":2,"type":"call.fin\xff\x1b')
    again = Bench(bench.directory)
    again.log.open()
    _, recovered = again.records
    assert (recovered["type"], recovered["cause"], recovered["seq"]) == ("log.recovered", "torn_line", 2)
    assert recovered["octets"] == 33
    assert recovered["fragment"] == '{"v":1,"seq":2,"type":"call.fin\ufffd\\x1b'


def test_a_torn_line_that_cannot_be_recorded_stops_the_start(tmp_path: Path, disk: FailingDisk) -> None:
    (tmp_path / FILE_NAME).write_bytes(b'{"seq":1')
    disk.error = errno.ENOSPC
    with pytest.raises(ConfigError, match="No space left"):
        Bench(tmp_path).log.open()


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_records_wait_in_memory_and_follow_in_order_when_the_disk_is_back(
    bench: Bench, disk: FailingDisk, failure: int
) -> None:
    assert bench.log.write({"type": "a"})
    disk.error = failure
    assert not bench.log.write({"type": "b"})
    assert not bench.log.write({"type": "c"})
    assert bench.accepts()
    assert bench.types() == ["a"]
    bench.clock.seconds = 5
    disk.error = 0
    assert bench.log.write({"type": "d"})
    assert bench.types() == ["a", "b", "c", "log.recovered", "d"]
    assert [record["seq"] for record in bench.records] == [1, 2, 3, 4, 5]
    recovered = bench.records[3]
    assert (recovered["buffered"], recovered["dropped"], recovered["seconds"]) == (2, 0, 5.0)
    assert bench.records[1]["mono_ns"] == 1_000_000_000_000, "a record keeps the time it was made"
    assert bench.counters[Counter.AUDIT_BUFFERED] == 2


def test_a_full_buffer_refuses_new_calls_and_keeps_room_for_the_running_ones(bench: Bench, disk: FailingDisk) -> None:
    disk.error = errno.ENOSPC
    taken = fill(bench.log)
    assert bench.counters[Counter.AUDIT_DROPPED] == 0
    assert taken == bench.counters[Counter.AUDIT_BUFFERED]
    for _ in range(int(taken * (1 - NEW_CALL_SHARE) / NEW_CALL_SHARE) - 1):
        bench.log.write({"type": "call.final"})
    assert bench.counters[Counter.AUDIT_DROPPED] == 0


def test_what_does_not_fit_is_counted_and_the_log_is_told(bench: Bench, disk: FailingDisk) -> None:
    disk.error = errno.ENOSPC
    total = 200
    for number in range(total):
        bench.log.write({"type": "x", "number": number})
    dropped = bench.counters[Counter.AUDIT_DROPPED]
    kept = bench.counters[Counter.AUDIT_BUFFERED]
    assert dropped > 0
    assert dropped + kept == total
    disk.error = 0
    assert bench.log.retry()
    assert bench.types() == ["x"] * kept + ["log.dropped", "log.recovered"]
    assert [record["number"] for record in bench.records[:kept]] == list(range(kept)), "the oldest are kept"
    lost, recovered = bench.records[-2:]
    assert (lost["dropped"], lost["first_seq"], lost["last_seq"]) == (dropped, kept + 1, total)
    assert (recovered["buffered"], recovered["dropped"]) == (kept, dropped)
    assert bench.accepts()


def test_the_memory_held_while_the_disk_is_full_has_a_limit(bench: Bench, disk: FailingDisk) -> None:
    disk.error = errno.ENOSPC
    for _ in range(500):
        bench.log.write({"type": "x", "text": "y" * 200})
    disk.error = 0
    bench.log.retry()
    held = sum(len(line) for line, record in zip(bench.lines, bench.records, strict=True) if record["type"] == "x")
    assert held <= BUFFER_MB * 1024 * 1024


def test_refuse_new_wants_no_new_call_from_the_first_failure_on(tmp_path: Path, disk: FailingDisk) -> None:
    bench = Bench(tmp_path, on_unavailable="refuse_new")
    bench.log.open()
    assert bench.accepts()
    disk.error = errno.EIO
    assert not bench.log.write({"type": "x"})
    assert not bench.accepts()
    disk.error = 0
    assert bench.log.retry()
    assert bench.accepts()
    assert bench.types() == ["x", "log.recovered"]


def test_asking_for_a_new_call_tries_the_disk_again_but_not_more_than_once_a_second(
    tmp_path: Path, disk: FailingDisk
) -> None:
    bench = Bench(tmp_path, on_unavailable="refuse_new")
    bench.log.open()
    disk.error = errno.EIO
    bench.log.write({"type": "x"})
    attempts = len(disk.writes)
    assert [bench.accepts() for _ in range(100)] == [False] * 100
    assert len(disk.writes) == attempts + 1
    disk.error = 0
    assert not bench.accepts()
    bench.clock.seconds += 1
    assert bench.accepts()


def test_a_deleted_directory_is_an_outage_and_a_restored_one_ends_it(bench: Bench) -> None:
    bench.log.write({"type": "before"})
    shutil.rmtree(bench.directory)
    assert not bench.log.write({"type": "meanwhile"})
    fill(bench.log)
    assert not bench.accepts()
    bench.directory.mkdir()
    bench.clock.seconds += 2
    assert bench.accepts()
    assert bench.types()[0] == "meanwhile"
    assert bench.types()[-1] == "log.recovered"
    assert (bench.directory / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_directory_replaced_by_a_file_is_an_outage(bench: Bench) -> None:
    shutil.rmtree(bench.directory)
    bench.directory.write_text("in the way")
    assert not bench.log.write({"type": "x"})
    bench.directory.unlink()
    bench.directory.mkdir()
    assert bench.log.write({"type": "y"})
    assert bench.types() == ["x", "log.recovered", "y"]


def test_rotation_loses_nothing_and_is_no_outage(bench: Bench) -> None:
    bench.log.write({"type": "one"})
    rotated = bench.directory / "audit.jsonl.1"
    (bench.directory / FILE_NAME).rename(rotated)
    assert bench.log.write({"type": "two"})
    assert [record["seq"] for record in bench.records] == [2]
    assert json.loads(rotated.read_bytes())["seq"] == 1


def test_a_file_restored_with_a_torn_line_is_mended_while_running(bench: Bench) -> None:
    bench.log.write({"type": "one"})
    (bench.directory / FILE_NAME).rename(bench.directory / "moved")
    (bench.directory / FILE_NAME).write_bytes(b'{"seq":40,"type":"old"}\n{"seq":41')
    assert bench.log.write({"type": "two"})
    assert bench.log.write({"type": "three"})
    assert bench.types() == ["old", "two", "log.recovered", "three"]
    assert [record["seq"] for record in bench.records] == [40, 2, 41, 42]


def test_a_loss_is_reported_once_even_if_the_disk_fails_between_the_reports(bench: Bench, disk: FailingDisk) -> None:
    disk.error = errno.EIO
    assert not bench.log.write({"type": "x", "wide": [["\U0001f600" * 256] * 10]})
    assert bench.counters[Counter.AUDIT_DROPPED] == 1
    disk.good_writes = 1
    assert not bench.log.retry()
    assert bench.types() == ["log.dropped"]
    disk.error = 0
    assert bench.log.retry()
    assert bench.types() == ["log.dropped", "log.recovered"]
    assert [record["seq"] for record in bench.records] == [2, 3], "reports that failed leave no gap of their own"


def test_one_lost_record_is_enough_to_refuse_new_calls(bench: Bench, disk: FailingDisk) -> None:
    disk.error = errno.EIO
    assert not bench.log.write({"type": "x", "wide": [["\U0001f600" * 256] * 10]})
    assert not bench.accepts()


def test_a_second_outage_has_the_whole_buffer_again(bench: Bench, disk: FailingDisk) -> None:
    disk.error = errno.EIO
    first = fill(bench.log)
    disk.error = 0
    assert bench.log.retry()
    bench.clock.seconds += 5
    disk.error = errno.EIO
    assert abs(fill(bench.log) - first) <= 1


def test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_no_half_line(bench: Bench, disk: FailingDisk) -> None:
    bench.log.write({"type": "one"})
    disk.room = 10
    assert not bench.log.write({"type": "two"})
    assert bench.types() == ["one"]
    disk.room = None
    assert bench.log.write({"type": "three"})
    assert bench.types() == ["one", "two", "log.recovered", "three"]


def test_an_outage_that_ends_only_for_a_moment_is_reported_once_it_is_over(bench: Bench, disk: FailingDisk) -> None:
    disk.error = errno.EIO
    for number in range(200):
        bench.log.write({"type": "x", "number": number})
    disk.error = 0
    disk.room = 600
    assert not bench.log.retry()
    assert "log.recovered" not in bench.types()
    disk.room = None
    assert bench.log.retry()
    assert bench.types().count("log.recovered") == bench.types().count("log.dropped") == 1
    seqs = [record["seq"] for record in bench.records]
    assert seqs == sorted(set(seqs))


def test_closing_writes_what_waits(bench: Bench, disk: FailingDisk) -> None:
    disk.error = errno.EIO
    bench.log.write({"type": "x"})
    disk.error = 0
    bench.log.close()
    assert bench.types() == ["x", "log.recovered"]


def test_the_alarm_about_an_outage_does_not_depend_on_the_log(
    bench: Bench, disk: FailingDisk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.error = errno.ENOSPC
    for _ in range(3):
        bench.log.write({"type": "x"})
    assert [r.getMessage() for r in caplog.records] == [
        "audit state=available->unavailable error=No space left on device"
    ]


def test_a_record_too_long_for_a_line_keeps_who_it_was_about(bench: Bench) -> None:
    wide = {f"field{n}": ["\U0001f600" * 256] * 64 for n in range(60)}
    assert bench.log.write({"type": "call.start", "call_uid": "c1", **wide})
    (record,) = bench.records
    assert (record["type"], record["call_uid"]) == ("call.start", "c1")
    assert record["oversize"] > MAX_LINE
    assert len(bench.lines[0]) <= MAX_LINE


def test_a_real_file_size_limit_leaves_whole_lines_only(tmp_path: Path) -> None:
    """The kernel makes the short write here, not the test."""
    program = f"""
import resource
from pathlib import Path
from gateway.audit.log import AuditLog
from gateway.base.counters import Counters
from gateway.config.schema import Audit
log = AuditLog(Audit(directory=Path({str(tmp_path)!r})), Counters())
log.open()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
written = sum(log.write({{"type": "x", "n": n}}) for n in range(20))
assert 0 < written < 20, written
data = Path({str(tmp_path)!r}, "audit.jsonl").read_bytes()
assert data.endswith(b"\\n") and data.count(b"\\n") == written, data
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert log.retry()
log.close()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    records = [json.loads(line) for line in (tmp_path / FILE_NAME).read_bytes().splitlines()]
    assert [r["n"] for r in records if r["type"] == "x"] == list(range(20))
    assert records[-1]["type"] == "log.recovered"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(tmp_path_factory.mktemp("shared"))
    made.log.open()
    return made


@given(record=st.dictionaries(ANY_TEXT, ANYTHING, max_size=5))
def test_exactly_one_record_per_line_whatever_the_strings_contain(shared: Bench, record: dict[str, object]) -> None:
    path = shared.directory / FILE_NAME
    before = path.stat().st_size
    assert shared.log.write(record)
    with path.open("rb") as handle:
        handle.seek(before)
        line = handle.read()
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert len(line.decode("ascii").splitlines()) == 1
    json.loads(line)


@pytest.mark.parametrize("text", ["a\r\nb", "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e", "\ud83d", "\x00", "U" * 1_000_000])
def test_hostile_text_stays_in_its_line(bench: Bench, text: str) -> None:
    assert bench.log.write({"type": "call.start", "user_agent": text})
    (line,) = bench.lines
    assert len(line.decode("utf-8").splitlines()) == 1
    assert len(line) < 4096
    json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8")  # no lone surrogate is left to choke a reader
