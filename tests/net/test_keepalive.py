"""Pings on connections we opened, their pongs, and what becomes of a connection whose peer is dead (RFC 5626)."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import replace

import pytest

from gateway.base.counters import Counter
from gateway.base.values import HostPort
from gateway.net import keepalive
from gateway.net.channel import StreamLimits
from gateway.net.keepalive import PONG_SECONDS, Due, Keepalive
from gateway.sip.flow import Flow
from gateway.sip.framing import PING, PONG
from tests.net.harness import Gateway, SocketPeer, options, until
from tests.net.test_reconnect import Listener, tcp, tcp_peer

INTERVAL = 90.0


def pinged(at: float = INTERVAL) -> Keepalive:
    """A connection whose first ping has just left."""
    made = Keepalive(INTERVAL, 1.0, 0.0)
    assert made.due(at) is Due.PING
    return made


@pytest.mark.parametrize(("lot", "first"), [(0.0, 72.0), (0.5, 81.0), (1.0, 90.0)])
def test_a_ping_leaves_within_the_interval_and_not_with_everybody_elses(lot: float, first: float) -> None:
    made = Keepalive(INTERVAL, lot, 0.0)
    assert [made.due(first + seconds) for seconds in (-0.1, 0, 1)] == [Due.NOTHING, Due.PING, Due.NOTHING]


def test_a_second_ping_does_not_excuse_the_first() -> None:
    made = Keepalive(10.0, 0.0, 0.0)
    assert made.due(8) is Due.PING
    made.heard(PONG, 9, between_messages=True)
    assert [made.due(second) for second in (16, 24, 26.1)] == [Due.PING, Due.NOTHING, Due.DEAD]


def test_without_an_interval_nothing_is_ever_sent() -> None:
    assert Keepalive(0, 0.5, 0.0).due(1e9) is Due.NOTHING


def test_a_peer_that_never_answered_a_ping_is_left_alone() -> None:
    made = pinged()
    for second in range(91, 180):
        assert made.due(second) is Due.NOTHING
    assert made.due(180) is Due.PING


def test_a_peer_that_answered_once_and_then_stops_is_dead_ten_seconds_after_the_next_ping() -> None:
    made = pinged()
    made.heard(PONG, 91, between_messages=True)
    told = [made.due(second) for second in (180, 180 + PONG_SECONDS, 180 + PONG_SECONDS + 0.1)]
    assert told == [Due.PING, Due.NOTHING, Due.DEAD]


def test_an_error_counts_as_the_answer_to_a_ping_for_as_long_as_the_kernel_may_need() -> None:
    made = Keepalive(INTERVAL, 1.0, 0.0)
    assert not made.has_asked(60)
    made.due(90)
    assert [made.has_asked(second) for second in (91, 115, 125)] == [True, True, False]


@pytest.mark.parametrize("said", [b"SIP/2.0 200 OK\r\n", b"\r\n\r\n", b"x"])
def test_whatever_a_peer_says_shows_that_it_lives(said: bytes) -> None:
    made = pinged()
    made.heard(PONG, 91, between_messages=True)
    made.due(180)
    made.heard(said, 185, between_messages=True)
    assert all(made.due(180 + second) is Due.NOTHING for second in range(6, 80))


@pytest.mark.parametrize(
    ("said", "at", "between"),
    [(b"\r\n\r\n", 91, True), (b"OPTIONS", 91, True), (b"\r\n", 91, False), (b"\r\n", 89 + 12, True)],
    ids=["its own ping", "a message", "line end within a message", "too late"],
)
def test_what_is_no_pong_does_not_promise_one(said: bytes, at: float, between: bool) -> None:
    made = pinged()
    made.heard(said, at, between_messages=between)
    made.due(180)
    assert made.due(180 + PONG_SECONDS + 1) is Due.NOTHING


# --- over sockets ------------------------------------------------------------------------------------------------

LIMITS = StreamLimits(closing=0.1)
"""The connections are looked at every 50 ms."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "PONG_SECONDS", 0.3)


def gateway_to(address: HostPort) -> Gateway:
    return Gateway(trunks={"pbx": replace(tcp(address), crlf_keepalive=0.1)}, limits=LIMITS)


async def answered_once(gateway: Gateway, peer: Listener) -> tuple[Flow, SocketPeer]:
    """A connection whose peer has answered its first ping."""
    flow = await gateway.endpoint.connect("pbx")
    await until(lambda: peer.peers)
    async with asyncio.timeout(5):
        assert await peer.peers[0].reader.readexactly(4) == PING
    peer.peers[0].send(PONG)
    return flow, peer.peers[0]


@pytest.mark.asyncio
@pytest.mark.usefixtures("impatient")
async def test_a_connection_whose_pongs_stop_is_closed_and_opened_again_without_being_asked_for() -> None:
    async with tcp_peer() as peer, gateway_to(peer.address) as gateway:
        flow, first = await answered_once(gateway, peer)
        assert (await first.rest()).strip(b"\r\n") == b""
        await until(lambda: len(peer.peers) == 2)
        assert gateway.closed == [flow]
        assert gateway.counters[Counter.KEEPALIVE_LOST] == 1
        assert (await gateway.endpoint.connect("pbx")).id != flow.id


@pytest.mark.asyncio
@pytest.mark.usefixtures("impatient")
async def test_a_reset_in_place_of_a_pong_is_a_dead_peer_too() -> None:
    async with tcp_peer() as peer, gateway_to(peer.address) as gateway:
        _, first = await answered_once(gateway, peer)
        async with asyncio.timeout(5):
            await first.reader.readexactly(4)
        sock: socket.socket = first.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.writer.transport.abort()
        await until(lambda: len(peer.peers) == 2)


@pytest.mark.asyncio
@pytest.mark.usefixtures("impatient")
async def test_a_peer_that_closes_its_idle_connection_is_not_called_again() -> None:
    async with tcp_peer() as peer, gateway_to(peer.address) as gateway:
        _, first = await answered_once(gateway, peer)
        await first.close()
        await until(lambda: gateway.closed)
        assert not gateway.endpoint._reviver._tasks
    assert len(peer.peers) == 1


@pytest.mark.asyncio
@pytest.mark.usefixtures("impatient")
async def test_a_peer_that_knows_no_pings_keeps_its_connection() -> None:
    async with tcp_peer() as peer, gateway_to(peer.address) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        await until(lambda: peer.peers)
        async with asyncio.timeout(5):
            await peer.peers[0].reader.readexactly(6 * len(PING))
        peer.peers[0].send(options())
        async with asyncio.timeout(5):
            assert await peer.peers[0].reader.readuntil(b"SIP/2.0 200 OK")
        assert gateway.endpoint.is_open(flow)
        assert gateway.counters[Counter.KEEPALIVE_LOST] == 0


@pytest.mark.asyncio
async def test_stop_ends_a_search_for_a_dead_trunk() -> None:
    tasks = asyncio.all_tasks()
    async with gateway_to(HostPort("127.0.0.1", 9)) as gateway:
        gateway.endpoint._reviver.died("pbx")
        gateway.endpoint._reviver.died("pbx")
        assert len(gateway.endpoint._reviver._tasks) == 1
        await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == tasks
