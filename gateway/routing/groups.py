"""Groups of users: who rings together or one after another, and for whom permissions are given together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_MEMBERS = 20
"""Members of one group: with all of them signed in on several pages each, a call still rings at a number of
browsers that can be counted."""
TURN_SECONDS = 20.0
"""How long each member of a group rings that is called in turn, where nothing else is said: four to five rings."""


class Ring(StrEnum):
    """How a group is called."""

    PARALLEL = "parallel"
    """All at once; the first who answers has the call."""
    IN_TURN = "in_turn"
    """One after the other, in the order they are named."""


@dataclass(frozen=True, slots=True)
class Group:
    """Some users of ours under one name."""

    name: str
    members: tuple[str, ...]
    ring: Ring = Ring.PARALLEL
    seconds: float = TURN_SECONDS
    """For how long each rings, in turn."""
