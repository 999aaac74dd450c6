"""The ways to a collector: datagrams, or a stream in which each packet says how long it is."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence
from typing import Protocol

from gateway.audit.sinks.kept import KeptConnection
from gateway.audit.sinks.tls import client_context
from gateway.hep.plan import HepPlan, HepTransport

ANSWER_SECONDS = 5.0
"""How long one step may take: to find and connect the collector, to have it take what is sent."""
PROBE_SECONDS = 0.2
"""After the first datagram to a collector it is waited so long for the word that nobody is there (ICMP)."""


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
        self._plan, self._connection = plan, KeptConnection(ANSWER_SECONDS)

    async def send(self, packets: Sequence[bytes]) -> None:
        """Send these, one behind the other."""
        if not self._connection.is_open:
            await self._connect()
        await self._connection.write(b"".join(packets))

    async def _connect(self) -> None:
        plan = self._plan
        await self._connection.close()
        context = await asyncio.to_thread(client_context, plan.tls) if plan.transport is HepTransport.TLS else None
        await self._connection.open(plan.host, plan.port, context, plan.server_name or plan.host)

    async def close(self) -> None:
        """End the connection; what was written is still sent, for a moment."""
        await self._connection.close()
