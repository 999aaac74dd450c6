"""Peers that begin and do not go on, and peers that do not read: each is cut in time, and nobody else waits."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.attacks.judge import judge
from tests.attacks.table.case import SILENT, TRANSPORTS
from tests.attacks.target import HOSTS, Target, request
from tests.attacks.wires import StreamWire, WebSocketWire, connect, frame, has_ended
from tests.rig.gateway import REALM

pytestmark = pytest.mark.attack

HANDSHAKE, MESSAGE, HTTP_REQUEST = 5.0, 10.0, 15.0
"""Seconds the gateway shows patience with each."""
SLACK = 3.0
FLOOD = 40_000
HALF = b"OPTIONS sip:gw SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\n"


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        yield made


def check_health(target: Target) -> None:
    """Everybody else is answered at once."""
    for transport in TRANSPORTS:
        with target.wire(transport) as wire:
            found, seconds = judge(wire, b"\r\n\r\n", SILENT)
        assert found == SILENT
        assert seconds < 0.5


def bare(stack: contextlib.ExitStack, port: int, data: bytes, source: str = "127.0.0.1") -> socket.socket:
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0)))
    sock.sendall(data)
    return sock


def test_who_does_not_go_on_is_cut_in_time(target: Target, stack: contextlib.ExitStack) -> None:
    begun = time.monotonic()
    tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    half_http = stack.enter_context(connect(target.web, target.web_context))
    half_http.sendall(b"GET / HTTP/1.1\r\nHost: gw\r\nX: ")
    dripping = bare(stack, target.setup.sip_port, HALF, HOSTS["tcp"])
    slow = {
        "half a TLS hello for SIP": (bare(stack, target.setup.sip_tls_port, tls_hello, HOSTS["tls"]), HANDSHAKE),
        "half a TLS hello for the page": (bare(stack, target.setup.web_port, tls_hello), HANDSHAKE),
        "half a head": (bare(stack, target.setup.sip_port, HALF, HOSTS["tcp"]), MESSAGE),
        "a head and half a body": (
            bare(stack, target.setup.sip_port, HALF + b"Content-Length: 5\r\n\r\nab", HOSTS["tcp"]),
            MESSAGE,
        ),
        "an octet a second": (dripping, MESSAGE),
        "half an HTTP head": (half_http, HTTP_REQUEST),
    }
    waiting = dict(slow)
    while waiting:
        assert time.monotonic() - begun < HTTP_REQUEST + SLACK, f"still open: {list(waiting)}"
        with contextlib.suppress(OSError):
            dripping.sendall(b"x")
        for name, (sock, patience) in list(waiting.items()):
            if has_ended(sock, 0.1):
                assert time.monotonic() - begun < patience + SLACK, name
                del waiting[name]
        check_health(target)
        time.sleep(0.2)
    metrics = target.metrics()
    assert metrics["connection_timeout"] >= 3
    assert metrics["tls_handshake_failed"] >= 1


@pytest.mark.parametrize("transport", ["tcp", "tls", "open"])
def test_who_does_not_read_is_cut_and_costs_no_memory(target: Target, transport: str) -> None:
    with target.wire(transport) as wire:
        assert isinstance(wire, StreamWire | WebSocketWire)
        wire.socket.settimeout(5)
        data = request(wire, "BYE", f"sip:gw@{REALM}", to="<sip:a@b>;tag=x", headers=("X: " + "x" * 1000,))
        call_id = data.split(b"Call-ID: ")[1].split(b"\r\n")[0]
        cut = False
        for number in range(FLOOD):
            fresh = data.replace(call_id, b"%016x" % number)
            try:
                wire.socket.sendall(frame(fresh) if isinstance(wire, WebSocketWire) else fresh)
            except OSError:
                cut = True
                break
        assert cut
    check_health(target)
    assert resident(target.process.pid) < 400_000_000


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_afterwards_a_call_works(target: Target) -> None:
    target.canary("tls")
