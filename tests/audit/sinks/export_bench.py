"""A log with sinks, and the loop that both live in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.audit.log import FILE_NAME, AuditLog
from gateway.audit.place import AuditPlace
from gateway.audit.sinks.export import Export
from gateway.audit.sinks.plan import SinkPlan
from gateway.base.counters import Counters
from tests.audit.sinks.receivers import WAIT_SECONDS

BACK_OFF_SECONDS = 0.02


class ExportBench:
    """Begins and ends as the gateway does."""

    def __init__(self, directory: Path, *plans: SinkPlan, back_off_seconds: float = BACK_OFF_SECONDS) -> None:
        self.directory, self.counters = directory, Counters()
        loop = asyncio.get_running_loop()
        self.log = AuditLog(AuditPlace(directory), self.counters, deliver=loop.call_soon_threadsafe)
        self.export = Export(self.log, directory, plans, self.counters, back_off_seconds=back_off_seconds)

    async def start(self) -> ExportBench:
        self.log.open()
        await self.export.start()
        return self

    async def write(self, *numbers: int, **fields: Any) -> None:
        """Write a record for each number; returns when they are in the file."""
        done = asyncio.Event()
        for number in numbers:
            self.log.write({"type": "leg.verified", "n": number, **fields})
        self.log.write({"type": "marker"}, lambda _written: done.set())
        async with asyncio.timeout(WAIT_SECONDS):
            await done.wait()

    async def checkpoint(self) -> None:
        done = asyncio.Event()
        self.log.checkpoint(lambda _written: done.set())
        async with asyncio.timeout(WAIT_SECONDS):
            await done.wait()

    async def stop(self) -> None:
        self.export.tell_dropped()
        self.log.close()
        await self.export.stop()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for what no event tells of."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not true():  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.01)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / FILE_NAME).read_bytes().splitlines()]
