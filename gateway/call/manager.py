"""The TU above the SIP stack: finds the call a message belongs to, or decides what a new request may do.

stack event -> response, ACK, CANCEL, in-dialog request -> the call's runner
            -> REGISTER, OPTIONS -> answered here
            -> INVITE -> `admission`: identity, route, policy -> a new call
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from gateway.audit import notices
from gateway.base.counters import Counter
from gateway.base.errors import GatewayError, SipError
from gateway.base.signalling import TlsInfo
from gateway.base.termination import Termination
from gateway.base.values import CALLER, Secret
from gateway.call import demands
from gateway.call.admission import Admission
from gateway.call.legs.user_agent import ALLOW, allowed_outside
from gateway.call.machine import events
from gateway.call.machine.effects import SendAck
from gateway.call.registration.relay import Registrations
from gateway.call.remains import Remains
from gateway.call.run.asked import Asked
from gateway.call.run.comeback import Comeback
from gateway.call.run.edge import attempt
from gateway.call.run.handover import replace_leg
from gateway.call.run.index import CallIndex
from gateway.call.run.listening import HEADER as TICKET
from gateway.call.run.listening import Listening
from gateway.call.run.pin_keeper import PinKeeper
from gateway.call.run.probes import TrunkProbes
from gateway.call.run.services import Services
from gateway.call.sign_in import Answer, SignIn
from gateway.call.trunk_identity import TrunkIdentity
from gateway.location.registrar import Terms
from gateway.location.service import Location
from gateway.location.store import MemoryStore
from gateway.sip.auth import DigestServer
from gateway.sip.dialog import remote_target, request_dialog_key
from gateway.sip.events import (
    AckReceived,
    AckTimeout,
    CancelReceived,
    FlowRefused,
    RequestReceived,
    RequestTimeout,
    ResponseReceived,
    StackEvent,
    TransportFailed,
)
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response
from gateway.sip.reason import read_reasons
from gateway.sip.reliable import OPTION as RELIABLE
from gateway.sip.replaces import OPTION as REPLACES
from gateway.sip.session_timer import OPTION
from gateway.site import Site
from gateway.tokens.door import TokenDoor, Waiting

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""How long a stopping gateway waits for its calls to say goodbye."""
ASK_AFTER_SECONDS = 1.0
"""After a trunk's connection closed, before its calls are asked: the trunk may be opening a new one itself."""
ASK_SPACING_SECONDS = 0.02
"""Between the calls of one connection: 500 of them ask within 10 s, and a restarted PBX is not flooded."""
CALLER_SECONDS = 600.0
"""One tls.peer record per peer that connects to us and this time, however often it connects."""
MAX_CALLERS = 256
"""Such peers remembered; the one that was recorded longest ago gives way."""
TAG_LENGTH = 10
KEY_LENGTH = 32
"""Octets of the key under the nonces that trunks get."""


