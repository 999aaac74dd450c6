"""The facts of one call, shared by the verbs in `setup`, `change` and `ending`. Holds no behaviour of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from gateway.base.grades import Grade
from gateway.base.termination import Termination
from gateway.base.values import TokenSource
from gateway.call.agreed import AgreedMedia
from gateway.call.browser_leg import BrowserLeg
from gateway.call.effects import Effect, LegName, Purpose, SendRequest
from gateway.call.events import Event, MediaOpened
from gateway.call.hops import HopMarks
from gateway.call.leg import Leg
from gateway.call.party import Party
from gateway.call.trunk_leg import KeySource, TrunkLeg
from gateway.policy.header import News
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import CallPosture
from gateway.sdp.codecs import Codec
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.sip.reason import Reason
from gateway.sip.uri import SipUri
from gateway.site import Site
from gateway.trunks.model import Trunk


class Phase(Enum):
    """How far a call has come."""

    PREPARING = auto()
    """Trunk being reached, media being opened."""
    CALLING = auto()
    """The callee's INVITE is out."""
    ANSWERED = auto()
    """The caller got its 200; the ACK is awaited."""
    ESTABLISHED = auto()
    ENDED = auto()


@dataclass(frozen=True)
class CallContext:
    """What every call of this gateway is given: randomness and constants."""

    tokens: TokenSource
    new_key: KeySource
    hop_marks: HopMarks
    make_callee: Callable[[CallState, Flow], Leg]


