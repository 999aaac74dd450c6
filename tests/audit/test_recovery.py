"""What a start makes of a log that a crash left behind: each call without an end gets one, once."""

from __future__ import annotations

import errno
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import archive, recovery
from gateway.audit.facts import CallInfo
from gateway.audit.log import FILE_NAME
from gateway.audit.notices import gateway_started, gateway_stopped
from gateway.audit.place import MEBIBYTE
from gateway.audit.record import call_start
from gateway.audit.recovery import read_back
from gateway.audit.sequence import FILE_NAME as SEQUENCE_NAME
from gateway.base.errors import ConfigError
from tests.audit.audit_bench import AuditBench
from tests.audit.disk import FailingDisk
from tests.audit.samples import PREFER, STRICT, every_record


def opened(directory: Path) -> AuditBench:
    bench = AuditBench(directory, buffer_octets=MEBIBYTE)
    bench.log.open()
    return bench


def started(directory: Path) -> AuditBench:
    """A gateway that takes calls."""
    bench = opened(directory)
    bench.write(gateway_started("1", recovered=bench.log.recovered))
    return bench


def call(bench: AuditBench, uid: str) -> None:
    info = CallInfo(call_uid=uid, direction="out", trunk="pbx", user="alice", caller="alice", called="+4930123456")
    bench.write(call_start(info, PREFER))


def leg(bench: AuditBench, uid: str, name: str, grade: str, kind: str = "leg.secured", **more: object) -> None:
    fields = {"leg": name, "decision": "allowed", "grade_after": grade, "codes": []} | more
    bench.write({"type": kind, "call_uid": uid, **fields})


def end(bench: AuditBench, uid: str) -> None:
    bench.write({"type": "call.final", "call_uid": uid, "termination": "hangup-browser", "answered": True})


def killed(bench: AuditBench) -> None:
    """The process is gone; nothing more is written by it."""
    bench.writer.close_files()


