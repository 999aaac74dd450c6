"""What a call asks of the world around it and waits for: connections, users, names, whether a trunk is there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.audit import notices
from gateway.base.errors import NoHopError, TransportError
from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.run.index import CallIndex
from gateway.call.run.probes import TrunkProbes
from gateway.call.run.services import Locator, Services
from gateway.sip.flow import Flow

if TYPE_CHECKING:
    from gateway.call.run.runner import CallRunner

log = logging.getLogger(__name__)


class Seeker:
    """The questions of one call; each is a task, and its answer an event."""

    def __init__(
        self,
        runner: CallRunner,
        services: Services,
        index: CallIndex,
        probes: TrunkProbes,
        location: Locator,
        seat: Callable[[str], Termination | None],
    ) -> None:
        self._runner, self._services, self._index = runner, services, index
        self._probes, self._location, self._seat = probes, location, seat

    def connect(self, effect: fx.ConnectTrunk) -> None:
        """A connection to a trunk: `TrunkConnected` or `TrunkFailed`."""
        if effect.unheard is not None:
            self._services.sip.unheard(effect.unheard)
        self._runner.spawn(self._connect(effect))

    def reach(self, effect: fx.ReachTrunk) -> None:
        """A connection to another place of a trunk: `TrunkReached`."""
        self._runner.spawn(self._reach(effect))

    def probe(self, effect: fx.ProbeTrunk) -> None:
        """Whether a trunk answers at all: `TrunkSilent` if not."""
        self._runner.spawn(self._probe(effect.leg, effect.trunk))

    def locate(self, effect: fx.Locate) -> None:
        """Where a user is: `Located`."""
        self._runner.spawn(self._locate(effect.user))

    def resolve(self, effect: fx.ResolveNames) -> None:
        """The addresses of host names in a description: `NamesFound`."""
        self._runner.spawn(self._resolve(effect.names))

    async def _connect(self, effect: fx.ConnectTrunk) -> None:
        leg, trunk, tried = effect.leg, effect.trunk, effect.tried
        if self._is_full(trunk):
            log.warning("call=%s trunk=%s full", self._runner.id, trunk)
            self._runner.feed(events.TrunkFailed(leg, "max_calls", "", Termination.TRUNK_FULL))
            return
        try:
            down = self._probes.is_down(trunk)
            flow = await self._probes.connect(trunk, tried, urgent=effect.urgent)
        except TransportError as error:
            log.warning("call=%s trunk=%s unreachable: %s %s", self._runner.id, trunk, error.why, error.verification)
            shut = isinstance(error, NoHopError) and error.shut
            told = Termination.TRUNK_UNAVAILABLE if shut else Termination.TRUNK_UNREACHABLE
            self._runner.feed(events.TrunkFailed(leg, error.why, error.verification, told))
        else:
            if tried:
                why = (self._runner.id, trunk, tried[-1], flow)
                log.warning("call=%s trunk=%s place=%s failed=the call was not taken, next=%s", *why)
            record_peer(self._services, self._index, trunk, flow)
            known = self._services.sip.reached(flow, tried)
            found = events.TrunkConnected(leg, flow, down or known.is_doubtful, known.more, known.found_for)
            self._runner.feed(found)

    def _is_full(self, trunk: str) -> bool:
        """Whether the trunk has no line for this call, which is counted already; calls for help are not."""
        state = self._runner.state
        cap = state.site.trunk(trunk).max_calls
        return cap is not None and not state.policy.emergency and self._index.lines_of(trunk) > cap

    async def _reach(self, effect: fx.ReachTrunk) -> None:
        flow: Flow | None = None
        try:
            flow = await self._services.sip.reconnect(effect.trunk, effect.flow, effect.place)
        except TransportError as error:
            log.warning("call=%s trunk=%s cannot be followed: %s", self._runner.id, effect.trunk, error.why)
        else:
            record_peer(self._services, self._index, effect.trunk, flow)
        self._runner.feed(events.TrunkReached(effect.leg, effect.place, flow))

    async def _probe(self, leg: LegId, trunk: str) -> None:
        if not await self._probes.answers(trunk):
            self._runner.feed(events.TrunkSilent(leg))

    async def _locate(self, user: str) -> None:
        bindings = await self._location.locate(user)
        places = tuple(events.Place(binding.flow, binding.contact.uri) for binding in bindings)
        self._runner.feed(events.Located(user, places, self._seat(user) if places else None))

    async def _resolve(self, names: tuple[str, ...]) -> None:
        found = await self._services.lookups.find(names)
        log.info("call=%s trunk=%s media names: %s", self._runner.id, self._runner.state.trunk_id, found)
        self._runner.feed(events.NamesFound(found))


def record_peer(services: Services, index: CallIndex, trunk: str, flow: Flow) -> None:
    """One tls.peer record per connection, however many calls use it."""
    if flow.tls is not None and flow.id not in index.recorded_peers:
        index.recorded_peers.add(flow.id)
        services.audit.write(notices.tls_peer(trunk=trunk, address=flow.remote, identity=flow.tls))
