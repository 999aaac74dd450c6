"""A TCP or TLS connection that is kept, to a receiver that answers nothing: what was taken, and when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import socket
import ssl

UNCONFIRMED_SECONDS = 30
"""TCP_USER_TIMEOUT (RFC 5482): a receiver that went without a word is noticed within that time."""
CLOSE_SECONDS = 1.0
"""How long the end of a connection may take."""
FIRST_BACK_OFF_SECONDS, LAST_BACK_OFF_SECONDS = 0.5, 30.0
"""Pauses after a failure: the first, which each further one doubles, and the longest."""


def back_off(first: float, before: int) -> float:
    """Seconds to wait after a failure: longer each time, and not all receivers of all gateways at once.

    Args:
        first: the pause after the first one.
        before: failures before this one.
    """
    return min(LAST_BACK_OFF_SECONDS, first * (1 << min(before, 16))) * (500 + secrets.randbelow(501)) / 1000


class KeptConnection:
    """One connection, from `open` to `close`.

    Args:
        seconds: how long it may take to connect, and to have the system take what is written.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._writer: asyncio.StreamWriter | None = None
        self._watch: asyncio.Task[None] | None = None
        self.lost_at: float | None = None
        """When the receiver ended the connection there is, or the last one, by the clock of the event loop."""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that has not been lost, as far as we know."""
        return self._writer is not None and self.lost_at is None

    async def open(self, host: str, port: int, context: ssl.SSLContext | None, name: str) -> None:
        """Connect.

        Args:
            context: None for TCP in clear.
            name: what the receiver proves to be, over TLS.

        Raises:
            OSError: it cannot be reached, or is not who it should be; TLS errors and timeouts are such.
        """
        async with asyncio.timeout(self._seconds):
            reader, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=name if context is not None else None
            )
        writer.transport.set_write_buffer_limits(1, 0)  # taken is what the system has taken
        own: socket.socket = writer.get_extra_info("socket")
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNCONFIRMED_SECONDS * 1000)
        self._writer, self.lost_at = writer, None
        self._watch = asyncio.get_running_loop().create_task(self._watched(reader))

    async def write(self, data: bytes) -> None:
        """Have the system take these octets.

        Raises:
            OSError: the receiver may have some of them, and the connection is closed.
        """
        try:
            await self._write(data)
        except OSError:
            self.lost_at = self.lost_at or asyncio.get_running_loop().time()
            await self.close()
            raise

    async def _write(self, data: bytes) -> None:
        if self._writer is None:
            raise ConnectionResetError(errno.ENOTCONN, "there is no connection")
        self._writer.write(data)
        async with asyncio.timeout(self._seconds):
            await self._writer.drain()
        await asyncio.sleep(0)  # an end that is known by now counts
        if self.lost_at is not None:
            raise ConnectionResetError(errno.ECONNRESET, "the receiver has closed the connection")

    async def _watched(self, reader: asyncio.StreamReader) -> None:
        """Notice the end of the connection; what a receiver says meanwhile has no meaning."""
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        self.lost_at = asyncio.get_running_loop().time()

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
