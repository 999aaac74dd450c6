"""From an INVITE to a call: identity, route, limits, policy. Whatever is refused here still leaves its two records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from gateway.audit.facts import short_id
from gateway.base.buckets import Buckets, Rate
from gateway.base.counters import Counter
from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.base.values import CALLER, Secret
from gateway.call.legs import party
from gateway.call.legs.identity import Origin, is_anonymous, of_trunk, of_user
from gateway.call.legs.leg import Leg
from gateway.call.legs.making import LegMaker
from gateway.call.legs.party import Reading
from gateway.call.legs.targets import Relayed, Target, TrunkTarget, UserTarget
from gateway.call.legs.user_agent import HOP_HEADER
from gateway.call.machine import routes
from gateway.call.machine.circumstances import asked_by_trunk, asked_by_user
from gateway.call.machine.hops import HopMarks
from gateway.call.machine.hunt import Stage
from gateway.call.machine.state import CallContext, CallFacts, CallState
from gateway.call.run.index import CallIndex
from gateway.call.run.probes import TrunkProbes
from gateway.call.run.runner import CallRunner
from gateway.call.run.services import Locator, Services
from gateway.policy.facts import UNROUTED, Facts
from gateway.policy.model import EffectivePolicy
from gateway.policy.pins import Pins
from gateway.routing.admission import CallCaps, CallKind, Seat
from gateway.sip.address import NameAddr
from gateway.sip.events import RequestReceived
from gateway.sip.message import Request
from gateway.sip.model import MAX_FORWARDS
from gateway.sip.uri import SipUri
from gateway.site import Site, Sites
from gateway.trunks.selection import Draw

ATTEMPTS = Rate(per_second=10, burst=100)
"""New calls one user may begin, refused ones included, emergency calls counted apart. Each leaves two records, and a
page gone mad, or a stolen password, must not fill the disk with them; beyond, there is no call and no record."""
MAX_DIALLING = 4096
"""Users counted apart at one time."""
MAX_TYPED = 64
"""Characters kept of what was dialled and is no number; E.164 has 15 digits."""
UID_LENGTH = 26
"""Characters of the random name of a call: 128 bits and more."""
HOP_KEY_LENGTH = 32
"""Octets of the key of our hop marks: one block of SHA-256."""


@dataclass(frozen=True)
class Plan:
    """Where an INVITE goes, or why it goes nowhere."""

    user: str
    number: str
    targets: tuple[Target, ...] = ()
    """What is tried, one after the other."""
    emergency: bool = False
    callee: str = ""
    """The user or group of ours whom another user calls."""
    refused: Termination | None = None
    policy: EffectivePolicy | None = None
    """What the call must meet where no trunk is called; of a call a rule refuses, that rule's."""
    is_final: bool = False
    """It rings one browser and goes nowhere else: a PBX that calls one user of ours for another one is no loop."""


class Registrar(Protocol):
    """A registrar that authenticates browsers in our place; `registration.relay.Registrations` has this shape."""

    def is_for_a_place(self, event: RequestReceived) -> bool: ...

    def target_of(self, event: RequestReceived) -> UserTarget | None: ...

    def relayed(self, event: RequestReceived, trunk: str) -> Relayed | None: ...


