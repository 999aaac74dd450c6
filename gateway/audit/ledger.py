"""The log as a chain in a file: drafts become lines that name the hash of the line before, and stay one chain.

The chain goes on over rotations, restarts and outages: it follows the lines that are in a file, whichever that is.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.audit.chain import GENESIS, sealed
from gateway.audit.file import AuditFile


class Ledger:
    """Appends records to the file as a chain. Not for two threads at once: once the log is open it is the writer's."""

    def __init__(self, file: AuditFile) -> None:
        self.file = file
        self._head = GENESIS

    @property
    def head(self) -> str:
        """Hash of the newest line."""
        return self._head

    def resume(self, head: str) -> None:
        """Go on after a line with this hash."""
        self._head = head

    def append(self, drafts: Sequence[bytes]) -> tuple[bytes, ...]:
        """Write drafts as lines and return those that are in the file; fewer than given: there is no more room.

        Raises:
            OSError: none of them is.
        """
        lines, heads = list[bytes](), [self._head]
        for draft in drafts:
            line, head = sealed(draft, heads[-1])
            lines.append(line)
            heads.append(head)
        whole = self.file.append(lines)
        self._head = heads[whole]
        return tuple(lines[:whole])
