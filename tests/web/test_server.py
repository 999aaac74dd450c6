"""The web server: what it serves, to whom, and with which headers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.test_utils import make_mocked_request

from gateway.base.counters import Counter, Counters
from gateway.base.errors import ConfigError
from gateway.demo.certificates import create
from gateway.site import WebListener
from gateway.web import server as server_module
from gateway.web.server import PageInfo, PeerErrors, WebServer, content_security_policy, may_read_metrics
from tests.sites import made_web

INFO = PageInfo(realm="pbx.example.com")


async def websocket(request: web.Request) -> web.StreamResponse:
    response = web.WebSocketResponse(protocols=("sip",))
    await response.prepare(request)
    async for message in response:
        await response.send_str(message.data)
    return response


@asynccontextmanager
async def serving(config: WebListener | None = None, counters: Counters | None = None) -> AsyncIterator[str]:
    config = config or made_web(address="127.0.0.1:0")
    server = WebServer(config, websocket, INFO, counters or Counters())
    await server.start()
    try:
        yield f"{'https' if config.certificate else 'http'}://{server.address}"
    finally:
        await server.stop()


async def fetch(url: str, **options: object) -> tuple[int, Mapping[str, str], bytes]:
    async with aiohttp.ClientSession() as session, session.get(url, **options) as response:  # type: ignore[arg-type]
        return response.status, response.headers, await response.read()


async def raw(port: int, request: bytes) -> bytes:
    """Sends exactly these bytes, as no HTTP library would; empty when the server just closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(65536), 5)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


def port_of(base: str) -> int:
    return int(base.rpartition(":")[2])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "content_type", "content"),
    [
        ("/", "text/html; charset=utf-8", b"<title>Softphone</title>"),
        ("/softphone.js", "text/javascript; charset=utf-8", b"Call-Security"),
        ("/softphone.css", "text/css; charset=utf-8", b"prefers-color-scheme"),
        ("/icon.svg", "image/svg+xml", b"<svg"),
        ("/THIRD_PARTY_LICENSES.txt", "text/plain; charset=utf-8", b"jssip"),
        (
            "/config.json",
            "application/json",
            b'{"realm": "pbx.example.com", "websocket": "/ws", "events": "/events", "reconnect_seconds": 0.0}',
        ),
    ],
)
async def test_serves_the_page_and_its_files_with_their_content_types(
    path: str, content_type: str, content: bytes
) -> None:
    async with serving() as base:
        status, headers, body = await fetch(base + path)
    assert status == 200
    assert headers["Content-Type"] == content_type
    assert content in body


@pytest.mark.asyncio
async def test_every_response_carries_the_protective_headers_and_no_software_version() -> None:
    async with serving() as base:
        for path in ("/", "/config.json", "/metrics", "/nothing-here"):
            _, headers, _ = await fetch(base + path)
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert headers["Permissions-Policy"].startswith("microphone=(self)")
            assert headers["Server"] == "sip-gateway"
            assert "Strict-Transport-Security" not in headers  # plain HTTP: browsers must ignore it (RFC 6797 7.2)


@pytest.mark.parametrize(("secure", "scheme"), [(True, "wss:"), (False, "ws:")])
def test_policy_allows_nothing_inline_and_nothing_from_elsewhere(secure: bool, scheme: str) -> None:
    directives = dict(d.split(" ", 1) for d in content_security_policy(secure=secure).split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert directives["connect-src"] == f"'self' {scheme}"
    assert "unsafe" not in str(directives)


@pytest.mark.asyncio
async def test_unchanged_file_is_answered_304_and_must_be_asked_for_again() -> None:
    async with serving() as base:
        _, headers, _ = await fetch(base + "/softphone.js")
        assert headers["Cache-Control"] == "no-cache"
        status, _, body = await fetch(base + "/softphone.js", headers={"If-None-Match": headers["ETag"]})
        assert (status, body) == (304, b"")
        status, _, _ = await fetch(base + "/softphone.js", headers={"If-None-Match": '"other"'})
        assert status == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "target",
    [
        "/../server.py",
        "/..%2fserver.py",
        "/%2e%2e/%2e%2e/base/values.py",
        "/softphone.js/",
        "//softphone.js",
        "/softphone.js%00.html",
        "/..\\server.py",
        "/src/main.js",
        "/MANIFEST.json",
        "/dist/softphone.js",
        "/.git/config",
        "/index.html",
        "/etc/passwd",
    ],
)
async def test_any_path_outside_of_the_map_is_404(target: str) -> None:
    async with serving() as base:
        answer = await raw(
            port_of(base), f"GET {target} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".encode()
        )
    assert answer.split(b" ", 2)[1] == b"404", answer[:200]
    assert b"import" not in answer


@pytest.mark.asyncio
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_only_get_and_head_are_allowed(method: str) -> None:
    async with serving() as base, aiohttp.ClientSession() as session:
        async with session.request(method, base + "/") as response:
            assert response.status == 405
        async with session.head(base + "/") as head:
            assert (head.status, await head.read()) == (200, b"")


