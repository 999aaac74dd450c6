"""Asks a store and never waits long for it: whatever it does, an answer or a refusal comes within a named time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from gateway.base.counters import Counter, Counters
from gateway.base.errors import GatewayError

T = TypeVar("T")

STORE_SECONDS = 2.0
"""A caller, or a page that signs in, waits for this; a store that is well answers in a fraction of it."""
MAX_OPEN = 256
"""Questions at a time, those included that nobody waits for any more: a store that hangs must not gather them."""


class StoreUnavailableError(GatewayError):
    """The store did not answer in time, or could not."""


class Asking:
    """Puts the questions of one gateway to its store."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._open: set[asyncio.Task[Any]] = set()

    async def ask(self, question: Coroutine[Any, Any, T]) -> T:
        """The answer of the store; a question it ignores is given up, whether it lets itself be cancelled or not.

        Raises:
            StoreUnavailableError: there is none; it has been counted.
        """
        if len(self._open) >= MAX_OPEN:
            question.close()
            raise self._refused("asked too much already")
        task = asyncio.get_running_loop().create_task(question)
        self._open.add(task)
        task.add_done_callback(self._done)
        try:
            await asyncio.wait((task,), timeout=STORE_SECONDS)
        finally:
            task.cancel()
        return self._answer(task)

    def _answer(self, task: asyncio.Task[T]) -> T:
        if not task.done() or task.cancelled():
            raise self._refused("no answer in time")
        error = task.exception()
        if error is not None:
            raise self._refused(f"{type(error).__name__}: {error}") from error
        return task.result()

    def _refused(self, why: str) -> StoreUnavailableError:
        self._counters.add(Counter.LOCATION_FAILED)
        return StoreUnavailableError(why)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._open.discard(task)
        if not task.cancelled():
            task.exception()  # has been looked at, also when nobody waits any more
