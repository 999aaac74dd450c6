"""Reads the audit log for people: all of it, what is asked for, or as it grows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from rich.text import Text

from gateway.audit.archive import DAMAGED, opened, parsed, rotated, sequence_number
from gateway.audit.coloured import coloured, remark
from gateway.audit.log import FILE_NAME
from gateway.audit.query import Gap, Numbering, Wanted, gaps_by_place
from gateway.audit.render import MAX_RENDERED, Severity
from gateway.base.errors import ConfigError

POLL_SECONDS = 0.2
"""How often a growing file is looked at: soon enough to watch a call."""


def show_log(path: Path, wanted: Wanted | None = None, *, as_json: bool = False) -> Iterator[Text]:
    """The records in the file, or in the audit log of the directory with its rotated files, oldest first.

    Without a choice every line is shown, what is no record too, and holes in the numbering where they are. With one,
    the holes come last: a record that is asked for may be in one.

    Args:
        as_json: the lines as they stand in the file, for other programs.
    """
    files = _files(path)
    gaps = gaps_by_place(_numbering(files).gaps)
    for line in _lines(files):
        record = parsed(line)
        if wanted is None and not as_json:
            yield from map(_gap, gaps.pop(sequence_number(record), ()))
        if wanted is None or (record and wanted.matches(record)):
            yield Text(line.decode("ascii", errors="backslashreplace").rstrip("\n")) if as_json else coloured(line)
    if not as_json:
        yield from (_gap(gap) for found in gaps.values() for gap in found if not gap.accounted)


def follow_log(
    path: Path, wanted: Wanted | None = None, *, wait: Callable[[float], None] = time.sleep
) -> Generator[Text]:
    """Records as they are written, from the end of the file on; a file that was replaced is opened again."""
    stream = _open(path)
    stream.seek(0, os.SEEK_END)
    held = b""
    try:
        while True:
            held += stream.readline(MAX_RENDERED - len(held))
            if held.endswith(b"\n") or len(held) >= MAX_RENDERED:
                if wanted is None or wanted.matches(parsed(held)):
                    yield coloured(held)
                held = b""
            elif _replaced(stream, path):
                stream.close()
                stream, held = _open(path), b""
            else:
                wait(POLL_SECONDS)
    finally:
        stream.close()


def _gap(gap: Gap) -> Text:
    return remark(gap.words, Severity.INFO if gap.accounted else Severity.HIGH)


def _numbering(files: list[Path]) -> Numbering:
    numbering = Numbering()
    for line in _lines(files):
        numbering.take(parsed(line))
    return numbering


def _files(path: Path) -> list[Path]:
    """What is to be read, oldest first; a rotated file may be named by itself."""
    current = _file(path)
    older = rotated(current)[::-1] if path.is_dir() else []
    if not older or current.exists():
        _open(path).close()
        older.append(current)
    return older


def _lines(files: list[Path]) -> Iterator[bytes]:
    for path in files:
        try:
            with opened(path) as stream:
                while line := stream.readline(MAX_RENDERED):
                    yield line
        except DAMAGED as error:
            raise ConfigError(f"the audit log cannot be read: {error}", file=str(path)) from None


def _file(path: Path) -> Path:
    return path / FILE_NAME if path.is_dir() else path


def _open(path: Path) -> BinaryIO:
    try:
        return _file(path).open("rb")
    except OSError as error:
        raise ConfigError(f"the audit log cannot be read: {error.strerror}", file=str(path)) from None


def _replaced(stream: BinaryIO, path: Path) -> bool:
    """True when the name now means another file, or the file was cut."""
    try:
        now = _file(path).stat()
    except OSError:
        return False
    return now.st_ino != os.fstat(stream.fileno()).st_ino or now.st_size < stream.tell()
