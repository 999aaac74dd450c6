"""The chain of the log, told from outside: what is changed, taken out, put in or moved is found."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.chain import GENESIS, HEAD, Fault, Link, canonical, examine
from gateway.audit.log import FILE_NAME
from tests.audit import samples
from tests.audit.audit_bench import AuditBench
from tests.audit.chained import broken
from tests.audit.disk import FailingDisk
from tests.effort import examples


@pytest.fixture
def bench(tmp_path: Path) -> AuditBench:
    made = AuditBench(tmp_path, buffer_octets=1 << 20)
    made.log.open()
    return made


@pytest.fixture
def lines(bench: AuditBench) -> list[bytes]:
    """A log with every type of record, a second apart."""
    for record in samples.every_record():
        assert bench.write(record)
        bench.clock.seconds += 1
    return bench.lines


def test_the_hash_of_a_line_is_made_of_the_hash_before_and_the_record_without_its_own(lines: list[bytes]) -> None:
    """Only the library of hashes and a text editor are needed for this."""
    before = "0" * 64
    for line in lines:
        content, _, rest = line.decode("ascii").partition(',"hash":"')
        assert hashlib.sha256((before + content + "}").encode("ascii")).hexdigest() == rest[:64]
        assert rest[64:] == '"}\n'
        assert json.loads(line)["prev_hash"] == before
        before = rest[:64]


def test_a_whole_log_has_no_fault(lines: list[bytes]) -> None:
    assert broken(lines) == []
    assert len(lines) == len(samples.every_record())


def test_the_form_that_is_hashed_can_be_made_from_a_record_whose_names_were_shuffled(lines: list[bytes]) -> None:
    for line in lines:
        record = json.loads(line)
        names = list(record)
        random.Random(line).shuffle(names)
        digest = hashlib.sha256(record["prev_hash"].encode() + canonical({n: record[n] for n in names})).hexdigest()
        assert digest == record["hash"]


def test_a_line_begins_with_what_it_is_about(lines: list[bytes]) -> None:
    for line in lines:
        names = list(json.loads(line))
        head = [name for name in HEAD if name in names]
        assert names[: len(head)] == head
        assert names[len(head) : -2] == sorted(names[len(head) : -2])


def test_an_edit_is_found_in_the_line_that_was_edited(lines: list[bytes]) -> None:
    for place, line in enumerate(lines):
        edited = [*lines]
        edited[place] = line.replace(b'"type":"', b'"type":"a', 1)
        assert broken(edited) == [(place + 1, Fault.CHANGED)]


def test_an_edit_with_a_new_hash_is_found_in_the_next_line(lines: list[bytes]) -> None:
    record = json.loads(lines[3]) | {"trunk": "another"}
    del record["hash"]
    content = canonical(record)
    found = hashlib.sha256(record["prev_hash"].encode() + content).hexdigest()
    lines[3] = content[:-1] + b',"hash":"%b"}\n' % found.encode()
    assert broken(lines) == [(5, Fault.UNLINKED)]


def test_a_line_taken_out_is_found(lines: list[bytes]) -> None:
    for place in range(len(lines) - 1):
        assert broken(lines[:place] + lines[place + 1 :]) == [(place + 1, Fault.UNLINKED)]


def test_two_lines_that_changed_places_are_found(lines: list[bytes]) -> None:
    lines[4], lines[5] = lines[5], lines[4]
    assert broken(lines)[0] == (5, Fault.UNLINKED)
    assert (6, Fault.ORDER) in broken(lines)


def test_a_line_repeated_is_found(lines: list[bytes]) -> None:
    assert broken([*lines[:5], lines[2], *lines[5:]])[0] == (6, Fault.UNLINKED)


def test_a_piece_of_another_log_is_found(lines: list[bytes], tmp_path: Path) -> None:
    other = AuditBench(tmp_path / "other", buffer_octets=1 << 20)
    other.log.open()
    for record in samples.every_record():
        other.write({**record, "elsewhere": True})
    assert broken(lines[:4] + other.lines[4:])[0] == (5, Fault.UNLINKED)


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"garbage\n", b"[1]\n", b'{"v":2,"v":2}\n', b'{"a":{"b":1,"b":2}}\n', b"\xff\n", b"[" * 100_000],
    ids=["empty", "newline", "garbage", "list", "name-twice", "name-twice-inside", "no-text", "deep"],
)
def test_what_is_no_record_is_found_and_the_chain_goes_on_behind_it(lines: list[bytes], line: bytes) -> None:
    assert broken([*lines[:4], line, *lines[4:]]) == [(5, Fault.UNREADABLE)]


def test_a_name_added_twice_is_found_although_readers_may_not_see_it(lines: list[bytes]) -> None:
    lines[3] = lines[3].replace(b'{"v":2', b'{"type":"leg.secured","v":2', 1)
    assert broken(lines)[0] == (4, Fault.UNREADABLE)


def test_blanks_count_as_a_change(lines: list[bytes]) -> None:
    lines[3] = lines[3].replace(b'":', b'": ', 1)
    assert broken(lines) == [(4, Fault.CHANGED)]


def test_a_line_whose_hashes_were_taken_off_is_found(lines: list[bytes]) -> None:
    record = json.loads(lines[3])
    del record["hash"], record["prev_hash"]
    lines[3] = json.dumps(record).encode() + b"\n"
    assert broken(lines)[0] == (4, Fault.UNCHAINED)


@pytest.mark.parametrize("name", ["hash", "prev_hash"])
@pytest.mark.parametrize("value", [b"", b"0" * 63, b"x" * 64, b"0" * 65])
def test_a_line_with_half_a_seal_is_found(lines: list[bytes], name: str, value: bytes) -> None:
    found = json.loads(lines[3])[name].encode()
    lines[3] = lines[3].replace(b'"%b":"%b"' % (name.encode(), found), b'"%b":"%b"' % (name.encode(), value))
    assert broken(lines)[0] == (4, Fault.CHANGED)


def test_the_first_line_of_a_log_begins_the_chain(lines: list[bytes]) -> None:
    assert json.loads(lines[0])["prev_hash"] == GENESIS
    assert broken(lines[1:]) == [(1, Fault.UNLINKED)]
    assert broken(lines[1:], before=None) == []  # of the oldest file that is left


def test_lines_of_a_log_from_before_the_chain_are_no_fault_and_none_may_follow_it(lines: list[bytes]) -> None:
    old = [json.dumps({"v": 1, "seq": 1, "ts": "2020-01-01T00:00:00.000000Z", "type": "x"}).encode() + b"\n"]
    before = examine(old[0], Link()).link
    assert not examine(old[0], Link()).faults
    assert before.hash == GENESIS
    moved = [line.replace(b'"seq":1,', b'"seq":2,', 1) for line in lines[:1]]
    assert broken(moved, before) == [(1, Fault.CHANGED)]
    assert (len(lines) + 1, Fault.UNCHAINED) in broken(lines + old)


def test_a_clock_that_was_set_back_is_told_apart_from_a_line_that_was_moved(bench: AuditBench) -> None:
    bench.write({"type": "x"})
    bench.clock.set_back(3600)
    bench.write({"type": "x"})
    bench.write({"type": "x"})
    assert broken(bench.lines) == [(2, Fault.CLOCK)]


def test_monotonic_time_that_goes_back_within_one_boot_is_no_clock(lines: list[bytes]) -> None:
    first, second = (examine(line).link for line in lines[:2])
    assert second.mono_ns > first.mono_ns
    turned = Link(first.seq, first.hash, first.ts, second.boot_id, second.mono_ns + 1)
    assert examine(lines[1], turned).faults == (Fault.ORDER,)
    other_boot = Link(first.seq, first.hash, first.ts, "another", second.mono_ns + 1)
    assert examine(lines[1], other_boot).faults == ()


@settings(max_examples=examples(200), deadline=None)
@given(place=st.integers(0, len(samples.every_record()) - 1), at=st.integers(0, 2000), turn=st.integers(1, 255))
def test_any_octet_changed_anywhere_is_found(whole_log: list[bytes], place: int, at: int, turn: int) -> None:
    lines = [*whole_log]
    line = bytearray(lines[place])
    line[at % (len(line) - 1)] ^= turn  # the newline apart, which would make two lines one
    lines[place] = bytes(line)
    assert broken(lines)[0][0] == place + 1


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "killed"])
def test_the_chain_goes_on_over_restarts(tmp_path: Path, orderly: bool) -> None:
    for _ in range(3):
        made = AuditBench(tmp_path)
        made.log.open()
        made.write({"type": "x"})
        _end(made, orderly)
    assert broken(made.lines) == []
    assert [record["type"] for record in made.records].count("x") == 3


def test_the_chain_goes_on_behind_a_line_torn_by_a_crash(tmp_path: Path) -> None:
    first = AuditBench(tmp_path)
    first.log.open()
    first.write({"type": "x"})
    _end(first, orderly=False)
    with (tmp_path / FILE_NAME).open("ab") as handle:
        handle.write(b'{"v":2,"seq":2,"ty')
    again = AuditBench(tmp_path)
    again.log.open()
    assert broken(again.lines) == []
    assert again.records[1]["cause"] == "torn_line"
    again.log.close()


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_the_chain_goes_on_in_a_new_file(tmp_path: Path, running: bool) -> None:
    made = AuditBench(tmp_path)
    made.log.open()
    made.write({"type": "x"})
    if not running:
        _end(made, orderly=True)
    (tmp_path / FILE_NAME).rename(tmp_path / f"{FILE_NAME}.1")
    if not running:
        made = AuditBench(tmp_path)
        made.log.open()
    made.write({"type": "y"})
    assert broken([*(tmp_path / f"{FILE_NAME}.1").read_bytes().splitlines(keepends=True), *made.lines]) == []
    made.log.close()


def test_what_does_not_fit_on_the_disk_leaves_no_hole_in_the_chain(bench: AuditBench, disk: FailingDisk) -> None:
    bench.writer.hangs = True
    for number in range(6):
        bench.write({"type": "x", "n": number})
    disk.room = 1500
    bench.writer.answer()
    assert not bench.log.available
    disk.room = None
    assert bench.retry()
    assert broken(bench.lines) == []
    assert [r["n"] for r in bench.records if r["type"] == "x"] == list(range(6))


def _end(made: AuditBench, orderly: bool) -> None:
    if orderly:
        made.log.close()
    else:
        made.writer.close_files()


@pytest.fixture(scope="module")
def whole_log(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Every type of record, for tests that try many things with it."""
    made = AuditBench(tmp_path_factory.mktemp("log"), buffer_octets=1 << 20)
    made.log.open()
    for record in samples.every_record():
        made.write(record)
    made.log.close()
    return made.lines


def test_who_listens_gets_each_line_as_it_stands_in_the_file_and_a_deaf_one_disturbs_nobody(tmp_path: Path) -> None:
    heard: list[bytes] = []
    made = AuditBench(tmp_path)
    made.log.after_written(_broken_listener)
    made.log.after_written(heard.extend)
    made.log.open()
    assert made.write({"type": "x"})
    made.write({"type": "y"})
    assert heard == made.lines
    made.writer.close_files()
    again = AuditBench(tmp_path)
    again.log.after_written(heard.extend)
    again.log.open()  # what the start writes is heard too
    assert heard == again.lines
    again.log.close()


def _broken_listener(_lines: object) -> None:
    raise ValueError("deaf")
