"""Handshakes and frames no browser sends (RFC 6455, RFC 7118 4 and 5)."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

import pytest

from tests.attacks.judge import final_answer, judge, status_of
from tests.attacks.table.case import SILENT, Case, Expect, message
from tests.attacks.target import Target
from tests.attacks.wires import BINARY, PINGED, TEXT, WebSocketWire, frame, handshake, has_ended, upgrade
from tests.rig.gateway import REALM
from tests.rig.hosted import WAIT_SECONDS

pytestmark = pytest.mark.attack

GOOD = message("OPTIONS")
CONTINUATION = 0
MAX_PER_ADDRESS = 32
NORMAL, PROTOCOL, NOT_UTF8, POLICY, TOO_BIG = 1000, 1002, 1007, 1008, 1009


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("websockets"), allow_missing_origin=False).start()
    yield made
    made.canary("udp")
    made.stop()


@pytest.fixture
def wire(target: Target) -> Iterator[WebSocketWire]:
    made = target.open("wss")
    assert isinstance(made, WebSocketWire)
    yield made
    made.close()


def fill(wire: WebSocketWire, data: bytes = GOOD) -> bytes:
    return Case("", data, SILENT).fill(wire)


def attempt(target: Target, data: bytes) -> tuple[int, bytes]:
    status, head, sock, _ = upgrade(target.web, target.web_context, data)
    sock.close()
    return status, head


# --- handshakes


def test_the_page_itself_is_let_in_and_gets_no_compression(target: Target) -> None:
    offers = ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, permessage-bzip2",)
    status, head = attempt(target, handshake(origin=target.setup.origin, extra=offers))
    assert status == 101
    assert b"sec-websocket-extensions" not in head.lower()
    assert b"sec-websocket-protocol: sip\r\n" in head.lower() + b"\r\n"


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "",
        "https://evil.test",
        "{origin}.evil.test",
        "https://evil.test/{origin}",
        "http://127.0.0.1:{port}",
        "https://127.0.0.1",
        "https://127.0.0.1:{port}/",
        "https://user@127.0.0.1:{port}",
        "HTTPS://127.0.0.1:{port}",
        "{origin}, https://evil.test",
        "*",
    ],
)
def test_every_other_origin_is_forbidden(target: Target, origin: str | None) -> None:
    """RFC 6455 10.2: else any page the user visits could place calls (cross-site WebSocket hijacking)."""
    if origin is not None:
        origin = origin.format(origin=target.setup.origin, port=target.setup.web_port)
    before = target.metrics()["websocket_refused"]
    assert attempt(target, handshake(origin=origin))[0] == 403
    assert target.metrics()["websocket_refused"] == before + 1


def test_two_origins_are_forbidden(target: Target) -> None:
    own = target.setup.origin
    assert attempt(target, handshake(origin=own, extra=("Origin: https://evil.test",)))[0] == 403


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": None},
        {"protocol": ""},
        {"protocol": "chat"},
        {"protocol": "SIP"},
        {"protocol": "sipx, xsip"},
        {"version": "12"},
        {"version": "x"},
        {"extra": ("Transfer-Encoding: chunked", "Content-Length: 5")},
    ],
)
def test_what_is_no_handshake_for_sip_is_refused(target: Target, change: dict[str, str]) -> None:
    data = handshake(origin=target.setup.origin, **change)
    status, head = attempt(target, data)
    assert status in (400, 426), head


@pytest.mark.parametrize(
    "old", [b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n", b"Sec-WebSocket-Version: 13\r\n"]
)
def test_a_handshake_that_lacks_a_part_is_refused(target: Target, old: bytes) -> None:
    data = handshake(origin=target.setup.origin)
    assert old in data
    assert attempt(target, data.replace(old, b""))[0] in (400, 426)


def test_one_address_gets_32_websockets_that_are_not_signed_in_and_the_oldest_makes_room(target: Target) -> None:
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(target.wire("open", source="127.0.11.1")) for _ in range(MAX_PER_ADDRESS + 1)]
        oldest, second, *_ = wires
        assert oldest.receive(WAIT_SECONDS) == b""
        assert isinstance(oldest, WebSocketWire)
        assert oldest.close_code == POLICY
        assert judge(second, b"\r\n\r\n", SILENT)[0] == SILENT


# --- frames


def test_of_two_messages_in_a_frame_the_first_counts(wire: WebSocketWire) -> None:
    """RFC 7118 5.2: one message per frame."""
    wire.send_frame(fill(wire) + fill(wire))
    answer = final_answer(wire)
    assert answer
    assert status_of(answer) == 200
    assert judge(wire, b"\r\n\r\n", SILENT)[0] == SILENT


def test_half_a_message_is_not_completed_by_the_next_frame(wire: WebSocketWire) -> None:
    data = fill(wire)
    half = len(data) // 2
    wire.send_frame(data[:half])
    wire.send_frame(data[half:])
    seen = judge(wire, b"\r\n\r\n", SILENT)[0]
    assert seen in (SILENT, Expect(400))


def test_a_message_in_single_octets_is_one_message(wire: WebSocketWire) -> None:
    data = fill(wire)
    for at, octet in enumerate(data):
        wire.send_frame(bytes([octet]), CONTINUATION if at else TEXT, final=at == len(data) - 1)
    answer = final_answer(wire)
    assert answer
    assert status_of(answer) == 200


def test_pings_between_fragments_are_answered(wire: WebSocketWire) -> None:
    data = fill(wire)
    wire.send_frame(data[:100], TEXT, final=False)
    wire.send_frame(b"x" * 125, PINGED)
    wire.send_frame(data[100:], CONTINUATION)
    answer = final_answer(wire)
    assert answer
    assert status_of(answer) == 200


def test_binary_that_is_no_utf_8_is_a_message(wire: WebSocketWire) -> None:
    wire.send_frame(fill(wire, message("OPTIONS", From=f'"\udcff\udcfe" <sip:alice@{REALM}>;tag=1')), BINARY)
    answer = final_answer(wire)
    assert answer
    assert status_of(answer) == 200


ENDS = {
    "text that is no UTF-8": (frame(b"\xff\xfe" * 10), NOT_UTF8),
    "a reserved bit": (b"\xc1" + frame(b"x")[1:], PROTOCOL),
    "a reserved opcode": (frame(b"x", 3), PROTOCOL),
    "a reserved control opcode": (frame(b"x", 11), PROTOCOL),
    "a ping in fragments": (frame(b"x", PINGED, final=False), PROTOCOL),
    "a ping of 126 octets": (frame(b"x" * 126, PINGED), PROTOCOL),
    "a continuation of nothing": (frame(b"x", CONTINUATION), PROTOCOL),
    "a new message inside another": (frame(b"x", final=False) + frame(b"y"), PROTOCOL),
    "a close with one octet": (frame(b"x", 8), PROTOCOL),
    "a close with a code nobody may send": (frame(struct.pack("!H", 1006), 8), PROTOCOL),
    "64 KB and an octet": (frame(b"x" * 65537), TOO_BIG),
    "16 MB announced": (struct.pack("!BBQ", 0x81, 0xFF, 1 << 24) + b"mask", TOO_BIG),
    "2**63 octets announced": (struct.pack("!BBQ", 0x81, 0xFF, (1 << 63) - 1) + b"mask", TOO_BIG),
    "66 KB in fragments": (
        frame(b"x" * 1024, final=False) + frame(b"x" * 1024, CONTINUATION, final=False) * 65,
        TOO_BIG,
    ),
}


@pytest.mark.parametrize(("data", "code"), ENDS.values(), ids=ENDS)
def test_frames_that_break_the_protocol_end_the_connection(
    target: Target, wire: WebSocketWire, data: bytes, code: int
) -> None:
    before = target.metrics()
    wire.send_raw(data)
    assert wire.receive(WAIT_SECONDS) == b""
    assert wire.close_code in (0, NORMAL, code)
    assert has_ended(wire.socket, WAIT_SECONDS)
    if code == TOO_BIG:
        assert target.metrics()["sip_oversize"] > before["sip_oversize"]


def test_an_octet_beyond_the_largest_message_is_what_ends_it(target: Target, wire: WebSocketWire) -> None:
    data = fill(wire, message("OPTIONS"))
    wire.send_frame(data + b"x" * (65536 - len(data)))
    answer = final_answer(wire)
    assert answer
    assert status_of(answer) == 200
