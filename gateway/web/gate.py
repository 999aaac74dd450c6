"""Limits how many connections the web server holds, in all and from one address."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Callable
from typing import Final, Protocol, cast

from gateway.base.counters import Counter, Counters

MAX_CONNECTIONS: Final = 2048
"""In all: well below the file descriptors a service usually gets."""
MAX_PER_ADDRESS: Final = 256
"""From one address: an office behind one NAT, each browser with its usual six connections."""


class StreamProtocol(Protocol):
    """What asyncio calls on a stream protocol."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Gate:
    """Makes a protocol for every accepted connection, and closes those above the limits.

    Args:
        make: gives the HTTP protocol of one connection.
        counters: where refused connections are counted.
    """

    def __init__(self, make: Callable[[], StreamProtocol], counters: Counters) -> None:
        self._make = make
        self._counters = counters
        self._open: Tally[str] = Tally()

    def __call__(self) -> asyncio.Protocol:
        return _Connection(self, self._make)

    def enter(self, address: str) -> bool:
        if self._open.total() >= MAX_CONNECTIONS or self._open[address] >= MAX_PER_ADDRESS:
            self._counters.add(Counter.CONNECTION_REFUSED)
            return False
        self._open[address] += 1
        return True

    def leave(self, address: str) -> None:
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    def __len__(self) -> int:
        return self._open.total()


class _Connection(asyncio.Protocol):
    """Hands everything on to the HTTP protocol, once the gate let the connection in."""

    def __init__(self, gate: Gate, make: Callable[[], StreamProtocol]) -> None:
        self._gate = gate
        self._make = make
        self._inner: StreamProtocol | None = None
        self._address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        if not self._gate.enter(self._address):
            cast(asyncio.Transport, transport).abort()
            return
        self._inner = self._make()
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inner is not None:
            self._gate.leave(self._address)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()
