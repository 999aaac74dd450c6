"""The facts of one call, shared by the verbs in `locate`, `invite`, `change` and `ending`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.table import Unexpected
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId, TokenSource
from gateway.call.legs.identity import Origin
from gateway.call.legs.invite_state import Act, CalleeEvent, CallerEvent
from gateway.call.legs.leg import Leg
from gateway.call.legs.making import LegMaker
from gateway.call.machine.asks import Asks
from gateway.call.machine.effects import Count, Effect, Purpose, Relay, SendRequest
from gateway.call.machine.events import Event
from gateway.call.machine.grade_time import GradeTime
from gateway.call.machine.hops import HopMarks
from gateway.call.machine.hunt import Hunt
from gateway.media.relay_commands import LegCommand
from gateway.policy.model import EffectivePolicy
from gateway.policy.pins import NO_PINS, Pins
from gateway.policy.posture import CallPosture
from gateway.sdp.codecs import Codec, with_events
from gateway.sdp.glare import BackOff, Glare
from gateway.sdp.summary import Described
from gateway.sip.flow import Flow
from gateway.sip.message import Message, Request
from gateway.sip.reason import Reason
from gateway.site import Site


class Phase(Enum):
    """How far a call has come."""

    PREPARING = auto()
    """The other side is being found, media is being opened."""
    CALLING = auto()
    """An INVITE of ours is out."""
    ANSWERED = auto()
    """The caller got its 200; the ACK is awaited."""
    ESTABLISHED = auto()
    ENDED = auto()


@dataclass(frozen=True)
class CallContext:
    """What every call of this gateway is given: randomness and constants."""

    tokens: TokenSource
    hop_marks: HopMarks
    make: LegMaker
    """Holds the configuration the call began under, whatever is loaded meanwhile."""
    pins: Pins = NO_PINS
    """Who had been seen to encrypt when the call began."""


@dataclass(frozen=True, kw_only=True)
class CallFacts:
    """What does not change while a call lives."""

    id: str
    """Short name in logs and headers."""
    uid: str
    """128-bit random identity in the audit log."""
    at: datetime
    """When its INVITE came, by the clock on the wall; has a time zone."""
    outbound: bool
    """True: a browser calls."""
    user: str
    """Who calls from a browser, or is called there by herself."""
    number: str
    """What was dialled, as the callee gets it."""
    calling_number: str = ""
    """Inbound: who the trunk says is calling."""
    dialled: str = ""
    """What the caller wrote in place of a number, for records: cut, and not cleaned."""
    origin: Origin = field(default=Origin())
    """Who calls, as the callee may be told it."""
    callee: str = ""
    """The user or group of ours who is called by another user; empty where a trunk is called, or calls."""
    max_forwards: int = 70

    @property
    def way(self) -> str:
        """As records name it: `out` to a trunk, `in` from one, `internal` from user to user."""
        if self.callee:
            return "internal"
        return "out" if self.outbound else "in"


@dataclass(frozen=True, slots=True)
class Bridge:
    """The two legs that hear each other, or are meant to while nobody has answered."""

    a: LegId = CALLER
    b: LegId | None = None


@dataclass
class End:
    """How a call ended, and what is still to be said of it."""

    termination: Termination | None = None
    status: int = 0
    reasons: tuple[Reason, ...] = ()
    """What the message that ended the call said of why."""
    headers: tuple[tuple[str, str], ...] = ()
    """What else a caller is told that has no answer yet."""
    by: LegId | None = None
    """The leg that has ended it; None: nobody on a leg did."""
    said: Message | None = None
    """By this message."""
    forgotten: bool = False


@dataclass
class Waiting:
    """Messages of trunks that wait for names, see `names`."""

    start: bool = False
    """The caller's offer has host names that are being looked up: nothing has begun yet."""
    events: list[Event] = field(default_factory=list)
    """In their order."""


