"""SIP over UDP on loopback sockets (RFC 3261 18, RFC 3581)."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from gateway.base.counters import Counter
from gateway.base.errors import ConfigError, TransportError
from gateway.base.values import HostPort
from gateway.net.datagram import MAX_FLOWS, DatagramListener
from gateway.sip.message import Message, Request, Response, parse_message
from gateway.sip.stack import RequestReceived, ResponseReceived
from tests.net.harness import MALFORMED, PATIENCE, Gateway, options, until
from tests.rig.nameserver import nameserver
from tests.sites import made_trunk

pytestmark = pytest.mark.asyncio

UDP = "udp:127.0.0.1:0"


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Sockets a test opened, closed after it."""
    opened: list[socket.socket] = []
    yield opened
    for sock in opened:
        sock.close()


def phone(opened: list[socket.socket], host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.append(sock)
    sock.setblocking(False)
    sock.bind((host, 0))
    return sock


async def receive(sock: socket.socket) -> Response:
    async with asyncio.timeout(PATIENCE):
        message = parse_message(await asyncio.get_running_loop().sock_recv(sock, 65536), stream=False)
    assert isinstance(message, Response)
    return message


def send(sock: socket.socket, data: bytes, address: HostPort) -> None:
    sock.sendto(data, (address.host, address.port))


async def test_a_request_is_answered_where_it_came_from(sockets: list[socket.socket]) -> None:
    async with Gateway(UDP) as gateway:
        sock = phone(sockets)
        send(sock, options(transport="UDP"), gateway.address)
        response = await receive(sock)
        assert response.status == 200
        assert response.via.params.get("rport") == str(sock.getsockname()[1])
        (event,) = gateway.requests
        assert event.flow.trunk == "pbx"
        assert event.flow.local == gateway.address
        assert event.flow.remote == HostPort(*sock.getsockname())


async def test_without_rport_the_answer_goes_to_the_port_via_names(sockets: list[socket.socket]) -> None:
    """RFC 3261 18.2.2: some gateways send from any port and listen on another."""
    async with Gateway(UDP) as gateway:
        sending, listening = phone(sockets), phone(sockets)
        via = f"127.0.0.1:{listening.getsockname()[1]}"
        send(sending, options(transport="UDP", via=via), gateway.address)
        assert (await receive(listening)).status == 200


async def test_an_unknown_source_is_dropped_before_a_byte_is_parsed(
    sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Gateway(UDP) as gateway:
        parsed: list[bytes] = []

        def parse(data: bytes, *, stream: bool) -> Message:
            parsed.append(data)
            return parse_message(data, stream=stream)

        monkeypatch.setattr("gateway.net.endpoint.parse_message", parse)
        stranger, known = phone(sockets, "127.0.0.2"), phone(sockets)
        for data in (options(transport="UDP", call_id="evil"), MALFORMED, b"\xff" * 2000, b""):
            send(stranger, data, gateway.address)
        await gateway.until_counted(Counter.SIP_UNKNOWN_SOURCE, 4)
        assert parsed == []
        send(known, options(transport="UDP"), gateway.address)
        await receive(known)
        assert len(parsed) == len(gateway.requests) == 1
        with pytest.raises(BlockingIOError):
            stranger.recv(1)


async def test_the_most_specific_trunk_owns_the_source(sockets: list[socket.socket]) -> None:
    trunks = {
        "all": made_trunk("sip:127.0.0.9", networks=("127.0.0.0/8",)),
        "one": made_trunk("sip:127.0.0.9", networks=("127.0.0.3/32",)),
    }
    async with Gateway(UDP, trunks=trunks) as gateway:
        for number, host in enumerate(("127.0.0.3", "127.0.0.4")):
            sock = phone(sockets, host)
            send(sock, options(transport="UDP", call_id=str(number)), gateway.address)
            await receive(sock)
        assert [event.flow.trunk for event in gateway.requests] == ["one", "all"]


async def test_a_malformed_request_is_answered_within_50_ms_and_counted(sockets: list[socket.socket]) -> None:
    async with Gateway(UDP) as gateway:
        sock = phone(sockets)
        taken = []
        for _ in range(5):
            begin = time.monotonic()
            send(sock, MALFORMED, gateway.address)
            response = await receive(sock)
            taken.append(time.monotonic() - begin)
            assert (response.status, response.call_id) == (400, "bad")
        assert min(taken) < 0.05
        assert gateway.counters[Counter.SIP_MALFORMED] == 5
        assert not gateway.events


@pytest.mark.parametrize("junk", [b"\x00", b"jaK", b"\xff" * 1400, b"SIP/2.0 200 OK\r\n\r\n", b"OPTIONS\r\n\r\n"])
async def test_junk_of_a_known_source_is_survived_in_silence(sockets: list[socket.socket], junk: bytes) -> None:
    async with Gateway(UDP) as gateway:
        sock = phone(sockets)
        send(sock, junk, gateway.address)
        send(sock, options(transport="UDP"), gateway.address)
        assert (await receive(sock)).call_id == "c1"


async def test_keepalives_are_neither_answered_nor_counted(sockets: list[socket.socket]) -> None:
    async with Gateway(UDP) as gateway:
        sock = phone(sockets)
        for data in (b"\r\n\r\n", b"\r\n", b"\x00\x00\x00\x00", b"", b" \r\n"):
            send(sock, data, gateway.address)
        send(sock, options(transport="UDP"), gateway.address)
        await receive(sock)
        assert gateway.counters[Counter.SIP_MALFORMED] == 0


async def test_a_source_keeps_its_flow(sockets: list[socket.socket]) -> None:
    async with Gateway(UDP) as gateway:
        first, second = phone(sockets), phone(sockets)
        for number, sock in enumerate((first, second, first)):
            send(sock, options(transport="UDP", call_id=str(number)), gateway.address)
            await receive(sock)
        flows = [event.flow for event in gateway.requests]
        assert flows[0] == flows[2]
        assert flows[0].id != flows[1].id


async def test_remembered_flows_are_limited() -> None:
    async with Gateway(UDP) as gateway:
        (listener,) = gateway.endpoint._listeners.datagrams
        for port in range(1, MAX_FLOWS + 10):
            listener.flow_to(HostPort("127.0.0.1", port), "pbx")
        assert len(listener._flows) == MAX_FLOWS


async def test_a_trunk_without_networks_answers_us_but_cannot_call_in(sockets: list[socket.socket]) -> None:
    peer = phone(sockets)
    trunks = {"mute": made_trunk(f"sip:127.0.0.1:{peer.getsockname()[1]}")}
    async with Gateway(UDP, trunks=trunks) as gateway:
        flow = await gateway.endpoint.connect("mute")
        assert (flow.transport, flow.trunk, flow.remote.port) == ("udp", "mute", peer.getsockname()[1])
        request = parse_message(options(transport="UDP"), stream=False)
        assert isinstance(request, Request)
        request = request.without_header("Via")
        key = gateway.endpoint.send_request(request, flow)
        sent = parse_message(await asyncio.get_running_loop().sock_recv(peer, 65536), stream=False)
        send(peer, bytes(sent).replace(b"OPTIONS sip:gateway@example.com SIP/2.0", b"SIP/2.0 200 OK"), gateway.address)
        await until(lambda: gateway.events)
        assert isinstance(gateway.events[0], ResponseReceived)
        assert gateway.events[0].key == key

        send(peer, options(transport="UDP", call_id="new"), gateway.address)
        assert (await receive(peer)).status == 403
        assert gateway.counters[Counter.SIP_REJECTED] == 1
        send(peer, options(transport="UDP", call_id="within", to_tag=";tag=ours"), gateway.address)
        assert (await receive(peer)).status == 200
        assert isinstance(gateway.events[-1], RequestReceived)


async def test_a_listener_on_all_interfaces_names_the_address_the_peer_can_reach() -> None:
    async with Gateway("udp:0.0.0.0:0", trunks={"pbx": made_trunk("sip:127.0.0.1:5099")}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        assert flow.local == HostPort("127.0.0.1", gateway.address.port)
        (listener,) = gateway.endpoint._listeners.datagrams
        assert listener.carries(flow)


async def test_a_trunk_no_listener_can_reach_is_told() -> None:
    async with Gateway(UDP, trunks={"six": made_trunk("sip:[::1]")}) as gateway:
        with pytest.raises(TransportError, match="no udp: listener"):
            await gateway.endpoint.connect("six")


async def test_a_name_that_does_not_resolve_is_told_by_what_dns_said() -> None:
    async with nameserver() as dns:
        gateway = Gateway(UDP, trunks={"pbx": made_trunk("sip:pbx.example.com")}, nameservers=(dns.address,))
        async with gateway:
            with pytest.raises(TransportError, match="the name has no address"):
                await gateway.endpoint.connect("pbx")
        dns.servfail.add("*")
        gateway = Gateway(UDP, trunks={"pbx": made_trunk("sip:pbx.example.com")}, nameservers=(dns.address,))
        async with gateway:
            with pytest.raises(TransportError, match="cannot be resolved"):
                await gateway.endpoint.connect("pbx")


async def test_an_address_in_use_is_a_configuration_error_and_leaves_nothing_open(sockets: list[socket.socket]) -> None:
    taken = phone(sockets).getsockname()
    gateway = Gateway(UDP, f"udp:127.0.0.1:{taken[1]}")
    with pytest.raises(ConfigError, match="in use"):
        await gateway.endpoint.start(gateway.listen)
    assert gateway.endpoint.addresses == []


async def test_a_closed_listener_sends_nothing() -> None:
    async with Gateway(UDP) as gateway:
        (listener,) = gateway.endpoint._listeners.datagrams
        flow = listener.flow_to(HostPort("127.0.0.1", 9), "pbx")
        await listener.close()
        listener.send(flow, b"x")
        assert isinstance(listener, DatagramListener)
