"""The lines of the log in the order they were written, each with the place it stands at, a few octets at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gateway.audit.archive import DAMAGED, opened, rotated
from gateway.audit.clean import cleaned_text
from gateway.audit.line import MAX_LINE
from gateway.audit.log import FILE_NAME
from gateway.audit.naming import Names
from gateway.base.errors import ConfigError

TRIES, PAUSE_SECONDS = 5, 0.05
"""How often, and how long each time, the end of a line is waited for: the gateway may be writing it at this moment."""

MAX_FILES = 4096
"""Rotated files read for a question: eleven years of daily ones. More is no log of ours."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of one file."""

    path: Path
    number: int
    """Counted from 1, as editors do; of a compressed file, within what is packed in it."""
    octets: bytes
    """With its newline, if it has one; of a line longer than the log writes, its beginning."""

    @property
    def name(self) -> str:
        """Of its file, harmless: who may write beside the log chooses names too."""
        return cleaned_text(self.path.name)

    @property
    def place(self) -> str:
        """`audit.jsonl:17`."""
        return f"{self.name}:{self.number}"

    @property
    def whole(self) -> bool:
        """It ends as a line does, and is no longer than the log writes them."""
        return self.octets.endswith(b"\n")


def log_file(path: Path) -> Path:
    """The file that is written, of a log that is named by itself or by its directory."""
    return path / FILE_NAME if path.is_dir() else path


def log_files(path: Path) -> list[Path]:
    """What is to be read, oldest first; a rotated file may be named by itself.

    Raises:
        ConfigError: there is no such log.
    """
    current = log_file(path)
    older = rotated(current, MAX_FILES)[::-1] if path.is_dir() else []
    if not older or current.exists():
        open_log(path).close()
        older.append(current)
    return older


def open_log(path: Path) -> BinaryIO:
    """The file that is written; raises ConfigError."""
    try:
        return log_file(path).open("rb")
    except OSError as error:
        raise ConfigError(f"the audit log cannot be read: {error.strerror}", file=str(path)) from None


def read_lines(files: Iterable[Path], names: Names | None = None) -> Iterator[Line]:
    """Every line of every file, also of one that gets another name meanwhile.

    Args:
        names: who is called by name instead of by pseudonym; None: the lines as they stand.

    Raises:
        ConfigError: one cannot be read; the lines before that place were given.
    """
    for path, identity in [(path, _identity(path)) for path in files]:
        try:
            with _opened(path, identity) as stream:
                for number, octets in enumerate(_lines(stream), start=1):
                    yield Line(path, number, names.restore(octets) if names is not None else octets)
        except DAMAGED as error:
            raise ConfigError(f"the audit log cannot be read: {error}", file=str(path)) from None


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a name means now; None: none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _opened(path: Path, identity: tuple[int, int] | None) -> BinaryIO:
    """The file that had this name when the reading began: it may have been rotated since. Raises OSError."""
    if _identity(path) == identity:
        return opened(path)
    moved = next((other for other in path.parent.iterdir() if _identity(other) == identity), None)
    if moved is None:
        raise OSError("it was packed or removed while it was read: ask again")
    return opened(moved)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines as `readline` has them, but of an overlong one only the beginning, so that numbers stay right."""
    while line := stream.readline(MAX_LINE):
        line = _finished(stream, line)
        yield line
        rest = line
        while len(rest) == MAX_LINE and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE)


def _finished(stream: BinaryIO, line: bytes) -> bytes:
    """The line with its end, if that comes soon."""
    for _ in range(TRIES):
        if line.endswith(b"\n") or len(line) >= MAX_LINE:
            break
        time.sleep(PAUSE_SECONDS)
        line += stream.readline(MAX_LINE - len(line))
    return line
