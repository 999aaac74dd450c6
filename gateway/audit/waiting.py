"""Records that are not known to be in the file, and who waits for them. PURE."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.audit.chain import SEAL_OCTETS
from gateway.audit.line import Draft
from gateway.audit.tally import UNCOUNTED, Countable

Then = Callable[[bool], None]
"""Told once what became of a record: True written, False not (yet)."""


@dataclass(slots=True)
class Waiting:
    """A record that is not known to be in the file."""

    draft: Draft
    since_ns: int
    then: Then | None
    held: bool = False
    """It was not written when that was wanted: it waits for the end of an outage."""
    own: bool = False
    """It is about the log itself."""
    ends_outage: bool = False
    countable: Countable = UNCOUNTED
    """What is counted of it as soon as it is in the file."""

    @property
    def octets(self) -> int:
        """Of the line it is to become."""
        return len(self.draft.text) + SEAL_OCTETS

    @property
    def seq(self) -> int:
        """Its number."""
        return self.draft.seq


def tell(told: Iterable[tuple[Then | None, bool]]) -> None:
    """Let those who wait know; who gave no `then` does not wait."""
    for then, written in told:
        if then is not None:
            then(written)
