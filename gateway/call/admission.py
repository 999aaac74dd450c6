"""From an INVITE to a call: identity, route, limits, policy. Whatever is refused here still leaves its two records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gateway.audit.facts import short_id
from gateway.base.buckets import Buckets, Rate
from gateway.base.counters import Counter
from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.base.values import Secret, TokenSource
from gateway.call import party
from gateway.call.browser_leg import BrowserLeg
from gateway.call.hops import HopMarks
from gateway.call.index import CallIndex
from gateway.call.leg import HOP_HEADER, Leg
from gateway.call.probes import TrunkProbes
from gateway.call.runner import CallRunner
from gateway.call.services import Services
from gateway.call.state import CallContext, CallState
from gateway.call.trunk_leg import TrunkLeg
from gateway.location.binding import Binding
from gateway.policy.book import UNROUTED
from gateway.routing.admission import CallCaps, CallKind, Seat
from gateway.routing.dialplan import OutboundRoute
from gateway.routing.numbers import in_context, normalise
from gateway.sip.address import NameAddr
from gateway.sip.events import RequestReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.sip.model import MAX_FORWARDS
from gateway.sip.uri import SipUri
from gateway.site import Site, Sites
from gateway.trunks.model import Trunk

ATTEMPTS = Rate(per_second=10, burst=100)
"""New calls one user may begin, refused ones included, emergency calls counted apart. Each leaves two records, and a
page gone mad, or a stolen password, must not fill the disk with them; beyond, there is no call and no record."""
MAX_DIALLING = 4096
"""Users counted apart at one time."""
MAX_TYPED = 64
"""Characters kept of what was dialled and is no number; E.164 has 15 digits."""
MAX_SESSION_ID = 0x7FFFFFFF
HOP_KEY_LENGTH = 32
"""Octets of the key of our hop marks: one block of SHA-256."""


@dataclass(frozen=True)
class Plan:
    """Where an INVITE goes, or why it goes nowhere."""

    user: str
    number: str
    trunk_id: str
    emergency: bool = False
    alternatives: tuple[str, ...] = ()
    binding: Binding | None = None
    refused: Termination | None = None


class Admission:
    """Makes calls. Holds the caps and the key that finds loops."""

    def __init__(
        self, services: Services, bound: Callable[[str], Binding | None], index: CallIndex, probes: TrunkProbes
    ) -> None:
        self._services, self._bound, self._index, self._probes = services, bound, index, probes
        self._caps = CallCaps(services.sites.current.limits.calls)
        self._attempts = Buckets(ATTEMPTS, MAX_DIALLING)
        self._context = CallContext(
            tokens=services.tokens,
            new_key=services.new_key,
            hop_marks=HopMarks(Secret(services.new_key(HOP_KEY_LENGTH)), services.tokens),
            make_callee=self._make_callee,
        )

    def admit(self, event: RequestReceived, user: str) -> None:
        """Start a call for this INVITE; `user` is the browser user, or empty when a trunk calls.

        Raises:
            SipError: 503, this user begins more calls than anybody dials; no call and no record of it then.
        """
        request, site = event.request, self._services.sites.current
        plan = self._plan_outbound(request, user, site) if user else self._plan_inbound(event, site)
        if user and not self._attempts.take(f"{user} {plan.emergency}", self._services.clock()):
            raise SipError("too many calls", 503)
        state = self._state(event, plan, site, outbound=bool(user))
        refused = plan.refused or self._looped(request)
        seat = refused or self._seat(plan, state)
        if refused is None and isinstance(seat, Termination):
            self._services.counters.add(Counter.SIP_REJECTED)
            refused = seat
        release = partial(self._caps.release, seat) if isinstance(seat, Seat) else _nothing_held
        CallRunner(state, self._services, self._index, self._probes, release).begin(refused)

    def _seat(self, plan: Plan, state: CallState) -> Seat | Termination:
        """The call's place among those that live, or why there is none."""
        if not state.outbound:
            return self._caps.take(plan.user, CallKind.INBOUND, lambda: state.answered_at is None)
        return self._caps.take(plan.user, CallKind.EMERGENCY if plan.emergency else CallKind.DIALLED)

    def _looped(self, request: Request) -> Termination | None:
        """An INVITE that carries a hop mark of ours has been here before."""
        looped = self._context.hop_marks.contains_ours(request.headers.get_all(HOP_HEADER))
        return Termination.LOOP_DETECTED if looped else None

    def _plan_outbound(self, request: Request, user: str, site: Site) -> Plan:
        """A browser calls: From must be who the flow is; the dialplan knows the trunk."""
        try:
            number = _dialled(request.request_uri, site.realm)
        except SipError:
            return Plan(user, _typed(request), UNROUTED, refused=Termination.NO_ROUTE)
        if _user_part(request.from_.uri).lower() != user.lower():
            return Plan(user, number, UNROUTED, refused=Termination.IDENTITY_MISMATCH)
        route = site.dialplan.route_outbound(number)
        if route is None:
            return Plan(user, number, UNROUTED, refused=Termination.NO_ROUTE)
        return self._routed(user, route)

    def _routed(self, user: str, route: OutboundRoute) -> Plan:
        return Plan(user, route.number, route.trunk, route.emergency, route.alternatives)

    def _plan_inbound(self, event: RequestReceived, site: Site) -> Plan:
        """A trunk calls: the dialplan knows the user, the location service the connection."""
        trunk = event.flow.trunk or UNROUTED
        try:
            number = _dialled(event.request.request_uri, site.realm)
        except SipError:
            return Plan("", _typed(event.request), trunk, refused=Termination.NO_ROUTE)
        route = site.dialplan.route_inbound(trunk, number)
        if route is None:
            return Plan("", number, trunk, refused=Termination.NO_ROUTE)
        binding = self._bound(route.user)
        if binding is None:
            return Plan(route.user, number, trunk, refused=Termination.USER_NOT_REGISTERED)
        return Plan(route.user, number, trunk, binding=binding)

    def _state(self, event: RequestReceived, plan: Plan, site: Site, *, outbound: bool) -> CallState:
        tokens = self._services.tokens
        trunk = site.trunk(plan.trunk_id)
        uid = tokens(26)
        state = CallState(
            id=short_id(uid),
            uid=uid,
            outbound=outbound,
            user=plan.user,
            number=plan.number,
            calling_number="" if outbound else _calling(event.request.from_.uri, site.realm),
            trunk_id=plan.trunk_id,
            trunk_config=trunk,
            policy=site.policies.decide(plan.trunk_id, emergency=plan.emergency),
            context=self._context,
            site=site,
            caller=self._make_caller(event, plan, site, outbound=outbound),
            dialled=_typed(event.request),
            alternatives=plan.alternatives,
        )
        state.max_forwards = _hops(event.request)
        if not outbound:
            state.party = party.caller(event.request, site.realm, trusted=trunk.trust_identity)
        if plan.binding is not None:
            state.callee_flow, state.callee_uri = plan.binding.flow, plan.binding.contact.uri
        return state

    def _make_caller(self, event: RequestReceived, plan: Plan, site: Site, *, outbound: bool) -> Leg:
        request = event.request
        remote, local = NameAddr("", request.from_.uri), NameAddr("", request.to.uri)
        leg = (
            self._browser_leg(event.flow, site, local, remote, is_caller=True)
            if outbound
            else self._trunk_leg(event.flow, site, plan.trunk_id, local, remote, is_caller=True)
        )
        leg.invite, leg.invite_key = request, event.key
        return leg

    def _make_callee(self, call: CallState, flow: Flow) -> Leg:
        """The leg that will be called, now that there is a flow to it."""
        realm = call.site.realm
        if call.outbound:
            trunk = call.trunk_config
            local = NameAddr("", SipUri.of(call.user, realm))
            remote = NameAddr("", SipUri.of(call.number, trunk.target.host, trunk.port))
            return self._trunk_leg(flow, call.site, call.trunk_id, local, remote, is_caller=False)
        caller = (call.party or party.HIDDEN).address(realm)
        leg = self._browser_leg(flow, call.site, caller, NameAddr("", SipUri.of(call.user, realm)), is_caller=False)
        leg.request_uri = call.callee_uri
        return leg

    def _browser_leg(self, flow: Flow, site: Site, local: NameAddr, remote: NameAddr, *, is_caller: bool) -> BrowserLeg:
        tokens = self._services.tokens
        return BrowserLeg(
            flow=flow,
            is_caller=is_caller,
            local_address=local,
            remote_address=remote,
            contact=NameAddr("", SipUri.of("gateway", site.realm, transport="ws")),
            session_id=_session_id(tokens),
            local_tag=tokens(12),
            fingerprint=self._services.identity.fingerprint,
            setup_answer=site.media.browser.setup,
        )

    def _trunk_leg(
        self, flow: Flow, site: Site, trunk_id: str, local: NameAddr, remote: NameAddr, *, is_caller: bool
    ) -> TrunkLeg:
        tokens, trunk = self._services.tokens, site.trunk(trunk_id)
        return TrunkLeg(
            flow=flow,
            is_caller=is_caller,
            local_address=local,
            remote_address=remote,
            contact=_contact(flow, trunk, site),
            session_id=_session_id(tokens),
            local_tag=tokens(12),
            trunk_id=trunk_id,
            trunk=trunk,
            new_key=self._services.new_key,
            own=self._services.own,
            media_bind=trunk.media.bind,
        )


