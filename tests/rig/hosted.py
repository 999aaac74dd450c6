"""A gateway inside the test's own event loop, so that what it holds can be counted; its files as in `GatewaySetup`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from gateway.app import Gateway
from gateway.config.load import load_config
from gateway.process import descriptors_wanted, raise_file_limit
from tests.rig.gateway import GatewaySetup, Record, whole_lines

WAIT_SECONDS = 5.0
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Holdings:
    """What a gateway holds that must come back when its calls are over."""

    files: int
    worker_files: int
    tasks: int
    sessions: int
    calls: int
    sent: int
    received: int
    dialogs: int

    def excess(self, before: Holdings) -> dict[str, int]:
        """What is more than it was."""
        differences = {f.name: getattr(self, f.name) - getattr(before, f.name) for f in fields(self)}
        return {name: more for name, more in differences.items() if more > 0}


class HostedGateway:
    """Start, stop, and look inside."""

    def __init__(self, setup: GatewaySetup, **options: Any) -> None:
        self.setup = setup
        self.gateway = Gateway(load_config(setup.write()), **options)
        self._audit = setup.directory / "audit" / "audit.jsonl"
        self._log = _Kept()

    async def start(self) -> HostedGateway:
        logging.getLogger("gateway").addHandler(self._log)
        logging.getLogger("gateway").setLevel(logging.DEBUG)
        raise_file_limit(descriptors_wanted(self.gateway.sites.current))
        await self.gateway.start()
        return self

    async def stop(self) -> None:
        await self.gateway.stop()
        logging.getLogger("gateway").removeHandler(self._log)

    @property
    def log(self) -> str:
        return "\n".join(self._log.lines)

    def records(self, kind: str = "", call_uid: str = "") -> list[Record]:
        """Audit records so far, of one type and one call if asked."""
        lines = whole_lines(self._audit) if self._audit.exists() else []
        found = [json.loads(line) for line in lines]
        return [r for r in found if kind in ("", r["type"]) and call_uid in ("", r.get("call_uid"))]

    async def final(self, call_uid: str) -> Record:
        """The call's one final record, once it is there."""
        await until(lambda: bool(self.records("call.final", call_uid)), "call.final")
        (found,) = self.records("call.final", call_uid)
        return found

    def last_call(self) -> str:
        """The identity of the call that began last."""
        return str(self.records("call.start")[-1]["call_uid"])

    async def unassigned(self, counter: str) -> int:
        """A counter of what the relay could not give to any call."""
        return sum(getattr(found, counter) for found in await self.gateway.pool.worker_counters())

    def holdings(self) -> Holdings:
        pool, index = self.gateway.pool, self.gateway.manager.index
        return Holdings(
            files=_open_files(os.getpid()),
            worker_files=sum(_open_files(pid) for pid in pool.worker_pids),
            tasks=len(asyncio.all_tasks()),
            sessions=pool.call_count,
            calls=len(index.runners),
            sent=len(self.gateway.agent),
            received=len(index.received),
            dialogs=len(index.dialogs),
        )

    async def returned_to(self, before: Holdings, seconds: float = WAIT_SECONDS) -> None:
        """Wait until nothing more is held than before."""
        await until(lambda: not self.holdings().excess(before), lambda: self.holdings().excess(before), seconds)


async def until(reached: Callable[[], object], what: Any, seconds: float = WAIT_SECONDS) -> None:
    """Poll a condition while the loop goes on."""
    end = asyncio.get_running_loop().time() + seconds
    while not reached():
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"never: {what() if callable(what) else what}")
        await asyncio.sleep(POLL_SECONDS)


def _open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


class _Kept(logging.Handler):
    """Every log line in memory."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
