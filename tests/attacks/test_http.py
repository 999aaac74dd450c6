"""Misuse of the HTTPS port: what is not the page, its files or a handshake gets a 4xx, and each answer its headers."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.attacks.target import Target
from tests.attacks.wires import connect, has_ended, receive_some, upgrade
from tests.rig.gateway import GatewayProcess, GatewaySetup, local_address

pytestmark = pytest.mark.attack

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'",
    "strict-transport-security": "max-age=",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "microphone=(self)",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
WAIT = 5.0


@pytest.fixture(scope="module", autouse=True)
def canary(target: Target) -> Iterator[None]:
    """After all of it a call still works."""
    yield
    target.canary("tcp")


def ask(target: Target, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status (0: closed without a word) and head of the answer to a request of raw lines."""
    status, answer, sock, _ = upgrade(target.web, target.web_context, head.encode("latin-1") + b"\r\n\r\n" + body)
    sock.close()
    return status, answer


def get(target: Target, path: str, *headers: str, method: str = "GET") -> tuple[int, bytes]:
    return ask(target, "\r\n".join((f"{method} {path} HTTP/1.1", "Host: gw", *headers)))


@pytest.mark.parametrize(
    "path",
    [
        "/../etc/passwd",
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/..%5c..%5cetc%5cpasswd",
        "/..\\..\\users.yaml",
        "/%00",
        "/index.html%00.png",
        "/.git/config",
        "/users.yaml",
        "/gateway.yaml",
        "/audit/audit.jsonl",
        "/softphone.js/../../server.py",
        "//evil.test/",
        "/%c0%ae%c0%ae/etc/passwd",
        "/metrics/",
        "/METRICS",
        "/ws/",
        "/events/",
        "/" + "a" * 4000,
        "/?" + "a=1&" * 1000 + "/../",
    ],
)
def test_no_path_but_the_known_ones_is_served(target: Target, path: str) -> None:
    status, head = get(target, path)
    known = path.startswith("/?")
    assert status == (200 if known else 404), head
    check_security_headers(head)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "PROPFIND", "BREW"])
@pytest.mark.parametrize("path", ["/", "/ws", "/events", "/metrics", "/config.json"])
def test_no_method_but_get_and_head_is_served(target: Target, path: str, method: str) -> None:
    status, head = get(target, path, "Content-Length: 0", method=method)
    assert status in (400, 405), head
    if status == 405:
        check_security_headers(head)


def test_connect_makes_us_no_proxy(target: Target) -> None:
    assert ask(target, "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443")[0] in (400, 404, 405)
    assert ask(target, "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test")[0] in (200, 400, 404)  # our page, if any


MALFORMED = {
    "a header of 20 kB": "GET / HTTP/1.1\r\nHost: gw\r\nX: " + "x" * 20000,
    "a path of 20 kB": "GET /" + "x" * 20000 + " HTTP/1.1\r\nHost: gw",
    "two ways to end": "POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    "two Content-Lengths": "POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\nContent-Length: 6",
    "a negative Content-Length": "POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: -1",
    "a header without a name": "GET / HTTP/1.1\r\nHost: gw\r\n: x",
    "a NUL": "GET / HTTP/1.1\r\nHost: gw\r\nX: a\0b",
    "a bare CR": "GET / HTTP/1.1\r\nHost: gw\r\nX: a\rb",
    "version 9": "GET / HTTP/9.9\r\nHost: gw",
    "no version": "GET /",
    "a SIP request": "OPTIONS sip:gw SIP/2.0\r\nVia: SIP/2.0/WSS a;branch=z9hG4bK1",
    "nothing of HTTP": "\x16\x03\x01\x02\x00\x01",
}


