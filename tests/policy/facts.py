"""Facts of calls as a test wants them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from gateway.policy.facts import Direction, Facts, address_of

NOON = datetime(2030, 1, 2, 12, 0, tzinfo=UTC)
"""A Wednesday."""


def facts(source: str = "10.0.0.7", **changes: object) -> Facts:
    """A call of alice's over pbx at noon, with these changes."""
    made = Facts(direction=Direction.OUT, at=NOON, trunk="pbx", user="alice", dialled="+4930123", transport="wss")
    return replace(made, source=address_of(source), **changes)  # type: ignore[arg-type]


def asker(user: str = "", trunk: str = "-") -> Facts:
    """Whoever asks for a leg, as routes hear of it."""
    return facts(user=user, trunk=trunk, dialled="", direction=Direction.OUT if user else Direction.IN)
