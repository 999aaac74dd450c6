"""The workers of a pool: which of them begin calls, and how one makes room for another without a call noticing it.

A *place* is a browser port and a slice of the ports for trunks; no two workers ever have the same one. The pool has one
place more than workers for each further port of `media.browser.ports`. A worker is *relieved* by a fresh one in a place
that is free; it keeps its own until its calls are over, and then that place is free for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import fields

from gateway.base.counters import Counter, Counters
from gateway.base.errors import MediaError
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_facts import Relief, WorkerFacts
from gateway.media.relay_protocol import WorkerConfig
from gateway.media.relay_slot import WorkerSlot

_log = logging.getLogger(__name__)


class Crew:
    """Every worker there is.

    Args:
        places: one for each worker, and those to spare.
        seats: how many workers begin calls.
    """

    def __init__(self, places: Sequence[WorkerConfig], seats: int, counters: Counters) -> None:
        self.ready = asyncio.Event()
        """Set when a worker has come up."""
        self.running = False
        self._counters = counters
        self.slots = [self._slot(place) for place in places[:seats]]
        """The workers that begin calls."""
        self.leaving: list[WorkerSlot] = []
        """Those that have been relieved and have calls still."""
        self._spare = deque(places[seats:])
        self._waiting: deque[tuple[WorkerSlot, float]] = deque()
        self._turn = asyncio.Lock()
        """One worker makes room at a time: what is free must be free still when it is taken."""
        self._farewells: set[asyncio.Task[None]] = set()
        self._past: list[PacketCounters] = []
        """What workers that are gone had counted outside of legs, in one."""

    @property
    def all(self) -> list[WorkerSlot]:
        """Every worker that has or may have calls."""
        return [*self.slots, *self.leaving]

    @property
    def facts(self) -> list[WorkerFacts]:
        """What is shown of each."""
        return [slot.facts for slot in self.all]

    async def start(self) -> None:
        """Start every worker; raises MediaError, with none left running, when one does not start."""
        try:
            started = await asyncio.gather(*(slot.start() for slot in self.slots), return_exceptions=True)
        except asyncio.CancelledError:
            await self.stop()
            raise
        for outcome in started:
            if isinstance(outcome, BaseException):
                await self.stop()
                raise outcome
        for slot in self.slots:
            slot.keep()
        self.running = True
        self.ready.set()

    async def stop(self) -> None:
        """End every worker; calls that are still open are told that theirs is lost."""
        self.running = False
        for farewell in self._farewells:
            farewell.cancel()
        await asyncio.gather(*self._farewells, return_exceptions=True)
        await asyncio.gather(*(slot.let_go() for slot in self.all))
        await asyncio.gather(*(slot.stop() for slot in self.all))

    async def totals(self) -> list[PacketCounters]:
        """What each worker counted outside of legs, those that are gone included; raises MediaError when one does not
        answer."""
        return [*self._past, *[await slot.totals() for slot in self.all if slot.alive]]

    def named(self, number: int) -> WorkerSlot:
        """The worker with that browser port or process id that begins calls.

        Raises:
            MediaError: there is none, or it drains already.
        """
        for slot in self.all:
            if number in (slot.config.browser_port, slot.worker.pid):
                if slot.draining:
                    raise MediaError(f"worker {number} is draining already")
                return slot
        raise MediaError(f"there is no worker {number}")

    async def relieve(self, slot: WorkerSlot, seconds: float) -> Relief:
        """Have a worker begin no more calls; the code of the one that takes over is what is installed now.

        Args:
            seconds: how long its calls may go on; 0 ends them at once.

        Raises:
            MediaError: it cannot be, and nothing has changed: the fresh one does not start, or there is neither a place
                for it nor another worker to begin calls.
        """
        async with self._turn:
            return await self._relieve(slot, seconds)

    async def _relieve(self, slot: WorkerSlot, seconds: float) -> Relief:
        if slot not in self.slots or not self.running:
            raise MediaError("the worker is gone")
        if self._spare:
            fresh = await self._fresh(self._spare[0])
            self._spare.popleft()
            self.slots[self.slots.index(slot)] = fresh
            self._dismiss(slot, seconds, is_vacated=False)
            return Relief.RELIEVED
        if self.leaving and seconds:
            if all(waiting is not slot for waiting, _ in self._waiting):
                self._waiting.append((slot, seconds))
            return Relief.WAITS
        if seconds and not any(other.ready for other in self.slots if other is not slot):
            raise MediaError("nobody else could begin calls: media.browser.ports has no port to spare")
        self.slots.remove(slot)
        self._dismiss(slot, seconds, is_vacated=True)
        return Relief.VACATED

    async def _fresh(self, place: WorkerConfig) -> WorkerSlot:
        slot = self._slot(place)
        await slot.start()
        slot.keep()
        _log.warning("worker=%d state=started pid=%d", place.browser_port, slot.worker.pid)
        return slot

    def _dismiss(self, slot: WorkerSlot, seconds: float, *, is_vacated: bool) -> None:
        slot.leave(seconds)
        self.leaving.append(slot)
        farewell = asyncio.get_running_loop().create_task(self._see_off(slot, is_vacated))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    async def _see_off(self, slot: WorkerSlot, is_vacated: bool) -> None:
        await slot.see_off()
        with contextlib.suppress(MediaError):
            if slot.alive:
                self._past = [sum_of([*self._past, await slot.totals()])]
        pid = slot.worker.pid
        await slot.stop()
        self.leaving.remove(slot)
        self._counters.add(Counter.WORKER_RELIEVED)
        _log.warning("worker=%d state=draining->gone pid=%d", slot.config.browser_port, pid)
        if not is_vacated or any(other.ready for other in self.slots):
            # Late packets of its calls must not reach those of the next worker there.
            await asyncio.sleep(slot.config.quarantine_seconds)
        async with self._turn:
            if is_vacated:
                await self._return_to(slot.config)
            else:
                self._spare.append(slot.config)
            await self._next()

    async def _return_to(self, place: WorkerConfig) -> None:
        """Have a worker in a place that was vacated; one that does not start is tried again as if it had been lost."""
        slot = self._slot(place)
        self.slots.append(slot)
        with contextlib.suppress(MediaError):
            await slot.start()
            self.ready.set()
        slot.keep()

    async def _next(self) -> None:
        """Whose turn it is to be relieved; one that cannot be is no obstacle to those behind it."""
        while self._waiting:
            slot, seconds = self._waiting.popleft()
            try:
                outcome = await self._relieve(slot, seconds)
            except MediaError as error:
                _log.error("worker=%d cannot be relieved: %s", slot.config.browser_port, error)
                continue
            if outcome is not Relief.RELIEVED:
                return

    def _slot(self, place: WorkerConfig) -> WorkerSlot:
        return WorkerSlot(place, self._counters, self.ready.set)


def sum_of(numbers: Sequence[PacketCounters]) -> PacketCounters:
    """The numbers of all together."""
    names = [field.name for field in fields(PacketCounters)]
    return PacketCounters(**{name: sum(getattr(each, name) for each in numbers) for name in names})