@pytest.mark.parametrize("head", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_gets_400_or_the_door(target: Target, head: str) -> None:
    status, answer = ask(target, head, b"0\r\n\r\n")
    assert status in (0, 400, 405, 431, 505), answer
    assert b"Traceback" not in answer


def test_ten_thousand_headers_are_refused(target: Target) -> None:
    many = "\r\n".join(f"X-{n}: {n}" for n in range(10000))
    assert get(target, "/", many)[0] in (0, 400, 431)


def test_a_body_of_1_gb_is_not_waited_for(target: Target) -> None:
    status, _ = get(target, "/", "Content-Length: 1073741824", method="POST")
    assert status in (400, 405, 413)


def test_a_hundred_requests_in_one_segment_are_all_answered(target: Target) -> None:
    sock = connect(target.web, target.web_context)
    sock.sendall(b"GET /nothing HTTP/1.1\r\nHost: gw\r\n\r\n" * 100)
    data = b""
    while data.count(b"HTTP/1.1 404") < 100:
        more = receive_some(sock, time.monotonic() + WAIT)
        assert more, data[-200:]
        data += more
    sock.close()


def test_plain_http_is_not_spoken(target: Target) -> None:
    with socket.create_connection(target.web, WAIT) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: gw\r\n\r\n")
        assert has_ended(sock, WAIT)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_not_spoken(target: Target, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    for address in (target.web, ("127.0.0.1", target.setup.sip_tls_port)):
        source = ("127.0.3.3", 0) if address != target.web else None
        with socket.create_connection(address, WAIT, source_address=source) as sock, pytest.raises(OSError):  # noqa: PT011
            context.wrap_socket(sock)


# --- what is told, and to whom


@pytest.mark.parametrize("path", ["/", "/config.json", "/metrics", "/nothing"])
def test_every_answer_has_its_security_headers(target: Target, path: str) -> None:
    check_security_headers(get(target, path)[1])


def check_security_headers(head: bytes) -> None:
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    found = {name.lower(): value for name, value in lines.items()}
    for name, value in SECURITY_HEADERS.items():
        assert value in found.get(name, ""), name
    assert found["server"] == "sip-gateway"
    assert "unsafe" not in found["content-security-policy"]
    assert "access-control-allow-origin" not in found


def test_the_module_for_other_pages_is_for_all_of_them_and_nothing_else_is(target: Target) -> None:
    for path in ("/gateway-security.js", "/gateway-security.d.ts"):
        status, head = get(target, path)
        assert status == 200
        assert b"Access-Control-Allow-Origin: *" in head
        assert b"Cross-Origin-Resource-Policy: cross-origin" in head
        assert b"Access-Control-Allow-Credentials" not in head
    assert b"Access-Control" not in get(target, "/softphone.js")[1]


@pytest.mark.parametrize(
    "header", ["Forwarded: for=127.0.0.1", "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Via: 1.1 x"]
)
def test_metrics_are_not_shown_through_a_proxy(target: Target, header: str) -> None:
    assert get(target, "/metrics", header)[0] == 404


def test_metrics_name_no_user_number_or_address(target: Target) -> None:
    page = http.client.HTTPSConnection(*target.web, context=target.web_context, timeout=WAIT)
    page.request("GET", "/metrics")
    text = page.getresponse().read().decode()
    page.close()
    assert "sip_gateway_calls_started_total" in text
    assert not [word for word in ("alice", "bob", "600", "127.0") if word in text.replace("_600", "")]


def test_metrics_are_for_this_machine_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    if local_address() == "127.0.0.1":
        pytest.skip("this machine has no address but loopback")
    process = GatewayProcess(Outdoors(tmp_path_factory.mktemp("outdoors"), trunks={}, outbound=[], inbound=[])).start()
    context = ssl.create_default_context(cafile=str(process.setup.certificates.ca.certificate))
    try:
        page = http.client.HTTPSConnection(local_address(), process.setup.web_port, context=context, timeout=WAIT)
        found = {}
        for path in ("/", "/metrics"):
            page.request("GET", path)
            answer = page.getresponse()
            found[path] = (answer.status, answer.read())
        page.close()
    finally:
        assert process.stop() == 0
    assert found["/"][0] == 200
    assert found["/metrics"][0] == 404
    assert b"sip_gateway_calls" not in found["/metrics"][1]


class Outdoors(GatewaySetup):
    """A gateway whose page is on the machine's own address."""

    def _document(self) -> dict[str, Any]:
        document = super()._document()
        document["listen"]["web"]["address"] = f"{local_address()}:{self.web_port}"
        return document