def finals(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """The final records of each call in all files."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(directory.glob("audit.jsonl*")):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in data.splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and record.get("type") == "call.final" and "seq" in record:
                found.setdefault(record["call_uid"], []).append(record)
    return found


def crashed(directory: Path) -> list[str]:
    """Calls whose end is a crash; no call has two ends."""
    assert {uid: len(records) for uid, records in finals(directory).items() if len(records) > 1} == {}
    return [uid for uid, records in finals(directory).items() if [r["termination"] for r in records] == ["crash"]]


def test_a_call_that_lived_when_the_gateway_was_killed_gets_its_end_at_the_next_start(tmp_path: Path) -> None:
    bench = started(tmp_path)
    for uid in ("one", "two", "three"):
        call(bench, uid)
    end(bench, "two")
    killed(bench)
    again = started(tmp_path)
    assert crashed(tmp_path) == ["one", "three"]
    assert [r["type"] for r in again.records[-4:]] == ["log.recovered", "call.final", "call.final", "admin.start"]
    assert again.records[-4]["cause"] == "crash"
    assert again.records[-4]["open_calls"] == again.records[-1]["recovered"] == 2
    seqs = [record["seq"] for record in again.records]
    assert seqs == list(range(1, len(seqs) + 1))


def test_another_start_adds_nothing(tmp_path: Path) -> None:
    bench = started(tmp_path)
    call(bench, "one")
    killed(bench)
    for _ in range(3):
        killed(started(tmp_path))
    assert crashed(tmp_path) == ["one"]


def test_calls_of_several_crashes_each_get_one_end(tmp_path: Path) -> None:
    for number in range(4):
        bench = started(tmp_path)
        call(bench, f"call-{number}")
        killed(bench)
    started(tmp_path)
    assert crashed(tmp_path) == [f"call-{number}" for number in range(4)]


@pytest.mark.parametrize("reached", range(7))
def test_a_crash_in_the_middle_of_the_recovery_leaves_the_rest_to_the_next_start(
    tmp_path: Path, disk: FailingDisk, monkeypatch: pytest.MonkeyPatch, reached: int
) -> None:
    """The machine dies after that many lines: `admin.start` is not yet there, so reading back goes beyond them."""
    monkeypatch.setattr("gateway.audit.log.MAX_BATCH", 1)
    bench = started(tmp_path)
    for number in range(4):
        call(bench, f"call-{number}")
    killed(bench)
    disk.good_writes, disk.error = reached, errno.EIO
    dying = AuditBench(tmp_path, buffer_octets=MEBIBYTE)
    try:
        dying.log.open()
        dying.write(gateway_started("1", recovered=dying.log.recovered))
    except ConfigError:
        pass
    killed(dying)
    disk.good_writes, disk.error = None, 0
    started(tmp_path)
    assert crashed(tmp_path) == [f"call-{number}" for number in range(4)]


def test_a_recovery_that_cannot_be_written_stops_the_start(tmp_path: Path, disk: FailingDisk) -> None:
    bench = started(tmp_path)
    call(bench, "one")
    killed(bench)
    disk.error = errno.ENOSPC
    with pytest.raises(ConfigError, match="No space left"):
        opened(tmp_path)


def test_the_end_after_a_crash_says_what_is_known_and_null_where_nothing_is(tmp_path: Path) -> None:
    bench = started(tmp_path)
    call(bench, "one")
    leg(bench, "one", "trunk", "CLEARTEXT", "leg.downgraded", codes=["media.savp_retry"])
    leg(bench, "one", "trunk", "HOP_BY_HOP")
    leg(bench, "one", "browser", "HOP_BY_HOP")
    leg(bench, "one", "trunk", "KEY_EXPOSED", "leg.violation", decision="refused", codes=["mid.crypto_removed"])
    leg(bench, "other", "trunk", "CLEARTEXT")
    killed(bench)
    opened(tmp_path)
    ((final,),) = finals(tmp_path).values()
    assert (final["termination"], final["party"]) == ("crash", "gateway")
    assert (final["answered"], final["duration"], final["grade_at_answer"], final["grade_current"]) == (None,) * 4
    assert final["grade_worst"] == "CLEARTEXT"
    assert final["legs"] == {"trunk": "HOP_BY_HOP", "browser": "HOP_BY_HOP"}
    assert final["codes"] == ["media.savp_retry", "mid.crypto_removed"]
    assert (final["dir"], final["trunk"], final["user"], final["profile"]) == ("out", "pbx", "alice", "prefer")
    assert final["policy_sha256"] == PREFER.sha256
    assert final["to"] == "+493*****56"
    assert final["log_ended"] == "2030-03-17T17:46:40.250000Z"


def test_two_legs_of_a_kind_are_told_apart_after_a_crash_as_in_a_final_record(tmp_path: Path) -> None:
    bench = started(tmp_path)
    call(bench, "one")
    leg(bench, "one", "browser", "HOP_BY_HOP", leg_id=2)
    leg(bench, "one", "browser", "HOP_BY_HOP", "leg.pending", leg_id=1)
    killed(bench)
    opened(tmp_path)
    ((final,),) = finals(tmp_path).values()
    assert final["legs"] == {"browser": "pending", "browser-2": "HOP_BY_HOP"}


def test_a_leg_that_never_had_keys_has_no_grade_after_a_crash(tmp_path: Path) -> None:
    bench = started(tmp_path)
    call(bench, "one")
    leg(bench, "one", "browser", "HOP_BY_HOP", "leg.pending")
    killed(bench)
    opened(tmp_path)
    ((final,),) = finals(tmp_path).values()
    assert (final["grade_worst"], final["legs"]) == (None, {"browser": "pending"})


def test_after_an_ordinary_stop_nothing_is_read_and_nothing_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = started(tmp_path)
    bench.write(gateway_stopped("signal", all_ended=True))
    bench.log.close()
    before = bench.lines
    monkeypatch.setattr(recovery, "_first_pass", lambda *_: pytest.fail("the whole log was read"))
    assert opened(tmp_path).lines == before


def test_a_stop_that_left_a_call_without_its_end_is_made_good_like_a_crash(tmp_path: Path) -> None:
    """Its final record was lost with the disk."""
    bench = started(tmp_path)
    call(bench, "one")
    bench.write(gateway_stopped("signal", all_ended=False))
    bench.log.close()
    opened(tmp_path)
    assert crashed(tmp_path) == ["one"]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_call_that_began_before_the_log_was_rotated_gets_its_end(tmp_path: Path, packed: bool) -> None:
    bench = started(tmp_path)
    for uid in ("one", "two", "three"):
        call(bench, uid)
        leg(bench, uid, "trunk", "KEY_EXPOSED", "leg.downgraded")
    end(bench, "three")
    rotate(tmp_path, "audit.jsonl.2", packed=packed)
    leg(bench, "one", "trunk", "CLEARTEXT", "leg.downgraded")
    rotate(tmp_path, "audit.jsonl.1")
    end(bench, "two")
    killed(bench)
    started(tmp_path)
    assert crashed(tmp_path) == ["one"]
    assert finals(tmp_path)["one"][0]["grade_worst"] == "CLEARTEXT"


def rotate(directory: Path, name: str, *, packed: bool = False) -> None:
    target = directory / name
    (directory / FILE_NAME).rename(target)
    if packed:
        target.with_name(name + ".gz").write_bytes(gzip.compress(target.read_bytes()))
        target.unlink()


@pytest.mark.parametrize("name", ["audit.jsonl.1", "audit.jsonl-20300101", "audit-20300101.jsonl"])
def test_a_log_that_was_rotated_just_before_the_crash_is_found_by_its_usual_names(tmp_path: Path, name: str) -> None:
    bench = started(tmp_path)
    call(bench, "one")
    killed(bench)
    rotate(tmp_path, name)
    again = started(tmp_path)
    (final,) = [r for r in again.records if r["type"] == "call.final"]
    assert (final["call_uid"], final["termination"]) == ("one", "crash")
    assert final["seq"] == 4, "the numbers go on where the rotated file ended"


def test_a_copy_of_the_log_beside_it_does_not_end_calls_twice(tmp_path: Path) -> None:
    bench = started(tmp_path)
    call(bench, "zero")
    rotate(tmp_path, "audit.jsonl.1")
    call(bench, "one")
    (tmp_path / "audit.jsonl.bak").write_bytes((tmp_path / FILE_NAME).read_bytes())
    end(bench, "one")
    call(bench, "two")
    killed(bench)
    again = started(tmp_path)
    ends = [r["call_uid"] for r in again.records if r["type"] == "call.final"]
    assert ends == ["one", "zero", "two"]


def test_nothing_is_read_beyond_the_start_that_read_back(tmp_path: Path) -> None:
    bench = started(tmp_path)
    call(bench, "ancient")
    rotate(tmp_path, "audit.jsonl.1")
    bench.write(gateway_started("1", recovered=0))
    call(bench, "one")
    killed(bench)
    started(tmp_path)
    assert crashed(tmp_path) == ["one"]


def test_what_stands_before_such_a_start_is_not_looked_at_again(tmp_path: Path) -> None:
    bench = started(tmp_path)
    call(bench, "ancient")
    bench.write(gateway_started("1", recovered=0))
    call(bench, "one")
    killed(bench)
    started(tmp_path)
    assert crashed(tmp_path) == ["one"]


def test_a_log_of_a_version_that_did_not_read_back_is_made_good_as_a_whole(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    for number in range(3):
        bench.write({"type": "admin.start", "version": "0.1.0"})
        call(bench, f"call-{number}")
        bench.write({"type": "admin.stop", "reason": "signal"})
    killed(bench)
    started(tmp_path)
    assert crashed(tmp_path) == ["call-0", "call-1", "call-2"]


GARBAGE = (
    b"not json at all\n",
    b"\x00" * 300 + b"\n",
    b"\xff\xfe\xfd\n",
    b"\n",
    b"[]\n",
    b'"call.start"\n',
    b"[" * 60_000 + b"\n",
    b'{"type":"call.start"}\n',
    b'{"type":"call.start","call_uid":null}\n',
    b'{"type":"call.start","call_uid":["one"]}\n',
    b'{"type":"call.final","call_uid":{"one":1}}\n',
    b'{"type":"leg.secured","call_uid":"one","codes":7,"leg":[],"grade_after":{}}\n',
    b'{"type":"leg.secured","call_uid":"one","decision":"allowed","leg":"trunk","grade_after":"BEST","codes":[[1]]}\n',
    b'{"type":"call.start","call_uid":"torn"' + b"\n",
    b'{"v":1,"seq":2,"type":"call.fin{"type":"call.final","call_uid":"one"}\n',
    b'{"user_agent":"\\"type\\":\\"call.final\\",\\"call_uid\\":\\"one\\""}\n',
    b'{"x":"' + b"y" * 200_000 + b'","type":"call.final","call_uid":"one"}\n',
)


def test_lines_that_are_no_records_neither_stop_the_start_nor_count(tmp_path: Path) -> None:
    bench = started(tmp_path)
    call(bench, "one")
    killed(bench)
    with (tmp_path / FILE_NAME).open("ab") as handle:
        for line in GARBAGE:
            handle.write(line)
        handle.write(b'{"seq":9,"type":"call.fi')
    started(tmp_path)
    assert crashed(tmp_path) == ["one"]
    ((final,),) = finals(tmp_path).values()
    assert final["grade_worst"] is None


@pytest.mark.parametrize("content", [None, b"", b"\n\n\n", b"garbage\n"], ids=["missing", "empty", "blank", "garbage"])
def test_a_log_without_records_is_a_new_log(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / FILE_NAME).write_bytes(content)
    bench = opened(tmp_path)
    assert bench.write({"type": "x"})
    assert json.loads(bench.lines[-1])["seq"] == 1
    assert bench.log.recovered == 0


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08broken", b"not gzip", b""], ids=["broken", "plain", "empty"])
def test_a_rotated_file_that_cannot_be_read_does_not_stop_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "audit.jsonl.1.gz").write_bytes(content)
    (tmp_path / "audit.jsonl.2").mkdir()
    (tmp_path / "audit.jsonl.3").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "audit.jsonl.4")
    bench = started(tmp_path)
    call(bench, "one")
    killed(bench)
    started(tmp_path)
    assert crashed_in_log(tmp_path) == ["one"]


def crashed_in_log(directory: Path) -> list[str]:
    records = [json.loads(line) for line in (directory / FILE_NAME).read_bytes().splitlines()]
    return [r["call_uid"] for r in records if r["type"] == "call.final" and r["termination"] == "crash"]


def test_a_log_beyond_the_limit_is_read_as_far_as_that_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = started(tmp_path)
    call(bench, "old")
    for number in range(200):
        bench.write({"type": "x", "n": number})
    call(bench, "new")
    killed(bench)
    monkeypatch.setattr(recovery, "MAX_OCTETS", 4096)
    again = started(tmp_path)
    assert crashed(tmp_path) == ["new"]
    (told,) = [r for r in again.records if r["type"] == "log.recovered"]
    assert told["complete"] is False


def test_reading_back_begins_with_a_whole_line_wherever_the_limit_falls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / FILE_NAME
    lines = [json.dumps({"type": "call.start", "call_uid": f"c{n}"}).encode() + b"\n" for n in range(3)]
    path.write_bytes(b"".join(lines))
    for room in range(1, path.stat().st_size + 2):
        monkeypatch.setattr(recovery, "MAX_OCTETS", room)
        found = [call.start["call_uid"] for call in read_back(path).open_calls]
        whole = next(n for n in range(4) if room >= sum(map(len, lines[n:])))
        assert found == [f"c{n}" for n in range(whole, 3)], room


def test_the_calls_remembered_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "MAX_OPEN", 5)
    bench = opened(tmp_path)
    for number in range(20):
        call(bench, f"call-{number}")
        end(bench, f"other-{number}")
    history = read_back(tmp_path / FILE_NAME)
    assert (len(history.open_calls), history.complete) == (5, False)


def test_every_type_of_record_can_stand_in_a_log_that_is_read_back(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    for record in every_record()[:-1]:
        bench.write(record)
    killed(bench)
    assert opened(tmp_path).log.recovered == 0


def test_a_log_that_cannot_be_read_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(archive, "opened", fail)
    with pytest.raises(ConfigError, match="Input/output error"):
        opened(tmp_path)


# --- numbers


def lost(bench: AuditBench) -> list[tuple[int, int, int]]:
    return [(r["first_seq"], r["last_seq"], r["dropped"]) for r in bench.records if r["type"] == "log.dropped"]


@pytest.mark.parametrize("stopped", ["closed", "killed"])
def test_records_lost_by_a_full_disk_and_a_stop_are_told_of_at_the_next_start(
    tmp_path: Path, disk: FailingDisk, stopped: str
) -> None:
    bench = started(tmp_path)
    disk.error = errno.ENOSPC
    for _ in range(4):
        bench.write({"type": "x"})
    if stopped == "closed":
        bench.log.close()
    killed(bench)
    disk.error = 0
    again = started(tmp_path)
    assert lost(again) == [(2, 5, 4)]
    seqs = [record["seq"] for record in again.records]
    assert seqs == [1, *range(6, 6 + len(seqs) - 1)], "no number is used twice"
    killed(again)
    assert lost(started(tmp_path)) == [(2, 5, 4)], "told of once"


def test_records_lost_beyond_the_buffer_count_too(tmp_path: Path, disk: FailingDisk) -> None:
    bench = AuditBench(tmp_path)
    bench.log.open()
    bench.write({"type": "x"})
    disk.error = errno.ENOSPC
    for _ in range(300):
        bench.write({"type": "x"})
    bench.log.close()
    disk.error = 0
    assert lost(opened(tmp_path)) == [(2, 301, 300)]


def test_an_outage_that_was_over_before_the_stop_is_not_told_of_again(tmp_path: Path, disk: FailingDisk) -> None:
    bench = AuditBench(tmp_path)
    bench.log.open()
    disk.error = errno.ENOSPC
    for _ in range(300):
        bench.write({"type": "x"})
    disk.error = 0
    assert bench.retry()
    told = lost(bench)
    bench.log.close()
    assert lost(opened(tmp_path)) == told


def test_records_that_hung_when_the_gateway_was_stopped_are_told_of(tmp_path: Path) -> None:
    bench = started(tmp_path)
    bench.writer.hangs = True
    for _ in range(3):
        bench.write({"type": "x"})
    bench.clock.seconds += 2
    bench.log.watch()
    killed(bench)
    assert lost(opened(tmp_path)) == [(2, 4, 3)]


def test_numbers_go_on_when_the_log_was_taken_away(tmp_path: Path) -> None:
    bench = started(tmp_path)
    bench.write(gateway_stopped("signal", all_ended=True))
    bench.log.close()
    (tmp_path / FILE_NAME).unlink()
    again = opened(tmp_path)
    assert again.write({"type": "x"})
    assert [(r["type"], r["seq"]) for r in again.records] == [("x", 3)]


def test_lines_cut_off_the_end_of_the_log_while_the_gateway_was_down_are_missed(tmp_path: Path) -> None:
    bench = started(tmp_path)
    for _ in range(4):
        bench.write({"type": "x"})
    bench.log.close()
    path = tmp_path / FILE_NAME
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    assert lost(opened(tmp_path)) == [(4, 5, 2)]


@pytest.mark.parametrize(
    "content",
    [b"", b"x" * 64, b'{"written":true,"given":-1}' + b" " * 37, b"[]" + b" " * 62, b'{"given":1e99}' + b" " * 50],
)
def test_numbers_that_cannot_be_read_count_for_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SEQUENCE_NAME).write_bytes(content)
    bench = opened(tmp_path)
    assert bench.write({"type": "x"})
    assert [r["seq"] for r in bench.records] == [1]


def test_a_place_for_the_numbers_that_is_no_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / SEQUENCE_NAME).symlink_to("/dev/null")
    with pytest.raises(ConfigError, match="the audit log cannot be written"):
        opened(tmp_path)


def test_only_the_gateway_may_read_the_numbers(tmp_path: Path) -> None:
    opened(tmp_path)
    assert (tmp_path / SEQUENCE_NAME).stat().st_mode & 0o777 == 0o600


def test_strict_and_tolerant_calls_keep_their_policy_after_a_crash(tmp_path: Path) -> None:
    bench = started(tmp_path)
    bench.write(call_start(CallInfo(call_uid="s", direction="in", trunk="pbx"), STRICT))
    killed(bench)
    opened(tmp_path)
    ((final,),) = finals(tmp_path).values()
    assert (final["profile"], final["dir"], final["emergency"]) == ("strict", "in", False)