class Admission:
    """Makes calls. Holds the caps and the key that finds loops.

    Args:
        registrar: who authenticates browsers in our place; None: we do.
    """

    def __init__(
        self,
        services: Services,
        location: Locator,
        index: CallIndex,
        probes: TrunkProbes,
        registrar: Registrar | None = None,
    ) -> None:
        self._registrar = registrar
        self._services, self._location, self._index, self._probes = services, location, index, probes
        self._caps = CallCaps(services.sites.current.limits.calls)
        self._attempts = Buckets(ATTEMPTS, MAX_DIALLING)
        self._hop_marks = HopMarks(Secret(services.new_key(HOP_KEY_LENGTH)), services.tokens)

    def admit(self, event: RequestReceived, user: str) -> None:
        """Start a call for this INVITE; `user` is the browser user, or empty when a trunk calls.

        Raises:
            SipError: 503, this user begins more calls than anybody dials; no call and no record of it then.
        """
        request, site = event.request, self._services.sites.current
        self._caps.limit(site.limits.calls, per_user=site.limits.calls_per_user)
        who = self._who(event, user, site)
        plan = self._outbound(event, who, site) if user else self._inbound(event, who, site)
        if user and not self._attempts.take(f"{user} {plan.emergency}", self._services.clock()):
            raise SipError("too many calls", 503)
        state = self._from_browser(event, plan, who) if user else self._from_trunk(event, plan, who)
        state.hunt.targets = list(plan.targets)
        refused = plan.refused or (Termination.POLICY_REJECTED if state.policy.reject else None)
        refused = refused or (None if plan.is_final else self._looped(request))
        refused = refused or self._full(event, user, site)
        state.takes_line = refused is None
        seats: list[Seat] = []
        if refused is None:
            refused = self._seated(plan, state, seats)
            if refused is not None:
                self._services.counters.add(Counter.SIP_REJECTED)
        release = partial(self._release, seats)
        callee = partial(self._seat_of_callee, state, seats)
        CallRunner(state, self._services, self._index, self._probes, self._location, callee, release).begin(refused)

    def _who(self, event: RequestReceived, user: str, site: Site) -> Facts:
        """Who asks for the call, over which connection, and when: what its policy is decided by."""
        now, pins = self._services.wall(), self._services.pins.under(site.pinning)
        if user:
            return asked_by_user(site, user, event.flow, now, pins)
        calling = routes.calling(event.request.from_.uri, site.realm)
        return asked_by_trunk(site, event.flow.trunk or UNROUTED, event.flow, now, calling, _number(event, site), pins)

    def _outbound(self, event: RequestReceived, who: Facts, site: Site) -> Plan:
        """A browser calls; where the trunk authenticates it, its INVITE keeps what its digest covers."""
        draw = routes.lots(self._services.tokens)
        plan, registrar = _plan_outbound(event.request, who, site, draw), self._registrar
        if registrar is None:
            return plan
        try:
            return replace(plan, targets=tuple(_relayed(target, event, registrar) for target in plan.targets))
        except SipError:
            return replace(plan, targets=(), refused=Termination.NO_ROUTE)

    def _inbound(self, event: RequestReceived, who: Facts, site: Site) -> Plan:
        """A trunk calls: one registered place, or a number."""
        if self._registrar is None or not self._registrar.is_for_a_place(event):
            return _plan_inbound(event, who, site)
        target = self._registrar.target_of(event)
        if target is None:
            return Plan("", _typed(event.request), refused=Termination.USER_NOT_REGISTERED)
        return Plan(target.user, target.user, (target,), is_final=True)

    def _seated(self, plan: Plan, state: CallState, seats: list[Seat]) -> Termination | None:
        """Take the call's place among those that live, or say why there is none."""
        kind = CallKind.INBOUND
        if state.facts.outbound:
            kind = CallKind.EMERGENCY if plan.emergency else CallKind.DIALLED
        return _kept(self._caps.take(plan.user, kind, lambda: state.answered_at is None), seats)

    def _seat_of_callee(self, state: CallState, seats: list[Seat], user: str) -> Termination | None:
        """Take the place of a user who has been found, before she is rung; who is not there is never busy."""
        if not state.live:
            return None  # it ended while she was looked for, and its places are free again
        kind, hunt = CallKind.INTERNAL if state.facts.outbound else CallKind.CALLED, state.hunt
        for seat in [seat for seat in seats if (seat.user, seat.kind) == (user, kind)]:
            seats.remove(seat)  # of an earlier search of this call
            self._caps.release(seat)
        refused = _kept(
            self._caps.take(user, kind, lambda: hunt.stage is not Stage.OVER, partial(state.concerns, user)), seats
        )
        if refused is not None:
            self._services.counters.add(Counter.SIP_REJECTED)
        return refused

    def _full(self, event: RequestReceived, user: str, site: Site) -> Termination | None:
        """A trunk calls that has as many calls already as it may."""
        name = event.flow.trunk or UNROUTED
        cap = None if user else site.trunk(name).max_calls
        return Termination.TRUNK_FULL if cap is not None and self._index.lines_of(name) >= cap else None

    def _release(self, seats: list[Seat]) -> None:
        for seat in seats:
            self._caps.release(seat)

    def _looped(self, request: Request) -> Termination | None:
        """An INVITE that carries a hop mark of ours has been here before."""
        looped = self._hop_marks.contains_ours(request.headers.get_all(HOP_HEADER))
        return Termination.LOOP_DETECTED if looped else None

    def _from_browser(self, event: RequestReceived, plan: Plan, who: Facts) -> CallState:
        """A call of a user of ours."""
        site = self._services.sites.current
        first = next((target for target in plan.targets if isinstance(target, TrunkTarget)), None)
        policy = first.policy if first is not None else plan.policy or site.policies.standing(UNROUTED)
        state = CallState(
            facts=self._facts(event, plan, who, outbound=True),
            context=self._context(site, who.pins),
            policy=policy,
            trunk_id=policy.trunk,
        )
        local, remote = _named(event.request)
        caller = state.context.make.browser(CALLER, event.flow, local, remote, is_caller=True, user=plan.user)
        caller.party = state.facts.origin.shown()
        return _with_caller(state, caller, event)

    def _from_trunk(self, event: RequestReceived, plan: Plan, who: Facts) -> CallState:
        """A call to a user of ours."""
        site, name = self._services.sites.current, who.trunk
        target = TrunkTarget(site.trunk(name), plan.policy or routes.called_by(site, who, plan.targets), plan.number)
        state = CallState(
            facts=self._facts(event, plan, who, outbound=False),
            context=self._context(site, who.pins),
            policy=target.policy,
            trunk_id=name,
        )
        local, remote = _named(event.request)
        caller = state.context.make.trunk(CALLER, event.flow, target, local, remote, is_caller=True)
        reading = state.context.make.reading(name)
        caller.party = party.caller(event.request, reading, trusted=target.trunk.trust_identity)
        if plan.is_final:
            self._join_with_its_maker(event.request, caller)
        return _with_caller(state, caller, event)

    def _join_with_its_maker(self, request: Request, caller: Leg) -> None:
        """A proxy brings the INVITE of a leg of ours on to a browser of ours: media goes from one to the other here.

        Such a leg has its Call-ID and tag from the browser that calls, so no other call has both.
        """
        living = (runner.state for runner in self._index.of_call_id(request.call_id) if runner.state.live)
        for leg in (leg for state in living for leg in state.legs.values()):
            same = leg.local_tag == request.from_.tag and leg.trunk_name == caller.trunk_name
            if same and leg.relayed is not None:
                leg.face(caller)

    def _context(self, site: Site, pins: Pins) -> CallContext:
        services = self._services
        make = LegMaker(services.tokens, services.new_key, site, services.identity.fingerprint, services.own())
        return CallContext(services.tokens, self._hop_marks, make, pins)

    def _facts(self, event: RequestReceived, plan: Plan, who: Facts, *, outbound: bool) -> CallFacts:
        site, uid = self._services.sites.current, self._services.tokens(UID_LENGTH)
        return CallFacts(
            id=short_id(uid),
            uid=uid,
            at=who.at,
            outbound=outbound,
            user=plan.user,
            number=plan.number,
            callee=plan.callee,
            origin=_origin(event, plan.user if outbound else "", site),
            calling_number="" if outbound else routes.calling(event.request.from_.uri, site.realm),
            dialled=_typed(event.request),
            max_forwards=_hops(event.request),
        )


