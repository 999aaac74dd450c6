"""What a call sends to its peers, and over which connection when the one it should leave on is gone."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.base.errors import TransportError
from gateway.base.short import Short
from gateway.base.values import LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.run.asked import Asked
from gateway.call.run.edge import attempt
from gateway.call.run.index import CallIndex
from gateway.call.run.probes import TrunkProbes
from gateway.call.run.seeker import record_peer
from gateway.call.run.services import Services
from gateway.sip.digest_client import Login
from gateway.sip.flow import Flow, objection

if TYPE_CHECKING:
    from gateway.call.run.runner import CallRunner

log = logging.getLogger(__name__)

MAX_REINVITES_KEPT = 4
"""Re-INVITEs of ours whose 2xx may still be repeated (RFC 3261 13.2.2.4); older ones were acknowledged long ago."""


class Sender:
    """The requests and responses of one call."""

    def __init__(self, runner: CallRunner, services: Services, index: CallIndex, probes: TrunkProbes) -> None:
        self._runner, self._services, self._index, self._probes = runner, services, index, probes
        self._invites: dict[int, str] = {}
        """Transactions of our INVITEs that have begun a leg, by their number."""
        self._invite_of: dict[LegId, str] = {}
        """The last of them for each leg."""
        self._reinvites: Short[str] = Short()
        self._sent_again: set[int] = set()
        """Asks whose connection broke; one entry at most for each request of the call."""
        self._waiting: set[int] = set()
        """Asks that wait for a connection because no datagram holds them."""
        self._challenged: dict[int, int] = {}
        """How often asks were challenged; one entry at most for each request of the call."""

    def invite_of(self, leg: LegId) -> str:
        """The transaction of the INVITE that began a leg, "" where we sent none."""
        return self._invite_of.get(leg, "")

    def send(self, effect: fx.SendRequest | fx.SendAck) -> None:
        """Send, over a new connection if need be; an INVITE that begins a leg has had one just now."""
        begins = isinstance(effect, fx.SendRequest) and effect.purpose is fx.Purpose.INVITE
        if self._is_cut(effect) and not begins:
            self._runner.spawn(self._reconnect(effect))
        elif isinstance(effect, fx.SendRequest) and self._services.sip.wants_stream(effect.request, effect.flow):
            self._waiting.add(effect.ask)
            self._runner.spawn(self._over_stream(effect))
        else:
            self._send_over(effect)

    def sends_again(self, sent: fx.SendRequest) -> bool:
        """Whether a request whose connection broke under it goes once more, over a new one.

        A peer that closes an idle connection may do so while our request is on its way: it never saw it. If it did, it
        answers the second one 481, or like the first. An INVITE that begins a call is not sent twice.
        """
        if sent.purpose is fx.Purpose.INVITE or sent.ask in self._sent_again or not self._is_cut(sent):
            return False
        self._sent_again.add(sent.ask)
        self._runner.spawn(self._reconnect(sent))
        return True

    def done(self, key: str) -> None:
        """Nothing more comes for the request of this transaction."""
        self._index.done(self._runner, key)

    def heard(self, flow: Flow) -> None:
        """A peer has answered over this flow."""
        if flow.trunk is not None:
            self._probes.heard(flow.trunk)

    def cancel(self, effect: fx.CancelInvite) -> None:
        """CANCEL an INVITE, if it has left; one that waits for a connection never leaves (RFC 3261 9.1)."""
        self._waiting.discard(effect.ask)
        if effect.ask in self._invites:
            self._services.sip.cancel(self._invites[effect.ask], effect.headers)

    def respond(self, effect: fx.Respond) -> None:
        """Answer a request of a peer."""
        if effect.response.cseq.method == "INVITE" and 200 <= effect.response.status < 300:
            if effect.key not in self._index.received:
                self._index.receives(self._runner, effect.key)  # only there something follows: an ACK, or none
        log.debug("call=%s sent=%d %s", self._runner.id, effect.response.status, effect.response.cseq.method)
        self._services.sip.respond(effect.key, effect.response)

    def _send_over(self, effect: fx.SendRequest | fx.SendAck) -> None:
        if isinstance(effect, fx.SendAck):
            self._services.sip.send_ack(effect.request, effect.flow)
        else:
            self._send_request(effect)

    def _send_request(self, effect: fx.SendRequest) -> None:
        asked = Asked(self._runner, self, effect)
        tries = self._challenged.get(effect.ask, 0)
        key = self._services.agent.ask(effect.request, effect.flow, asked, login=self._login(effect.leg), tries=tries)
        if self._runner.state.end.forgotten:
            self._services.agent.forget(key)
            return
        asked.key = key
        self._index.sends(self._runner, key, effect.request.call_id)
        if effect.purpose is fx.Purpose.INVITE:
            self._invites[effect.ask] = self._invite_of[effect.leg] = key
        elif effect.purpose is fx.Purpose.REINVITE:
            self._reinvites.append(key)
            if len(self._reinvites) > MAX_REINVITES_KEPT:
                self._forget(self._reinvites.popleft())

    def challenged(self, ask: int) -> None:
        """A request was asked who we are."""
        self._challenged[ask] = self._challenged.get(ask, 0) + 1

    def _login(self, leg: LegId) -> Login | None:
        """Who we are to the trunk of a leg; a browser asks nobody."""
        found = self._runner.state.legs.get(leg)
        trunk = self._runner.state.site.trunks.get(found.trunk_name) if found is not None else None
        return trunk.auth if trunk is not None else None

    def _forget(self, key: str) -> None:
        self._services.agent.forget(key)
        self.done(key)

    def _is_cut(self, effect: fx.SendRequest | fx.SendAck) -> bool:
        """Whether the connection this should leave on is gone and can be had anew, as that to a trunk can."""
        flow, leg = effect.flow, self._runner.state.legs.get(effect.leg)
        can_be_had = leg is not None and leg.habits.reconnects
        return can_be_had and flow.is_reliable and not self._services.sip.is_open(flow)

    async def _over_stream(self, effect: fx.SendRequest) -> None:
        """Send what is too large for a datagram (RFC 3261 18.1.1), unless it was taken back meanwhile."""
        flow = await self._services.sip.over_stream(effect.flow)
        if effect.ask not in self._waiting:
            self._runner.feed(events.RequestFailed(effect.ask, transport=True))
            return
        self._waiting.discard(effect.ask)
        error = attempt(lambda: self._send_request(replace(effect, flow=flow)))
        if error is not None:
            self._runner.cannot_carry_out(effect, error)

    async def _reconnect(self, effect: fx.SendRequest | fx.SendAck) -> None:
        """Send over a new connection to where the request goes (RFC 3261 18.1.1), if one proves as much as the first.

        Several requests of a call wait for the same connection and leave in their order.
        """
        flow = await self._new_connection(effect)
        if flow is None:
            if isinstance(effect, fx.SendRequest):
                self._runner.feed(events.RequestFailed(effect.ask, transport=True))
            return
        error = attempt(lambda: self._send_over(replace(effect, flow=flow)))
        if error is not None:
            self._runner.cannot_carry_out(effect, error)

    async def _new_connection(self, effect: fx.SendRequest | fx.SendAck) -> Flow | None:
        leg, method = self._runner.state.legs.get(effect.leg), effect.request.method
        if leg is None or leg.founding.trunk is None:
            return None
        trunk = leg.founding.trunk
        try:
            flow = await self._services.sip.reconnect(trunk, effect.flow, leg.place_of(effect.request))
        except TransportError as error:
            if leg.heard_on is None or not self._services.sip.is_open(leg.heard_on):
                log.warning("call=%s trunk=%s cannot send %s: %s", self._runner.id, trunk, method, error.why)
                return None
            flow = leg.heard_on  # one that the trunk opened, when it cannot be reached from here
        record_peer(self._services, self._index, trunk, flow)
        if why := objection(flow, leg.founding):
            self._runner.feed(events.FlowRefused(leg.id, flow, method, why, 0))
            return None
        log.debug("call=%s %s over a new connection flow=%s", self._runner.id, method, flow)
        self._runner.feed(events.FlowMoved(leg.id, flow))
        return flow
