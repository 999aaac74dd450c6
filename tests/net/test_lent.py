"""A connection a trunk opened carries our requests to it, if it proved its name there: to it alone (RFC 5923)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.base.errors import NoHopError, TransportError
from gateway.base.values import HostPort
from gateway.net.channel import StreamLimits
from gateway.sip.message import Request, parse_message
from gateway.trunks.model import Trunk
from gateway.trunks.target import Spot, TrunkTarget
from tests.certificates import Credential, dns, make_certificate
from tests.net.harness import Gateway, SocketPeer, options, until
from tests.net.test_reconnect import bye
from tests.net.test_tls_connection import DOMAIN, GOOD, OTHER, TLS, client, listen_tls, tls_peer, trunk

pytestmark = pytest.mark.asyncio

HERE = ("127.0.0.1/32",)
NOWHERE = HostPort("127.0.0.1", 9)
OWN = make_certificate(alternative_names=dns(DOMAIN), issuer=OTHER)
ALIAS = "127.0.0.1:9;rport;alias"


def trunks(directory: Path, address: HostPort = NOWHERE) -> dict[str, Trunk]:
    return {"pbx": trunk(directory, address, networks=HERE)}


async def called(gateway: Gateway, directory: Path, own: Credential | None, via: str = ALIAS) -> SocketPeer:
    """A peer that connected, with this certificate, and has been heard."""
    peer = await SocketPeer.connect(gateway.address, ssl=client(directory, own))
    peer.send(options(transport="TLS", via=via, call_id=f"c{len(gateway.events)}"))
    assert (await peer.response()).status == 200
    return peer


async def test_a_connection_the_trunk_offers_is_used_before_another_is_opened(tmp_path: Path) -> None:
    async with tls_peer(tmp_path, GOOD) as target:
        sited = trunks(tmp_path, target.address)
        async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=sited) as gateway:
            peer = await called(gateway, tmp_path, OWN)
            flow = await gateway.endpoint.connect("pbx")
            assert (flow, flow.initiated) == (gateway.requests[0].flow, False)
            gateway.endpoint.send_request(bye(), flow)
            sent = parse_message(await peer.reader.readuntil(b"\r\n\r\n"), stream=True)
            assert isinstance(sent, Request)
            assert sent.method == "BYE"
            assert not target.first_octets
            await peer.close()
            await until(lambda: gateway.closed)
            assert (await gateway.endpoint.connect("pbx")).initiated


async def test_one_it_does_not_offer_is_used_only_while_its_target_cannot_be_reached(tmp_path: Path) -> None:
    plain = "127.0.0.1:9;rport"
    async with tls_peer(tmp_path, GOOD) as target:
        sited = trunks(tmp_path, target.address)
        async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=sited) as gateway:
            peer = await called(gateway, tmp_path, OWN, plain)
            assert (await gateway.endpoint.connect("pbx")).initiated
            await peer.close()
    async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=trunks(tmp_path)) as gateway:
        with pytest.raises(TransportError):
            await gateway.endpoint.connect("pbx")
        peer = await called(gateway, tmp_path, OWN, plain)
        assert await gateway.endpoint.connect("pbx") == gateway.requests[0].flow
        await peer.close()


async def test_a_trunk_that_wants_to_be_left_alone_is_not_called_over_its_own_connection(tmp_path: Path) -> None:
    """503 with Retry-After (RFC 3261 21.5.4) is no failure of the way there."""
    async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=trunks(tmp_path)) as gateway:
        peer = await called(gateway, tmp_path, OWN, "127.0.0.1:9;rport")
        (spot, _, _), *_ = await places(gateway)
        gateway.endpoint._flows.hops.shut("pbx", spot, 30)
        with pytest.raises(NoHopError):
            await gateway.endpoint.connect("pbx")
        assert await gateway.endpoint.connect("pbx", urgent=True) == gateway.requests[0].flow
        await peer.close()


async def places(gateway: Gateway) -> list[tuple[Spot, TrunkTarget, str]]:
    """What the trunk's target leads to."""
    await gateway.endpoint._flows.hops.known("pbx")
    return gateway.endpoint.places_of("pbx")


