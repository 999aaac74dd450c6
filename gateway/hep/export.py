"""HEP export as the gateway has it: on or off, to one collector, changed by a reload."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from gateway.base.counters import Counters
from gateway.base.values import HostPort
from gateway.hep.capture import Capture
from gateway.hep.collector import Collector
from gateway.hep.plan import HepPlan
from gateway.hep.reports import EndedWay

FLUSH_SECONDS = 1.0
"""How long the end of the gateway waits for the collector."""


class HepExport:
    """The collector there is, and what captures for it.

    Args:
        show: lets a tap see every SIP message, or none any more.
        correlate, called, withheld, clock: as in `Capture`.
    """

    def __init__(
        self,
        plan: HepPlan | None,
        counters: Counters,
        *,
        show: Callable[[Capture, bool], None],
        correlate: Callable[[str], str],
        called: Callable[[str, str], str],
        withheld: Callable[[str], str],
        clock: Callable[[], float],
        collector: Callable[[HepPlan, Counters], Collector] = Collector,
    ) -> None:
        self._plan, self._counters, self._show, self._make = plan, counters, show, collector
        self._capture = partial(
            Capture, counters=counters, correlate=correlate, withheld=withheld, clock=clock, soon=self._soon
        )
        self._called = called
        self._collector: Collector | None = None
        self._tap: Capture | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def _soon(self, then: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(then)

    @property
    def is_on(self) -> bool:
        """Whether there is a collector."""
        return self._tap is not None

    def rtcp(self, correlation: str, source: HostPort, destination: HostPort, compound: bytes) -> None:
        """Export what a compound packet reports, with its addresses; returns at once."""
        if self._tap is not None:
            self._tap.rtcp(correlation, source, destination, compound)

    def ended(self, correlation: str, ways: Sequence[EndedWay]) -> None:
        """Export what the directions of the legs of a call were like; returns at once."""
        if self._tap is not None:
            for way in ways:
                self._tap.ended(correlation, way)

    @property
    def waiting(self) -> int:
        """Packets that wait for the collector."""
        return self._collector.waiting if self._collector is not None else 0

    @property
    def is_down(self) -> bool:
        """Whether the collector did not take what was sent last."""
        return self._collector is not None and self._collector.is_down

    def start(self) -> None:
        """Export from now on, if it is configured."""
        plan = self._plan
        if plan is None:
            return
        self._collector = self._make(plan, self._counters)
        self._task = asyncio.get_running_loop().create_task(self._collector.run())
        self._tap = self._capture(self._collector, called=self._called if plan.pseudonyms else None)
        self._show(self._tap, True)

    def use(self, plan: HepPlan | None) -> None:
        """Another collector from now on, or none; the one there was still gets what waits for it, for a moment."""
        if plan == self._plan:
            return
        self._end()
        self._plan = plan
        self.start()

    async def stop(self) -> None:
        """Send what waits, for `FLUSH_SECONDS` at most, and end."""
        self._end()
        await asyncio.gather(*self._ending)

    def _end(self) -> None:
        """Show the collector there is nothing any more, and let go of it in a while."""
        collector, task, tap = self._collector, self._task, self._tap
        self._collector = self._task = self._tap = None
        if collector is None or task is None or tap is None:
            return
        self._show(tap, False)
        ending = asyncio.get_running_loop().create_task(_ended(tap, collector, task))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


async def _ended(tap: Capture, collector: Collector, task: asyncio.Task[None]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FLUSH_SECONDS):
            await tap.flush()
            await collector.flush()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
