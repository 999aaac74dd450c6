"""Whether what is left of an old log is what was to be left when the rest was let go. PURE."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from gateway.audit.chain import Examined
from gateway.audit.pick import number, text
from gateway.audit.retention import PRUNED, Record

MAX_TOLD = 10_000
"""`log.pruned` records kept, the newest; there are two for each file there ever was."""


class Remains:
    """Follows the files of a log, and the records that tell what was let go of them."""

    def __init__(self) -> None:
        self.first: Examined | None = None
        """The oldest record that is left."""
        self._first_file = ""
        self._told: list[Record] = []
        self._file, self._digest = "", hashlib.sha256()
        self._gone: tuple[int, int] | None = None
        self._files: list[tuple[str, str, tuple[int, int]]] = []
        """Of files whose detail went: name, SHA-256, and what went."""

    def take(self, line: bytes, place: str, found: Examined) -> None:
        """The next line, and what the chain says of it."""
        file = place.rpartition(":")[0]
        if file != self._file:
            self._leave()
            self._file = file
        self._digest.update(line)
        if self.first is None and found.record:
            self.first, self._first_file = found, file
        if found.gone is not None:
            first, last = found.gone
            self._gone = (min(first, self._gone[0]), max(last, self._gone[1])) if self._gone else found.gone
        if found.record.get("type") == PRUNED:
            self._told.append(found.record)
            del self._told[:-MAX_TOLD]

    def end(self) -> Iterator[tuple[str, int, str]]:
        """What is wrong: of which file, before which record, in words."""
        self._leave()
        for file, digest, (first, last) in self._files:
            told = [r for r in self._told if number(r, "first_seq") <= first and last <= number(r, "last_seq")]
            if not told:
                yield file, last, f"records {first} to {last} are gone, and no log.pruned record says that they went"
            elif not any(text(record, "sha256") == digest for record in told):
                yield file, last, "it is not what was left when its detail went: a line was changed or taken out"
        if self.first is not None:
            yield from self._beginning(self.first)

    def _beginning(self, first: Examined) -> Iterator[tuple[str, int, str]]:
        seq, went = first.link.seq, [number(r, "last_seq") for r in self._told if text(r, "what") == "all"]
        if self._before and not self.anchored:
            yield self._first_file, seq, "what went before it ended with another record"
        elif went and max(went) < seq - 1:
            span = f"records {max(went) + 1} to {seq - 1}"
            yield self._first_file, seq, f"{span} are gone, and no log.pruned record says so"

    @property
    def anchored(self) -> bool:
        """The oldest record follows the last one that went, as the log says."""
        wanted = text(self.first.record, "prev_hash") if self.first is not None else ""
        return any(text(record, "head") == wanted for record in self._before)

    @property
    def _before(self) -> list[Record]:
        """What tells of the file before the oldest that is left."""
        first = self.first.link.seq if self.first is not None else 0
        return [r for r in self._told if text(r, "what") == "all" and number(r, "last_seq") == first - 1]

    def _leave(self) -> None:
        """The file is read."""
        if self._gone is not None:
            self._files.append((self._file, self._digest.hexdigest(), self._gone))
        self._gone, self._digest = None, hashlib.sha256()
