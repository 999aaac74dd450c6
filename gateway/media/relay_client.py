"""The relay as the control plane uses it: a pool of workers, and one `RelayCall` per call."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Collection, Hashable, Sequence

from gateway.base.counters import Counters
from gateway.base.errors import MediaError
from gateway.media.places import MediaPlaces
from gateway.media.relay_call import Listener, RelayCall
from gateway.media.relay_commands import CloseCall, OpenLeg
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_crew import Crew
from gateway.media.relay_facts import DRAIN_SECONDS, MAX_DRAIN_SECONDS, Relief, WorkerFacts
from gateway.media.relay_protocol import (
    CONSENT_SECONDS,
    QUARANTINE_SECONDS,
    REPORT_SECONDS,
    SILENCE_SECONDS,
    WORKER,
    WorkerConfig,
)
from gateway.media.relay_slot import WorkerSlot

OPEN_SECONDS = 2.0
"""A call is refused rather than kept waiting for the relay."""
MAX_LEAN = 16
"""Calls a worker may have more than the least loaded one and still get those that may have to be joined with its own:
one busy user, or a PBX that calls under one number for everybody, must not fill one worker while others are idle."""
TRY_SECONDS = 0.5
"""A worker that has not opened a call by then is passed over while there is another one to try."""

__all__ = ["RelayCall", "RelayPool"]

_log = logging.getLogger(__name__)


class RelayPool:
    """The relay workers.

    Args:
        media: addresses, ports and number of workers.
        counters: where restarts are counted.
        consent_seconds: life of ICE consent (RFC 7675 5.1); shorter in tests.
        quarantine_seconds: rest of a closed port; shorter in tests.
        silence_seconds: after that a peer is called silent; shorter in tests.
        report_seconds: between RTCP reports to a peer; other in tests.
    """

    def __init__(
        self,
        media: MediaPlaces,
        counters: Counters,
        *,
        consent_seconds: float = CONSENT_SECONDS,
        quarantine_seconds: float = QUARANTINE_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        report_seconds: float = REPORT_SECONDS,
    ) -> None:
        self._numbers = itertools.count(WORKER + 1)
        places = [
            WorkerConfig(
                control_fd=-1,
                browser_bind=media.browser.bind,
                browser_port=media.browser.ports[index],
                trunk_first=first,
                trunk_last=last,
                browser_advertise=media.browser.advertised,
                consent_seconds=consent_seconds,
                quarantine_seconds=quarantine_seconds,
                silence_seconds=silence_seconds,
                report_seconds=report_seconds,
            )
            for index, (first, last) in enumerate(slice_ports(media))
        ]
        self._crew = Crew(places, media.workers, counters)

    @property
    def call_count(self) -> int:
        return sum(len(slot.calls) for slot in self._crew.all)

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers that begin calls, for operators and tests."""
        return tuple(slot.worker.pid for slot in self._crew.slots)

    @property
    def workers(self) -> list[WorkerFacts]:
        """What is shown of each worker, those that drain last."""
        return self._crew.facts

    async def start(self) -> None:
        """Start every worker; raises MediaError, with none left running, when one does not start."""
        await self._crew.start()

    async def stop(self) -> None:
        """End every worker; calls that are still open are told that theirs is lost."""
        await self._crew.stop()

    async def relieve(self, port: int | None = None, seconds: float = DRAIN_SECONDS) -> dict[int, Relief]:
        """Let fresh workers take the place of this one, or of all, from the next call on; calls there are go on.

        What is installed now is what a fresh one runs, so this is also how the media plane is upgraded.

        Args:
            port: browser port or process id of the worker; None: every one.
            seconds: how long its calls may go on before they are ended (`WorkerLost.drained`).

        Returns:
            what became of each, by its browser port.

        Raises:
            MediaError: there is no such worker, or it has to stay.
        """
        slots = list(self._crew.slots) if port is None else [self._crew.named(port)]
        within = min(max(seconds, 0.0), MAX_DRAIN_SECONDS)
        return {slot.config.browser_port: await self._crew.relieve(slot, within) for slot in slots}

    async def open(self, *legs: OpenLeg, listener: Listener, affinity: Collection[Hashable] = frozenset()) -> RelayCall:
        """Begin a call with these legs; further ones are opened on what this returns.

        It begins where a call is that shares something of its `affinity`, for only calls of one worker can be joined
        (`RelayCall.adopt`); else, or when that worker is slow or has `MAX_LEAN` calls more, in the least loaded one.

        Raises MediaError when no worker opens all of them within `OPEN_SECONDS`.
        """
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                return await self._open(legs, listener, frozenset(affinity))
        except TimeoutError as error:
            raise MediaError("no relay worker answered in time") from error

    async def worker_counters(self) -> list[PacketCounters]:
        """What each worker dropped that belonged to no leg, relieved ones included; raises MediaError when one does not
        answer."""
        return await self._crew.totals()

    async def _open(self, legs: Sequence[OpenLeg], listener: Listener, affinity: frozenset[Hashable]) -> RelayCall:
        deadline = asyncio.get_running_loop().time() + OPEN_SECONDS
        while True:
            refusal, died = MediaError("no relay worker is running"), False
            slots = await self._by_fitness(affinity)
            for index, slot in enumerate(slots):
                try:
                    async with asyncio.timeout(_patience(deadline, len(slots) - index - 1)):
                        return await self._open_in(slot, legs, listener, affinity)
                except TimeoutError:
                    refusal = MediaError("no relay worker answered in time")
                    _log.warning("worker=%d did not open a call in time", slot.worker.browser_port)
                except MediaError as error:
                    refusal, died = error, died or not slot.alive
            if not died:
                raise refusal

    async def _by_fitness(self, affinity: frozenset[Hashable]) -> list[WorkerSlot]:
        """The workers that may begin a call with this affinity, in the order they are tried."""
        crew = self._crew
        while not any(slot.ready for slot in crew.slots):
            if not crew.running:
                raise MediaError("the relay is not running")
            crew.ready.clear()
            await crew.ready.wait()
        now = asyncio.get_running_loop().time()
        ready = [slot for slot in crew.slots if slot.ready]
        most = min(len(slot.calls) for slot in ready) + MAX_LEAN

        def fitness(slot: WorkerSlot) -> tuple[bool, bool, int]:
            leans = slot.draining or (len(slot.calls) < most and slot.shares(affinity))
            return slot.health.slow(now), not leans, len(slot.calls)

        return sorted([*ready, *(slot for slot in crew.leaving if slot.receives(affinity))], key=fitness)

    async def _open_in(
        self, slot: WorkerSlot, legs: Sequence[OpenLeg], listener: Listener, affinity: frozenset[Hashable]
    ) -> RelayCall:
        call = RelayCall(slot, next(self._numbers), listener, affinity)
        slot.calls[call.id] = call
        slot.guests += slot.draining
        try:
            for opening in [call.begin(leg) for leg in legs]:
                await opening
        except BaseException:  # also when whoever waits is cancelled: the worker must not keep a call nobody knows
            slot.ended(call.id)
            if slot.alive:
                slot.health.overdue(call.id)
                slot.send(call.id, CloseCall())
            raise
        return call


def _patience(deadline: float, others: int) -> float:
    """Seconds to wait for a worker while `others` can still be tried: the first one must not use up their share."""
    left = deadline - asyncio.get_running_loop().time()
    return TRY_SECONDS if others and left > TRY_SECONDS else left


def slice_ports(media: MediaPlaces) -> list[tuple[int, int]]:
    """First and last port of each place, those to spare last: whole even/odd pairs, shared out evenly."""
    ports = media.trunk_ports
    first = ports.start + ports.start % 2
    pairs = (ports.stop - first) // 2
    count = max(media.workers, min(media.place_count, pairs))
    bounds = [first + 2 * (pairs * index // count) for index in range(count + 1)]
    return [(start, end - 1) for start, end in itertools.pairwise(bounds)]
