"""Whom a call is for: the plan admission makes, frozen, from which the machine builds its legs."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.policy.model import EffectivePolicy
from gateway.sip.replaces import Replaces
from gateway.trunks.model import Trunk


@dataclass(frozen=True, slots=True)
class TrunkTarget:
    """A number behind a trunk."""

    trunk: Trunk
    policy: EffectivePolicy
    """What the leg must meet."""
    number: str
    """As the trunk gets it."""
    replaces: Replaces | None = None
    """The dialog of the trunk that the new one is to take the place of."""


@dataclass(frozen=True, slots=True)
class UserTarget:
    """A user of ours, wherever she is signed in."""

    user: str
    group: str = ""
    """The group she rings for, when it is her turn in one."""
    seconds: float = 0.0
    """How long she rings before it is somebody else's turn; 0: as long as a call may ring."""


@dataclass(frozen=True, slots=True)
class GroupTarget:
    """Several users of ours at once."""

    group: str
    users: tuple[str, ...]


Target = TrunkTarget | UserTarget | GroupTarget
