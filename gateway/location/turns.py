"""One change of a user's bindings after the other: each sees what the one before it has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.location.asking import StoreUnavailableError

TURN_SECONDS = 8.0
"""How long a REGISTER waits for its turn: four questions to a store that has just stopped answering."""
MAX_WAITING = 32
"""Requests of one user that wait; one page has one under way, and a user has ten pages."""


@dataclass(slots=True)
class _Queue:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    """Who has the turn, or waits for it."""


class Turns:
    """The turns of all users; nothing is kept of a user for whom nothing is under way."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}

    def __len__(self) -> int:
        """Users for whom something is under way."""
        return len(self._queues)

    @asynccontextmanager
    async def take(self, user: str, *, must: bool = False) -> AsyncIterator[None]:
        """Wait until it is this one's turn, in the order of arrival.

        Args:
            must: it has to be done however long it takes, as when a connection has ended.

        Raises:
            StoreUnavailableError: too many wait, or it took too long.
        """
        queue = self._queues.setdefault(user, _Queue())
        if not must and queue.waiting >= MAX_WAITING:
            raise StoreUnavailableError("too many requests of this user wait")
        queue.waiting += 1
        try:
            await self._acquire(queue, None if must else TURN_SECONDS)
            try:
                yield
            finally:
                queue.lock.release()
        finally:
            queue.waiting -= 1
            if not queue.waiting:
                del self._queues[user]

    async def _acquire(self, queue: _Queue, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await queue.lock.acquire()
        except TimeoutError:
            raise StoreUnavailableError("waited too long for its turn") from None