@pytest.mark.parametrize(
    "own",
    [None, make_certificate(alternative_names=dns("evil.example"), issuer=OTHER)],
    ids=["no certificate", "another name"],
)
async def test_a_connection_that_did_not_prove_the_trunks_name_is_never_used(
    tmp_path: Path, own: Credential | None
) -> None:
    async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=trunks(tmp_path)) as gateway:
        peer = await called(gateway, tmp_path, own)
        with pytest.raises(TransportError):
            await gateway.endpoint.connect("pbx")
        await peer.close()


async def test_the_connection_of_one_trunk_is_not_anothers_although_they_share_an_address(tmp_path: Path) -> None:
    sited = trunks(tmp_path)
    sited["lab"] = trunk(tmp_path, NOWHERE, tls={"names": ("lab.example",)}, networks=HERE)
    own = make_certificate(alternative_names=dns("lab.example"), issuer=OTHER)
    async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=sited) as gateway:
        peer = await called(gateway, tmp_path, own)
        assert (await gateway.endpoint.connect("lab")).verified_name == "lab.example"
        with pytest.raises(TransportError):
            await gateway.endpoint.connect("pbx")
        await peer.close()


async def test_a_target_that_never_answers_is_gone_around_too(tmp_path: Path) -> None:
    """A firewall that drops, as in front of a PBX behind a NAT."""
    release = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    sited = trunks(tmp_path, HostPort(*server.sockets[0].getsockname()[:2]))
    limits = StreamLimits(handshake=0.3)
    async with server, Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=sited, limits=limits) as gateway:
        peer = await called(gateway, tmp_path, OWN, "127.0.0.1:9;rport")
        assert await gateway.endpoint.connect("pbx") == gateway.requests[0].flow
        release.set()
        await peer.close()


async def test_a_target_that_proves_another_name_is_told_and_not_gone_around(tmp_path: Path) -> None:
    impostor = make_certificate(alternative_names=dns("evil.example"), issuer=OTHER)
    (tmp_path / "x").mkdir()
    async with tls_peer(tmp_path / "x", impostor) as target:
        sited = trunks(tmp_path, target.address)
        async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=sited) as gateway:
            peer = await called(gateway, tmp_path, OWN, "127.0.0.1:9;rport")
            with pytest.raises(TransportError) as caught:
                await gateway.endpoint.connect("pbx")
            assert caught.value.verification
            await peer.close()


async def test_a_dialog_whose_connection_is_gone_goes_on_over_one_the_trunk_offers(tmp_path: Path) -> None:
    async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=trunks(tmp_path)) as gateway:
        first = await called(gateway, tmp_path, OWN)
        lost = gateway.requests[0].flow
        await first.close()
        await until(lambda: gateway.closed)
        again = await called(gateway, tmp_path, OWN)
        flow = await gateway.endpoint.reconnect("pbx", lost, NOWHERE)
        assert flow == gateway.requests[-1].flow != lost
        await again.close()


async def test_our_requests_offer_a_verified_connection_we_opened_and_no_other(tmp_path: Path) -> None:
    async with tls_peer(tmp_path, GOOD) as target:
        async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=trunks(tmp_path, target.address)) as gateway:
            gateway.endpoint.send_request(bye(), await gateway.endpoint.connect("pbx"))
            await until(lambda: target.peers)
            sent = parse_message(await target.peers[0].reader.readuntil(b"\r\n\r\n"), stream=True)
            assert isinstance(sent, Request)
            assert "alias" in sent.via.params
            target.peers[0].send(options(transport="TLS"))
            assert (await target.peers[0].response()).status == 200
