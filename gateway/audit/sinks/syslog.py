"""Syslog over TLS (RFC 5425): one connection that is kept, messages behind their length.

Syslog answers nothing, so what was sent just before a connection broke may be lost. Data the peer's machine has not
confirmed breaks the connection within `UNCONFIRMED_SECONDS`; what was sent in that time goes again over the next one.
A receiver knows it by its `seq`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence

from gateway.audit.sinks.item import Item
from gateway.audit.sinks.link import ANSWER_SECONDS, SendError
from gateway.audit.sinks.plan import SyslogPlan
from gateway.audit.sinks.rfc5424 import framed, message
from gateway.audit.sinks.tls import client_context

UNCONFIRMED_SECONDS = 30
"""TCP_USER_TIMEOUT (RFC 5482): a minute of heartbeats is not lost to a server that went without a word."""

MAX_REPEATED = 1000
"""Records that are sent again over a new connection at most."""

CLOSE_SECONDS = 1.0
"""How long the end of a connection may take."""


class SyslogLink:
    """The way to one syslog server.

    Args:
        clock: monotonic seconds.
    """

    most = 128
    octets = 256 * 1024
    linger_seconds = 0.0

    def __init__(self, plan: SyslogPlan, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan, self._clock, self._pid = plan, clock, os.getpid()
        self._writer: asyncio.StreamWriter | None = None
        self._watch: asyncio.Task[None] | None = None
        self._lost_at: float | None = None
        self._sent: deque[tuple[float, Item]] = deque(maxlen=MAX_REPEATED)

    async def send(self, items: Sequence[Item]) -> None:
        """Send these, after what the connection before may have lost."""
        if self._writer is not None and self._lost_at is not None:
            await self.close()
        repeated: list[Item] = []
        if self._writer is None:
            repeated = self._unconfirmed()
            self._writer = await self._connect()
        try:
            await self._write(self._writer, [*repeated, *items])
        except OSError:
            self._lost_at = self._lost_at or self._clock()
            await self.close()
            raise
        self._sent.extend((self._clock(), item) for item in items)

    async def _connect(self) -> asyncio.StreamWriter:
        plan = self._plan
        context = await asyncio.to_thread(client_context, plan.tls)
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(
                plan.host, plan.port, ssl=context, server_hostname=plan.server_name or plan.host
            )
        writer.transport.set_write_buffer_limits(1, 0)  # taken is what the system has taken
        own: socket.socket = writer.get_extra_info("socket")
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNCONFIRMED_SECONDS * 1000)
        self._lost_at = None
        self._watch = asyncio.get_running_loop().create_task(self._watched(reader))
        return writer

    async def _watched(self, reader: asyncio.StreamReader) -> None:
        """Notice the end of the connection; what a server says meanwhile has no meaning."""
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        self._lost_at = self._clock()

    async def _write(self, writer: asyncio.StreamWriter, items: Sequence[Item]) -> None:
        writer.write(b"".join(framed(message(item, self._plan, pid=self._pid)) for item in items))
        async with asyncio.timeout(ANSWER_SECONDS):
            await writer.drain()
        await asyncio.sleep(0)  # an end that is known by now counts
        if self._lost_at is not None:
            raise SendError("the server has closed the connection")

    def _unconfirmed(self) -> list[Item]:
        """What the connection before may have taken away with it."""
        if self._lost_at is None:
            return []
        since = self._lost_at - UNCONFIRMED_SECONDS
        return [item for at, item in self._sent if at >= since]

    async def close(self) -> None:
        """End the connection; what was written is still sent, for a moment."""
        writer, self._writer = self._writer, None
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
        if writer is None:
            return
        writer.close()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await writer.wait_closed()
        writer.transport.abort()
