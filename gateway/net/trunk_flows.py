"""The flows on which trunks are reached: a listener's for UDP, a connection for TCP and TLS, to the place that is next.

Where a trunk has several places they are tried one after the other; a caller that was sent to one in vain asks for
the next (RFC 3263 4.3).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from gateway.base.counters import Counters
from gateway.base.errors import TransportError
from gateway.base.values import HostPort
from gateway.net.admission import TrunkSources
from gateway.net.channel import Pump, StreamLimits
from gateway.net.datagram import DatagramListener
from gateway.net.dial import Dialer
from gateway.net.hops import Hops
from gateway.net.large import LargeRequests
from gateway.net.lent import LentConnections
from gateway.net.sockets import family_of
from gateway.sip.events import RequestTimeout, ResponseReceived, StackEvent, TransportFailed
from gateway.sip.flow import Flow
from gateway.sip.message import Response
from gateway.sip.retry_after import retry_after
from gateway.trunks.dns import DnsClient
from gateway.trunks.failover import MAX_PLACES, is_of_the_place
from gateway.trunks.health import TRY_SECONDS
from gateway.trunks.model import Trunk
from gateway.trunks.resolve import Resolver
from gateway.trunks.target import NextHop, Reached, Spot

LEAST_PATIENCE = 1.0
"""Seconds a connection may take at least, however many places are left: a TLS handshake around the world."""

log = logging.getLogger(__name__)


class TrunkFlows:
    """Finds the flow to a trunk, and notes how its places fare."""

    def __init__(
        self,
        pump: Pump,
        counters: Counters,
        limits: StreamLimits,
        trunks: Mapping[str, Trunk],
        sources: TrunkSources,
        datagrams: Callable[[], Sequence[DatagramListener]],
        nameservers: Sequence[HostPort] = (),
    ) -> None:
        self._pump, self._limits, self._trunks, self._sources = pump, limits, trunks, sources
        self._datagrams = datagrams
        self._asked: dict[str, tuple[Flow, float]] = {}
        """Requests of which nothing was heard yet, by their transaction: where they went, and when."""
        self.lent = LentConnections()
        self.dialer = Dialer(pump, counters, limits, trunks, sources)
        self._dns = DnsClient(nameservers, pump.now)
        self.hops = Hops(trunks, Resolver(self._dns, secrets.randbelow), sources, counters, pump.now)
        self.large = LargeRequests(trunks, self.hops, self.dialer, counters, pump.now)
        self.hops.families = lambda: frozenset(listener.family for listener in datagrams())

    def load(self) -> None:
        """Read the certificates of the trunks (see `Dialer.load`).

        Raises:
            ConfigError: a file cannot be read or used.
        """
        self.dialer.load()

    def renew(self, moved: Collection[str], nameservers: Sequence[HostPort]) -> None:
        """The trunks are others now.

        Args:
            moved: names of those that are found or verified otherwise, or are gone.
            nameservers: whom to ask for names.
        """
        self._dns.use(nameservers)
        self.hops.use(moved)
        self.large.use(moved)
        self.dialer.renew(moved)

    def use(self, trunk: str, context: ssl.SSLContext) -> None:
        """See `Dialer.use`."""
        self.dialer.use(trunk, context)

    async def close(self) -> None:
        """Ask for nothing and open nothing more."""
        await self.dialer.close()
        await self._dns.close()

    async def connect(self, trunk: str, tried: Collection[Spot] = (), *, urgent: bool = False) -> Flow:
        """See `SipEndpoint.connect`."""
        if trunk not in self._trunks:
            raise TransportError(f"there is no trunk {trunk}")

        async def opened() -> Flow:
            return await self._first_of(trunk, await self.hops.choices(trunk, tried, urgent=urgent))

        may_be_lent = not tried and self._trunks[trunk].target.transport == "tls"
        return await self._in_time(trunk, opened, may_be_lent=may_be_lent)

    async def _in_time(self, trunk: str, opened: Callable[[], Awaitable[Flow]], *, may_be_lent: bool) -> Flow:
        """What is opened within the time there is, or a connection of the trunk's own where that may be used."""

        async def in_time() -> Flow:
            try:
                async with asyncio.timeout(self._limits.handshake):
                    return await opened()
            except TimeoutError as error:
                raise TransportError(f"trunk {trunk}: no connection in time") from error

        return await (self.lent.or_opened(trunk, in_time) if may_be_lent else in_time())

    async def reconnect(self, trunk: str, lost: Flow, place: HostPort | None) -> Flow:
        """See `SipEndpoint.reconnect`. One connection serves all calls that go to one place."""
        if trunk not in self._trunks or lost.transport not in ("tcp", "tls"):
            raise TransportError(f"trunk {trunk}: nothing to connect to")

        async def opened() -> Flow:
            return await self._first_of(trunk, await self._instead_of(trunk, lost, place))

        return await self._in_time(trunk, opened, may_be_lent=lost.transport == "tls")

    async def _instead_of(self, trunk: str, lost: Flow, place: HostPort | None) -> list[NextHop]:
        """Where the dialog says its requests go; the address we had connected to; the places of the trunk that are
        reached over the same transport."""
        target = self.hops.target_of(lost) or self._trunks[trunk].target
        places = [found for found in (place, lost.remote if lost.initiated else None) if found is not None]
        hops = [NextHop(lost.transport, found, target) for found in places if lost.transport in ("tcp", "tls")]
        with contextlib.suppress(TransportError):
            hops += [hop for hop in await self.hops.choices(trunk, urgent=True) if hop.transport == lost.transport]
        return list({hop.spot: hop for hop in reversed(hops)}.values())[::-1][:MAX_PLACES]

    # --- how the places fare

    def reached(self, flow: Flow, tried: Collection[Spot]) -> Reached:
        """See `SipEndpoint.reached`."""
        trunk, spot = flow.trunk or "", Spot(flow.transport, flow.remote)
        more = self.hops.has_others(trunk, {spot, *tried})
        return Reached(more, more and self.hops.is_doubtful(trunk, spot), self.hops.target_of(flow))

    def asked(self, key: str, flow: Flow) -> None:
        """A request has left on this flow; until `note` hears of it, it is waited for."""
        if flow.trunk is not None:
            self._asked[key] = (flow, self._pump.now())

    def note(self, event: StackEvent) -> None:
        """Whatever a place says, it is there, and it may want to be left alone; nothing at all is a failure."""
        if not isinstance(event, ResponseReceived | RequestTimeout | TransportFailed):
            return
        flow, asked_at = self._asked.pop(event.key, (None, 0.0))
        if isinstance(event, ResponseReceived):
            self._answered(flow or event.flow, event.response)
        elif flow is not None:
            self._failed(flow, asked_at, "no answer" if isinstance(event, RequestTimeout) else "connection lost")

    def unheard(self, flow: Flow) -> None:
        """See `SipEndpoint.unheard`."""
        self._failed(flow, self._pump.now(), "no answer")

    def _answered(self, flow: Flow, response: Response) -> None:
        trunk, spot = flow.trunk or "", Spot(flow.transport, flow.remote)
        self.hops.heard(trunk, spot)
        wait = retry_after(response) if is_of_the_place(response.status) else None
        if wait is not None:
            self.hops.shut(trunk, spot, wait)

    def _failed(self, flow: Flow, asked_at: float, why: str) -> None:
        self.hops.failed(flow.trunk or "", Spot(flow.transport, flow.remote), asked_at, why)

    async def _first_of(self, trunk: str, hops: Sequence[NextHop]) -> Flow:
        """A flow to the first of these that can be reached and, over TLS, proves to be the trunk."""
        failures: list[TransportError] = []
        patience = min(self._limits.handshake, max(LEAST_PATIENCE, self._limits.handshake / max(1, len(hops))))
        for hop in hops:
            try:
                return await self._to(trunk, hop, patience, is_last=hop is hops[-1])
            except TransportError as error:
                log.warning("trunk=%s place=%s failed=%s", trunk, hop, error.why)
                failures.append(error)
        failures.sort(key=lambda error: not error.verification)  # an unverified peer says more than a dead one
        raise failures[0] if failures else TransportError(f"trunk {trunk}: the name has no address")

    async def _to(self, trunk: str, hop: NextHop, patience: float, *, is_last: bool) -> Flow:
        if hop.transport == "udp":
            self.hops.trying(trunk, hop)
            return self._datagram_flow(trunk, hop)
        if live := self.dialer.live_at(trunk, hop):
            return live.flow
        if not is_last and self.hops.is_doubtful(trunk, hop.spot):
            patience = min(patience, TRY_SECONDS)
        self.hops.trying(trunk, hop)
        asked_at = self._pump.now()
        try:
            flow = (await self.dialer.open(trunk, hop, patience)).flow
        except TransportError as error:
            self.hops.failed(trunk, hop.spot, asked_at, error.verification or error.why)
            raise
        self.hops.heard(trunk, hop.spot)
        return flow

    def _datagram_flow(self, trunk: str, hop: NextHop) -> Flow:
        for listener in self._datagrams():
            if listener.family is family_of(hop.address.host):
                others = frozenset(self._sources.find(hop.address.host, "udp")) - {trunk}
                return listener.flow_to(hop.address, trunk, others)
        raise TransportError(f"trunk {trunk}: no udp: listener can reach it")
