"""Reads the audit log for people: all of it, or as it grows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from rich.text import Text

from gateway.audit.coloured import coloured
from gateway.audit.log import FILE_NAME
from gateway.audit.render import MAX_RENDERED
from gateway.base.errors import ConfigError

POLL_SECONDS = 0.2
"""How often a growing file is looked at: soon enough to watch a call."""


def show_log(path: Path) -> Iterator[Text]:
    """Every record in the file, or in the audit log of the directory."""
    with _open(path) as stream:
        while line := stream.readline(MAX_RENDERED):
            yield coloured(line)


def follow_log(path: Path, *, wait: Callable[[float], None] = time.sleep) -> Generator[Text]:
    """Records as they are written, from the end of the file on; a file that was replaced is opened again."""
    stream = _open(path)
    stream.seek(0, os.SEEK_END)
    held = b""
    try:
        while True:
            held += stream.readline(MAX_RENDERED - len(held))
            if held.endswith(b"\n") or len(held) >= MAX_RENDERED:
                yield coloured(held)
                held = b""
            elif _replaced(stream, path):
                stream.close()
                stream, held = _open(path), b""
            else:
                wait(POLL_SECONDS)
    finally:
        stream.close()


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
