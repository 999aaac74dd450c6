"""The ways to a collector: datagrams, or a stream in which each packet says how long it is."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Sequence
from typing import Protocol

from gateway.audit.sinks.tls import client_context
from gateway.hep.plan import HepPlan, HepTransport

ANSWER_SECONDS = 5.0
"""How long one step may take: to find and connect the collector, to have it take what is sent."""
PROBE_SECONDS = 0.2
"""After the first datagram to a collector it is waited so long for the word that nobody is there (ICMP)."""
UNCONFIRMED_SECONDS = 30
"""TCP_USER_TIMEOUT (RFC 5482): a collector that went without a word is noticed within that time."""
CLOSE_SECONDS = 1.0
"""How long the end of a connection may take."""


class HepLink(Protocol):
    """The way to one collector."""

    most: int
    """Packets that go together."""

    async def send(self, packets: Sequence[bytes]) -> None:
        """Send these, in order; connects when it must.

        Raises:
            OSError: the collector may have some of them; TLS errors and timeouts are such.
        """

    async def close(self) -> None:
        """Let go of socket or connection."""


def link_to(plan: HepPlan) -> HepLink:
    """The way that is configured."""
    return DatagramLink(plan) if plan.transport is HepTransport.UDP else StreamLink(plan)


class DatagramLink:
    """A packet in each datagram. Nobody confirms any, so that only an empty port is ever noticed."""

    most = 1

    def __init__(self, plan: HepPlan, probe_seconds: float = PROBE_SECONDS) -> None:
        self._plan, self._probe_seconds = plan, probe_seconds
        self._socket: socket.socket | None = None

    async def send(self, packets: Sequence[bytes]) -> None:
        """Send these, each by itself."""
        is_new = self._socket is None
        if self._socket is None:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._socket = await _connected(self._plan)
        try:
            for packet in packets:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await asyncio.get_running_loop().sock_sendall(self._socket, packet)
            await asyncio.sleep(self._probe_seconds if is_new else 0)
            refused = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if refused:
                raise OSError(refused, os.strerror(refused))
        except OSError:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the socket."""
        found, self._socket = self._socket, None
        if found is not None:
            found.close()


async def _connected(plan: HepPlan) -> socket.socket:
    """A socket that sends to the first address the collector has."""
    loop = asyncio.get_running_loop()
    places = await loop.getaddrinfo(plan.host, plan.port, type=socket.SOCK_DGRAM)
    if not places:
        raise OSError(errno.EADDRNOTAVAIL, "the collector has no address")
    family, kind, protocol, _, address = places[0]
    found = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        found.connect(address)
    except OSError:
        found.close()
        raise
    return found


class StreamLink:
    """A connection that is kept, in clear or over TLS; the collector says nothing."""

    most = 64

    def __init__(self, plan: HepPlan) -> None:
        self._plan = plan
        self._writer: asyncio.StreamWriter | None = None
        self._watch: asyncio.Task[None] | None = None
        self._is_lost = False

    async def send(self, packets: Sequence[bytes]) -> None:
        """Send these, one behind the other."""
        if self._is_lost:
            await self.close()
        if self._writer is None:
            self._writer = await self._connect()
        try:
            self._writer.write(b"".join(packets))
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._writer.drain()
            await asyncio.sleep(0)  # an end that is known by now counts
            if self._is_lost:
                raise ConnectionResetError(errno.ECONNRESET, "the collector has closed the connection")
        except OSError:
            await self.close()
            raise

    async def _connect(self) -> asyncio.StreamWriter:
        plan = self._plan
        is_tls = plan.transport is HepTransport.TLS
        context = await asyncio.to_thread(client_context, plan.tls) if is_tls else None
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(
                plan.host, plan.port, ssl=context, server_hostname=(plan.server_name or plan.host) if is_tls else None
            )
        writer.transport.set_write_buffer_limits(1, 0)  # taken is what the system has taken
        own: socket.socket = writer.get_extra_info("socket")
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNCONFIRMED_SECONDS * 1000)
        self._is_lost = False
        self._watch = asyncio.get_running_loop().create_task(self._watched(reader))
        return writer

    async def _watched(self, reader: asyncio.StreamReader) -> None:
        """Notice the end of the connection; what a collector says has no meaning."""
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        self._is_lost = True

    async def close(self) -> None:
        """End the connection; what was written is still sent, for a moment."""
        writer, self._writer = self._writer, None
        watch, self._watch = self._watch, None
        self._is_lost = False
        if watch is not None:
            watch.cancel()
        if writer is None:
            return
        writer.close()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await writer.wait_closed()
        writer.transport.abort()
