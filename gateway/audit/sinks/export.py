"""All sinks of a gateway: they get each line once it is in the file, and are told when the gateway ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.audit.log import FILE_NAME, AuditLog
from gateway.audit.sinks.item import item_of
from gateway.audit.sinks.kept import FIRST_BACK_OFF_SECONDS
from gateway.audit.sinks.link import Link
from gateway.audit.sinks.plan import SinkPlan, SyslogPlan
from gateway.audit.sinks.readback import Positions, lines_after
from gateway.audit.sinks.sink import Sink
from gateway.audit.sinks.syslog import SyslogLink
from gateway.audit.sinks.webhook import WebhookLink
from gateway.base.counters import Counters

FLUSH_SECONDS = 3.0
"""How long the end of the gateway waits for receivers; what they have not got then, the next start sends."""

KEEP_SECONDS = 1.0
"""How often the positions are written down: so much is sent again after a crash."""


def link_of(plan: SinkPlan) -> Link:
    """The way a sink is configured to take."""
    return SyslogLink(plan.to) if isinstance(plan.to, SyslogPlan) else WebhookLink(plan.name, plan.to)


class Export:
    """The sinks of one log. To be made before the log is opened, started after that, stopped after it is closed.

    Args:
        back_off_seconds: the first pause after a failure; shorter in tests.
    """

    def __init__(
        self,
        log: AuditLog,
        directory: Path,
        plans: Sequence[SinkPlan],
        counters: Counters,
        *,
        back_off_seconds: float = FIRST_BACK_OFF_SECONDS,
        link: Callable[[SinkPlan], Link] = link_of,
    ) -> None:
        self._log, self._directory, self._counters = log, directory, counters
        self._back_off, self._link = back_off_seconds, link
        self._positions = Positions(directory)
        self._sinks: dict[str, Sink] = {plan.name: self._make(plan) for plan in plans}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        log.after_written(self._written)

    def _make(self, plan: SinkPlan) -> Sink:
        return Sink(plan, self._link(plan), self._counters, self._log.write, back_off_seconds=self._back_off)

    def _written(self, lines: Sequence[bytes]) -> None:
        for line in lines if self._sinks else ():
            if (item := item_of(line)) is not None:
                for sink in self._sinks.values():
                    sink.offer(item)

    @property
    def waiting(self) -> int:
        """Records that wait for the sink that is furthest behind."""
        return max((sink.waiting for sink in self._sinks.values()), default=0)

    @property
    def down(self) -> int:
        """Sinks whose receiver did not take what was sent last."""
        return sum(sink.is_down for sink in self._sinks.values())

    async def start(self) -> None:
        """Go on where each sink was."""
        kept = await asyncio.to_thread(self._positions.load) if self._sinks else {}
        known = {name: kept[name] for name in self._sinks if name in kept}
        if known:
            behind = await asyncio.to_thread(lines_after, self._directory / FILE_NAME, min(known.values()))
            for name, seq in known.items():
                self._sinks[name].delivered = seq
                self._sinks[name].catch_up(behind.items, behind.oldest)
        for sink in self._sinks.values():
            self._run(sink)
        self._keeping = asyncio.get_running_loop().create_task(self._keep())

    def _run(self, sink: Sink) -> None:
        self._tasks[sink.plan.name] = asyncio.get_running_loop().create_task(sink.run())

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            if self._sinks:
                self._positions.keep(self._delivered())

    def _delivered(self) -> dict[str, int]:
        return {name: sink.delivered for name, sink in self._sinks.items() if sink.delivered >= 0}

    def use(self, plans: Sequence[SinkPlan]) -> None:
        """Other sinks from now on, after a reload; those that are the same go on as if nothing had happened.

        One that goes still has its moment to send what waits; what waits for one that is configured otherwise goes the
        new way.
        """
        wanted = {plan.name: plan for plan in plans}
        gone = {name: sink for name, sink in self._sinks.items() if wanted.get(name) != sink.plan}
        tasks = [self._tasks.pop(name) for name in gone]
        for name, sink in gone.items():
            sink.tell_dropped()
            del self._sinks[name]
        for plan in plans:
            if plan.name not in self._sinks:
                sink = self._sinks[plan.name] = self._make(plan)
                if plan.name in gone:
                    sink.follow(gone[plan.name])
                self._run(sink)
        removed = [sink for name, sink in gone.items() if name not in wanted]
        ending = asyncio.get_running_loop().create_task(self._end(removed, tasks))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def tell_dropped(self) -> None:
        """Write into the log what receivers did not get, before it is closed."""
        for sink in self._sinks.values():
            sink.tell_dropped()

    async def stop(self) -> None:
        """Send what waits, for `FLUSH_SECONDS` at most, and end."""
        if self._keeping is None:
            return
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        self._keeping = None
        sinks = list(self._sinks.values())
        await asyncio.gather(self._end(sinks, list(self._tasks.values())), *self._ending)
        self._tasks.clear()
        if sinks:
            self._positions.close(self._delivered())

    async def _end(self, sinks: Sequence[Sink], tasks: Sequence[asyncio.Task[None]]) -> None:
        """Give their receivers a moment, all at the same time, then end these."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await asyncio.gather(*(sink.flush() for sink in sinks))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
