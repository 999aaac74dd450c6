"""The log as a chain in a file: drafts become lines that name the hash of the line before, and stay one chain.

The chain goes on over rotations, restarts and outages: it follows the lines that are in a file, whichever that is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from gateway.audit.chain import sealed
from gateway.audit.checkpoint import Signer, State
from gateway.audit.file import AuditFile
from gateway.audit.line import Draft
from gateway.audit.people import Tables
from gateway.audit.rotation import Rotation, first_record, name_of


class Ledger:
    """Appends records to the file as a chain. Not for two threads at once: once the log is open it is the writer's."""

    def __init__(self, file: AuditFile, rotation: Rotation | None = None) -> None:
        self.file = file
        self._tables: Tables | None = None
        self._rotation = rotation or Rotation()
        self._began = ("", "", (-1, -1))
        self._state = State()
        self._signer: Signer | None = None

    def resume(self, state: State, signer: Signer, tables: Tables | None = None) -> None:
        """Go on where the log ended, with its key, and with the tables of people if they go by pseudonyms."""
        self._state, self._signer, self._tables = state, signer, tables

    @property
    def forgot(self) -> bool:
        """True once after somebody was taken out of the tables."""
        return self._tables is not None and self._tables.were_rewritten()

    def append(self, drafts: Sequence[Draft]) -> tuple[bytes, ...]:
        """Write drafts as lines and return those that are in the file; fewer than given: there is no more room.

        Raises:
            OSError: none of them is.
        """
        if drafts:
            self._rotate(drafts[0])
        if self._tables is not None:
            self._tables.append([entry for draft in drafts for entry in draft.people])
        lines, states = list[bytes](), [self._state]
        for draft in drafts:
            line, state = self._line(draft, states[-1])
            lines.append(line)
            states.append(state)
        whole = self.file.append(lines)
        self._state = states[whole]
        return tuple(lines[:whole])

    def _rotate(self, draft: Draft) -> None:
        """Begin a new file before this record if it is time to; what hinders that hinders no record."""
        seq, began = self._beginning()
        if began and self._rotation.is_due(self.file.size, began, draft.ts):
            with contextlib.suppress(OSError):
                self.file.move_away(name_of(began, seq))

    def _beginning(self) -> tuple[str, str]:
        """Number and time of the first record in the file, empty as long as there is none."""
        seq, began, identity = self._began
        if not began or identity != self.file.identity:
            seq, began = first_record(self.file.first_octets())
            self._began = (seq, began, self.file.identity)
        return seq, began

    def _line(self, draft: Draft, before: State) -> tuple[bytes, State]:
        """The draft as the line after `before`; a checkpoint says, and signs, what `before` is."""
        signer = self._signer if draft.is_checkpoint else None
        text = signer.complete(draft.text, draft.ts, before) if signer else draft.text
        line, found = sealed(text, before.head)
        return line, State(draft.seq, found, found if signer else before.prev_checkpoint)
