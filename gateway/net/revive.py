"""Opens a connection to a trunk again whose peer stopped answering pings (RFC 5626 4.5).

What the trunk wants to tell us over the connection it knows would find no way otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from gateway.base.errors import TransportError
from gateway.sip.flow import Flow

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
"""Seconds between two tries; doubled each time."""

log = logging.getLogger(__name__)


class Reviver:
    """One task for each trunk whose connection died, until there is one again; as many as there are trunks."""

    def __init__(self, connect: Callable[[str], Awaitable[Flow]]) -> None:
        self._connect = connect
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def died(self, trunk: str) -> None:
        """The connection to this trunk is dead."""
        if trunk not in self._tasks:
            task = self._tasks[trunk] = asyncio.get_running_loop().create_task(self._revive(trunk))
            task.add_done_callback(lambda _: self._tasks.pop(trunk, None))

    def forget(self, trunks: Collection[str]) -> None:
        """There are no such trunks any more."""
        for name in [name for name in self._tasks if name in trunks]:
            self._tasks[name].cancel()

    async def stop(self) -> None:
        """Open nothing more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _revive(self, trunk: str) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                flow = await self._connect(trunk)
            except TransportError as error:
                log.debug("trunk=%s state=dead reason=%s", trunk, error.why)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                log.info("trunk=%s state=connected flow=%s", trunk, flow)
                return