@dataclass
class CallState:
    """One call: legs by their number, and the bridge between the two that hear each other."""

    facts: CallFacts
    context: CallContext
    policy: EffectivePolicy
    """What the call must meet, and each leg that has no policy of its own."""
    trunk_id: str
    """The trunk the call goes over, as records name it; `-` for none."""
    legs: dict[LegId, Leg] = field(default_factory=dict)
    bridge: Bridge = Bridge()
    last_leg: LegId = CALLER
    hunt: Hunt = field(default_factory=Hunt)
    phase: Phase = Phase.PREPARING
    posture: CallPosture = field(default_factory=CallPosture)
    asks: Asks = field(default_factory=Asks)
    weakening_attempts: int = 0
    """Changes that would have weakened a leg and were refused."""
    refused_changes: dict[LegId, tuple[Code, ...]] = field(default_factory=dict)
    """What the last of them on each leg would have done."""
    transfers_refused: int = 0
    """REFERs that were refused and recorded."""
    waiting: Waiting = field(default_factory=Waiting)
    end: End = field(default_factory=End)
    refused: Grade | None = None
    """What the leg that was refused last would have been."""
    flows_recorded: set[tuple[object, ...]] = field(default_factory=set)
    """What was said already of messages over weaker flows: each kind once, see `flows`."""
    relay_knows: dict[tuple[type[LegCommand], LegId], LegCommand] = field(default_factory=dict)
    """The last command of each kind for each leg."""
    began_at: float | None = None
    """When its INVITE was taken."""
    exceptions_told: set[str] = field(default_factory=set)
    """Exceptions of the policy that a record tells of already."""
    is_measured: bool = False
    """How its legs sound is looked at from now on."""
    takes_line: bool = True
    """It counts among the calls of its trunks: it was not refused as soon as it came."""
    shown: frozenset[LegId] = frozenset()
    """Legs whose users see the call on their event sockets."""
    answered_at: float | None = None
    grade_time: GradeTime = field(default_factory=GradeTime)
    described: dict[LegId, Described] = field(default_factory=dict)
    """What the description of each leg said of protection when it was recorded last."""
    now: float = 0.0
    out: list[Effect] = field(default_factory=list)

    def passes(self, now: float) -> None:
        """Time goes on; until now nothing has changed."""
        self.grade_time.passes(now, self.answered_at, self.posture.current)
        self.now = now

    def emit(self, *effects: Effect) -> None:
        self.out.extend(effects)

    def count(self, outcome: object) -> None:
        """Count an outcome of a state machine that is no step forward: glare, or an event its state does not expect."""
        if isinstance(outcome, Glare | BackOff | Unexpected):
            self.emit(Count(outcome.counter))

    def step(self, leg: Leg, event: CallerEvent | CalleeEvent) -> Act | Unexpected:
        """Something happens to the INVITE of a leg: what is to be done."""
        act = leg.invitation.on(event)
        self.count(act)
        return act

    def send(self, leg: Leg, request: Request, flow: Flow, purpose: Purpose) -> int:
        """Send a request and wait for what comes of it; gives its number."""
        ask = self.asks.new(leg.id, purpose)
        self.emit(SendRequest(leg.id, request, flow, purpose, ask.number))
        return ask.number

    def tell_relay(self, command: LegCommand, leg: LegId, *, again: bool = False) -> None:
        """Tell the relay what it does not know yet, or must hear again: one command of each kind and leg says how
        things stand."""
        if again or self.relay_knows.get((type(command), leg)) != command:
            self.relay_knows[type(command), leg] = command
            self.emit(Relay(command))

    def next_leg(self) -> LegId:
        """The number of one more leg; none is used twice in a call."""
        self.last_leg = LegId(self.last_leg + 1)
        return self.last_leg

    @property
    def wall(self) -> datetime:
        """The time of day now, counted on from when the INVITE came."""
        passed = self.now - self.began_at if self.began_at is not None else 0.0
        return self.facts.at + timedelta(seconds=passed)

    @property
    def site(self) -> Site:
        """The configuration the call began under."""
        return self.context.make.site

    @property
    def caller(self) -> Leg:
        """The leg whose INVITE made the call."""
        return self.legs[CALLER]

    @property
    def asker(self) -> Leg:
        """The leg somebody is looked for."""
        return self.legs[self.hunt.asker]

    @property
    def callee(self) -> Leg | None:
        """The leg on the other side of the bridge, or that counts as that while nobody has answered."""
        return self.legs.get(self.bridge.b) if self.bridge.b is not None else None

    @property
    def pair(self) -> tuple[Leg, ...]:
        """The legs that hear each other, or will."""
        return (self.legs[self.bridge.a],) if self.callee is None else (self.legs[self.bridge.a], self.callee)

    def other(self, leg: Leg) -> Leg | None:
        """Whom the peer of this leg hears; one that is still called will hear the one it is called for."""
        if leg.gone:
            return None
        if leg.id == self.bridge.a:
            return self.callee
        return self.legs[self.bridge.a] if leg.id == self.bridge.b else self.asker

    def meet(self, leg: Leg) -> None:
        """Bridge a leg with the one it was looked for; whoever stood there before counts no more."""
        if self.bridge.b is not None and self.bridge.b != leg.id:
            self.posture.drop(self.bridge.b)
        self.bridge = Bridge(self.hunt.asker, leg.id)

    def lines_of(self, trunk: str) -> int:
        """How many calls of this trunk this is: its legs that are called or talk, and connections that are awaited."""
        if not self.live or not self.takes_line or self.policy.emergency:
            return 0
        hunt = self.hunt
        ours = {self.bridge.a, CALLER, *hunt.ringing, *((self.bridge.b,) if self.answered_at is not None else ())}
        legs = (self.legs[leg] for leg in ours if leg in self.legs)
        awaited = sum(target.trunk.name == trunk for target in hunt.connecting.values())
        return awaited + sum(leg.trunk_name == trunk and not leg.gone for leg in legs)

    def acknowledged_by(self, key: str) -> Leg | None:
        """The leg whose INVITE we answered under this key: its ACK, or the lack of one, is that leg's."""
        return next((leg for leg in self.legs.values() if leg.invite_key == key or leg.talk.is_carried_by(key)), None)

    def concerns(self, user: str) -> bool:
        """Whether a user is looked for, rings, or talks in this call."""
        legs = [leg for leg in (*self.ringing(), *self.pair) if leg.habits.is_person and not leg.gone]
        return user in self.hunt.locating or any(leg.number == user for leg in legs)

    def ringing(self) -> Iterator[Leg]:
        """Legs that were called and may still become the call."""
        return (self.legs[leg] for leg in self.hunt.ringing if leg in self.legs)

    @property
    def termination(self) -> Termination | None:
        """Why the call ended."""
        return self.end.termination

    @property
    def live(self) -> bool:
        return self.phase is not Phase.ENDED

    @property
    def asked_codecs(self) -> tuple[Codec, ...]:
        """What the one somebody is looked for can do, or what its kind of leg usually can when it sent no offer."""
        codecs = self.asker.remote.codecs if self.asker.remote else self.asker.usable_codecs
        return with_events(codecs) if self.asker.digits_by_info else codecs
