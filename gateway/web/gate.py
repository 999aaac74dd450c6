"""Accepts the connections of the web server: so many of each source, and none may make the others wait.

Connections are counted from the moment they are accepted, before a TLS handshake costs anything. When a share is full,
the one that was silent longest gives way, so that whoever comes is served however many hold on to theirs. A connection
that became a WebSocket is no longer counted here (`limits.connections`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, cast

from gateway.base.buckets import Bucket, Buckets, Rate
from gateway.base.codes import Code
from gateway.base.counters import Counter, Counters
from gateway.base.crowd import Crowd
from gateway.base.door import TurnedAway, is_old_tls, untold
from gateway.base.sources import source_of
from gateway.base.transports import abort
from gateway.base.values import HostPort
from gateway.site import ConnectionShares

BACKLOG: Final = 128
"""Connections the kernel may hold until we accept them."""
ACCEPT_PAUSE: Final = 0.2
"""Seconds to wait when the process has no file descriptor left."""
TLS_HANDSHAKE_SECONDS: Final = 5.0
"""A client that does not finish its TLS handshake in this time is cut off."""
TLS_SHUTDOWN_SECONDS: Final = 1.0
"""Seconds a client has to answer our close_notify."""
ARRIVALS: Final = Rate(per_second=50, burst=400)
"""New connections of one source, each of which may cost a TLS handshake: an office whose browsers all start at nine.
This machine itself is not held to it: all that a proxy brings comes from here."""
MAX_ARRIVING: Final = 4096
"""Sources whose arrivals are counted apart."""
PIECE: Final = 8192
"""Octets handed on at once: what they hold is parsed in well under 5 ms, then the other connections have their turn."""
PIECES: Final = Rate(per_second=64, burst=64)
"""Pieces of one connection, 512 KB a second: ten times what a browser sends us; beyond, it is read no faster."""

log = logging.getLogger(__name__)


class StreamProtocol(Protocol):
    """What asyncio calls on a stream protocol."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Gate:
    """Listens, and makes a protocol for every connection it lets in.

    Args:
        make: gives the HTTP protocol of one connection.
        counters: where connections that are refused or give way are counted.
        limits: the shares.
        context: None serves plain HTTP.
    """

    def __init__(
        self,
        make: Callable[[], StreamProtocol],
        counters: Counters,
        limits: ConnectionShares | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        limits = limits or ConnectionShares()
        self._make, self._counters, self._context = make, counters, context
        self._visitors: Crowd[_Connection] = Crowd(limits.page, limits.page_per_source)
        # Whatever strangers do from elsewhere, who is on this machine can look at the metrics.
        self._residents: Crowd[_Connection] = Crowd(limits.page_per_source, limits.page_per_source)
        self._arrivals = Buckets(ARRIVALS, MAX_ARRIVING)
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._unclaimed: set[socket.socket] = set()
        self.on_turned_away: TurnedAway = untold
        self.local = HostPort("", 0)

    def __len__(self) -> int:
        """Connections that are no WebSockets."""
        return len(self._visitors) + len(self._residents)

    def use(self, context: ssl.SSLContext) -> None:
        """Greet connections from now on with another certificate; those there are keep theirs."""
        self._context = context

    def limit(self, limits: ConnectionShares) -> None:
        """Let in so many from now on; whoever is there stays."""
        self._visitors.resize(limits.page, limits.page_per_source)
        self._residents.resize(limits.page_per_source, limits.page_per_source)

    def open(self, address: HostPort) -> None:
        """Bind, listen and begin to accept.

        Raises:
            OSError: the address cannot be bound.
        """
        sock = _listening(address)
        host, port = sock.getsockname()[:2]
        self.local = HostPort(host, port)
        self._accepting = asyncio.create_task(self._accept(sock))
        self._accepting.add_done_callback(lambda _: sock.close())

    async def close(self) -> None:
        """Stop accepting and end unfinished handshakes; finished connections end with their HTTP protocol."""
        tasks = [task for task in (self._accepting, *self._handshakes) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("web=listening accept=%s", error.strerror)
                await asyncio.sleep(ACCEPT_PAUSE)
            else:
                self._admit(sock, HostPort(address[0], address[1]))

    def _admit(self, sock: socket.socket, remote: HostPort) -> None:
        host = remote.host
        source, resident = source_of(host), _is_loopback(host)
        if not (resident or self._arrivals.take(source, time.monotonic())):
            self._counters.add(Counter.CONNECTION_REFUSED)
            sock.close()
            return
        crowd = self._residents if resident else self._visitors
        connection = _Connection(crowd, source, self._make)
        oldest = crowd.enter(source, connection)
        if oldest is not None:
            self._counters.add(Counter.CONNECTION_EVICTED)
            oldest.give_way()
        connection.handshake = task = asyncio.create_task(self._establish(sock, remote, connection))
        self._handshakes.add(task)
        self._unclaimed.add(sock)
        task.add_done_callback(partial(self._handshake_over, sock, connection))

    def _handshake_over(self, sock: socket.socket, connection: _Connection, task: asyncio.Task[None]) -> None:
        self._handshakes.discard(task)
        if sock in self._unclaimed:  # given up before the handshake began
            self._unclaimed.discard(sock)
            sock.close()
        if not connection.is_made:
            connection.leave()

    async def _establish(self, sock: socket.socket, remote: HostPort, connection: _Connection) -> None:
        """Bring an accepted socket to its protocol; a failed handshake leaves nothing but a count."""
        self._unclaimed.discard(sock)
        options: dict[str, Any] = {}
        if self._context is not None:
            options = {
                "ssl": self._context,
                "ssl_handshake_timeout": TLS_HANDSHAKE_SECONDS,
                "ssl_shutdown_timeout": TLS_SHUTDOWN_SECONDS,
            }
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, sock, **options)
        except OSError as error:  # TLS alerts, resets and the time limit are all OSErrors
            self._counters.add(Counter.TLS_HANDSHAKE_FAILED)
            if is_old_tls(error):
                self.on_turned_away(remote, "wss", Code.TLS_OLD)
            log.debug("web=handshake failed: %s", type(error).__name__)


class _HeldTransport:
    """A transport as the HTTP protocol sees it: it is read when neither that protocol nor the connection holds it."""

    def __init__(self, transport: asyncio.Transport, connection: _Connection) -> None:
        self._transport, self._connection = transport, connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def pause_reading(self) -> None:
        self._connection.hold()

    def resume_reading(self) -> None:
        self._connection.release()


class _Connection(asyncio.Protocol):
    """Hands everything on to the HTTP protocol, a piece at a time, and is counted until it is a WebSocket."""

    def __init__(self, crowd: Crowd[_Connection], source: str, make: Callable[[], StreamProtocol]) -> None:
        self._crowd, self._source, self._make = crowd, source, make
        self.handshake: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._inner: StreamProtocol | None = None
        self._observer: Callable[[bytes], None] | None = None
        self._waiting = bytearray()
        self._pace = Bucket(PIECES)
        self._turn: asyncio.TimerHandle | None = None
        self._held = False

    @property
    def is_made(self) -> bool:
        """Whether the connection came to be, with its handshake done."""
        return self._transport is not None

    def give_way(self) -> None:
        """End it: others need the place."""
        if self._transport is not None:
            abort(self._transport)
        elif self.handshake is not None:
            self.handshake.cancel()

    def leave(self) -> None:
        """It is counted no longer."""
        self._crowd.leave(self._source, self)

    def upgraded(self, observer: Callable[[bytes], None]) -> None:
        """The connection is a WebSocket from now on; `observer` sees what comes in."""
        self.leave()
        self._observer = observer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._inner = self._make()
        self._inner.connection_made(cast(asyncio.Transport, _HeldTransport(self._transport, self)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        if self._turn is not None:
            self._turn.cancel()
        if self._inner is not None:
            if self._waiting:
                self._hand_on(len(self._waiting))  # the peer said it before it went
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._crowd.touch(self._source, self)
        self._waiting += data
        if self._turn is None and not self._held:
            self._work()
        else:
            self._read(False)

    def _work(self) -> None:
        """Hand on one piece. What is left waits for the next turn, and until then nothing more is read."""
        self._turn = None
        if self._held or self._transport is None:
            return
        if self._waiting:
            self._hand_on(PIECE)
            wait = self._pace.reserve(time.monotonic())
            if self._waiting or wait > 0:
                self._read(False)
                self._turn = asyncio.get_running_loop().call_later(wait, self._work)
                return
        self._read(not self._held)

    def _hand_on(self, size: int) -> None:
        piece = bytes(self._waiting[:size])
        del self._waiting[:size]
        if self._observer is not None:
            self._observer(piece)
        if self._inner is not None:
            self._inner.data_received(piece)

    def hold(self) -> None:
        """The HTTP protocol wants nothing more for now."""
        self._held = True
        self._read(False)

    def _read(self, wanted: bool) -> None:
        """Read on, or not; a TLS transport that is closing can do neither."""
        if self._transport is None or self._transport.is_closing():
            return
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def release(self) -> None:
        """It wants more."""
        self._held = False
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_later(0, self._work)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()


def _listening(address: HostPort) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # Named, TCP lets asyncio switch Nagle's algorithm off on accepted connections.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    return False
