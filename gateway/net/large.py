"""Requests too large for a datagram (RFC 3261 18.1.1): over TCP to the same place where the trunk takes that, else over
UDP after all, with a word in the log.

A datagram that does not fit into one packet of the network is cut into fragments, and firewalls drop those: the call
would fail for no reason anybody can see.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from gateway.base.counters import Counter, Counters
from gateway.base.errors import TransportError
from gateway.base.values import HostPort
from gateway.net.dial import Dialer
from gateway.net.hops import Hops
from gateway.sip.client import size_on
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.trunks.model import Trunk
from gateway.trunks.target import NextHop

MAX_DATAGRAM = 1300
"""Octets of a request that leaves as a datagram, where the path MTU is not known (RFC 3261 18.1.1)."""
STREAM_PATIENCE = 1.5
"""Seconds a connection for such a request may take: a call waits for it."""
REFUSED_SECONDS = 60.0
"""How long a place that took no connection is not asked for one again."""
MAX_REFUSED = 256
"""Such places remembered; the one that refused longest ago gives way, and costs one more try."""

log = logging.getLogger(__name__)


class LargeRequests:
    """Decides how a request of this size leaves."""

    def __init__(
        self, trunks: Mapping[str, Trunk], hops: Hops, dialer: Dialer, counters: Counters, clock: Callable[[], float]
    ) -> None:
        self._trunks, self._hops, self._dialer = trunks, hops, dialer
        self._counters, self._clock = counters, clock
        self._refused: dict[tuple[str, HostPort], float] = {}
        self._told: set[str] = set()
        """Trunks that were told of; as many as there are."""

    def use(self, moved: Collection[str]) -> None:
        """These trunks have other places now, or none: what was found out of them is past."""
        self._refused = {place: until for place, until in self._refused.items() if place[0] not in moved}
        self._told &= set(self._trunks) - set(moved)

    def wants_stream(self, request: Request, flow: Flow) -> bool:
        """Whether this request is to leave over TCP in place of `flow`; told once where it should and cannot."""
        if flow.transport != "udp" or flow.trunk is None or flow.trunk not in self._trunks:
            return False
        size = size_on(request, flow)
        if size <= MAX_DATAGRAM:
            return False
        if self._stream_of(flow.trunk, flow) is not None:
            return True
        self._tell(flow.trunk, size, "set tcp_fallback, or a target with transport=tcp, if it takes TCP")
        return False

    async def over_stream(self, flow: Flow) -> Flow | None:
        """A TCP connection to where `flow` leads; None: it cannot be had, and UDP must do (RFC 3261 18.1.1)."""
        trunk = flow.trunk or ""
        hop = self._stream_of(trunk, flow)
        if hop is None:
            return None
        try:
            return (await self._dialer.open(trunk, hop, STREAM_PATIENCE)).flow
        except TransportError as error:
            self._refused.pop((trunk, hop.address), None)
            self._refused[trunk, hop.address] = self._clock() + REFUSED_SECONDS
            if len(self._refused) > MAX_REFUSED:
                del self._refused[next(iter(self._refused))]
            self._tell(trunk, None, f"it takes no TCP at {hop.address}: {error.why}")
            return None

    def _stream_of(self, trunk: str, flow: Flow) -> NextHop | None:
        """The place for TCP at the same host: one of the trunk's own, else the same port if it may be tried there."""
        settings = self._trunks.get(trunk)
        if settings is None:
            return None
        hop = self._hops.stream_at(trunk, flow.remote.host)
        if hop is None and settings.tcp_fallback:
            hop = NextHop("tcp", flow.remote, self._hops.target_of(flow) or settings.target)
        if hop is None or self._clock() < self._refused.get((trunk, hop.address), float("-inf")):
            return None
        return hop

    def _tell(self, trunk: str, size: int | None, remedy: str) -> None:
        self._counters.add(Counter.SIP_LARGE_DATAGRAM)
        if trunk not in self._told:
            self._told.add(trunk)
            what = f"a request of {size} octets" if size is not None else "a large request"
            log.warning("trunk=%s %s leaves over UDP, where fragments may be lost: %s", trunk, what, remedy)
