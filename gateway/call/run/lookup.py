"""DNS for host names in descriptions: never on the event loop, never for long, never many at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

LOOKUP_SECONDS = 3.0
"""A caller waits for this; a resolver that is well answers in a fraction of it."""
MAX_LOOKUPS = 2
"""At a time, of all calls: a lookup that hangs keeps a thread, and the threads are also those trunks are found with."""
MAX_ADDRESSES = 8
"""Addresses of one name that are looked at."""

Entries = list[tuple[Any, ...]]
Found = tuple[tuple[str, tuple[str, ...]], ...]
"""Names with their addresses; none where DNS has none, or did not say so in time."""


class NameLookups:
    """Looks names up for every call of a gateway."""

    def __init__(self) -> None:
        self._asking: set[asyncio.Task[Entries]] = set()

    async def find(self, names: Sequence[str]) -> Found:
        """The addresses of each name; raises nothing."""
        addresses = await asyncio.gather(*(self._find(name) for name in names))
        return tuple(zip(names, addresses, strict=True))

    async def _find(self, name: str) -> tuple[str, ...]:
        if len(self._asking) >= MAX_LOOKUPS:
            return ()
        loop = asyncio.get_running_loop()
        asking: asyncio.Task[Entries] = loop.create_task(loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM))
        self._asking.add(asking)
        asking.add_done_callback(self._done)
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                found = await asyncio.shield(asking)
        except (TimeoutError, OSError, UnicodeError):  # UnicodeError: no host name at all (IDNA)
            return ()
        return tuple(str(entry[4][0]) for entry in found[:MAX_ADDRESSES])

    def _done(self, asking: asyncio.Task[Entries]) -> None:
        """The thread is free again, which may be long after the wait for it has ended."""
        self._asking.discard(asking)
        if not asking.cancelled():
            asking.exception()
