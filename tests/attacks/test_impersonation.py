"""Who may say what: sources, replayed credentials, other people's dialogs and transactions (RFC 3261 9, 12, 22)."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator

import pytest

from gateway.sip.message import Response, parse_message
from tests.attacks.judge import acknowledge, final_answer, status_of
from tests.attacks.table.bodies import TRUNK_AUDIO, offer
from tests.attacks.target import (
    CALLED_IN,
    NUMBERS,
    OUTSIDE,
    STRANGER,
    Target,
    authorization,
    challenge,
    request,
    response_to,
    sign_in,
)
from tests.attacks.test_smuggling import SDP_TYPE, answer, browser_invite, give_up, next_request
from tests.attacks.wires import AttackWire, has_ended
from tests.rig.gateway import REALM, wait_for

pytestmark = pytest.mark.attack

SILENCE_SECONDS = 0.3
REGISTRAR = f"sip:{REALM}"


@pytest.fixture
def trunk(target: Target) -> Iterator[AttackWire]:
    with target.wire("udp", port=target.ports["udp"]) as wire:
        yield wire


@pytest.fixture
def alice(target: Target) -> Iterator[AttackWire]:
    with target.wire("wss", "alice") as wire:
        yield wire


def register(wire: AttackWire, credentials: str, user: str = "alice") -> Response:
    headers = (f"Authorization: {credentials}",)
    return response_to(
        wire, request(wire, "REGISTER", REGISTRAR, user=user, to=f"<sip:{user}@{REALM}>", headers=headers)
    )


def is_stale(response: Response) -> bool:
    return all("stale=true" in value for value in response.headers.get_all("WWW-Authenticate"))


# --- sources


def test_a_stranger_gets_no_octet_over_udp(target: Target) -> None:
    before = target.metrics()["sip_unknown_source"]
    with target.wire("udp", source=STRANGER) as wire:
        for method in ("OPTIONS", "INVITE", "REGISTER", "BYE"):
            wire.send(request(wire, method, f"sip:{CALLED_IN}@{REALM}"))
        assert wire.receive(SILENCE_SECONDS) is None
    assert target.metrics()["sip_unknown_source"] == before + 4


@pytest.mark.parametrize("port", ["sip_port", "sip_tls_port"])
def test_a_stranger_is_closed_before_a_handshake(target: Target, port: str) -> None:
    before = target.metrics()["sip_unknown_source"]
    with stranger(getattr(target.setup, port)) as sock:
        assert has_ended(sock, 2)
    assert target.metrics()["sip_unknown_source"] == before + 1


def stranger(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 5, source_address=(STRANGER, 0))


def test_a_trunks_target_outside_of_its_networks_may_answer_but_not_call_in(target: Target, alice: AttackWire) -> None:
    with target.wire("udp", source=OUTSIDE, port=target.outside_port) as outside:
        invite = browser_invite(alice).replace(NUMBERS["udp"].encode() + b"@", b"603@")
        alice.send(invite)
        _, seen = next_request(outside, "INVITE")
        outside.send(request(outside, "INVITE", f"sip:{CALLED_IN}@{REALM}"))
        refused = final_answer(outside)
        assert refused
        assert status_of(refused) == 403
        answer(outside, seen, 486)
        busy = final_answer(alice)
        assert busy
        assert status_of(busy) == 486
        acknowledge(alice, busy)


# --- credentials


def test_credentials_are_worth_nothing_on_another_connection(target: Target) -> None:
    with target.wire("open") as one, target.wire("open") as other:
        captured = authorization(challenge(one, "alice")["nonce"], "alice")
        stolen = register(other, captured)
        assert stolen.status == 401
        assert is_stale(stolen)
        assert register(one, captured).status == 200
        assert register(other, captured).status == 401


def test_a_wrong_password_is_not_called_stale_and_an_unknown_user_looks_the_same(target: Target) -> None:
    with target.wire("open") as wire, target.wire("open") as other:
        wrong = register(wire, authorization(challenge(wire, "alice")["nonce"], "alice", response="0" * 32))
        nonce = challenge(other, "mallory")["nonce"]
        unknown = register(other, authorization(nonce, "mallory"), user="mallory")
        assert wrong.status == unknown.status == 401
        assert not is_stale(wrong)
        assert not is_stale(unknown)
        shape = [name for name, _ in wrong.headers]
        assert shape == [name for name, _ in unknown.headers]
    assert {r["user"] for r in target.process.records("auth.fail")} >= {"alice", "mallory"}


def test_a_digest_for_another_uri_or_method_is_refused(target: Target) -> None:
    with target.wire("open") as wire:
        nonce = challenge(wire, "alice")["nonce"]
        assert register(wire, authorization(nonce, "alice", uri="sip:elsewhere.test")).status == 401
        assert register(wire, authorization(nonce, "alice", method="INVITE")).status == 401
        assert register(wire, authorization(nonce, "alice", count=2)).status == 200


def test_one_connection_is_one_user(target: Target) -> None:
    with target.wire("open") as wire:
        sign_in(wire, "alice")
        as_bob = request(wire, "REGISTER", REGISTRAR, user="bob", to=f"<sip:bob@{REALM}>")
        assert response_to(wire, as_bob).status == 403


def test_a_second_connection_does_not_remove_the_binding_of_the_first(target: Target) -> None:
    with target.wire("wss", "bob") as bob, target.wire("open") as thief:
        nonce = challenge(thief, "mallory")["nonce"]
        star = ("Expires: 0", f"Authorization: {authorization(nonce, 'mallory')}")
        data = request(thief, "REGISTER", REGISTRAR, user="bob", to=f"<sip:bob@{REALM}>", headers=star)
        assert response_to(thief, data).status == 401
        with target.wire("udp") as caller:
            invite = request(
                caller, "INVITE", f"sip:{CALLED_IN}@{REALM}", headers=(SDP_TYPE,), body=offer(*TRUNK_AUDIO)
            )
            caller.send(invite)
            next_request(bob, "INVITE")
            give_up(caller, invite)


# --- transactions and dialogs of others


def test_the_same_request_on_two_ways_is_merged(alice: AttackWire, trunk: AttackWire) -> None:
    invite = browser_invite(alice)
    alice.send(invite)
    _, seen = next_request(trunk, "INVITE")
    answer(trunk, seen, 180)
    branch = invite.split(b"branch=")[1].split(b"\r\n")[0]
    alice.send(invite.replace(branch, b"z9hG4bKother" + secrets.token_hex(4).encode()))
    merged = final_answer(alice)
    assert merged
    assert status_of(merged) == 482
    acknowledge(alice, merged)
    give_up(alice, invite)


def test_nobody_cancels_the_call_of_another_connection(target: Target, alice: AttackWire, trunk: AttackWire) -> None:
    invite = browser_invite(alice)
    alice.send(invite)
    _, seen = next_request(trunk, "INVITE")
    answer(trunk, seen, 180)
    cancel = invite.partition(b"\r\nContent-Type")[0].replace(b"INVITE", b"CANCEL") + b"\r\nContent-Length: 0\r\n\r\n"
    for transport, user in (("wss", "alice"), ("wss", "bob"), ("open", ""), ("tcp", "")):
        with target.wire(transport, user) as other:
            other.send(cancel)
            refused = final_answer(other)
            assert refused
            assert status_of(refused) == 481
    answer(trunk, seen, 486)
    busy = final_answer(alice)
    assert busy
    assert status_of(busy) == 486
    acknowledge(alice, busy)


def test_nobody_answers_in_the_place_of_the_trunk(target: Target, alice: AttackWire, trunk: AttackWire) -> None:
    invite = browser_invite(alice)
    alice.send(invite)
    _, seen = next_request(trunk, "INVITE")
    before = target.metrics()["sip_unmatched_response"]
    wires = [target.open("udp"), target.open("tcp"), target.open("wss", "bob")]
    for wire in wires:
        answer(wire, seen, 200, body=offer())
        assert response_to(wire, request(wire, "OPTIONS", REGISTRAR)).status == 200
        wire.close()
    assert target.metrics()["sip_unmatched_response"] == before + len(wires)
    answer(trunk, seen, 486)
    busy = final_answer(alice)
    assert busy
    assert status_of(busy) == 486
    acknowledge(alice, busy)


def unfinished(target: Target) -> float:
    """Calls without their final record."""
    metrics = target.metrics()
    return metrics["calls_started"] - metrics["calls_ended"]


def test_tags_that_are_known_do_not_open_a_dialog_to_others(
    target: Target, alice: AttackWire, trunk: AttackWire
) -> None:
    invite = browser_invite(alice)
    alice.send(invite)
    _, seen = next_request(trunk, "INVITE")
    answer(trunk, seen, 200, body=offer())
    told = final_answer(alice)
    assert told
    ok = parse_message(told, stream=False)
    assert isinstance(ok, Response)
    assert ok.status == 200
    browser_side = (ok.call_id, str(ok.headers.get("From")), str(ok.headers.get("To")))
    trunk_side = (seen.call_id, f"{seen.headers.get('To')};tag=evil", str(seen.headers.get("From")))
    for transport, user in (("wss", "bob"), ("open", ""), ("tcp", ""), ("tls", ""), ("udp", "")):
        dialogs = [browser_side] if transport == "udp" else [browser_side, trunk_side]  # udp is that trunk itself
        with target.wire(transport, user) as other:
            for call_id, from_, to in dialogs:
                for method in ("BYE", "INVITE", "UPDATE", "INFO"):
                    data = request(other, method, REGISTRAR, call_id=call_id, from_=from_, to=to, number=99)
                    other.send(data)
                    refused = final_answer(other)
                    assert refused
                    assert status_of(refused) == 481, (transport, method)
                    acknowledge(other, refused)
    assert unfinished(target) == 1
    call_id, from_, to = browser_side
    alice.send(request(alice, "ACK", REGISTRAR, call_id=call_id, from_=from_, to=to))
    bye = request(alice, "BYE", REGISTRAR, call_id=call_id, from_=from_, to=to, number=2)
    assert response_to(alice, bye).status == 200
    wait_for(lambda: unfinished(target) == 0, 5, "the call did not end")
