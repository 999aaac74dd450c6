"""One relay worker for all tests of this folder that do not end it; every test has a call of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import Command
from gateway.media.relay_worker import RelayWorker
from tests.media.mesh import Mesh, new_mesh
from tests.media.peers import RelayedCall, media, new_call, running_pool


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pool() -> AsyncIterator[RelayPool]:
    async with running_pool(media(), quarantine_seconds=0.0) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def call(pool: RelayPool) -> AsyncIterator[RelayedCall]:
    async with new_call(pool) as fresh:
        yield fresh


@pytest_asyncio.fixture(loop_scope="session")
async def mesh(pool: RelayPool) -> AsyncIterator[Mesh]:
    async with new_mesh(pool) as fresh:
        yield fresh


@pytest.fixture(autouse=True)
def commands_leave_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Media that a test sends after a command comes after it: else commands leave with the turn of the event loop."""
    send = RelayWorker.send

    def send_now(worker: RelayWorker, call: int, command: Command) -> None:
        send(worker, call, command)
        worker._flush()

    monkeypatch.setattr(RelayWorker, "send", send_now)
