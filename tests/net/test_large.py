"""Requests too large for a datagram (RFC 3261 18.1.1), on loopback sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.base.counters import Counter
from gateway.base.values import HostPort
from gateway.net.large import MAX_DATAGRAM
from gateway.sip.client import size_on
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request
from gateway.trunks.model import Trunk
from tests.net.harness import Gateway, SocketPeer, until
from tests.rig.ports import free_sip_port
from tests.sites import made_trunk

pytestmark = pytest.mark.asyncio
UDP = "udp:127.0.0.1:0"


def request(flow: Flow, size: int) -> Request:
    """An INVITE that is of just this size on the wire."""
    lines = [("From", "<sip:a@x>;tag=1"), ("To", "<sip:b@x>"), ("Call-ID", "c"), ("CSeq", "1 INVITE"), ("Subject", "")]
    made = Request("INVITE", "sip:pbx@127.0.0.1", Headers(lines))
    made = made.with_header("Subject", "x" * (size - size_on(made, flow)))
    assert size_on(made, flow) == size
    return made


@asynccontextmanager
async def tcp_side(port: int) -> AsyncIterator[list[SocketPeer]]:
    """The TCP side of a trunk."""
    peers: list[SocketPeer] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(SocketPeer(reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield peers
    finally:
        server.close()
        for peer in peers:
            await peer.close()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "leaves over UDP" in r.getMessage()]


def udp(port: int, **settings: object) -> Trunk:
    return made_trunk(f"sip:127.0.0.1:{port};transport=udp", **settings)  # type: ignore[arg-type]


async def test_1300_octets_fit_into_a_datagram_and_1301_go_over_tcp_to_the_same_place() -> None:
    port = free_sip_port()
    async with tcp_side(port) as peers, Gateway(UDP, trunks={"pbx": udp(port, tcp_fallback=True)}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        assert not gateway.endpoint.wants_stream(request(flow, MAX_DATAGRAM), flow)
        large = request(flow, MAX_DATAGRAM + 1)
        assert gateway.endpoint.wants_stream(large, flow)
        stream = await gateway.endpoint.over_stream(flow)
        assert (stream.transport, stream.remote, stream.trunk) == ("tcp", flow.remote, "pbx")
        gateway.endpoint.send_request(large, stream)
        await until(lambda: peers)
        data = await peers[0].reader.readuntil(b"\r\n\r\n")
        assert b"Via: SIP/2.0/TCP" in data
        assert await gateway.endpoint.over_stream(flow) == stream  # one connection serves all


async def test_a_place_that_takes_no_tcp_gets_datagrams_for_a_minute_and_the_log_names_the_trunk_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", free_sip_port()))
        async with Gateway(UDP, trunks={"carrier": udp(peer.getsockname()[1], tcp_fallback=True)}) as gateway:
            flow = await gateway.endpoint.connect("carrier")
            large = request(flow, 2000)
            assert gateway.endpoint.wants_stream(large, flow)
            assert await gateway.endpoint.over_stream(flow) == flow
            for _ in range(5):
                assert not gateway.endpoint.wants_stream(large, flow)
            assert gateway.counters[Counter.SIP_LARGE_DATAGRAM] == 6
    (words,) = told(caplog)
    assert words.startswith("trunk=carrier ")


async def test_without_leave_to_use_tcp_a_large_request_is_sent_as_it_is_and_told_once_for_each_trunk(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    port = free_sip_port()
    async with tcp_side(port) as peers, Gateway(UDP, trunks={"a": udp(port), "b": udp(port)}) as gateway:
        for name in ("a", "a", "b", "a"):
            flow = await gateway.endpoint.connect(name)
            assert not gateway.endpoint.wants_stream(request(flow, 1400), flow)
        assert peers == []
    assert [words.split()[0] for words in told(caplog)] == ["trunk=a", "trunk=b"]
    assert "1400 octets" in told(caplog)[0]
    assert "tcp_fallback" in told(caplog)[0]


async def test_a_target_of_the_same_host_over_tcp_is_leave_enough() -> None:
    port = free_sip_port()
    targets = ["sip:127.0.0.1:9;transport=udp", {"target": f"sip:127.0.0.1:{port};transport=tcp", "priority": 1}]
    async with tcp_side(port), Gateway(UDP, trunks={"pbx": made_trunk("", targets=targets)}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        assert gateway.endpoint.wants_stream(request(flow, 1400), flow)
        assert (await gateway.endpoint.over_stream(flow)).remote == HostPort("127.0.0.1", port)


async def test_what_goes_over_a_connection_already_is_as_large_as_it_likes() -> None:
    port = free_sip_port()
    trunk = made_trunk(f"sip:127.0.0.1:{port};transport=tcp")
    async with tcp_side(port), Gateway(trunks={"pbx": trunk}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        assert not gateway.endpoint.wants_stream(request(flow, 30_000), flow)
