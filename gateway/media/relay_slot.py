"""One relay worker as the pool keeps it: watched, asked, replaced when it is lost, and one day relieved."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Hashable

from gateway.base.counters import Counter, Counters
from gateway.base.errors import MediaError
from gateway.media.relay_call import ANSWER_SECONDS, RelayCall, settle
from gateway.media.relay_commands import Command, GetCounters, Heartbeat
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_events import Alive, CountersReport, Event, WorkerLost, WorkerReady
from gateway.media.relay_facts import WorkerFacts, WorkerState
from gateway.media.relay_health import HEARTBEAT_SECONDS, Health
from gateway.media.relay_protocol import WORKER, WorkerConfig
from gateway.media.relay_worker import RelayWorker

FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 10.0
HEALTHY_SECONDS = 60.0
"""A worker that lived this long is restarted without back-off."""
LEAVE_SECONDS = 5.0
"""How long the calls of a worker that is to go may take to end: a BYE each way, and their final counters."""
MAX_GUESTS = 16
"""Calls a draining worker still begins, of those that may have to be joined with one it has: a consultation before a
transfer. A PBX that calls under one number for everybody must not keep it at work."""

_log = logging.getLogger(__name__)


class WorkerSlot:
    """A worker and the calls it has, which hear from it through here.

    Args:
        config: its place: the browser port and the ports of trunks that are its own.
        on_ready: called when it runs again after it was lost.
    """

    def __init__(self, config: WorkerConfig, counters: Counters, on_ready: Callable[[], None]) -> None:
        self.calls: dict[int, RelayCall] = {}
        self.health = Health()
        self.config, self._counters, self._on_ready = config, counters, on_ready
        self._totals: list[asyncio.Future[PacketCounters]] = []
        self.worker = RelayWorker(config, self._event)
        self._keeper: asyncio.Task[None] | None = None
        self._emptied = asyncio.Event()
        self._started_at = 0.0
        self._leaves_at: float | None = None
        self.guests = 0
        """Calls begun since it drains."""

    @property
    def alive(self) -> bool:
        """Whether its process is there to be told something."""
        return self.worker.alive

    @property
    def draining(self) -> bool:
        """Whether it is on its way out."""
        return self._leaves_at is not None

    @property
    def ready(self) -> bool:
        """Whether it begins calls, whoever's."""
        return self.alive and not self.draining

    @property
    def facts(self) -> WorkerFacts:
        now = asyncio.get_running_loop().time()
        left = max(0.0, self._leaves_at - now) if self._leaves_at is not None else None
        age, worker = now - self._started_at, self.worker
        return WorkerFacts(
            self.config.browser_port, worker.pid, self._state, len(self.calls), age, worker.version, left
        )

    @property
    def _state(self) -> WorkerState:
        if not self.alive:
            return WorkerState.RESTARTING
        if self.health.missed:
            return WorkerState.SILENT
        return WorkerState.DRAINING if self.draining else WorkerState.RUNNING

    def shares(self, affinity: frozenset[Hashable]) -> bool:
        """Whether one of its calls has something of this."""
        return bool(affinity) and any(not affinity.isdisjoint(call.affinity) for call in self.calls.values())

    def receives(self, affinity: frozenset[Hashable]) -> bool:
        """Whether it begins such a call although it drains: one that may have to be joined with a call it has."""
        return self.alive and self.draining and self.guests < MAX_GUESTS and self.shares(affinity)

    def send(self, call: int, command: Command) -> None:
        self.worker.send(call, command)

    def overdue(self, call: int) -> None:
        self.health.overdue(call)

    def ended(self, call: int) -> None:
        """A call is over, or was never begun."""
        self.calls.pop(call, None)
        if not self.calls:
            self._emptied.set()

    async def totals(self) -> PacketCounters:
        """What the worker counted outside of legs; raises MediaError when it does not answer."""
        report: asyncio.Future[PacketCounters] = asyncio.get_running_loop().create_future()
        self._totals.append(report)
        self.send(WORKER, GetCounters())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await report
        except TimeoutError as error:
            raise MediaError("the relay worker does not answer") from error

    async def start(self) -> None:
        """Start the worker; raises MediaError when it does not come up."""
        await self.worker.start()
        self._started_at = asyncio.get_running_loop().time()

    def keep(self) -> None:
        """From now on watch it, and have another one in its place whenever it is lost or hangs."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep_running())

    async def let_go(self) -> None:
        """Watch it no more."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def stop(self) -> None:
        """End it; calls that are still open are told that it is lost."""
        await self.let_go()
        self.abandon()
        await self.worker.stop()

    def leave(self, seconds: float) -> None:
        """Begin no more calls; those there are may go on for so long."""
        self._leaves_at = asyncio.get_running_loop().time() + seconds
        _log.warning("worker=%d state=running->draining pid=%d calls=%d", *self._named, len(self.calls))

    async def see_off(self) -> None:
        """Return when its calls are over: by themselves, or ended because their time is up."""
        left = (self._leaves_at or 0.0) - asyncio.get_running_loop().time()
        if not await self._is_empty_within(left):
            _log.warning("worker=%d state=draining->leaving pid=%d calls=%d", *self._named, len(self.calls))
            self._tell_all(WorkerLost(drained=True))
            await self._is_empty_within(LEAVE_SECONDS)

    def abandon(self) -> None:
        """Tell every call that its worker is lost."""
        self._totals.clear()
        self._tell_all(WorkerLost(self.worker.hung))

    @property
    def _named(self) -> tuple[int, int]:
        return self.config.browser_port, self.worker.pid

    async def _is_empty_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.calls:
                    self._emptied.clear()
                    await self._emptied.wait()
        return not self.calls

    def _tell_all(self, event: WorkerLost) -> None:
        loop = asyncio.get_running_loop()
        for call in list(self.calls.values()):
            # Each in its own turn: a listener that fails must not keep the others from hearing of it.
            loop.call_soon(call.deliver, event)

    async def _keep_running(self) -> None:
        """Restart the worker, with back-off, until cancelled; one that drains is not replaced: that has been done."""
        loop = asyncio.get_running_loop()
        backoff, started = FIRST_BACKOFF_SECONDS, loop.time()
        while True:
            await self._watch()
            if loop.time() - started > HEALTHY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            self._tell_loss(backoff)
            self.abandon()
            await self.worker.stop()
            if not self.draining:
                await asyncio.sleep(backoff)
            if self.draining:
                return
            backoff, started = min(2 * backoff, LAST_BACKOFF_SECONDS), loop.time()
            await self._again()

    async def _again(self) -> None:
        self._counters.add(Counter.WORKER_RESTARTED)
        self.health = Health()
        self.worker = RelayWorker(self.config, self._event)
        with contextlib.suppress(MediaError):
            await self.start()
            _log.warning("worker=%d state=lost->running pid=%d", *self._named)
            self._on_ready()

    async def _watch(self) -> None:
        """Return when the worker is gone; it is asked every second whether it still works."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    return await self.worker.lost()
            except TimeoutError:
                self._beat()

    def _beat(self) -> None:
        number = self.health.beat(asyncio.get_running_loop().time())
        if number is not None:
            self.send(WORKER, Heartbeat(number))
        elif self.health.hung:
            self.worker.kill()
        elif self.health.missed == 1:
            _log.warning("worker=%d state=running->silent pid=%d", *self._named)

    def _tell_loss(self, backoff: float) -> None:
        hung = self.worker.hung
        self._counters.add(Counter.WORKER_HUNG, int(hung))
        _log.error(
            "worker=%d state=%s calls=%d restart=%s",
            self.config.browser_port,
            "silent->killed" if hung else "running->lost",
            len(self.calls),
            "no" if self.draining else f"{backoff:.1f}s",
        )

    def _event(self, number: int, event: Event) -> None:
        if isinstance(event, WorkerReady):
            return
        if isinstance(event, Alive):
            self.health.answered(event.number)
            if self.health.hung:
                self.worker.kill()
            return
        self.health.settled(number)
        call = self.calls.get(number)
        if call is not None:
            call.deliver(event)
        elif isinstance(event, CountersReport) and number == WORKER and self._totals:
            settle(self._totals.pop(0), next(iter(event.legs.values()), PacketCounters()))
