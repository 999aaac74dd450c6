"""Reading keys: a file, or exactly one URL; nothing long, nothing slow, nobody else's."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from cryptography import x509

from gateway.tokens import source
from gateway.tokens.issuer import Issuer
from gateway.tokens.keys import MAX_OCTETS, KeysError
from gateway.tokens.source import read_keys
from tests.certificates import make_authority, make_certificate
from tests.rig.issuing import AUDIENCE, ISSUER, ec_jwk, jwks
from tests.rig.ports import free_port

pytestmark = pytest.mark.asyncio


async def test_a_file_is_read_and_its_mistakes_have_words(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(jwks(ec_jwk("a")))
    issuer = Issuer(ISSUER, AUDIENCE, path, ISSUER)
    assert [key.kid for key in (await read_keys(issuer)).keys] == ["a"]
    path.write_bytes(b" " * (MAX_OCTETS + 1))
    with pytest.raises(KeysError, match="longer than"):
        await read_keys(issuer)
    with pytest.raises(KeysError, match="cannot be read"):
        await read_keys(replace(issuer, keys=tmp_path / "nothing.json"))


class Server:
    """An HTTPS server that does as a test says."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.url, self.ca = "", Path()

    def issuer(self, path: str) -> Issuer:
        return Issuer(ISSUER, AUDIENCE, self.url + path, ISSUER, ca=self.ca)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        match request.path:
            case "/keys":
                return web.Response(body=jwks(ec_jwk("a")))
            case "/moved":
                raise web.HTTPFound("/keys")
            case "/slow":
                await asyncio.sleep(30)
            case "/long":
                return await self._long(request)
            case "/packed":
                body = zlib.compress(b"0" * 10_000_000)
                return web.Response(body=body, headers={"Content-Encoding": "deflate"})
        raise web.HTTPNotFound

    async def _long(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(10_000):
            await response.write(b" " * 65536)
        return response


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with a certificate of an authority of its own."""
    authority = make_authority()
    authority.write(tmp_path, "ca")
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate, key = make_certificate("s", alternative_names=[address], issuer=authority).write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    made = Server()
    application = web.Application()
    application.router.add_get("/{name}", made.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port(socket.SOCK_STREAM)
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    made.url, made.ca = f"https://127.0.0.1:{port}", tmp_path / "ca.pem"
    yield made
    await runner.cleanup()


async def test_what_the_url_says_is_read_over_verified_tls(server: Server) -> None:
    assert [key.kid for key in (await read_keys(server.issuer("/keys"))).keys] == ["a"]


async def test_a_server_nobody_vouches_for_is_not_believed(server: Server) -> None:
    with pytest.raises(KeysError, match="ClientConnectorCertificateError"):
        await read_keys(replace(server.issuer("/keys"), ca=None))
    assert server.paths == []


async def test_no_redirection_is_followed(server: Server) -> None:
    with pytest.raises(KeysError, match="answered 302"):
        await read_keys(server.issuer("/moved"))
    assert server.paths == ["/moved"]


@pytest.mark.parametrize("path", ["/long", "/packed"])
async def test_an_answer_that_is_too_long_is_given_up(server: Server, path: str) -> None:
    with pytest.raises(KeysError, match="longer than"):
        await read_keys(server.issuer(path))


async def test_an_answer_that_does_not_come_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "FETCH_SECONDS", 0.2)
    with pytest.raises(KeysError, match="TimeoutError"):
        await read_keys(server.issuer("/slow"))


async def test_an_issuer_that_is_not_there_is_an_error_with_words(server: Server) -> None:
    nobody = f"https://127.0.0.1:{free_port(socket.SOCK_STREAM)}/keys"
    with pytest.raises(KeysError, match="cannot be asked"):
        await read_keys(replace(server.issuer("/keys"), keys=nobody))