@dataclass
class CallState:
    """One call between a browser and a trunk."""

    id: str
    """Short name in logs and headers."""
    uid: str
    """128-bit random identity in the audit log."""
    outbound: bool
    """True: the browser calls the trunk."""
    user: str
    number: str
    """The number dialled, as the callee gets it."""
    calling_number: str
    """Inbound: who the trunk says is calling."""
    trunk_id: str
    trunk_config: Trunk
    policy: EffectivePolicy
    context: CallContext
    site: Site
    """The configuration the call began under: it holds until the call ends, whatever is loaded meanwhile."""
    caller: Leg
    dialled: str = ""
    """What the caller wrote in place of a number, for records: cut, and not cleaned."""
    party: Party | None = None
    """Who the browser is shown as the other side; None: nobody but the number it dialled."""
    party_told: Party | None = None
    callee: Leg | None = None
    callee_flow: Flow | None = None
    """Known from the start for a browser; for a trunk it comes with `TrunkConnected`."""
    callee_uri: SipUri | None = None
    """Contact the browser registered."""
    alternatives: tuple[str, ...] = ()
    """Trunks an emergency call tries when its own fails."""
    media: MediaOpened | None = None
    phase: Phase = Phase.PREPARING
    posture: CallPosture = field(default_factory=CallPosture)
    out: list[Effect] = field(default_factory=list)
    relay_knows: dict[type[Effect], Effect] = field(default_factory=dict)
    """The last command of each kind."""
    relay_follows: AgreedMedia | None = None
    """What the relay was told of the trunk leg comes from this."""
    asks: int = 0
    """Requests sent so far; each has its own number."""
    outstanding: dict[int, tuple[LegName, Purpose]] = field(default_factory=dict)
    """Requests we sent that have no final response yet, by their number: two BYEs of two forks are two."""
    ring_until: float = 0.0
    """When the callee has rung for long enough."""
    fork_objection: Termination | None = None
    """Why the first phone that answered was hung up on, while others may still answer better."""
    forks_until: float = 0.0
    """Until then our answered INVITE may be answered again by another fork (RFC 3261 13.2.2.4); 0: not answered."""
    max_forwards: int = 70
    callee_heard: bool = False
    """The callee has answered its INVITE, if only by 100."""
    trunk_down: bool = False
    """The trunk did not answer when it was asked last."""
    abandoned: dict[int, Leg] = field(default_factory=dict)
    """INVITEs given up for another trunk, by the number of the request, with the leg they were sent on."""
    start_waits: bool = False
    """The offer has host names that are being looked up: nothing has begun yet."""
    waiting: list[Event] = field(default_factory=list)
    """Messages of the trunk that wait for names, in their order, see `names`."""
    late_offer: bool = False
    """The caller's INVITE had no offer: ours goes into the 200, its answer comes in the ACK."""
    callee_call_id: str = ""
    told: News | None = None
    """What the browser has heard of the call's protection; None: nothing, or a report it did not read."""
    media_lost: frozenset[LegName] = frozenset()
    """Legs on which packets that should leave do not."""
    report_seq: int = 0
    """Number of the last report; the highest counts."""
    report_waits: bool = False
    """A report was not read and its time has not come again."""
    report_retries: int = 0
    dtls_started: bool = False
    ack_offer_key: str = ""
    """Key of an INVITE we answered with an offer: the ACK on `ack_offer_leg` carries the answer."""
    ack_offer_leg: LegName = LegName.TRUNK
    pending_bye: Termination | None = None
    """A BYE to the caller waits for the ACK of our 200 (RFC 3261 15)."""
    refused: Grade | None = None
    """What the leg that was refused last would have been."""
    srtp_proved: bool = False
    """The trunk has agreed to SRTP in this call, if only in an 18x or by another fork."""
    weakening_attempts: int = 0
    reoffer: LegName | None = None
    """Leg whose re-INVITE from us is unanswered."""
    reoffer_sequence: int = 0
    """CSeq number of that re-INVITE: what answers another one is late."""
    reoffer_again: set[LegName] = field(default_factory=set)
    """Legs that must be re-offered when that answer is in, or after glare."""
    glare_retries: int = 0
    flows_recorded: set[tuple[object, ...]] = field(default_factory=set)
    """What was said already of messages over weaker flows: each kind once, see `flows`."""
    silent_since: float | None = None
    """Since when the trunk is silent although it might speak, see `liveness`; None: it is heard."""
    silent_on_hold: bool = False
    """The call was on hold when that was looked at last."""
    termination: Termination | None = None
    status: int = 0
    reasons: tuple[Reason, ...] = ()
    """What the message that ended the call said of why."""
    forgotten: bool = False
    answered_at: float | None = None
    now: float = 0.0

    def emit(self, *effects: Effect) -> None:
        self.out.extend(effects)

    def send(self, leg: LegName, request: Request, flow: Flow, purpose: Purpose) -> None:
        """Send a request; until `answered`, the call waits for what comes of it."""
        self.asks += 1
        self.outstanding[self.asks] = (leg, purpose)
        self.emit(SendRequest(leg, request, flow, purpose, self.asks))

    def answered(self, ask: int) -> None:
        """A request has its final response, or will never have one."""
        self.outstanding.pop(ask, None)

    def awaits(self, leg: LegName, purpose: Purpose) -> bool:
        """Whether a request of this kind is unanswered."""
        return (leg, purpose) in self.outstanding.values()

    def tell_relay(self, command: Effect, *, again: bool = False) -> None:
        """Emit what the relay does not know yet, or must hear again: one command of each kind says how things stand."""
        if again or self.relay_knows.get(type(command)) != command:
            self.relay_knows[type(command)] = command
            self.emit(command)

    @property
    def browser(self) -> BrowserLeg | None:
        """The browser leg, once it exists."""
        for leg in (self.caller, self.callee):
            if isinstance(leg, BrowserLeg):
                return leg
        return None

    @property
    def trunk(self) -> TrunkLeg | None:
        """The trunk leg, once it exists."""
        for leg in (self.caller, self.callee):
            if isinstance(leg, TrunkLeg):
                return leg
        return None

    def leg(self, name: LegName) -> Leg | None:
        return self.browser if name is LegName.BROWSER else self.trunk

    def other(self, leg: Leg) -> Leg | None:
        return self.leg(leg.name.other)

    @property
    def live(self) -> bool:
        return self.phase is not Phase.ENDED

    @property
    def caller_codecs(self) -> tuple[Codec, ...]:
        """What the caller can do, or what its kind of leg usually can when it sent no offer."""
        return self.caller.remote.codecs if self.caller.remote else self.caller.usable_codecs
