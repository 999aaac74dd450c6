"""Connections to the page: whoever comes is served, however many hold on to theirs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.base.buckets import Rate
from gateway.base.counters import Counter, Counters
from gateway.base.values import HostPort
from gateway.site import ConnectionShares
from gateway.web import gate as gate_module
from gateway.web.gate import PIECE, PIECES, Gate

pytestmark = pytest.mark.asyncio

PATIENCE = 5.0


class Listener:
    """A protocol that remembers the sizes of what it was given, and echoes what it is asked to."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        if data == b"ping" and self.transport is not None:
            self.transport.write(b"pong")

    def eof_received(self) -> bool | None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Served:
    def __init__(self, gate: Gate, counters: Counters, made: list[Listener]) -> None:
        self.gate, self.counters, self.made = gate, counters, made
        self.opened: list[asyncio.StreamWriter] = []

    async def open(self) -> Ends:
        """A connection."""
        reader, writer = await asyncio.open_connection(self.gate.local.host, self.gate.local.port)
        self.opened.append(writer)
        return reader, writer

    async def connect(self) -> Ends:
        """A connection that has been answered."""
        reader, writer = await self.open()
        writer.write(b"ping")
        async with asyncio.timeout(PATIENCE):
            assert await reader.readexactly(4) == b"pong"
        return reader, writer


@asynccontextmanager
async def serving(**limits: int) -> AsyncIterator[Served]:
    counters, made = Counters(), list[Listener]()

    def make() -> Listener:
        made.append(Listener())
        return made[-1]

    gate = Gate(make, counters, ConnectionShares(**limits))
    gate.open(HostPort("127.0.0.1", 0))
    served = Served(gate, counters, made)
    try:
        yield served
    finally:
        for writer in served.opened:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await gate.close()
        for listener in made:
            if listener.transport is not None:
                listener.transport.abort()


async def until(condition: object) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def has_ended(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            return await reader.read() == b""
        return True


async def test_the_longest_silent_connection_makes_room_for_a_newcomer() -> None:
    async with serving(page_per_source=3) as served:
        first, second, third = [await served.connect() for _ in range(3)]
        first[1].write(b"ping")
        assert await first[0].readexactly(4) == b"pong"
        fourth = await served.connect()
        assert await has_ended(second[0])
        assert served.counters[Counter.CONNECTION_EVICTED] == 1
        for reader, writer in (first, third, fourth):
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"pong"
        assert len(served.gate) == 3


async def test_who_is_on_this_machine_is_served_while_strangers_fill_their_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(page=4, page_per_source=64) as served:
        monkeypatch.setattr(gate_module, "_is_loopback", lambda _host: False)
        strangers = [await served.connect() for _ in range(4)]
        monkeypatch.undo()
        await served.connect()
        assert served.counters[Counter.CONNECTION_EVICTED] == 0
        assert len(served.gate) == 5
        for reader, writer in strangers:
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"pong"


async def test_a_websocket_is_no_longer_one_of_the_pages_connections() -> None:
    async with serving(page_per_source=2) as served:
        seen: list[bytes] = []
        held = [await served.connect() for _ in range(2)]
        for listener in served.made:
            assert listener.transport is not None
            listener.transport.get_protocol().upgraded(seen.append)  # type: ignore[attr-defined]
        assert len(served.gate) == 0
        more = [await served.connect() for _ in range(2)]
        assert served.counters[Counter.CONNECTION_EVICTED] == 0
        held[0][1].write(b"octets")
        await until(lambda: seen == [b"octets"])
        assert len(more) == 2


async def test_a_connection_that_says_nothing_counts_from_the_moment_it_is_accepted() -> None:
    async with serving(page_per_source=2) as served:
        silent = [await served.open() for _ in range(5)]
        await until(lambda: served.counters[Counter.CONNECTION_EVICTED] == 3)
        assert len(served.gate) == 2
        await served.connect()
        assert len(silent) == 5


async def test_a_source_that_connects_too_often_is_refused_before_it_costs_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gate_module, "ARRIVALS", Rate(per_second=0.001, burst=3))
    monkeypatch.setattr(gate_module, "_is_loopback", lambda _host: False)
    async with serving() as served:
        for _ in range(3):
            await served.connect()
        reader, _ = await served.open()
        assert await has_ended(reader)
        assert served.counters[Counter.CONNECTION_REFUSED] == 1
        assert len(served.made) == 3


async def test_much_at_once_is_handed_on_in_pieces_in_order_and_whole() -> None:
    async with serving() as served:
        _, writer = await served.connect()
        data = bytes(range(256)) * (3 * PIECE // 256) + b"end"
        writer.write(data)
        pieces = served.made[0].pieces
        await until(lambda: b"".join(pieces[1:]) == data)
        assert max(len(piece) for piece in pieces) <= PIECE


async def test_what_was_said_before_the_end_is_heard_before_it() -> None:
    async with serving() as served:
        _, writer = await served.connect()
        writer.write(b"x" * 20 * PIECE)
        writer.close()
        await asyncio.wait_for(served.made[0].lost.wait(), PATIENCE)
        assert sum(map(len, served.made[0].pieces)) == 4 + 20 * PIECE


async def test_who_sends_without_end_is_read_no_faster_than_the_rate() -> None:
    async with serving() as served:
        _, writer = await served.connect()
        flood = asyncio.create_task(_flood(writer))
        await asyncio.sleep(0.3)  # the flood goes on for that long
        flood.cancel()
        heard = sum(map(len, served.made[0].pieces))
        assert heard <= PIECE * (PIECES.burst + PIECES.per_second * 1.5)
        assert len(served.made[0].transport.get_protocol()._waiting) <= 512 * 1024  # type: ignore[union-attr]


async def _flood(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def test_a_protocol_that_holds_reading_is_given_nothing_until_it_lets_go() -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        listener = served.made[0]
        assert listener.transport is not None
        listener.transport.pause_reading()
        writer.write(b"later")
        other = await served.connect()
        assert listener.pieces == [b"ping"]
        listener.transport.resume_reading()
        await until(lambda: listener.pieces == [b"ping", b"later"])
        assert reader
        assert other