@pytest.mark.asyncio
async def test_websocket_path_goes_to_the_sip_handler() -> None:
    async with serving() as base, aiohttp.ClientSession() as session:
        async with session.ws_connect(base + "/ws", protocols=("sip",)) as connection:
            await connection.send_str("OPTIONS")
            assert (await connection.receive_str(timeout=5), connection.protocol) == ("OPTIONS", "sip")


@pytest.mark.asyncio
async def test_metrics_show_every_counter_to_this_machine() -> None:
    counters = Counters()
    counters.add(Counter.CALLS_STARTED, 3)
    async with serving(counters=counters) as base:
        status, headers, body = await fetch(base + "/metrics")
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert b"sip_gateway_calls_started_total 3.0" in body
    for counter in Counter:
        assert f"sip_gateway_{counter.value}_total".encode() in body


class FakeTransport:
    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.address if name == "peername" else default


@pytest.mark.parametrize(
    ("address", "headers", "allowed"),
    [
        ("127.0.0.1", {}, True),
        ("127.0.0.9", {}, True),
        ("::1", {}, True),
        ("192.0.2.7", {}, False),
        ("2001:db8::7", {}, False),
        ("fe80::1%eth0", {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, False),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.7"}, False),
    ],
)
def test_metrics_are_for_this_machine_and_not_for_whom_a_proxy_speaks(
    address: str, headers: dict[str, str], allowed: bool
) -> None:
    request = make_mocked_request("GET", "/metrics", headers=headers, transport=FakeTransport((address, 5)))
    assert may_read_metrics(request) is allowed


@pytest.mark.asyncio
async def test_silent_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0.2)
    async with serving() as base:
        for start in (b"", b"GET / HTTP/1.1\r\nHost: ga"):
            assert await raw(port_of(base), start) == b""


def test_broken_http_is_a_line_without_its_octets_and_soon_not_even_that(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", server_module.http_logger.name)
    errors = PeerErrors()
    passed = 0
    for number in range(1000):
        error = HttpProcessingError(message="planted octets")
        line = logging.LogRecord("http", logging.ERROR, "", 0, "Error handling request", (), (type(error), error, None))
        line.created = 1000.0 + number / 100
        passed += errors.filter(line)
        assert "planted" not in line.getMessage()
    assert 10 <= passed <= 16


@pytest.mark.asyncio
async def test_oversize_request_head_is_refused() -> None:
    async with serving() as base:
        answer = await raw(port_of(base), b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20000 + b"\r\n\r\n")
    assert answer.split(b" ", 2)[1] == b"400"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    create(directory, ["127.0.0.1"])
    return directory


def secure_config(directory: Path) -> WebListener:
    return made_web(address="127.0.0.1:0", certificate=directory / "web.pem", key=directory / "web.key")


def client_context(directory: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=directory / "ca.pem")


@pytest.mark.asyncio
async def test_https_sends_hsts_and_a_certificate_that_verifies(certificates: Path) -> None:
    async with serving(secure_config(certificates)) as base:
        status, headers, _ = await fetch(base + "/", ssl=client_context(certificates))
    assert status == 200
    assert headers["Strict-Transport-Security"].startswith("max-age=")
    assert "connect-src 'self' wss:" in headers["Content-Security-Policy"]


def handshake(port: int, version: ssl.TLSVersion, directory: Path) -> str | None:
    context = client_context(directory)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), 5) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            return secure.version()


@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
async def test_tls_1_1_is_refused_and_1_2_is_the_oldest(certificates: Path) -> None:
    async with serving(secure_config(certificates)) as base:
        with pytest.raises(ssl.SSLError):
            await asyncio.to_thread(handshake, port_of(base), ssl.TLSVersion.TLSv1_1, certificates)
        version = await asyncio.to_thread(handshake, port_of(base), ssl.TLSVersion.TLSv1_2, certificates)
    assert version == "TLSv1.2"


def mismatched(directory: Path) -> WebListener:
    return made_web(address="127.0.0.1:0", certificate=directory / "web.pem", key=directory / "pbx.key")


def absent(directory: Path) -> WebListener:
    return made_web(address="127.0.0.1:0", certificate=directory / "none.pem", key=directory / "none.key")


@pytest.mark.parametrize("broken", [mismatched, absent])
def test_unusable_certificate_is_an_error_that_names_the_key(
    certificates: Path, broken: Callable[[Path], WebListener]
) -> None:
    with pytest.raises(ConfigError, match=r"listen\.web\.certificate"):
        WebServer(broken(certificates), websocket, INFO, Counters())


@pytest.mark.asyncio
async def test_taken_port_is_an_error_that_names_the_address() -> None:
    async with serving() as base:
        config = made_web(address=f"127.0.0.1:{port_of(base)}")
        with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1"):
            await WebServer(config, websocket, INFO, Counters()).start()


_: Callable[[web.Request], Awaitable[web.StreamResponse]] = websocket