class CallManager:
    """Owns the index of calls, the location service and the digest server."""

    def __init__(self, services: Services, digest: DigestServer, tokens: TokenDoor | None = None) -> None:
        self._services = services
        self.bindings = MemoryStore(lambda: services.clock())
        self.location = Location(
            self.bindings,
            services.agent,
            realm=services.sites.current.realm,
            tokens=services.tokens,
            counters=services.counters,
        )
        self.sign_in = SignIn(services, digest, self.location.identities, tokens)
        proofs = DigestServer(services.sites.current.realm, Secret(services.new_key(KEY_LENGTH)), services.tokens)
        self._trunk_identity = TrunkIdentity(services, proofs, self.sign_in)
        self.index = CallIndex(services.agent)
        self._comeback = Comeback(self.index, self.location.devices)
        self.location.on_bound = self._comeback.bound
        self._callers: dict[tuple[str, str, TlsInfo], float] = {}
        self.pins = PinKeeper(services)
        self.probes = TrunkProbes(services)
        settings = services.sites.current.registration
        self.registrations = None
        if settings is not None:
            self.registrations = Registrations(services, self.location, settings, self.probes, self.sign_in)
        self.listening = Listening(services.tokens, self._user_on, services.bulletin)
        self._admission = Admission(services, self.location, self.index, self.probes, self.registrations)
        self.remains = Remains(services, self.index, self.location, self.sign_in, self.listening.flow_closed)
        self._stopping = False

    def renew(self, before: Site) -> None:
        """Another site took the place of `before`: what begins from now on begins under it, calls there are go on."""
        self.probes.renew(before.trunks)
        self.remains.sign_out(before)
        for name in self.index.ended.keys() - self._services.sites.current.trunks.keys():
            del self.index.ended[name]

    @property
    def live_calls(self) -> int:
        """Calls that are not forgotten yet."""
        return len(self.index.runners)

    async def stop(self) -> None:
        """Take no more calls, end every one there is, and wait, within limits, until peers and log know."""
        self._stopping = True
        await self.probes.stop()
        if self.registrations is not None:
            await self.registrations.stop()
        runners = list(self.index.runners)
        for runner in runners:
            runner.feed(events.Lost(Termination.SHUTDOWN))
        if runners:
            waiting = [asyncio.create_task(runner.finished()) for runner in runners]
            await asyncio.wait(waiting, timeout=STOP_SECONDS)

    def flow_closed(self, flow: Flow) -> None:
        """A connection has ended: its user is signed out; browser calls on it wait for their device, see `Comeback`."""
        if self.registrations is not None:
            self.registrations.flow_closed(flow)
        known = self.location.devices.of(flow)
        self.location.flow_closed(flow)
        self.listening.flow_closed(flow)
        self.index.recorded_peers.discard(flow.id)
        self.remains.flow_closed(flow)
        asked = 0
        for runner in self.index.on(flow.id):
            for leg in runner.legs_on(flow):
                if not leg.habits.reconnects:
                    self._comeback.lost(runner, leg, known)
                    continue
                wait = ASK_AFTER_SECONDS + asked * ASK_SPACING_SECONDS
                asyncio.get_running_loop().call_later(wait, runner.feed, events.ConnectionClosed(leg.id))
                asked += 1

    def _record_caller(self, flow: Flow) -> None:
        """tls.peer of a trunk that connected to us, at its first request; a peer that reconnects is the same peer."""
        if flow.tls is None or flow.trunk is None or flow.initiated:
            return
        now, peer = self._services.clock(), (flow.trunk, flow.remote.host, flow.tls)
        if now - self._callers.get(peer, -CALLER_SECONDS) < CALLER_SECONDS:
            return
        self._callers.pop(peer, None)
        self._callers[peer] = now
        if len(self._callers) > MAX_CALLERS:
            del self._callers[next(iter(self._callers))]
        self._services.audit.write(
            notices.tls_peer(trunk=flow.trunk, address=flow.remote, identity=flow.tls, outgoing=False)
        )

    def on_event(self, event: StackEvent) -> None:
        """Take one event of the SIP stack. An error nobody foresaw is this message's, not its connection's."""
        error = attempt(lambda: self._take(event))
        if error is None:
            return
        log.error("cannot serve %s: %s", type(event).__name__, error, exc_info=error)
        if isinstance(event, RequestReceived):
            attempt(lambda: self._answer(event, 500))

    def _take(self, event: StackEvent) -> None:
        match event:
            case RequestReceived():
                self._record_caller(event.flow)
                if event.flow.trunk is not None and not event.flow.also:
                    self.probes.heard(event.flow.trunk)
                self._request(event)
            case ResponseReceived() | RequestTimeout() | TransportFailed() if self._services.agent.take(event):
                pass
            case ResponseReceived():
                self._late(event)
            case RequestTimeout() | TransportFailed():
                self._to_received(event.key, events.AckMissing(event.key, transport=True))
            case AckReceived():
                self._to_received(event.key, events.AckIn(event.key, demands.without_other_parts(event.request)))
            case AckTimeout():
                self._to_received(event.key, events.AckMissing(event.key))
            case FlowRefused():
                self._flow_refused(event)
            case CancelReceived():
                reasons = read_reasons(event.request.headers) if event.request is not None else ()
                self._to_received(event.key, events.CancelIn(reasons))

    def _to_received(self, key: str, event: events.Event) -> None:
        """Tell the call of an INVITE it answered or will answer; after an ACK, or none, nothing more comes for it."""
        ends = isinstance(event, events.AckIn | events.AckMissing)
        runner = self.index.acknowledged(key) if ends else self.index.received.get(key)
        if runner is not None:
            runner.feed(event)

    def _flow_refused(self, event: FlowRefused) -> None:
        """What the stack turned away: the call it was meant for records it."""
        asked = self._services.agent.asker(event.key)
        ours = asked if isinstance(asked, Asked) else None
        runner = ours.runner if ours is not None else self.index.received.get(event.key)
        if runner is None:
            return
        leg = ours.sent.leg if ours is not None else CALLER
        message = event.message
        what = message.method if isinstance(message, Request) else f"{message.status} {message.cseq.method}"
        runner.feed(events.FlowRefused(leg, event.flow, what, event.why, event.status))

    def _late(self, event: ResponseReceived) -> None:
        """A response no call waits for: a fork that answers when its call is over, or nobody's."""
        forks = self.index.late_forks.get(event.key)
        if forks is None:
            if event.response.cseq.method != "BYE":  # the answer to the BYE of such a fork
                self._services.counters.add(Counter.SIP_UNMATCHED_RESPONSE)
            return
        try:
            for effect in forks.answer(event.response):
                if isinstance(effect, SendAck):
                    self._services.sip.send_ack(effect.request, effect.flow)
                else:
                    self._services.sip.send_request(effect.request, effect.flow)
        except GatewayError as error:
            log.warning("cannot end a dialog of a call that is over: %s", error)

    def _request(self, event: RequestReceived) -> None:
        try:
            self._dispatch(event)
        except SipError as error:
            self._answer(event, error.status)

    def _dispatch(self, event: RequestReceived) -> None:
        if event.request.to.tag is not None:
            self._in_dialog(event)
        elif event.flow.trunk is not None:
            self._from_trunk(event)
        else:
            self._from_browser(event)

    def _in_dialog(self, event: RequestReceived) -> None:
        """A dialog is found by its tags; then it belongs to the connection (browser) or the trunk it was made with.

        From elsewhere its tags are no use. Whether a flow of that trunk proves enough is the call's to judge (`flows`).
        """
        request, flow = event.request, event.flow
        found = self.index.dialogs.get(request_dialog_key(request))
        if found is None:
            self._answer(event, 481)
            return
        runner, leg = found
        if not runner.owns(leg, flow):
            self._answer(event, 481)
            runner.feed(events.FlowRefused(leg, flow, request.method, "from elsewhere", 481))
        elif understood := self._understood(event, runner.state.site):
            runner.feed(events.RequestIn(leg, event.key, understood.request, flow))

    def _from_trunk(self, event: RequestReceived) -> None:
        """What begins something must be a trunk's that has proved it; several may share the address it came from."""
        found, flow = self._trunk_identity.trunk_of(event), event.flow
        if isinstance(found, Answer):
            self._answer(event, found.status, found.headers)
        elif found == flow.trunk:
            self._serve(event, "")
        else:
            others = (flow.also | {flow.trunk or found}) - {found}
            self._serve(replace(event, flow=replace(flow, trunk=found, also=others)), "")

    def _from_browser(self, event: RequestReceived) -> None:
        """Every method is authenticated first (CVE-2021-37624, CVE-2021-41157)."""
        if self.registrations is not None:
            self._from_registered(self.registrations, event)
            return
        found = self.sign_in.user_of(event)
        if isinstance(found, Waiting):
            found.task.add_done_callback(lambda _read: self.on_event(event))
        elif isinstance(found, Answer):
            self._answer(event, found.status, found.headers)
        else:
            self._serve(event, found)

    def _from_registered(self, registrations: Registrations, event: RequestReceived) -> None:
        """A registrar authenticates: REGISTER goes there, and until it says 200 nothing else is looked at."""
        user = registrations.user_of(event.flow)
        if event.request.method == "REGISTER":
            understood = self._understood(event)
            if understood is not None:
                registrations.register(understood, partial(self._respond, event))
        elif user is None:
            self._answer(event, 403)
        else:
            self._serve(event, user)

    def _serve(self, event: RequestReceived, user: str) -> None:
        """Look at a request in the order of RFC 3261 8.2: method, Request-URI, Require, body."""
        method = event.request.method
        if method not in ("INVITE", "OPTIONS") and not (user and method == "REGISTER"):
            self._answer(event, 405, (("Allow", allowed_outside(is_user=bool(user))),))
            return
        _ = event.request.request_uri  # 416 or 400, when it is of no use
        understood = self._understood(event)
        if understood is None:
            return
        if method == "INVITE":
            if remote_target(event.request) is None:
                raise SipError("Missing Contact")  # RFC 3261 8.1.1.8
            if self._stopping:
                raise SipError("Shutting down", 503)
            self._begin(understood, user)
        elif method == "OPTIONS":
            supported = [RELIABLE] if self._acknowledges(event.flow) else []
            told = ", ".join([*supported, OPTION, REPLACES])
            self._answer(event, 200, (("Allow", ALLOW), ("Accept", demands.ACCEPT), ("Supported", told)))
        else:
            self.location.register(
                event.request, event.flow, user, partial(self._respond, event), self._terms(event.flow)
            )

    def _user_on(self, flow: Flow) -> str | None:
        """Who is at the end of a connection, while what proved it holds."""
        if self.registrations is not None:
            return self.registrations.user_of(flow)
        known = self.location.identities.user_of(flow)
        return known if known is not None and self.sign_in.seconds_left(flow) > 0 else None

    def _terms(self, flow: Flow) -> Terms:
        """What the user of a connection may have of the registrar."""
        limits = self._services.sites.current.limits
        left = self.sign_in.seconds_left(flow)
        return Terms(left, limits.registrations_per_user, limits.registrations_displace)

    def _begin(self, event: RequestReceived, user: str) -> None:
        """A call begins, or goes on at another place (RFC 3891)."""
        refused = replace_leg(self.index, event, user)
        if refused == 0:
            self._admission.admit(event, user)
        elif refused is not None:
            self._answer(event, refused)

    def _understood(self, event: RequestReceived, site: Site | None = None) -> RequestReceived | None:
        """The request as a call shall see it; None when it insisted on what we cannot do, and has been refused.

        Args:
            site: that of the call it belongs to; None: it begins something.
        """
        try:
            can_acknowledge = self._acknowledges(event.flow, site)
            return replace(event, request=demands.understood(event.request, can_acknowledge=can_acknowledge))
        except demands.RefusedError as refused:
            self._answer(event, refused.status, refused.headers)
            return None

    def _acknowledges(self, flow: Flow, site: Site | None = None) -> bool:
        """Whether provisional responses may be reliable there: never towards a browser."""
        trunk = (site or self._services.sites.current).trunks.get(flow.trunk or "")
        return trunk is not None and trunk.reliable_provisional

    def _answer(
        self,
        event: RequestReceived,
        status: int,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._respond(event, create_response(event.request, status, headers=headers))

    def _respond(self, event: RequestReceived, response: Response) -> None:
        if response.to.tag is None:  # each answer but 100 has one (RFC 3261 8.2.6.2)
            response = response.with_to_tag(self._services.tokens(TAG_LENGTH))
        if event.request.method == "REGISTER" and response.status < 300:
            ticket = self.listening.ticket(event.flow)
            response = response.with_added(((TICKET, ticket),) if ticket is not None else ())
        if response.status >= 300 and response.status not in (401, 407):  # a challenge refuses nobody
            self._services.counters.add(Counter.SIP_REJECTED)
        self._services.sip.respond(event.key, response)
