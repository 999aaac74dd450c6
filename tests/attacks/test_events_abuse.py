"""Misuse of the event socket: other origins, other people's tickets, frames no browser sends, floods, and no SIP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.call.run.listening import HEADER
from gateway.net.events import RESYNCS, SUBPROTOCOL, Close
from tests.attacks.judge import acknowledge, final_answer, status_of
from tests.attacks.table.bodies import BROWSER_AUDIO, offer
from tests.attacks.target import NUMBERS, Target, request, sign_in
from tests.attacks.test_smuggling import answer, next_request
from tests.attacks.test_websocket_abuse import ENDS, MAX_PER_ADDRESS, POLICY
from tests.attacks.wires import CLOSE, AttackWire, WebSocketWire, handshake, has_ended, upgrade
from tests.rig.gateway import REALM
from tests.rig.hosted import WAIT_SECONDS

pytestmark = pytest.mark.attack

SOURCE = "127.0.12.1"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("events"), allow_missing_origin=False).start()
    yield made
    made.canary("udp")
    assert made.metrics()["event_sockets"] == 0
    made.stop()


@contextlib.contextmanager
def page(target: Target, source: str = "") -> Iterator[WebSocketWire]:
    """An event socket that has said nothing yet."""
    made = WebSocketWire(
        target.web, target.web_context, target.setup.origin, source, path="/events", protocol=SUBPROTOCOL
    )
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def signed_in(target: Target, user: str) -> Iterator[tuple[AttackWire, str]]:
    """A SIP connection of a user, and the ticket it got."""
    with target.wire("open") as wire:
        yield wire, sign_in(wire, user).headers.get(HEADER) or ""


def hello(ticket: str) -> bytes:
    return json.dumps({"v": 1, "type": "hello", "ticket": ticket}).encode()


def told(wire: WebSocketWire) -> dict[str, Any]:
    data = wire.receive(WAIT_SECONDS)
    assert data, (data, wire.close_code)
    found: dict[str, Any] = json.loads(data)
    return found


def looks_on(wire: WebSocketWire, ticket: str) -> dict[str, Any]:
    wire.send(hello(ticket))
    state = told(wire)
    assert state["type"] == "state"
    return state


def is_turned_away(wire: WebSocketWire, code: int) -> None:
    assert wire.receive(WAIT_SECONDS) == b""
    assert wire.close_code == code
    wire.send_frame(code.to_bytes(2, "big"), CLOSE)
    assert has_ended(wire.socket, WAIT_SECONDS)


def attempt(target: Target, data: bytes) -> int:
    status, _, sock, _ = upgrade(target.web, target.web_context, data)
    sock.close()
    return status


# --- handshakes


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "",
        "https://evil.test",
        "{origin}.evil.test",
        "http://127.0.0.1:{port}",
        "https://127.0.0.1:{port}/",
        "HTTPS://127.0.0.1:{port}",
        "{origin}, https://evil.test",
        "*",
    ],
)
def test_every_other_origin_is_forbidden(target: Target, origin: str | None) -> None:
    if origin is not None:
        origin = origin.format(origin=target.setup.origin, port=target.setup.web_port)
    assert attempt(target, handshake("/events", origin=origin, protocol=SUBPROTOCOL)) == 403


@pytest.mark.parametrize("change", [{"protocol": None}, {"protocol": "sip"}, {"protocol": "x"}, {"version": "12"}])
def test_what_is_no_handshake_for_it_is_refused(target: Target, change: dict[str, Any]) -> None:
    options = {"protocol": SUBPROTOCOL} | change
    assert attempt(target, handshake("/events", origin=target.setup.origin, **options)) in (400, 426)


def test_a_plain_get_and_a_ticket_in_the_url_open_nothing(target: Target) -> None:
    with signed_in(target, "alice") as (_, ticket):
        for path in ("/events", f"/events?ticket={ticket}"):
            assert attempt(target, f"GET {path} HTTP/1.1\r\nHost: gw\r\n\r\n".encode()) in (400, 403)
        with page(target) as wire:
            looks_on(wire, ticket)  # it is still good: nobody has looked at the URL


# --- tickets


def test_nobody_sees_the_calls_of_another_user(target: Target) -> None:
    with (
        signed_in(target, "alice") as (alice, of_alice),
        signed_in(target, "bob") as (_, of_bob),
        target.wire("udp", port=target.ports["udp"]) as trunk,
        page(target) as hers,
        page(target) as his,
    ):
        looks_on(hers, of_alice)
        assert looks_on(his, of_bob)["calls"] == []
        uri = f"sip:{NUMBERS['udp']}@{REALM}"
        body = offer(audio=BROWSER_AUDIO)
        sdp = ("Content-Type: application/sdp",)
        alice.send(request(alice, "INVITE", uri, headers=sdp, body=body, call_id="seen-by-alice", branch="z9hG4bKseen"))
        _, invite = next_request(trunk, "INVITE")
        answer(trunk, invite, 180)
        seen = told(hers)
        assert (seen["type"], seen["call"]["sip_call_id"]) == ("call.security", "seen-by-alice")
        answer(trunk, invite, 486)
        refused = final_answer(alice)
        assert refused
        acknowledge(alice, refused, uri)
        while (message := told(hers))["type"] != "call.ended":
            pass
        assert message["sip_call_id"] == "seen-by-alice"
        assert his.receive(0.2) is None
    target.wait_idle()


def test_a_ticket_is_good_once(target: Target) -> None:
    with signed_in(target, "alice") as (_, ticket), page(target) as one, page(target) as other:
        looks_on(one, ticket)
        other.send(hello(ticket))
        is_turned_away(other, Close.TICKET)


def test_the_end_of_the_sip_connection_is_the_end_of_who_looks_on_by_it(target: Target) -> None:
    with page(target) as wire:
        with signed_in(target, "alice") as (_, ticket):
            looks_on(wire, ticket)
        is_turned_away(wire, Close.SIGNED_OUT)
    with page(target) as late:
        late.send(hello(ticket))
        is_turned_away(late, Close.TICKET)


def test_a_stranger_gets_no_ticket(target: Target) -> None:
    with target.wire("open") as wire:
        wire.send(request(wire, "REGISTER", f"sip:{REALM}", to=f"<sip:alice@{REALM}>"))
        answer = final_answer(wire)
        assert answer
        assert status_of(answer) == 401
        assert HEADER.lower().encode() not in answer.lower()


def test_guessed_tickets_are_counted_and_let_nobody_in(target: Target) -> None:
    before = target.metrics()["events_refused"]
    with signed_in(target, "alice") as (_, ticket):
        guesses = ["", "0" * 32, ticket[:-1], ticket.upper(), ticket + "x", ticket[::-1], "x" * 300]
        for guess in guesses:
            with page(target) as wire:
                wire.send(hello(guess))
                is_turned_away(wire, Close.TICKET)
        assert target.metrics()["events_refused"] == before + len(guesses)
        with page(target) as wire:
            looks_on(wire, ticket)


def test_no_ticket_stands_in_log_or_records(target: Target) -> None:
    with signed_in(target, "alice") as (_, ticket), page(target) as wire:
        next_time = looks_on(wire, ticket)["ticket"]
    text = target.process.log + json.dumps(target.process.records())
    assert ticket not in text
    assert next_time not in text


# --- frames, and what is said


@pytest.fixture
def wire(target: Target) -> Iterator[WebSocketWire]:
    with signed_in(target, "alice") as (_, ticket), page(target) as made:
        looks_on(made, ticket)
        yield made


@pytest.mark.parametrize("data", [data for data, _ in ENDS.values()], ids=ENDS)
def test_frames_that_break_the_protocol_end_it(wire: WebSocketWire, data: bytes) -> None:
    wire.send_raw(data)
    assert wire.receive(WAIT_SECONDS) == b""
    assert has_ended(wire.socket, WAIT_SECONDS)


def test_no_sip_is_spoken_here(target: Target, wire: WebSocketWire) -> None:
    before = target.metrics()["calls_started"]
    wire.send(request(wire, "INVITE", f"sip:{NUMBERS['udp']}@{REALM}"))
    is_turned_away(wire, POLICY)
    assert target.metrics()["calls_started"] == before


def test_who_asks_for_the_state_again_and_again_is_cut(wire: WebSocketWire) -> None:
    for _ in range(int(RESYNCS.burst) + 1):
        wire.send(b'{"v":1,"type":"resync"}')
    answers = list(iter(lambda: wire.receive(WAIT_SECONDS), b""))
    assert len(answers) <= RESYNCS.burst
    assert wire.close_code == POLICY


@pytest.mark.parametrize("said", [b"{}", b"[]", b"null", b'{"v":1,"type":"call.security"}', b"\xf0\x9f\x98\x80"])
def test_what_it_does_not_know_ends_it(wire: WebSocketWire, said: bytes) -> None:
    wire.send(said)
    is_turned_away(wire, POLICY)


# --- numbers


def test_one_address_gets_32_that_showed_no_ticket_and_the_oldest_makes_room(target: Target) -> None:
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(page(target, SOURCE)) for _ in range(MAX_PER_ADDRESS + 1)]
        assert wires[0].receive(WAIT_SECONDS) == b""
        assert wires[0].close_code in (POLICY, Close.TICKET)
        with signed_in(target, "alice") as (_, ticket):
            looks_on(wires[-1], ticket)


def test_event_sockets_take_no_place_of_sip(target: Target) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_PER_ADDRESS):
            stack.enter_context(page(target, SOURCE))
        with target.wire("open", source=SOURCE) as sip:
            assert sign_in(sip, "bob").status == 200
