"""What was looked at on the way of a call: written down by those who decide, so that an explanation is what happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at."""

    kind: str
    """`emergency`, `rule`, `permission` or `countries`."""
    id: str
    about: str
    """The pattern, or what else it is compared with."""
    matched: bool
    why: str = ""
    """Why it did not match."""
    verdict: str = ""
    """What it decided, when it matched."""

    def __str__(self) -> str:
        head = self.kind if self.kind == self.id else f"{self.kind} {self.id}"
        said = self.verdict or "matches" if self.matched else f"no match: {self.why}"
        return f"{head} ({self.about}): {said}"

    def as_dict(self) -> dict[str, object]:
        """The same for other programs."""
        told = {"kind": self.kind, "id": self.id, "about": self.about, "matched": self.matched}
        return told | {name: text for name, text in (("why", self.why), ("verdict", self.verdict)) if text}


Note = Callable[[Step], None]
"""Takes what was looked at."""


def ignore(_step: Step) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The way of one call."""

    dialled: str
    number: str
    """As the rules see it."""
    steps: tuple[Step, ...]
    end: str
    """Where it leads, in words."""
    outcome: dict[str, object]
    """The same for other programs."""

    def lines(self) -> tuple[str, ...]:
        """Line by line, for people."""
        read = (f"{self.dialled} is read as {self.number}",) if self.number and self.number != self.dialled else ()
        return (*read, *map(str, self.steps), self.end)

    def as_dict(self) -> dict[str, object]:
        """For other programs."""
        steps = [step.as_dict() for step in self.steps]
        return {"dialled": self.dialled, "number": self.number, "steps": steps, **self.outcome}