def _contact(flow: Flow, trunk: Trunk, site: Site) -> NameAddr:
    """Where the trunk reaches us: the flow's own address, or the advertised one behind 1:1 NAT."""
    host = trunk.media.advertise or flow.local.host
    if host in ("0.0.0.0", "::"):
        host = site.media.trunk.advertised
    return NameAddr("", SipUri.of("gateway", host, flow.local.port, transport=flow.transport))


def is_emergency_call(request: Request, sites: Sites) -> bool:
    """Whether an INVITE dials an emergency number; who sends it does not matter."""
    try:
        return sites.current.dialplan.is_emergency(_dialled(request.request_uri, sites.current.realm))
    except SipError:
        return False


def _nothing_held() -> None:
    """The end of a call that had no seat."""


def _session_id(tokens: TokenSource) -> int:
    """A numeric SDP session id (RFC 8866 5.2) from the token source."""
    return int.from_bytes(tokens(8).encode(), "big") & MAX_SESSION_ID


def _dialled(uri: SipUri, realm: str) -> str:
    """The number a URI names: the user up to its first ``;``, in the context it counts in.

    Raises:
        SipError: 404, it cannot be dialled, or counts in a context that is not ours.
    """
    return in_context(normalise(uri.subscriber), uri.phone_context, realm)


def _typed(request: Request) -> str:
    """What the caller wrote where a number should be; records clean it."""
    try:
        uri = request.request_uri
    except SipError:
        return request.uri[:MAX_TYPED]
    return (uri.user_decoded or uri.host)[:MAX_TYPED]


def _calling(uri: SipUri, realm: str) -> str:
    """The caller's number, or what stands in its place."""
    try:
        return _dialled(uri, realm)
    except SipError:
        return uri.subscriber


def _user_part(uri: SipUri) -> str:
    return uri.user_decoded or ""


def _hops(request: Request) -> int:
    """Max-Forwards as the next hop may count it on; zero has been answered with 483 before."""
    value = request.max_forwards
    return MAX_FORWARDS if value is None else min(value, MAX_FORWARDS)
