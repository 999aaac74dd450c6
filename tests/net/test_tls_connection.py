"""SIP over TLS on loopback sockets: whom we believe, in both directions, and that nothing is retried in the clear."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.base.counters import Counter
from gateway.base.errors import ConfigError, TransportError
from gateway.base.profiles import Profile
from gateway.base.values import HostPort
from gateway.net.channel import StreamLimits
from gateway.trunks.model import Trunk
from tests.certificates import Credential, dns, make_authority, make_certificate, pin, sip
from tests.net.harness import Gateway, SocketPeer, options, until
from tests.sites import made_trunk

pytestmark = pytest.mark.asyncio

TLS = "tls:127.0.0.1:0"
DOMAIN = "pbx.example.com"
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
AUTHORITY = make_authority()
OTHER = make_authority("Other CA")
GOOD = make_certificate("pbx", alternative_names=dns(DOMAIN), issuer=AUTHORITY)


# --- connections we open -----------------------------------------------------------------------------------------


class Accepted:
    """What reached a TLS peer, and how often somebody tried."""

    def __init__(self) -> None:
        self.first_octets: list[bytes] = []
        self.peers: list[SocketPeer] = []
        self.address = HostPort("", 0)


@asynccontextmanager
async def tls_peer(
    directory: Path, credential: Credential, client_ca: Credential | None = None
) -> AsyncIterator[Accepted]:
    """A TLS server behind a forwarder that sees the octets on the wire."""
    accepted = Accepted()
    certificate, key = credential.write(directory, "peer")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca.write(directory, "peer-client-ca")[0])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.peers.append(SocketPeer(reader, writer))

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(4096)
        accepted.first_octets.append(first[:1])
        inner_reader, inner_writer = await asyncio.open_connection(*tls.sockets[0].getsockname()[:2])
        inner_writer.write(first)
        async with asyncio.TaskGroup() as both:
            both.create_task(copy(reader, inner_writer))
            both.create_task(copy(inner_reader, writer))

    tls = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    front = await asyncio.start_server(forward, "127.0.0.1", 0)
    accepted.address = HostPort(*front.sockets[0].getsockname()[:2])
    try:
        yield accepted
    finally:
        for server in (front, tls):
            server.close()
        for peer in accepted.peers:
            await peer.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(4096):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


def trunk(
    directory: Path,
    address: HostPort,
    own: Credential | None = None,
    tls: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Trunk:
    """A trunk that is verified by name and authority, or by the keys of `tls`."""
    tls = dict(tls or {"ca": AUTHORITY.write(directory, "ca")[0], "names": (DOMAIN,)})
    if own:
        tls["certificate"], tls["key"] = own.write(directory, "own")
    return made_trunk(f"sip:{address};transport=tls", tls=tls, **settings)


async def test_a_verified_trunk_is_connected_once_and_carries_requests(tmp_path: Path) -> None:
    async with tls_peer(tmp_path, GOOD) as peer:
        pbx = trunk(tmp_path, peer.address, networks=("127.0.0.1/32",))
        async with Gateway(trunks={"pbx": pbx}) as gateway:
            flow, again = await asyncio.gather(gateway.endpoint.connect("pbx"), gateway.endpoint.connect("pbx"))
            assert flow == again
            assert flow.transport == "tls"
            assert flow.tls is not None
            assert (flow.tls.verified, flow.tls.verified_name, flow.tls.reason) == (True, DOMAIN, "")
            assert flow.tls.version == "TLSv1.3"
            await until(lambda: peer.peers)
            peer.peers[0].send(options(transport="TLS"))
            assert (await peer.peers[0].response()).status == 200
            assert gateway.requests[0].flow == flow


@pytest.mark.parametrize(
    ("credential", "verification"),
    [
        (make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY, expired=True), "certificate has expired"),
        (make_certificate("self", alternative_names=dns(DOMAIN)), "self-signed certificate"),
        (make_certificate(alternative_names=dns(DOMAIN), issuer=OTHER), "unable to get local issuer certificate"),
        (make_certificate(alternative_names=dns("x.example"), issuer=AUTHORITY), "the certificate is for another name"),
        (
            make_certificate(alternative_names=dns("*.example.com"), issuer=AUTHORITY),
            "the certificate is for another name",
        ),
    ],
    ids=["expired", "self-signed", "unknown authority", "wrong name", "wildcard"],
)
async def test_an_unverified_trunk_is_refused_with_the_reason_and_never_tried_in_the_clear(
    tmp_path: Path, credential: Credential, verification: str
) -> None:
    async with tls_peer(tmp_path, credential) as peer:
        async with Gateway(trunks={"pbx": trunk(tmp_path, peer.address)}) as gateway:
            with pytest.raises(TransportError) as caught:
                await gateway.endpoint.connect("pbx")
            assert caught.value.verification == verification
            assert not gateway.endpoint._channels
            assert gateway.closed == []
        assert peer.first_octets == [b"\x16"]  # one TLS hello, nothing else


WILD = make_certificate(alternative_names=dns("*.example.com"), issuer=AUTHORITY)
FOR_ADDRESS = make_certificate(alternative_names=[x509.IPAddress(ipaddress.ip_address("127.0.0.1"))], issuer=AUTHORITY)
ALONE = make_certificate("asterisk")


@pytest.mark.parametrize(
    ("credential", "keys", "proved"),
    [
        (WILD, {"wildcards": "yes", "names": [DOMAIN]}, DOMAIN),
        (WILD, {"wildcards": "yes", "names": ["a.pbx.example.com"]}, ""),
        (WILD, {"wildcards": "no", "names": [DOMAIN]}, ""),
        (FOR_ADDRESS, {}, "127.0.0.1"),
        (FOR_ADDRESS, {"names": ["127.0.0.2"]}, ""),
        (GOOD, {}, ""),
        (ALONE, {"ca": None, "pin_sha256": [pin(ALONE)]}, "127.0.0.1"),
        (ALONE, {"ca": None, "pin_sha256": [pin(GOOD)]}, ""),
        (ALONE, {"ca": None, "pin_sha256": [pin(ALONE)], "names": [DOMAIN]}, ""),
        (GOOD, {"pin_sha256": [pin(GOOD)], "names": [DOMAIN]}, DOMAIN),
        (GOOD, {"pin_sha256": [pin(ALONE)], "names": [DOMAIN]}, ""),
        (
            make_certificate(alternative_names=dns(DOMAIN), issuer=AUTHORITY, usages=[CLIENT_AUTH]),
            {"names": [DOMAIN]},
            "",
        ),
    ],
    ids=[
        "a wildcard where it is allowed",
        "a wildcard two labels up",
        "a wildcard where it is not",
        "an address",
        "another address",
        "a name where the target is an address",
        "the pinned one, self-signed",
        "not the pinned one",
        "the pinned one without the name that is written",
        "pin, chain and name",
        "chain and name without the pin",
        "a certificate for clients",
    ],
)
async def test_a_trunk_must_show_what_its_section_says(
    tmp_path: Path, credential: Credential, keys: dict[str, Any], proved: str
) -> None:
    async with tls_peer(tmp_path, credential) as peer:
        pbx = trunk(tmp_path, peer.address, tls={"ca": AUTHORITY.write(tmp_path, "ca")[0], **keys})
        async with Gateway(trunks={"pbx": pbx}) as gateway:
            if proved:
                flow = await gateway.endpoint.connect("pbx")
                assert flow.verified_name == proved
            else:
                with pytest.raises(TransportError) as caught:
                    await gateway.endpoint.connect("pbx")
                assert caught.value.verification
        assert peer.first_octets == [b"\x16"]  # one TLS hello, and never another try in the clear


async def test_a_peer_without_tls_is_not_spoken_to_in_the_clear(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1))
        writer.write(b"SIP/2.0 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    address = HostPort(*server.sockets[0].getsockname()[:2])
    async with server, Gateway(trunks={"pbx": trunk(tmp_path, address)}) as gateway:
        with pytest.raises(TransportError) as caught:
            await gateway.endpoint.connect("pbx")
        assert caught.value.verification == ""
        assert heard == [b"\x16"]


async def test_a_peer_that_never_answers_the_hello_is_given_up(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    address = HostPort(*server.sockets[0].getsockname()[:2])
    limits = StreamLimits(handshake=0.1)
    async with server, Gateway(trunks={"pbx": trunk(tmp_path, address)}, limits=limits) as gateway:
        begin = time.monotonic()
        with pytest.raises(TransportError):
            await gateway.endpoint.connect("pbx")
        assert time.monotonic() - begin < 1.0
        release.set()


async def test_the_host_of_the_target_is_the_name_when_none_is_configured(tmp_path: Path) -> None:
    async with tls_peer(tmp_path, GOOD) as peer:
        pbx = trunk(tmp_path, peer.address)
        pbx = replace(pbx, tls=replace(pbx.tls, names=()))
        async with Gateway(trunks={"pbx": pbx}) as gateway:
            with pytest.raises(TransportError) as caught:
                await gateway.endpoint.connect("pbx")
            assert caught.value.verification == "the certificate is for another name"


async def test_our_certificate_is_shown_when_the_trunk_has_one_for_us(tmp_path: Path) -> None:
    own = make_certificate("gateway", alternative_names=dns("gw.example"), issuer=OTHER)
    async with tls_peer(tmp_path, GOOD, client_ca=OTHER) as peer:
        async with Gateway(trunks={"pbx": trunk(tmp_path, peer.address, own)}) as gateway:
            assert (await gateway.endpoint.connect("pbx")).tls is not None
            await until(lambda: peer.peers)
            shown = peer.peers[0].writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert shown is not None


async def test_a_certificate_file_that_cannot_be_read_is_told_at_start(tmp_path: Path) -> None:
    pbx = made_trunk("sips:pbx.example.com", tls={"ca": tmp_path / "missing.pem"})
    gateway = Gateway("udp:127.0.0.1:0", trunks={"pbx": pbx})
    with pytest.raises(ConfigError, match=r"missing\.pem"):
        await gateway.endpoint.start(gateway.listen)
    assert gateway.endpoint.addresses == []


# --- connections we take -----------------------------------------------------------------------------------------


def listen_tls(directory: Path, client_ca: Credential | None = None) -> dict[str, Any]:
    certificate, key = make_certificate(alternative_names=dns("gw.example"), issuer=AUTHORITY).write(directory, "gw")
    authority = client_ca.write(directory, "client-ca")[0] if client_ca else None
    return {"certificate": certificate, "key": key, "client_ca": authority}


def client(directory: Path, own: Credential | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(AUTHORITY.write(directory, "ca")[0])
    if own:
        context.load_cert_chain(*own.write(directory, "caller"))
    return context


CALLER = {"pbx": made_trunk(f"sip:{DOMAIN};transport=udp", networks=("127.0.0.1/32",))}


@pytest.mark.parametrize(
    ("own", "verified", "reason"),
    [
        (make_certificate(alternative_names=sip(DOMAIN), issuer=OTHER), True, ""),
        (make_certificate(alternative_names=dns("evil.example"), issuer=OTHER), False, "another name"),
        (None, False, "no certificate"),
    ],
    ids=["the trunk's own", "another's", "none"],
)
async def test_a_caller_is_verified_by_its_client_certificate_only(
    tmp_path: Path, own: Credential | None, verified: bool, reason: str
) -> None:
    async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=CALLER) as gateway:
        peer = await SocketPeer.connect(gateway.address, ssl=client(tmp_path, own))
        peer.send(options(transport="TLS"))
        assert (await peer.response()).status == 200
        flow = gateway.requests[0].flow
        assert flow.trunk == "pbx"
        assert flow.tls is not None
        assert flow.tls.verified is verified
        assert reason in flow.tls.reason
        assert flow.tls.verified_name == (DOMAIN if verified else "")
        await peer.close()


@pytest.mark.parametrize(
    ("shown", "expected"),
    [("pbx.example", ("pbx", "pbx.example")), ("lab.example", ("lab", "lab.example")), ("", ("pbx", ""))],
)
async def test_of_trunks_at_one_address_a_client_is_the_one_it_proves_to_be(
    tmp_path: Path, shown: str, expected: tuple[str, str]
) -> None:
    trunks = {
        "lab": made_trunk("sip:lab.example;transport=tls", networks=("127.0.0.1/32",), security=Profile.PREFER),
        "pbx": made_trunk("sip:pbx.example;transport=tls", networks=("127.0.0.1/32",)),
    }
    own = make_certificate(alternative_names=dns(shown), issuer=OTHER) if shown else None
    async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=trunks) as gateway:
        peer = await SocketPeer.connect(gateway.address, ssl=client(tmp_path, own))
        peer.send(options(transport="TLS"))
        assert (await peer.response()).status == 200
        flow = gateway.requests[0].flow
        assert (flow.trunk, flow.verified_name) == expected
        assert flow.may_be("pbx")
        assert flow.may_be("lab")
        await peer.close()


@pytest.mark.parametrize("expired", [False, True], ids=["unknown authority", "expired"])
async def test_a_client_certificate_that_does_not_verify_ends_the_handshake(tmp_path: Path, expired: bool) -> None:
    own = make_certificate(alternative_names=dns(DOMAIN), issuer=OTHER if expired else AUTHORITY, expired=expired)
    async with Gateway(TLS, tls=listen_tls(tmp_path, OTHER), trunks=CALLER) as gateway:
        # TLS 1.3 lets the client believe it is connected until the first read.
        peer = await SocketPeer.connect(gateway.address, ssl=client(tmp_path, own))
        peer.send(options(transport="TLS"))
        assert await peer.rest() == b""
        assert gateway.counters[Counter.TLS_HANDSHAKE_FAILED] == 1
        assert not gateway.events
        await peer.close()


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01", options()], ids=["silence", "half a hello", "no TLS at all"])
async def test_a_handshake_that_does_not_come_to_its_end_is_cut_and_makes_room(tmp_path: Path, first: bytes) -> None:
    limits = StreamLimits(handshake=0.1, per_source=1)
    async with Gateway(TLS, tls=listen_tls(tmp_path), trunks=CALLER, limits=limits) as gateway:
        peer = await SocketPeer.connect(gateway.address)
        peer.send(first)
        await peer.rest()
        assert gateway.counters[Counter.TLS_HANDSHAKE_FAILED] == 1
        good = await SocketPeer.connect(gateway.address, ssl=client(tmp_path))
        good.send(options(transport="TLS"))
        assert (await good.response()).status == 200
        for each in (peer, good):
            await each.close()


async def test_unfinished_handshakes_count_against_the_limit_of_their_source(tmp_path: Path) -> None:
    async with Gateway(TLS, tls=listen_tls(tmp_path), trunks=CALLER, limits=StreamLimits(per_source=1)) as gateway:
        silent, extra = await SocketPeer.connect(gateway.address), await SocketPeer.connect(gateway.address)
        assert await extra.rest() == b""
        assert gateway.counters[Counter.CONNECTION_REFUSED] == 1
        for each in (silent, extra):
            await each.close()
        await gateway.until_counted(Counter.TLS_HANDSHAKE_FAILED)


async def test_an_unknown_source_sees_no_handshake(tmp_path: Path) -> None:
    async with Gateway(TLS, tls=listen_tls(tmp_path), trunks={}) as gateway:
        with pytest.raises(ConnectionError):
            await SocketPeer.connect(gateway.address, ssl=client(tmp_path))
        assert gateway.counters[Counter.SIP_UNKNOWN_SOURCE] == 1
        assert gateway.counters[Counter.TLS_HANDSHAKE_FAILED] == 0


async def test_stop_ends_unfinished_handshakes(tmp_path: Path) -> None:
    tasks = asyncio.all_tasks()
    async with Gateway(TLS, tls=listen_tls(tmp_path), trunks=CALLER) as gateway:
        peers = [await SocketPeer.connect(gateway.address) for _ in range(3)]
        (listener,) = gateway.endpoint._listeners.streams
        await until(lambda: len(listener._handshakes) == 3)
    assert asyncio.all_tasks() == tasks
    for peer in peers:
        await peer.rest()
        await peer.close()
