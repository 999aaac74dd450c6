"""TCP and TLS listeners: known sources only, each with its share, and refused before a handshake costs anything."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter as Tally
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from gateway.base.codes import Code
from gateway.base.counters import Counter, Counters
from gateway.base.door import TurnedAway, is_old_tls
from gateway.base.signalling import TransportName
from gateway.base.sources import source_of
from gateway.base.values import HostPort
from gateway.net.admission import Claim, normal_host
from gateway.net.channel import Pump, StreamLimits
from gateway.net.sockets import bind
from gateway.net.stream import StreamChannel

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

    on_turned_away: TurnedAway


class StreamListener:
    """A listening TCP socket, or a TLS one when it has a context."""

    def __init__(
        self, pump: ListenerPump, counters: Counters, limits: StreamLimits, context: ssl.SSLContext | None
    ) -> None:
        self._pump, self._counters, self._context = pump, counters, context
        self.limits = limits
        """Those of connections that come from now on."""
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._unclaimed: set[socket.socket] = set()
        self._per_source: Tally[str] = Tally()
        self._per_trunk: Tally[str] = Tally()
        self.local = HostPort("", 0)

    def use(self, context: ssl.SSLContext) -> None:
        """Greet connections from now on with another certificate; those there are keep theirs."""
        self._context = context

    @property
    def is_secure(self) -> bool:
        """Whether it speaks TLS."""
        return self._context is not None

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
        elif self._is_full(claims[0].trunk, source_of(remote.host)):
            self._refuse(sock, Counter.CONNECTION_REFUSED)
        else:
            self._per_source[source_of(remote.host)] += 1
            self._per_trunk[claims[0].trunk] += 1
            self._unclaimed.add(sock)
            task = asyncio.create_task(self._establish(sock, remote, claims))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def _is_full(self, trunk: str, source: str) -> bool:
        """Each trunk has a share of its own, however many others call, and each of its sources a part of that."""
        return self._per_source[source] >= self.limits.per_source or self._per_trunk[trunk] >= self.limits.per_trunk

    def _refuse(self, sock: socket.socket, why: Counter) -> None:
        self._counters.add(why)
        sock.close()

    def _release(self, trunk: str, source: str) -> None:
        for tally, name in ((self._per_source, source), (self._per_trunk, trunk)):
            tally[name] -= 1
            if not tally[name]:
                del tally[name]

    async def _establish(self, sock: socket.socket, remote: HostPort, claims: Sequence[Claim]) -> None:
        """Bring an accepted socket to its channel; a failed handshake leaves nothing but a count."""
        self._unclaimed.discard(sock)
        release = partial(self._release, claims[0].trunk, source_of(remote.host))
        channel = StreamChannel(
            self._pump,
            self._counters,
            self.limits,
            remote=remote,
            claims=claims,
            on_end=release,
        )
        try:
            await self._shake_hands(sock, channel)
        except OSError as error:  # TLS alerts, resets and the time limit are all OSErrors
            self._counters.add(Counter.TLS_HANDSHAKE_FAILED)
            if is_old_tls(error):
                self._pump.on_turned_away(remote, "tls", Code.TLS_OLD)
            log.info("listener=%s peer=%s handshake=%s", self.local, remote, type(error).__name__)
        finally:
            if not channel.is_made:
                release()

    async def _shake_hands(self, sock: socket.socket, channel: StreamChannel) -> None:
        loop = asyncio.get_running_loop()
        if self._context is None:
            await loop.connect_accepted_socket(lambda: channel, sock)
            return
        await loop.connect_accepted_socket(
            lambda: channel,
            sock,
            ssl=self._context,
            ssl_handshake_timeout=self.limits.handshake,
            ssl_shutdown_timeout=TLS_SHUTDOWN,
        )