def _relayed(target: Target, event: RequestReceived, registrar: Registrar) -> Target:
    """A target as the browser calls it: a registrar gets what its digest covers as it came."""
    if not isinstance(target, TrunkTarget):
        return target
    return replace(target, relayed=registrar.relayed(event, target.trunk.name))


def _plan_outbound(request: Request, who: Facts, site: Site, draw: Draw) -> Plan:
    """A browser calls: From must be who the flow is; the dialplan knows the trunk, or the user."""
    user = who.user
    try:
        number = routes.called(request.request_uri, site)
    except SipError:
        return Plan(user, _typed(request), refused=Termination.NO_ROUTE)
    # A call for help is made whatever stands in From, in the name of who signed in.
    if not _is_hers(request.from_.uri, user, site) and not site.dialplan.is_emergency(number):
        return Plan(user, number, refused=Termination.IDENTITY_MISMATCH)
    route = routes.from_user(site, who, number, request.request_uri, draw)
    if route is None:
        return Plan(user, number, refused=Termination.NO_ROUTE)
    callee = route.user or route.group
    return Plan(user, route.number, route.targets, route.emergency, callee, route.refused, route.policy)


def _is_hers(uri: SipUri, user: str, site: Site) -> bool:
    """Whether From is the user, or nobody."""
    return site.is_same_user(_user_part(uri), user) or is_anonymous(uri)


