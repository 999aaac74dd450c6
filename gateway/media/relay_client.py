"""The relay as the control plane uses it: a pool of workers, and one `RelayCall` per call."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Collection, Hashable, Sequence

from gateway.base.counters import Counter, Counters
from gateway.base.errors import MediaError
from gateway.media.places import MediaPlaces
from gateway.media.relay_call import ANSWER_SECONDS, Listener, RelayCall, settle
from gateway.media.relay_commands import CloseCall, Command, GetCounters, Heartbeat, OpenLeg
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_events import Alive, CountersReport, Event, WorkerLost, WorkerReady
from gateway.media.relay_health import HEARTBEAT_SECONDS, Health
from gateway.media.relay_protocol import (
    CONSENT_SECONDS,
    QUARANTINE_SECONDS,
    SILENCE_SECONDS,
    WORKER,
    WorkerConfig,
)
from gateway.media.relay_worker import RelayWorker

OPEN_SECONDS = 2.0
"""A call is refused rather than kept waiting for the relay."""
MAX_LEAN = 16
"""Calls a worker may have more than the least loaded one and still get those that may have to be joined with its own:
one busy user, or a PBX that calls under one number for everybody, must not fill one worker while others are idle."""
TRY_SECONDS = 0.5
"""A worker that has not opened a call by then is passed over while there is another one to try."""
FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 10.0
HEALTHY_SECONDS = 60.0
"""A worker that lived this long is restarted without back-off."""

__all__ = ["RelayCall", "RelayPool"]

_log = logging.getLogger(__name__)


class _Slot:
    """One worker's place in the pool: watches it, keeps it running and gives its events to its calls."""

    def __init__(self, config: WorkerConfig, counters: Counters, on_ready: Callable[[], None]) -> None:
        self.calls: dict[int, RelayCall] = {}
        self.health = Health()
        self._config, self._counters, self._on_ready = config, counters, on_ready
        self._totals: list[asyncio.Future[PacketCounters]] = []
        self.worker = RelayWorker(config, self._event)

    @property
    def ready(self) -> bool:
        return self.worker.alive

    def shares(self, affinity: frozenset[Hashable]) -> bool:
        """Whether one of its calls has something of this."""
        return bool(affinity) and any(not affinity.isdisjoint(call.affinity) for call in self.calls.values())

    def send(self, call: int, command: Command) -> None:
        self.worker.send(call, command)

    def overdue(self, call: int) -> None:
        self.health.overdue(call)

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

    async def keep_running(self) -> None:
        """Restart the worker whenever it is lost or hangs, with back-off; until cancelled."""
        loop = asyncio.get_running_loop()
        backoff = FIRST_BACKOFF_SECONDS
        started = loop.time()
        while True:
            await self._watch()
            if loop.time() - started > HEALTHY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            self._tell_loss(backoff)
            self.abandon()
            await self.worker.stop()
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_SECONDS)
            self._counters.add(Counter.WORKER_RESTARTED)
            started = loop.time()
            self.health = Health()
            self.worker = RelayWorker(self._config, self._event)
            with contextlib.suppress(MediaError):
                await self.worker.start()
                _log.warning("worker=%d state=lost->running pid=%d", self._config.browser_port, self.worker.pid)
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
            _log.warning("worker=%d state=running->silent pid=%d", self._config.browser_port, self.worker.pid)

    def _tell_loss(self, backoff: float) -> None:
        hung = self.worker.hung
        self._counters.add(Counter.WORKER_HUNG, int(hung))
        _log.error(
            "worker=%d state=%s calls=%d restart=%.1fs",
            self._config.browser_port,
            "silent->killed" if hung else "running->lost",
            len(self.calls),
            backoff,
        )

    def abandon(self) -> None:
        """Tell every call that its worker is lost."""
        self._totals.clear()
        loop = asyncio.get_running_loop()
        for call in list(self.calls.values()):
            # Each in its own turn: a listener that fails must not keep the others from hearing of it.
            loop.call_soon(call.deliver, WorkerLost(self.worker.hung))

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


