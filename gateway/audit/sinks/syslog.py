"""Syslog over TLS (RFC 5425): one connection that is kept, messages behind their length.

Syslog answers nothing, so what was sent just before a connection broke may be lost. Data the peer's machine has not
confirmed breaks the connection within `UNCONFIRMED_SECONDS`; what was sent in that time goes again over the next one.
A receiver knows it by its `seq`.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence

from gateway.audit.sinks.item import Item
from gateway.audit.sinks.kept import UNCONFIRMED_SECONDS, KeptConnection
from gateway.audit.sinks.link import ANSWER_SECONDS
from gateway.audit.sinks.plan import SyslogPlan
from gateway.audit.sinks.rfc5424 import framed, message
from gateway.audit.sinks.tls import client_context

MAX_REPEATED = 1000
"""Records that are sent again over a new connection at most."""


class SyslogLink:
    """The way to one syslog server."""

    most = 128
    octets = 256 * 1024
    linger_seconds = 0.0

    def __init__(self, plan: SyslogPlan) -> None:
        self._plan, self._pid = plan, os.getpid()
        self._connection = KeptConnection(ANSWER_SECONDS)
        self._sent: deque[tuple[float, Item]] = deque(maxlen=MAX_REPEATED)

    async def send(self, items: Sequence[Item]) -> None:
        """Send these, after what the connection before may have lost."""
        repeated: list[Item] = []
        if not self._connection.is_open:
            repeated = self._unconfirmed()
            await self._connect()
        sent = [framed(message(item, self._plan, pid=self._pid)) for item in (*repeated, *items)]
        await self._connection.write(b"".join(sent))
        now = asyncio.get_running_loop().time()
        self._sent.extend((now, item) for item in items)

    async def _connect(self) -> None:
        plan = self._plan
        await self._connection.close()
        context = await asyncio.to_thread(client_context, plan.tls)
        await self._connection.open(plan.host, plan.port, context, plan.server_name or plan.host)

    def _unconfirmed(self) -> list[Item]:
        """What the connection before may have taken away with it."""
        lost_at = self._connection.lost_at
        if lost_at is None:
            return []
        return [item for at, item in self._sent if at >= lost_at - UNCONFIRMED_SECONDS]

    async def close(self) -> None:
        """End the connection; what was written is still sent, for a moment."""
        await self._connection.close()
