"""The search for somebody who answers: for the caller of a call, or in mid-call for one who is handed over."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from gateway.base.termination import Termination
from gateway.base.values import CALLER, NO_LEG, LegId
from gateway.call.legs.targets import Target, TrunkTarget
from gateway.call.machine.events import RequestIn
from gateway.policy.model import EffectivePolicy
from gateway.sip.flow import Flow
from gateway.sip.reason import Reason
from gateway.sip.refer import Referral
from gateway.sip.uri import SipUri
from gateway.trunks.failover import Tried


class Goal(Enum):
    """What an answer is for."""

    CALL = auto()
    """The call itself: the caller gets its answer."""
    REPLACE = auto()
    """Somebody comes in the place of a leg (RFC 3891); nobody is looked for."""
    TRANSFER = auto()
    """The one who stays is joined with whoever answers (RFC 3515); the call goes on whatever comes of it."""


class Stage(Enum):
    """How far a search has come."""

    LOOKING = auto()
    """The target is being found or reached, media is being opened."""
    RINGING = auto()
    """An INVITE of ours is out."""
    OVER = auto()
    """Somebody answered, or nobody will: nothing is looked for."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A callee's refusal, as the one who asked would hear of it; status 0: that of the termination."""

    status: int
    termination: Termination
    reasons: tuple[Reason, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    """What else the caller is told: what it is asked for."""

    @property
    def told(self) -> int:
        """The status it is told by."""
        return self.status or self.termination.status


@dataclass
class Hunt:
    """One search. A call has one at a time."""

    targets: list[Target] = field(default_factory=list)
    """What is tried next, one after the other."""
    at: tuple[Flow, SipUri] | None = None
    """Where the user who is called now is called, and nowhere else; None: wherever she is."""
    asker: LegId = CALLER
    """The leg that is joined with whoever answers."""
    goal: Goal = Goal.CALL
    stage: Stage = Stage.LOOKING
    group: str = ""
    """The group that rings now, empty for a trunk or a user by herself: what one member says is not its last word."""
    seconds: float = 0.0
    """How long those who ring now have before it is the next one's turn; 0: as long as a call may ring."""
    last: float = 0.0
    """When the turns of a group are over, however many are left."""
    locating: set[str] = field(default_factory=set)
    """Users who are being looked for."""
    connecting: dict[LegId, TrunkTarget] = field(default_factory=dict)
    """Trunks a flow to is awaited, by the leg there will be."""
    called: dict[LegId, TrunkTarget] = field(default_factory=dict)
    """Trunks that were called, by their leg."""
    tried: Tried = ()
    """Places of the trunk that is tried now, where the call was not taken."""
    instead_of: LegId = NO_LEG
    """The leg that was called at the last of them."""
    ringing: list[LegId] = field(default_factory=list)
    """Legs that may still be the one: called, or about to be."""
    until: float = 0.0
    """When it has rung for long enough, where it rings now."""
    objection: Termination | None = None
    """Why the first phone that answered was hung up on, while others may still answer better."""
    refusals: list[Refused] = field(default_factory=list)
    """What those said that refused while others ring on."""
    by: LegId = NO_LEG
    """Who asked for a transfer."""
    referral: Referral | None = None
    """And how it put it."""
    floor: EffectivePolicy | None = None
    """What users of ours who are called need of the one they would be joined with."""
    comes: LegId = NO_LEG
    """Who comes in its place by itself."""
    unanswered: RequestIn | None = None
    """That REFER, while the dialog it names is looked up."""
    failure: Termination | None = None
    """Why nobody was found for it; None while there is hope, and when somebody was."""
