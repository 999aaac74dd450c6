"""Where each sink was when the gateway ended, and the lines after that, read back from the log."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.audit.archive import DAMAGED, rotated, whole_lines
from gateway.audit.sinks.item import Item, item_of

FILE_NAME = "sinks.json"

CATCH_UP_OCTETS = 8 << 20
"""Of the file that is written, and of the one before, so much is read back: some 8,000 records of a busy day."""

MAX_POSITIONS_OCTETS = 65536
"""The file of positions has a line for each sink."""

SAVE_SECONDS = 0.5
"""How long the end of the gateway waits for the positions to be written."""

_log = logging.getLogger(__name__)


class Behind(NamedTuple):
    """The lines after a number, as far as they are at hand."""

    items: list[Item]
    oldest: int
    """Number of the oldest line that was read; the one asked for when there is none."""


def lines_after(current: Path, number: int) -> Behind:
    """The lines of the log after this number. Reads files."""
    found: list[Item] = []
    for path in (*reversed(rotated(current, 1)), current):
        try:
            items = (item_of(line) for line in whole_lines(path, CATCH_UP_OCTETS))
            found += [item for item in items if item is not None]
        except DAMAGED as error:
            _log.warning("audit sinks: %s cannot be read back: %s", path.name, type(error).__name__)
    oldest = found[0].seq if found else number + 1
    return Behind([item for item in found if item.seq > number], oldest)


class Positions:
    """The number of the last record each sink has delivered, kept beside the log."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._thread: threading.Thread | None = None
        self._kept: dict[str, int] = {}

    def load(self) -> dict[str, int]:
        """What was kept; empty when there is nothing, or nothing that can be read."""
        try:
            with self._path.open("rb") as stream:
                found = json.loads(stream.read(MAX_POSITIONS_OCTETS))
        except (OSError, ValueError, RecursionError):
            return {}
        known = found.items() if isinstance(found, dict) else ()
        self._kept = {name: seq for name, seq in known if type(seq) is int and 0 <= seq < 2**63}
        return dict(self._kept)

    def keep(self, positions: Mapping[str, int]) -> None:
        """Write these soon, in a thread of its own: a disk that hangs keeps nobody."""
        busy = self._thread is not None and self._thread.is_alive()
        if busy or positions == self._kept:
            return
        self._kept = dict(positions)
        self._thread = threading.Thread(target=self._save, args=(self._kept,), name="audit-sinks", daemon=True)
        self._thread.start()

    def close(self, positions: Mapping[str, int]) -> None:
        """Write these now, as far as the disk answers in time."""
        for _ in range(2):
            if self._thread is not None:
                self._thread.join(SAVE_SECONDS)
            self.keep(positions)

    def _save(self, positions: Mapping[str, int]) -> None:
        new = self._path.with_suffix(".new")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(json.dumps(positions, sort_keys=True).encode("ascii"))
            new.replace(self._path)
        except OSError as error:
            _log.warning("audit sinks: positions are not kept: %s", error.strerror)
