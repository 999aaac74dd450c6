from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from gateway.audit.file import TAIL_WINDOW, AuditFile, Tail
from tests.audit.disk import FailingDisk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def opened(path: Path) -> AuditFile:
    file = AuditFile(path)
    file.open()
    return file


def test_only_the_gateway_may_read_the_file(path: Path) -> None:
    opened(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_others_could_read_is_closed_to_them(path: Path) -> None:
    path.write_bytes(b"")
    path.chmod(0o644)
    opened(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_lines_that_come_together_are_appended_by_one_write(path: Path, disk: FailingDisk) -> None:
    file = opened(path)
    assert file.append([b"one\n"]) == 1
    assert file.append([b"two\n", b"three\n"]) == 2
    assert disk.writes == [b"one\n", b"two\nthree\n"]
    assert path.read_bytes() == b"one\ntwo\nthree\n"


@pytest.mark.parametrize(("room", "whole"), [(0, 0), (3, 0), (4, 1), (7, 1), (8, 2), (13, 2), (14, 3)])
def test_of_lines_that_come_together_those_stay_that_fit_whole(
    path: Path, disk: FailingDisk, room: int, whole: int
) -> None:
    file, lines = opened(path), [b"one\n", b"two\n", b"three\n"]
    disk.room = room
    if room:
        assert file.append(lines) == whole
    else:
        with pytest.raises(OSError, match="No space"):
            file.append(lines)
    assert path.read_bytes() == b"".join(lines[:whole])
    disk.room = None
    assert file.append(lines[whole:]) == 3 - whole
    assert path.read_bytes() == b"".join(lines)


def test_a_line_before_a_half_one_that_cannot_be_taken_back_is_not_written_twice(path: Path, disk: FailingDisk) -> None:
    file = opened(path)
    disk.room, disk.truncate_error = 6, errno.EIO
    assert file.append([b"one\n", b"two\n"]) == 1
    disk.room, disk.truncate_error = None, 0
    assert file.append([b"two\n"]) == 1
    assert path.read_bytes() == b"one\ntwo\n"


def test_the_end_of_an_older_file_tells_where_it_stopped(path: Path) -> None:
    path.write_bytes(b'{"seq":6}\n{"seq":7}\nnot json\n{"seq":true}\n')
    file = opened(path)
    assert file.take_tail() == Tail(b"", 7)
    assert file.take_tail() is None


def test_a_torn_last_line_is_cut(path: Path) -> None:
    path.write_bytes(b'{"seq":7}\n{"seq":8,"ty')
    assert opened(path).take_tail() == Tail(b'{"seq":8,"ty', 7)
    assert path.read_bytes() == b'{"seq":7}\n'


def test_a_file_that_is_one_torn_line_becomes_empty(path: Path) -> None:
    path.write_bytes(b"\x00\x00\x00")
    assert opened(path).take_tail() == Tail(b"\x00\x00\x00", 0)
    assert path.read_bytes() == b""


def test_a_file_that_is_no_audit_log_is_left_alone(path: Path) -> None:
    path.write_bytes(b"x" * (TAIL_WINDOW + 1))
    with pytest.raises(OSError, match="does not look like an audit log"):
        opened(path)
    assert path.stat().st_size == TAIL_WINDOW + 1


def test_a_second_gateway_is_kept_out(path: Path) -> None:
    first = opened(path)
    with pytest.raises(OSError, match="another process writes this log"):
        opened(path)
    first.close()
    opened(path)


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
def test_anything_but_a_regular_file_is_refused_without_waiting(path: Path, kind: str) -> None:
    if kind == "symlink":
        path.symlink_to("/dev/full")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - which errno depends on the kind
        opened(path)


def test_a_line_that_fits_only_in_part_leaves_no_half_line(path: Path, disk: FailingDisk) -> None:
    file = opened(path)
    file.append([b"whole\n"])
    disk.room = 4
    assert file.append([b"half of this\n"]) == 0
    assert path.read_bytes() == b"whole\n"
    disk.room = None
    file.append([b"half of this\n"])
    assert path.read_bytes() == b"whole\nhalf of this\n"


def test_a_half_line_that_cannot_be_taken_back_is_taken_back_before_the_next(path: Path, disk: FailingDisk) -> None:
    file = opened(path)
    file.append([b"whole\n"])
    disk.room, disk.truncate_error = 4, errno.EIO
    assert file.append([b"half of this\n"]) == 0
    with pytest.raises(OSError, match="Input/output"):
        file.append([b"half of this\n"])
    assert path.read_bytes() == b"whole\nhalf"
    disk.room, disk.truncate_error = None, 0
    file.append([b"next\n"])
    assert path.read_bytes() == b"whole\nnext\n"


def test_a_half_line_is_never_made_up_of_zeros_after_somebody_emptied_the_file(path: Path, disk: FailingDisk) -> None:
    file = opened(path)
    file.append([b"whole\n"])
    disk.room, disk.truncate_error = 4, errno.EIO
    assert file.append([b"half of this\n"]) == 0
    disk.room, disk.truncate_error = None, 0
    os.truncate(path, 0)
    file.append([b"next\n"])
    assert path.read_bytes() == b"next\n"


def test_a_rotated_file_is_followed(path: Path) -> None:
    file = opened(path)
    file.append([b"one\n"])
    path.rename(path.with_suffix(".1"))
    file.append([b"two\n"])
    assert path.read_bytes() == b"two\n"
    assert path.with_suffix(".1").read_bytes() == b"one\n"


def test_a_file_put_in_place_by_the_rotation_is_taken_over(path: Path) -> None:
    file = opened(path)
    file.append([b"one\n"])
    path.rename(path.with_suffix(".1"))
    path.write_bytes(b"")
    file.append([b"two\n"])
    assert path.read_bytes() == b"two\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_that_went_into_a_file_deleted_meanwhile_was_not_written(
    path: Path, disk: FailingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(path)
    real = disk.write

    def delete_and_write(fd: int, data: bytes) -> int:
        path.unlink(missing_ok=True)
        return real(fd, data)

    monkeypatch.setattr(disk, "write", delete_and_write)
    with pytest.raises(FileNotFoundError):
        file.append([b"lost\n"])
    monkeypatch.setattr(disk, "write", real)
    file.append([b"lost\n"])
    assert path.read_bytes() == b"lost\n"


def test_a_half_line_is_taken_back_even_from_a_file_rotated_meanwhile(path: Path, disk: FailingDisk) -> None:
    file = opened(path)
    file.append([b"whole\n"])
    disk.room, disk.truncate_error = 4, errno.EIO
    assert file.append([b"half of this\n"]) == 0
    disk.room, disk.truncate_error = None, 0
    path.rename(path.with_suffix(".1"))
    file.append([b"half of this\n"])
    assert path.with_suffix(".1").read_bytes() == b"whole\n"
    assert path.read_bytes() == b"half of this\n"
