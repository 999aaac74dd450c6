"""What was looked at while a policy was decided: told by who decides, so that an explanation is what happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at."""

    kind: str
    """`emergency`, `rule`, `trunk`, `floor` or `exception`."""
    id: str
    matched: bool
    words: str
    """Why not, or what came of it."""

    def __str__(self) -> str:
        head = f"{self.kind} {self.id}".rstrip()
        return f"{head}: {self.words}" if self.matched else f"{head}: no match: {self.words}"

    def as_dict(self) -> dict[str, object]:
        """The same for other programs."""
        return {"kind": self.kind, "id": self.id, "matched": self.matched, "words": self.words}


Note = Callable[[Step], None]
"""Takes what was looked at."""
