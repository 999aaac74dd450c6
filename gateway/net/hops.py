"""Where each trunk can be reached now: its targets, what DNS makes of them, and which of the places answer."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from gateway.base.counters import Counter, Counters
from gateway.base.errors import NoHopError, TransportError
from gateway.base.values import HostPort
from gateway.net.admission import TrunkSources, normal_host
from gateway.net.sockets import family_of
from gateway.sip.flow import Flow
from gateway.trunks.breaker import Breaker, Key
from gateway.trunks.dns import DnsError
from gateway.trunks.model import Trunk
from gateway.trunks.resolve import Resolver
from gateway.trunks.selection import in_order
from gateway.trunks.target import STRENGTH, NextHop, Spot, TrunkTarget, TrunkTransport

MAX_TRIED = 32
"""Places of one trunk that are looked at for one call: what all its targets lead to."""
LOTS = 1 << 16
"""Into how many parts the jitter of a pause is cut."""

log = logging.getLogger(__name__)


class Places(NamedTuple):
    """What a trunk's targets lead to."""

    hops: list[NextHop]
    failures: list[str]
    """Why a target led nowhere."""


class Hops:
    """The places of the trunks, in the order they are to be tried."""

    def __init__(
        self,
        trunks: Mapping[str, Trunk],
        resolver: Resolver,
        sources: TrunkSources,
        counters: Counters,
        clock: Callable[[], float],
    ) -> None:
        self._trunks, self._resolver, self._sources = trunks, resolver, sources
        self._counters, self._clock = counters, clock
        self._breaker = Breaker()
        self._found_for: dict[str, dict[Spot, TrunkTarget]] = {name: {} for name in trunks}
        """The target each place of a trunk was found for last; as many as the last answers of DNS named."""
        self.families: Callable[[], frozenset[socket.AddressFamily]] = frozenset
        """Of the UDP listeners: only over those can a datagram leave."""

    def use(self, moved: Collection[str]) -> None:
        """The trunks are others now; of those that moved nothing is known any more."""
        for name in moved:
            self._found_for.pop(name, None)
        self._breaker.forget(moved)
        self._found_for = {name: self._found_for.get(name, {}) for name in self._trunks}

    async def choices(self, trunk: str, tried: Collection[Spot] = (), *, urgent: bool = False) -> list[NextHop]:
        """What is left to try for a call over this trunk, in order; never empty.

        Args:
            tried: where the call was sent already; what is weaker than any of it is not tried.
            urgent: a call for help: also what wants to be left alone, last.

        Raises:
            NoHopError: nothing is left.
            TransportError: there is nothing, for want of DNS or of a listener.
        """
        places = await self._places(trunk)
        floor = max((STRENGTH[spot.transport] for spot in tried), default=0)
        left = [hop for hop in places.hops if hop.spot not in tried and STRENGTH[hop.transport] >= floor]
        chosen = self._breaker.order(((Key(trunk, hop.spot), hop) for hop in left), self._clock(), urgent=urgent)
        if chosen:
            return chosen
        if left:
            raise NoHopError(f"trunk {trunk}: it wants no calls now", shut=True)
        if places.hops and tried:
            raise NoHopError(f"trunk {trunk}: every place was tried")
        raise TransportError(f"trunk {trunk}: {places.failures[0] if places.failures else 'the name has no address'}")

    async def known(self, trunk: str) -> list[NextHop]:
        """Every place of the trunk, whether it answers or not."""
        return (await self._places(trunk)).hops

    def target_of(self, flow: Flow) -> TrunkTarget | None:
        """The target whose place is at the other end of a flow."""
        return self._found_for.get(flow.trunk or "", {}).get(Spot(flow.transport, flow.remote))

    def stream_at(self, trunk: str, host: str) -> NextHop | None:
        """The place of the trunk at this host that is reached over TCP."""
        for spot, target in self._found_for.get(trunk, {}).items():
            if spot.transport == "tcp" and spot.address.host == host:
                return NextHop("tcp", spot.address, target)
        return None

    def has_others(self, trunk: str, tried: Collection[Spot]) -> bool:
        """Whether the trunk has places besides these that may be tried now."""
        now = self._clock()
        left = (spot for spot in self._found_for.get(trunk, {}) if spot not in tried)
        return any(not self._breaker.is_shut(Key(trunk, spot), now) for spot in left)

    async def _places(self, trunk: str) -> Places:
        """What the targets of the trunk lead to, best first, side by side so that a slow name holds up no other."""
        settings = self._trunks[trunk]
        targets = [choice.target for choice in in_order(settings.choices, secrets.randbelow)]
        if len(targets) == 1:
            found = [await self._of_target(trunk, targets[0])]
        else:
            found = await asyncio.gather(*(self._of_target(trunk, target) for target in targets))
        hops: dict[Spot, NextHop] = {}
        for hop in _at_least_as_strong(found):
            hops.setdefault(hop.spot, hop)
        ordered = list(hops.values())[:MAX_TRIED]
        self._note(trunk, ordered)
        return Places(ordered, [failure for places in found for failure in places.failures])

    async def _of_target(self, trunk: str, target: TrunkTarget) -> Places:
        families = self.families()
        usable: list[TrunkTransport] = ["udp", "tcp", "tls"] if families else ["tcp", "tls"]
        try:
            found = await self._resolver.hops(target, usable)
        except DnsError as error:
            return Places([], [f"{target.host} cannot be resolved: {error.why}"])
        reachable = [_normal(hop) for hop in found if _is_reachable(hop, families)]
        if not reachable and any(hop.transport == "udp" for hop in found):
            return Places([], ["no udp: listener can reach it"])
        return Places(reachable, [] if reachable else [f"{target.host}: the name has no address"])

    def _note(self, trunk: str, hops: Iterable[NextHop]) -> None:
        found = {hop.spot: hop.target for hop in hops}
        if found == self._found_for.get(trunk) or trunk not in self._trunks:
            return
        self._found_for[trunk] = found
        for spot in found:
            self._sources.learn(trunk, spot.address.host)

    def _knows(self, key: Key) -> bool:
        return key.spot in self._found_for.get(key.trunk, ())

    def standing(self, trunk: str) -> list[tuple[Spot, TrunkTarget, str]]:
        """The places that were found last, what each was found for, and how it fares: `up`, `doubtful` or `shut`."""
        now = self._clock()
        found = self._found_for.get(trunk, {})
        return [(spot, target, self._word(Key(trunk, spot), now)) for spot, target in found.items()]

    def _word(self, key: Key, now: float) -> str:
        if self._breaker.is_shut(key, now):
            return "shut"
        return "doubtful" if self._breaker.is_doubtful(key) else "up"

    # --- how they fare

    def trying(self, trunk: str, hop: NextHop) -> None:
        """A call is sent there now."""
        self._breaker.trying(Key(trunk, hop.spot), self._clock(), _lot())

    def heard(self, trunk: str, spot: Spot) -> None:
        """A message came from there, or a connection was taken."""
        key = Key(trunk, spot)
        if self._knows(key) and self._breaker.heard(key, self._clock()):
            log.warning("trunk=%s place=%s state=down->up", trunk, spot)

    def failed(self, trunk: str, spot: Spot, asked_at: float, why: str) -> None:
        """What was asked there had no answer, or no connection could be had."""
        key = Key(trunk, spot)
        if self._knows(key) and self._breaker.failed(key, asked_at, self._clock(), _lot()):
            self._counters.add(Counter.TRUNK_PLACE_DOWN)
            log.warning("trunk=%s place=%s state=up->down reason=%s", trunk, spot, why)

    def shut(self, trunk: str, spot: Spot, seconds: float) -> None:
        """It wants to be left alone for so long."""
        key = Key(trunk, spot)
        if self._knows(key):
            if not self._breaker.is_shut(key, self._clock()):
                log.warning("trunk=%s place=%s asks for no calls for %d s", trunk, spot, seconds)
            self._breaker.shut(key, seconds, self._clock())

    def is_doubtful(self, trunk: str, spot: Spot) -> bool:
        """Whether it failed when it was tried last."""
        return self._breaker.is_doubtful(Key(trunk, spot))


def _lot() -> float:
    return secrets.randbelow(LOTS) / LOTS


def _at_least_as_strong(found: Sequence[Places]) -> list[NextHop]:
    """All places, but those weaker than what any of the targets prefers: whoever keeps us from one target's TLS must
    not thereby lead us to another target in the clear."""
    hops = [hop for places in found for hop in places.hops]
    floor = max((STRENGTH[places.hops[0].transport] for places in found if places.hops), default=0)
    return [hop for hop in hops if STRENGTH[hop.transport] >= floor]


def _normal(hop: NextHop) -> NextHop:
    return hop._replace(address=HostPort(normal_host(hop.address.host), hop.address.port))


def _is_reachable(hop: NextHop, families: frozenset[socket.AddressFamily]) -> bool:
    family = family_of(hop.address.host)
    if hop.transport == "udp":
        return family in families
    return family is socket.AF_INET or _has_route(hop.address.host)


def _has_route(host: str) -> bool:
    """Whether this machine knows a way to an IPv6 address; nothing is sent."""
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return True
    return False