class RelayPool:
    """The relay workers.

    Args:
        media: addresses, ports and number of workers.
        counters: where restarts are counted.
        consent_seconds: life of ICE consent (RFC 7675 5.1); shorter in tests.
        quarantine_seconds: rest of a closed port; shorter in tests.
        silence_seconds: after that a peer is called silent; shorter in tests.
    """

    def __init__(
        self,
        media: MediaPlaces,
        counters: Counters,
        *,
        consent_seconds: float = CONSENT_SECONDS,
        quarantine_seconds: float = QUARANTINE_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._media = media
        self._numbers = itertools.count(WORKER + 1)
        self._ready = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._slots = [
            _Slot(
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
                ),
                counters,
                self._ready.set,
            )
            for index, (first, last) in enumerate(slice_ports(media))
        ]

    @property
    def call_count(self) -> int:
        return sum(len(slot.calls) for slot in self._slots)

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers, for operators and tests."""
        return tuple(slot.worker.pid for slot in self._slots)

    async def start(self) -> None:
        """Start every worker; raises MediaError, with none left running, when one does not start."""
        try:
            started = await asyncio.gather(*(slot.worker.start() for slot in self._slots), return_exceptions=True)
        except asyncio.CancelledError:
            await self.stop()
            raise
        for outcome in started:
            if isinstance(outcome, BaseException):
                await self.stop()
                raise outcome
        self._ready.set()
        self._keepers = [asyncio.create_task(slot.keep_running()) for slot in self._slots]

    async def stop(self) -> None:
        """End every worker; calls that are still open are told that theirs is lost."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        for slot in self._slots:
            slot.abandon()
        await asyncio.gather(*(slot.worker.stop() for slot in self._slots))

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
        """What each running worker dropped that belonged to no leg; raises MediaError when one does not answer."""
        return [await slot.totals() for slot in self._slots if slot.ready]

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
                    refusal, died = error, died or not slot.ready
            if not died:
                raise refusal

    async def _by_fitness(self, affinity: frozenset[Hashable]) -> list[_Slot]:
        """The workers that are ready, in the order they are tried."""
        while not any(slot.ready for slot in self._slots):
            if not self._keepers:
                raise MediaError("the relay is not running")
            self._ready.clear()
            await self._ready.wait()
        now = asyncio.get_running_loop().time()
        ready = [slot for slot in self._slots if slot.ready]
        most = min(len(slot.calls) for slot in ready) + MAX_LEAN

        def fitness(slot: _Slot) -> tuple[bool, bool, int]:
            leans = len(slot.calls) < most and slot.shares(affinity)
            return slot.health.slow(now), not leans, len(slot.calls)

        return sorted(ready, key=fitness)

    async def _open_in(
        self, slot: _Slot, legs: Sequence[OpenLeg], listener: Listener, affinity: frozenset[Hashable]
    ) -> RelayCall:
        call = RelayCall(slot, next(self._numbers), listener, affinity)
        slot.calls[call.id] = call
        try:
            for opening in [call.begin(leg) for leg in legs]:
                await opening
        except BaseException:  # also when whoever waits is cancelled: the worker must not keep a call nobody knows
            slot.calls.pop(call.id, None)
            if slot.ready:
                slot.health.overdue(call.id)
                slot.send(call.id, CloseCall())
            raise
        return call


def _patience(deadline: float, others: int) -> float:
    """Seconds to wait for a worker while `others` can still be tried: the first one must not use up their share."""
    left = deadline - asyncio.get_running_loop().time()
    return TRY_SECONDS if others and left > TRY_SECONDS else left


def slice_ports(media: MediaPlaces) -> list[tuple[int, int]]:
    """First and last port of each worker: whole even/odd pairs, shared out evenly; the schema saw to enough."""
    ports = media.trunk_ports
    first = ports.start + ports.start % 2
    pairs = (ports.stop - first) // 2
    bounds = [first + 2 * (pairs * index // media.workers) for index in range(media.workers + 1)]
    return [(start, end - 1) for start, end in itertools.pairwise(bounds)]
