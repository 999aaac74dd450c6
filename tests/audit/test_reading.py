"""The lines of a log, each with its place, however long somebody made one."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from gateway.audit import reading
from gateway.audit.archive import MAX_FILES as FEW
from gateway.audit.line import MAX_LINE
from gateway.audit.reading import log_files, read_lines
from gateway.base.errors import ConfigError


def places(path: Path) -> list[tuple[str, bytes]]:
    return [(line.place, line.octets[:3]) for line in read_lines(log_files(path))]


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 3 * MAX_LINE])
def test_a_line_longer_than_the_log_writes_is_one_line_of_which_the_beginning_is_kept(
    tmp_path: Path, length: int
) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_bytes(b"one\n" + b"x" * length + b"\nthree\n")
    assert places(log) == [("audit.jsonl:1", b"one"), ("audit.jsonl:2", b"xxx"), ("audit.jsonl:3", b"thr")]
    assert [len(line.octets) for line in read_lines([log])][1] == min(length + 1, MAX_LINE)


def test_a_log_is_read_from_its_oldest_file_on_and_lines_are_counted_in_each(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_bytes(b'{"seq":5}\n')
    (tmp_path / "audit.jsonl.1").write_bytes(b'{"seq":3}\n{"seq":4}\n')
    (tmp_path / "audit.jsonl.2.gz").write_bytes(gzip.compress(b'{"seq":1}\n{"seq":2}\n'))
    assert [place for place, _ in places(tmp_path)] == [
        "audit.jsonl.2.gz:1",
        "audit.jsonl.2.gz:2",
        "audit.jsonl.1:1",
        "audit.jsonl.1:2",
        "audit.jsonl:1",
    ]


def test_more_rotated_files_are_read_for_a_question_than_at_a_start(tmp_path: Path) -> None:
    for number in range(FEW + 5):
        (tmp_path / f"audit.jsonl.{number}").write_bytes(b'{"seq":%d}\n' % (number + 1))
    assert len(places(tmp_path)) == FEW + 5


def test_a_file_that_is_rotated_while_the_log_is_read_is_read_under_its_new_name(tmp_path: Path) -> None:
    current = tmp_path / "audit.jsonl"
    (tmp_path / "audit.jsonl.1").write_bytes(b"1\n")
    current.write_bytes(b"2\n")
    lines = read_lines(log_files(tmp_path))
    assert next(lines).octets == b"1\n"
    current.rename(tmp_path / "audit-20300102T030405Z-2.jsonl")
    current.write_bytes(b"3\n")
    assert [line.octets for line in lines] == [b"2\n"], "and what came after the question is no part of the answer"


def test_a_file_that_is_packed_while_the_log_is_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl.1").write_bytes(b'{"seq":1}\n')
    (tmp_path / "audit.jsonl").write_bytes(b'{"seq":2}\n')
    lines = read_lines(log_files(tmp_path))
    next(lines)
    (tmp_path / "audit.jsonl").unlink()
    with pytest.raises(ConfigError, match="packed or removed while it was read: ask again"):
        next(lines)


def test_a_line_that_is_being_written_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_bytes(b"one\ntw")

    def pause(_seconds: float) -> None:
        with log.open("ab") as stream:
            stream.write(b"o\n")

    monkeypatch.setattr("gateway.audit.reading.time.sleep", pause)
    assert [line.octets for line in read_lines([log])] == [b"one\n", b"two\n"]


def test_a_line_that_nobody_finishes_is_given_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_bytes(b"one\ntw")
    pauses: list[float] = []
    monkeypatch.setattr("gateway.audit.reading.time.sleep", pauses.append)
    assert [line.whole for line in read_lines([log])] == [True, False]
    assert len(pauses) == reading.TRIES


def test_a_log_that_is_not_there_is_a_mistake_of_whoever_names_it(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "audit.jsonl"):
        with pytest.raises(ConfigError, match="cannot be read"):
            log_files(path)
