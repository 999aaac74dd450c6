"""The pump between sockets and the SIP stack: bytes -> admission -> parser -> stack -> events and transmissions.

It owns every SIP flow of the gateway and one timer, which serves the stack's transactions and the time limits of the
connections alike.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

from gateway.base.counters import Counter, Counters
from gateway.base.door import TurnedAway, untold
from gateway.base.errors import ConfigError, SipError
from gateway.base.signalling import TransportName
from gateway.base.values import HostPort
from gateway.net.admission import Claim, TrunkSources
from gateway.net.alarm import Alarm
from gateway.net.changes import TrunkChanges
from gateway.net.channel import Channel, StreamLimits
from gateway.net.channels import Channels
from gateway.net.datagram import DatagramListener
from gateway.net.datagram_rates import DatagramRates
from gateway.net.listeners import SipListeners
from gateway.net.revive import Reviver
from gateway.net.taps import Taps
from gateway.net.trunk_flows import TrunkFlows
from gateway.sip.flow import Flow
from gateway.sip.message import (
    Message,
    Request,
    Response,
    create_response,
    parse_message,
    salvage_error_response,
    salvage_response,
)
from gateway.sip.stack import SipStack, StackEvent
from gateway.site import Listeners
from gateway.trunks.model import Trunk
from gateway.trunks.table import TrunkTable
from gateway.trunks.target import Reached, Spot, TrunkTarget

SWEEP = 1.0
"""Seconds between two looks at the time limits of the connections."""
OVERSIZE = frozenset({413, 513})

log = logging.getLogger(__name__)


def _nothing(_flow: Flow) -> None:
    """Until somebody wants to know of closed flows."""


def _no_call(_call_id: str) -> bool:
    """Until somebody knows of calls."""
    return False


class SipEndpoint:
    """Every SIP socket of the gateway, and what goes between them and the stack."""

    def __init__(
        self,
        stack: SipStack,
        counters: Counters,
        trunks: Mapping[str, Trunk],
        on_event: Callable[[StackEvent], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        limits: StreamLimits | None = None,
        nameservers: Sequence[HostPort] = (),
    ) -> None:
        self._stack, self._counters, self._on_event = stack, counters, on_event
        table = TrunkTable(trunks)
        self._clock, self._limits = clock, limits or StreamLimits()
        self.on_flow_closed: Callable[[Flow], None] = _nothing
        """Told once of each connection that is gone; UDP flows do not end."""
        self._sources = TrunkSources(table)
        self._listeners = SipListeners(self, counters, self._limits)
        self._channels = Channels()
        self._flows = TrunkFlows(
            self, counters, self._limits, table, self._sources, lambda: self._listeners.datagrams, nameservers
        )
        self.on_turned_away: TurnedAway = untold
        self.on_peer: Callable[[Flow], None] = _nothing
        """Told of each connection whose peer showed a certificate."""
        self._reviver = Reviver(self.connect)
        self.changes = TrunkChanges(table, self._sources, self._flows, self._channels, self._listeners, self._reviver)
        """Other trunks in place of those there are."""
        self.is_living: Callable[[str], bool] = _no_call
        """Whether a Call-ID is that of a call there is: what belongs to one is heard whatever the load."""
        self.taps = Taps()
        """Whoever looks at messages as they come and go."""
        self._rates = DatagramRates(lambda call_id: self.is_living(call_id))
        self._flow_ids = itertools.count(1)
        self._events: deque[StackEvent] = deque()
        self._alarm = Alarm(self.now, self._on_timer)
        self._sweep_at: float | None = None
        self._pumping = False
        self._stopping = False

    # --- start and stop

    async def start(self, listeners: Listeners) -> None:
        """Open every listener of the configuration.

        Raises:
            ConfigError: an address cannot be bound or a certificate cannot be used; nothing is left open then.
        """
        self._stopping = False
        try:
            self._flows.load()
            await self._listeners.open(listeners)
        except ConfigError:
            await self.stop()
            raise

    @property
    def addresses(self) -> list[HostPort]:
        """Where the listeners are, UDP first; a configured port 0 shows as the one chosen."""
        return self._listeners.addresses

    async def stop(self) -> None:
        """Close every listener and connection; after that nothing of the endpoint runs."""
        self._stopping = True
        await self._reviver.stop()
        await self._flows.close()
        await self._listeners.close_streams()
        await self._channels.close()
        await self._listeners.close()
        self._alarm.set(None)

    # --- what the gateway sends

    async def connect(self, trunk_name: str, tried: Collection[Spot] = (), *, urgent: bool = False) -> Flow:
        """The flow to reach a trunk on: a connection for TCP and TLS, opened within 5 s; a listener's for UDP.

        Args:
            tried: places the request was sent to in vain: the next one is asked for (RFC 3263 4.3).
            urgent: a call for help, which is sent to places too that want to be left alone.

        Raises:
            NoHopError: no place is left to try.
            TransportError: it cannot be reached, or its certificate is not the trunk's (`verification` says why).
        """
        return await self._flows.connect(trunk_name, tried, urgent=urgent)

    def places_of(self, trunk: str) -> list[tuple[Spot, TrunkTarget, str]]:
        """Where a trunk was found last, and how each place fares (see `Hops.standing`)."""
        return self._flows.hops.standing(trunk)

    def flows_of(self, trunk: str) -> list[Flow]:
        """The connections there are to and from a trunk."""
        return [channel.flow for channel in self._channels if channel.flow.may_be(trunk)]

    @property
    def opened_at(self) -> Mapping[int, float]:
        """When each connection there is was opened, by the number of its flow."""
        return self._channels.opened_at

    def reached(self, flow: Flow, tried: Collection[Spot]) -> Reached:
        """What is known of the place a flow leads to, and whether others are left besides those that were tried."""
        return self._flows.reached(flow, tried)

    def unheard(self, flow: Flow) -> None:
        """A request over this flow was given up because nothing was heard: the place is tried last for a while."""
        self._flows.unheard(flow)

    def wants_stream(self, request: Request, flow: Flow) -> bool:
        """Whether a request is too large for the datagrams of `flow` and is to leave `over_stream`."""
        return self._flows.large.wants_stream(request, flow)

    async def over_stream(self, flow: Flow) -> Flow:
        """A TCP connection to where `flow` leads; `flow` itself when none can be had (RFC 3261 18.1.1)."""
        return await self._flows.large.over_stream(flow) or flow

    def is_open(self, flow: Flow) -> bool:
        """Whether something sent on this flow has a chance to arrive; UDP flows do not end."""
        return not flow.is_reliable or self._channels.of(flow) is not None

    def close(self, flow: Flow) -> None:
        """End a connection after what is queued has gone out."""
        if (channel := self._channels.of(flow)) is not None:
            channel.close()

    async def reconnect(self, trunk_name: str, lost: Flow, place: HostPort | None) -> Flow:
        """A connection in place of `lost`, over the same transport and verified to the same name (RFC 3261 18.1.1).

        Tried in order: `place`, where the dialog says its requests go; the address we had connected to; the places of
        the trunk that are reached over the same transport.

        Raises:
            TransportError: none of them can be reached, or none proves to be the trunk.
        """
        return await self._flows.reconnect(trunk_name, lost, place)

    def send_request(self, request: Request, flow: Flow) -> str:
        """Send a request and return its transaction key (see `SipStack.send_request`).

        What becomes of it, even that its connection is gone already, is told after this returned: not before the
        caller can know the key.
        """
        key = self._stack.send_request(request, flow, self.now())
        self._flows.asked(key, flow)
        self._pump(tell=False)
        return key

    def send_ack(self, request: Request, flow: Flow) -> None:
        """Send the ACK of a 2xx."""
        self._stack.send_ack(request, flow, self.now())
        self._pump()

    def respond(self, key: str, response: Response) -> None:
        """Answer a request."""
        self._stack.respond(key, response, self.now())
        self._pump()

    def cancel(self, key: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Cancel an INVITE of ours."""
        self._stack.cancel(key, self.now(), headers)
        self._pump()

    def signed_in(self, flow: Flow, user: str) -> bool:
        """Tell a connection who its peer proved to be; False when that user or everybody has connections enough."""
        channel = self._channels.of(flow)
        return channel is not None and channel.signed_in(user)

    # --- what the sockets bring

    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock()

    def next_flow_id(self) -> int:
        """A number no other flow has or had."""
        return next(self._flow_ids)

    def admit(self, host: str, transport: TransportName) -> Sequence[Claim]:
        """The trunks a connection from `host` can be of, with the names they may prove, the likeliest first."""
        return self._sources.claims(host, transport)

    def channel_opened(self, channel: Channel) -> None:
        """A connection is ready to carry messages."""
        self._channels.add(channel, self.now())
        self._flows.lent.opened(channel)
        if channel.flow.tls is not None:
            self.on_peer(channel.flow)
        if self._stopping:
            channel.abort()
        self._arm()

    def channel_reclaimed(self, channel: Channel, before: Flow) -> None:
        """See `Pump.channel_reclaimed`."""
        self._flows.lent.reclaimed(channel, before)

    def channel_closed(self, channel: Channel) -> None:
        """The connection is gone: its transactions end, and `on_flow_closed` is told."""
        if not self._channels.remove(channel):
            return
        self._flows.lent.closed(channel.flow)
        self._stack.flow_closed(channel.flow, self.now())
        self.on_flow_closed(channel.flow)
        if channel.is_dead and channel.flow.trunk is not None and not self._stopping:
            self._reviver.died(channel.flow.trunk)
        self._pump()

    def receive_datagram(self, listener: DatagramListener, data: bytes, source: HostPort) -> None:
        """One datagram: of unknown sources not a byte is read, of known ones nothing beyond their rate is parsed.

        Keepalives (RFC 5626 3.5.1) end here.
        """
        trunks = self._sources.find(source.host, "udp")
        if not trunks:
            self._counters.add(Counter.SIP_UNKNOWN_SOURCE)
        elif not data.strip(b"\r\n\0 "):
            return
        elif not self._rates.admits(data, source.host, self.now()):
            self._counters.add(Counter.SIP_TOO_FAST)
        else:
            flow = listener.flow_to(source, trunks[0], frozenset(trunks[1:]))
            self.receive(flow, data, stream=False)

    def receive(self, flow: Flow, data: bytes, *, stream: bool) -> None:
        """One complete message; what cannot be parsed is answered at once if that can be done safely."""
        try:
            message = parse_message(data, stream=stream)
            flow = self._listeners.return_flow(flow, message)
        except SipError as error:
            self.refuse(flow, data, error)
            return
        self._flows.lent.heard(flow, message)
        self.taps.received(flow, message, self.now())
        if self._may_begin(flow, message):
            self._stack.receive(flow, message, self.now())
        else:
            self._forbid(flow, message)
        self._pump()

    def refuse(self, flow: Flow, data: bytes, error: SipError) -> bool:
        """What cannot be parsed: a request is answered, a response ends its transaction, as far as that is safe.

        Returns whether there was enough to do so.
        """
        self._counters.add(Counter.SIP_OVERSIZE if error.status in OVERSIZE else Counter.SIP_MALFORMED)
        if answer := salvage_error_response(data, error):
            self._transmit(flow, answer)
            return True
        response = salvage_response(data, error)
        if response is None:
            log.debug("flow=%s unreadable reason=%s", flow, error.why)
            return False
        self._stack.receive(flow, response, self.now())
        self._pump()
        return True

    def _may_begin(self, flow: Flow, message: Message) -> bool:
        """False for requests that begin something new from a trunk address outside of `networks`."""
        if flow.trunk is None or not isinstance(message, Request) or message.method in ("ACK", "CANCEL"):
            return True
        return message.to.tag is not None or self.changes.may_begin(flow)

    def _forbid(self, flow: Flow, message: Message) -> None:
        self._counters.add(Counter.SIP_REJECTED)
        if isinstance(message, Request):
            self._transmit(flow, bytes(create_response(message, 403, to_tag=secrets.token_hex(8))))

    # --- the pump

    def _pump(self, *, tell: bool = True) -> None:
        """Send and tell until there is nothing left; what a listener of events does in turn joins the same round."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._send_pending() or (tell and self._tell_pending()):
                pass
            self._events.extend(self._stack.take_events())
        finally:
            self._pumping = False
            self._arm()

    def _send_pending(self) -> bool:
        transmissions = self._stack.take_transmissions()
        for flow, data in transmissions:
            self._transmit(flow, data)
        return bool(transmissions)

    def _tell_pending(self) -> bool:
        self._events.extend(self._stack.take_events())
        if not self._events:
            return False
        event = self._events.popleft()
        self._flows.note(event)
        self._on_event(event)
        return True

    def _transmit(self, flow: Flow, data: bytes) -> None:
        self.taps.sent(flow, data, self.now())
        if flow.transport == "udp":
            if listener := self._listeners.carrying(flow):
                listener.send(flow, data)
        elif channel := self._channels.of(flow):
            channel.send(data)
        else:
            self._stack.flow_closed(flow, self.now())

    # --- the one timer

    def _arm(self) -> None:
        if self._stopping:
            self._alarm.set(None)
            return
        sweep = min(SWEEP, self._limits.soonest / 2)
        self._sweep_at = (self._sweep_at or self.now() + sweep) if self._channels else None
        pending = self.now() if self._events else None
        due = [t for t in (pending, self._stack.next_deadline(), self._sweep_at) if t is not None]
        self._alarm.set(min(due, default=None))

    def _on_timer(self) -> None:
        now = self.now()
        if self._sweep_at is not None and now >= self._sweep_at:
            self._sweep_at = None
            self._channels.check_limits(now)
        self._stack.handle_timers(now)
        self._pump()
