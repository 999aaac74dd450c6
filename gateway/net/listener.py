"""TCP and TLS listeners: known sources only, counted per address, and refused before a handshake costs anything."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter as Tally
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from gateway.base.counters import Counter, Counters
from gateway.base.values import HostPort
from gateway.net.admission import Claim, normal_host
from gateway.net.channel import Pump, StreamLimits
from gateway.net.sockets import bind
from gateway.net.stream import StreamChannel
from gateway.sip.flow import TransportName

BACKLOG = 128
"""Connections the kernel holds for us."""
ACCEPT_PAUSE = 0.2
"""Seconds to wait when the process has no file descriptor left."""
TLS_SHUTDOWN = 1.0
"""Seconds a peer has to answer our close_notify."""

log = logging.getLogger(__name__)


class ListenerPump(Pump, Protocol):
    """The endpoint as a listener sees it."""

    def admit(self, host: str, transport: TransportName) -> Sequence[Claim]:
        """The trunks a connection from `host` can be of, with the names they may prove, the likeliest first."""


class StreamListener:
    """A listening TCP socket, or a TLS one when it has a context."""

    def __init__(
        self, pump: ListenerPump, counters: Counters, limits: StreamLimits, context: ssl.SSLContext | None
    ) -> None:
        self._pump, self._counters, self._limits, self._context = pump, counters, limits, context
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._unclaimed: set[socket.socket] = set()
        self._per_source: Tally[str] = Tally()
        self.local = HostPort("", 0)

    def open(self, address: HostPort) -> None:
        """Bind, listen and begin to accept.

        Raises:
            OSError: the address cannot be bound.
        """
        sock = bind(address, socket.SOCK_STREAM)
        sock.listen(BACKLOG)
        host, port = sock.getsockname()[:2]
        self.local = HostPort(host, port)
        self._accepting = asyncio.create_task(self._accept(sock))
        self._accepting.add_done_callback(lambda _: sock.close())

    async def close(self) -> None:
        """Stop accepting and end unfinished handshakes; finished connections are the endpoint's."""
        tasks = [task for task in (self._accepting, *self._handshakes) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for sock in self._unclaimed:  # accepted, but cancelled before the handshake began
            sock.close()
        self._unclaimed.clear()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("listener=%s accept=%s", self.local, error.strerror)
                await asyncio.sleep(ACCEPT_PAUSE)
            else:
                self._admit(sock, HostPort(normal_host(address[0]), address[1]))

    def _admit(self, sock: socket.socket, remote: HostPort) -> None:
        claims = self._pump.admit(remote.host, "tls" if self._context else "tcp")
        if not claims:
            self._refuse(sock, Counter.SIP_UNKNOWN_SOURCE)
        elif self._per_source[remote.host] >= self._limits.per_source or self._is_full:
            self._refuse(sock, Counter.CONNECTION_REFUSED)
        else:
            self._per_source[remote.host] += 1
            self._unclaimed.add(sock)
            task = asyncio.create_task(self._establish(sock, remote, claims))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    @property
    def _is_full(self) -> bool:
        return self._per_source.total() >= self._limits.total

    def _refuse(self, sock: socket.socket, why: Counter) -> None:
        self._counters.add(why)
        sock.close()

    def _release(self, host: str) -> None:
        self._per_source[host] -= 1
        if not self._per_source[host]:
            del self._per_source[host]

    async def _establish(self, sock: socket.socket, remote: HostPort, claims: Sequence[Claim]) -> None:
        """Bring an accepted socket to its channel; a failed handshake leaves nothing but a count."""
        self._unclaimed.discard(sock)
        channel = StreamChannel(
            self._pump,
            self._counters,
            self._limits,
            remote=remote,
            claims=claims,
            on_end=partial(self._release, remote.host),
        )
        try:
            await self._shake_hands(sock, channel)
        except OSError as error:  # TLS alerts, resets and the time limit are all OSErrors
            self._counters.add(Counter.TLS_HANDSHAKE_FAILED)
            log.info("listener=%s peer=%s handshake=%s", self.local, remote, type(error).__name__)
        finally:
            if not channel.is_made:
                self._release(remote.host)

    async def _shake_hands(self, sock: socket.socket, channel: StreamChannel) -> None:
        loop = asyncio.get_running_loop()
        if self._context is None:
            await loop.connect_accepted_socket(lambda: channel, sock)
            return
        await loop.connect_accepted_socket(
            lambda: channel,
            sock,
            ssl=self._context,
            ssl_handshake_timeout=self._limits.handshake,
            ssl_shutdown_timeout=TLS_SHUTDOWN,
        )
