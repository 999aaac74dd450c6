"""A trunk's connection that is gone is opened anew: where the dialog goes, verified to the same name, never weaker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.errors import TransportError
from gateway.base.values import HostPort
from gateway.sip.flow import Flow, shortfall
from gateway.sip.message import Headers, Request, parse_message
from gateway.sip.stack import TransportFailed
from gateway.trunks.model import Trunk
from gateway.trunks.target import TrunkTarget
from tests.certificates import dns, make_certificate
from tests.net.harness import Gateway, SocketPeer, until
from tests.net.test_tls_connection import AUTHORITY, DOMAIN, GOOD, listen_tls, tls_peer, trunk
from tests.sites import made_trunk

pytestmark = pytest.mark.asyncio


class Listener:
    """A trunk over TCP that can close its connections, and listens on."""

    def __init__(self) -> None:
        self.peers: list[SocketPeer] = []
        self.address = HostPort("", 0)

    async def closed(self, gateway: Gateway) -> None:
        await until(lambda: self.peers)
        await self.peers[-1].close()
        await until(lambda: gateway.closed)


@asynccontextmanager
async def tcp_peer(host: str = "127.0.0.1") -> AsyncIterator[Listener]:
    made = Listener()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.peers.append(SocketPeer(reader, writer))

    server = await asyncio.start_server(serve, host, 0)
    made.address = HostPort(*server.sockets[0].getsockname()[:2])
    try:
        yield made
    finally:
        server.close()
        for peer in made.peers:
            await peer.close()


def bye() -> Request:
    return Request(
        "BYE",
        "sip:pbx@127.0.0.1;transport=tcp",
        Headers([("From", "<sip:a@x>;tag=1"), ("To", "<sip:b@x>;tag=2"), ("Call-ID", "c"), ("CSeq", "2 BYE")]),
    )


def tcp(address: HostPort) -> Trunk:
    return made_trunk(f"sip:{address};transport=tcp", networks=("127.0.0.1/32",))


async def test_after_a_trunk_closed_its_idle_connection_a_bye_reaches_it_over_a_new_one() -> None:
    async with tcp_peer() as peer, Gateway(trunks={"pbx": tcp(peer.address)}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        assert gateway.endpoint.is_open(flow)
        await peer.closed(gateway)
        assert not gateway.endpoint.is_open(flow)
        again = await gateway.endpoint.reconnect("pbx", flow, peer.address)
        assert again.id != flow.id
        assert shortfall(again, flow) == ""
        gateway.endpoint.send_request(bye(), again)
        await until(lambda: len(peer.peers) == 2)
        message = parse_message(await peer.peers[1].reader.readuntil(b"\r\n\r\n"), stream=True)
        assert isinstance(message, Request)
        assert message.method == "BYE"


async def test_one_new_connection_serves_every_call_that_goes_there() -> None:
    async with tcp_peer() as peer, Gateway(trunks={"pbx": tcp(peer.address)}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        await peer.closed(gateway)
        flows = await asyncio.gather(*(gateway.endpoint.reconnect("pbx", flow, peer.address) for _ in range(50)))
        assert len({found.id for found in flows}) == 1
        assert await gateway.endpoint.connect("pbx") == flows[0]
        assert len(peer.peers) == 2


async def test_the_dialogs_own_place_comes_before_the_trunks_target() -> None:
    async with tcp_peer() as peer, tcp_peer() as node, Gateway(trunks={"pbx": tcp(peer.address)}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        await peer.closed(gateway)
        again = await gateway.endpoint.reconnect("pbx", flow, node.address)
        assert again.remote == node.address


async def test_a_place_nobody_listens_at_is_no_reason_to_give_up() -> None:
    async with tcp_peer() as peer, Gateway(trunks={"pbx": tcp(peer.address)}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        await peer.closed(gateway)
        again = await gateway.endpoint.reconnect("pbx", flow, HostPort("127.0.0.1", 9))
        assert again.remote == peer.address
        inbound = replace(flow, id=999, remote=HostPort("127.0.0.1", 40404), initiated=False)
        assert (await gateway.endpoint.reconnect("pbx", inbound, None)).remote == peer.address


async def test_a_trunk_that_is_gone_altogether_is_told() -> None:
    async with tcp_peer() as peer, Gateway(trunks={"pbx": tcp(peer.address)}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        await until(lambda: peer.peers)
    async with Gateway(trunks={"pbx": tcp(peer.address)}) as gateway:
        with pytest.raises(TransportError):
            await gateway.endpoint.reconnect("pbx", flow, peer.address)
        with pytest.raises(TransportError):
            await gateway.endpoint.reconnect("pbx", replace(flow, transport="udp"), peer.address)
        with pytest.raises(TransportError):
            await gateway.endpoint.reconnect("nobody", flow, peer.address)


async def lost(gateway: Gateway) -> Flow:
    """A verified TLS flow to the trunk, as a call has it."""
    return replace(await gateway.endpoint.connect("pbx"), id=999)


async def test_over_tls_the_new_connection_is_verified_to_the_same_name(tmp_path: Path) -> None:
    async with tls_peer(tmp_path, GOOD) as peer, Gateway(trunks={"pbx": trunk(tmp_path, peer.address)}) as gateway:
        flow = await lost(gateway)
        again = await gateway.endpoint.reconnect("pbx", flow, peer.address)
        assert again.verified_name == DOMAIN
        assert shortfall(again, flow) == ""


@pytest.mark.parametrize("names", [("evil.example",), ("*.example.com",), ()])
async def test_a_peer_that_now_proves_another_name_gets_nothing(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "other").mkdir()
    impostor = make_certificate("pbx", alternative_names=dns(*names), issuer=AUTHORITY if names else None)
    async with tls_peer(tmp_path, GOOD) as peer, tls_peer(tmp_path / "other", impostor) as node:
        async with Gateway(trunks={"pbx": trunk(tmp_path, peer.address)}) as gateway:
            flow = await lost(gateway)
        gone = HostPort("127.0.0.1", 9)
        settings = trunk(tmp_path, gone)
        async with Gateway(trunks={"pbx": settings}) as gateway:
            with pytest.raises(TransportError) as refused:
                await gateway.endpoint.reconnect("pbx", replace(flow, remote=gone), node.address)
            assert refused.value.verification
            assert set(node.first_octets) <= {b"\x16"}  # TLS hellos, nothing in the clear


async def test_a_trunk_that_only_calls_in_over_tls_is_called_back_over_tls(tmp_path: Path) -> None:
    """Its target is UDP; its call came over TLS with a client certificate, so that is what the call goes on with."""
    async with tls_peer(tmp_path, GOOD) as peer:
        async with Gateway(trunks={"pbx": trunk(tmp_path, peer.address)}) as gateway:
            flow = replace(await lost(gateway), initiated=False, remote=HostPort("127.0.0.1", 40404))
        udp_target = replace(trunk(tmp_path, peer.address), target=TrunkTarget.parse("sip:127.0.0.1:9"))
        async with Gateway("tls:127.0.0.1:0", tls=listen_tls(tmp_path), trunks={"pbx": udp_target}) as gateway:
            again = await gateway.endpoint.reconnect("pbx", flow, peer.address)
            assert (again.transport, again.verified_name) == ("tls", DOMAIN)
            with pytest.raises(TransportError):
                await gateway.endpoint.reconnect("pbx", flow, None)


async def test_a_request_on_a_connection_that_is_gone_is_told_as_failed() -> None:
    async with tcp_peer() as peer, Gateway(trunks={"pbx": tcp(peer.address)}) as gateway:
        flow = await gateway.endpoint.connect("pbx")
        await peer.closed(gateway)
        gateway.endpoint.send_request(bye(), flow)
        await until(lambda: any(isinstance(event, TransportFailed) for event in gateway.events))
