"""The audit log as it grows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import BinaryIO

from rich.text import Text

from gateway.audit.archive import parsed
from gateway.audit.coloured import coloured
from gateway.audit.naming import Names
from gateway.audit.query import Wanted, is_pulse
from gateway.audit.reading import log_file, open_log
from gateway.audit.render import MAX_RENDERED

POLL_SECONDS = 0.2
"""How often a growing file is looked at: soon enough to watch a call."""


def follow_log(
    path: Path, wanted: Wanted | None = None, *, wait: Callable[[float], None] = time.sleep
) -> Generator[Text]:
    """Records as they are written, from the end of the file on; a file that was replaced is opened again."""
    stream = open_log(path)
    stream.seek(0, os.SEEK_END)
    held, names = b"", Names(path)
    try:
        while True:
            held += stream.readline(MAX_RENDERED - len(held))
            if held.endswith(b"\n") or len(held) >= MAX_RENDERED:
                held = names.restore(held)
                record = parsed(held)
                if not is_pulse(record) and (wanted is None or wanted.matches(record)):
                    yield coloured(held)
                held = b""
            elif _replaced(stream, path):
                stream.close()
                stream, held = open_log(path), b""
            else:
                wait(POLL_SECONDS)
    finally:
        stream.close()


def _replaced(stream: BinaryIO, path: Path) -> bool:
    """True when the name now means another file, or the file was cut."""
    try:
        now = log_file(path).stat()
    except OSError:
        return False
    return now.st_ino != os.fstat(stream.fileno()).st_ino or now.st_size < stream.tell()
