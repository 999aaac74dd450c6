"""Reads a log with the names of people in place of their pseudonyms, as far as its tables still know them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from gateway.audit.people import KEYS_NAME, names_in
from gateway.audit.pseudonym import restored


class Names:
    """Who is who in the log of a directory, or of a file in one. A table that grows is read again."""

    def __init__(self, log: Path) -> None:
        self._directory = log if log.is_dir() else log.parent
        self._state = self._tables()
        self._names = names_in(self._directory) if self._state else {}

    def restore(self, line: bytes) -> bytes:
        """The line with names; pseudonyms of those nobody knows any more stay."""
        found = restored(line, self._names)
        if b'"p-' in found and self._tables() != self._state:
            self._state, self._names = self._tables(), names_in(self._directory)
            found = restored(line, self._names)
        return found

    def _tables(self) -> tuple[tuple[str, int, int], ...]:
        """What tells whether a table has changed."""
        found: list[tuple[str, int, int]] = []
        for path in (self._directory / KEYS_NAME, *sorted(self._directory.glob("people-*.jsonl"))):
            with suppress(OSError):
                status = os.stat(path)
                found.append((path.name, status.st_ino, status.st_size))
        return tuple(found)