def _origin(event: RequestReceived, user: str, site: Site) -> Origin:
    """Who calls: a user of ours, or whom a trunk brings."""
    plan, name = site.dialplan, event.flow.trunk or UNROUTED
    if user:
        return of_user(event.request, user, site.person(user), Reading(site.realm, plan.read))
    reading = Reading(site.realm, lambda number: plan.read_from(name, number))
    return of_trunk(event.request, reading, trusted=site.trunk(name).trust_identity)


def _plan_inbound(event: RequestReceived, who: Facts, site: Site) -> Plan:
    """A trunk calls: the dialplan knows the user; where she is signed in is found out later."""
    try:
        number = routes.dialled(event.request.request_uri, site.realm)
    except SipError:
        return Plan("", _typed(event.request), refused=Termination.NO_ROUTE)
    route = routes.to_user(site, who, number)
    if route is None:
        return Plan("", number, refused=Termination.NO_ROUTE)
    return Plan(route.user, route.number, route.targets, refused=route.refused, policy=route.policy)


def _number(event: RequestReceived, site: Site) -> str:
    """What a trunk calls; "" where it cannot be dialled."""
    try:
        return routes.dialled(event.request.request_uri, site.realm)
    except SipError:
        return ""


def _named(request: Request) -> tuple[NameAddr, NameAddr]:
    """Who is called and who calls, as the caller's own leg names them: our side, and the peer's."""
    return NameAddr("", request.to.uri), NameAddr("", request.from_.uri)


def _with_caller(state: CallState, caller: Leg, event: RequestReceived) -> CallState:
    caller.invite, caller.invite_key, caller.call_id = event.request, event.key, event.request.call_id
    state.legs[CALLER] = caller
    return state


def is_emergency_call(request: Request, sites: Sites) -> bool:
    """Whether an INVITE dials an emergency number; who sends it does not matter."""
    try:
        return sites.current.dialplan.is_emergency(routes.called(request.request_uri, sites.current))
    except SipError:
        return False


def _kept(seat: Seat | Termination, seats: list[Seat]) -> Termination | None:
    """Note a seat that was given; else why there is none."""
    if isinstance(seat, Termination):
        return seat
    seats.append(seat)
    return None


def _typed(request: Request) -> str:
    """What the caller wrote where a number should be; records clean it."""
    try:
        uri = request.request_uri
    except SipError:
        return request.uri[:MAX_TYPED]
    return (uri.user_decoded or uri.host)[:MAX_TYPED]


def _user_part(uri: SipUri) -> str:
    return uri.user_decoded or ""


def _hops(request: Request) -> int:
    """Max-Forwards as the next hop may count it on; zero has been answered with 483 before."""
    value = request.max_forwards
    return MAX_FORWARDS if value is None else min(value, MAX_FORWARDS)
