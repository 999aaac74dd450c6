"""The rules of a call over real sockets: BYE while it rings, forks that answer late, media aimed at ourselves."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from gateway.sip.message import Message, Request, Response, parse_message
from tests.attacks.judge import acknowledge
from tests.attacks.table.bodies import BROWSER_AUDIO, HEAD, TRUNK_AUDIO, offer
from tests.attacks.target import CALLED_IN, NUMBERS, WAIT, Target, request
from tests.attacks.wires import AttackWire
from tests.rig.gateway import REALM

pytestmark = pytest.mark.attack

SDP = "Content-Type: application/sdp"


@pytest.fixture
def trunk(target: Target) -> Iterator[AttackWire]:
    with target.wire("udp", port=target.ports["udp"]) as made:
        yield made


@pytest.fixture
def alice(target: Target) -> Iterator[AttackWire]:
    with target.wire("wss") as made:
        yield made


@pytest.fixture
def bob(target: Target) -> Iterator[AttackWire]:
    with target.wire("wss", "bob") as made:
        yield made


def next_of(wire: AttackWire, *wanted: int | str) -> Message:
    """The next request with this method or response with this status; what else comes is let pass."""
    while data := wire.receive(WAIT):
        message = parse_message(data, stream=False)
        kind = message.method if isinstance(message, Request) else message.status
        if kind in wanted:
            if isinstance(message, Response) and message.status >= 300:
                acknowledge(wire, data)
            return message
    raise AssertionError(f"none of {wanted} came")


def request_of(wire: AttackWire, method: str) -> Request:
    message = next_of(wire, method)
    assert isinstance(message, Request)
    return message


def response_of(wire: AttackWire, status: int) -> Response:
    message = next_of(wire, status)
    assert isinstance(message, Response)
    return message


def respond(wire: AttackWire, asked: Request, status: int, tag: str, body: bytes = b"") -> None:
    """A response of the phone with this tag."""
    lines = [f"SIP/2.0 {status} X"]
    lines += [f"{name}: {asked.headers.get(name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
    to = asked.headers.get("To") or ""
    lines += [f"To: {to if 'tag=' in to else f'{to};tag={tag}'}", f"Contact: <sip:{tag}@{wire.via.split()[-1]}>"]
    lines += [SDP] if body else []
    lines += [f"Content-Length: {len(body)}", "", ""]
    wire.send("\r\n".join(lines).encode() + body)


def inside(wire: AttackWire, method: str, answer: Response, number: int) -> bytes:
    """A request of the caller in the dialog its INVITE's answer made."""
    return request(
        wire,
        method,
        f"sip:gw@{REALM}",
        from_=str(answer.headers.get("From")),
        to=str(answer.headers.get("To")),
        call_id=answer.call_id,
        number=number,
    )


def call_in(wire: AttackWire, body: bytes) -> None:
    wire.send(request(wire, "INVITE", f"sip:{CALLED_IN}@{REALM}", headers=(SDP,), body=body))


def dial(wire: AttackWire) -> None:
    body = offer(audio=BROWSER_AUDIO)
    from_ = f"<sip:alice@{REALM}>;tag=f{secrets.token_hex(4)}"
    wire.send(request(wire, "INVITE", f"sip:{NUMBERS['udp']}@{REALM}", from_=from_, headers=(SDP,), body=body))


def finals(target: Target) -> float:
    return target.metrics()["call_endings"]


def test_the_trunk_hangs_up_by_bye_while_the_browser_rings(target: Target, bob: AttackWire) -> None:
    before = finals(target)
    with target.wire("udp") as caller:
        call_in(caller, offer())
        ringing = request_of(bob, "INVITE")
        respond(bob, ringing, 180, "bob")
        early = response_of(caller, 180)
        caller.send(inside(caller, "BYE", early, 2))
        seen = {m.status for m in (next_of(caller, 200, 487), next_of(caller, 200, 487)) if isinstance(m, Response)}
        assert seen == {200, 487}
        respond(bob, request_of(bob, "CANCEL"), 200, "bob")
        respond(bob, ringing, 487, "bob")
    target.wait_idle()
    assert finals(target) == before + 1


def test_phones_that_answer_after_the_call_is_over_are_acknowledged_and_hung_up_on(
    target: Target, alice: AttackWire, trunk: AttackWire
) -> None:
    before = finals(target)
    dial(alice)
    asked = request_of(trunk, "INVITE")
    respond(trunk, asked, 200, "first", offer())
    answered = response_of(alice, 200)
    alice.send(inside(alice, "ACK", answered, 1))
    assert request_of(trunk, "ACK").to.tag == "first"
    alice.send(inside(alice, "BYE", answered, 2))
    bye = request_of(trunk, "BYE")
    respond(trunk, bye, 200, "first")
    target.wait_idle()
    respond(trunk, asked, 200, "second", offer())
    assert request_of(trunk, "ACK").to.tag == "second"
    late = request_of(trunk, "BYE")
    assert late.to.tag == "second"
    respond(trunk, late, 200, "second")
    respond(trunk, asked, 200, "second", offer())  # our ACK was lost
    assert request_of(trunk, "ACK").to.tag == "second"
    assert finals(target) == before + 1


def test_a_phone_that_answers_after_cancel_is_acknowledged_and_hung_up_on(
    target: Target, alice: AttackWire, trunk: AttackWire
) -> None:
    dial(alice)
    asked = request_of(trunk, "INVITE")
    respond(trunk, asked, 180, "first")
    ringing = response_of(alice, 180)
    alice.send(inside(alice, "BYE", ringing, 2))  # as good as CANCEL
    respond(trunk, request_of(trunk, "CANCEL"), 200, "first")
    for tag in ("first", "second"):
        respond(trunk, asked, 200, tag, offer())
        assert request_of(trunk, "ACK").to.tag == tag
        bye = request_of(trunk, "BYE")
        assert bye.to.tag == tag
        respond(trunk, bye, 200, tag)
    target.wait_idle()


@pytest.mark.parametrize(
    ("address", "warning"),
    [("IN IP6 2001:db8::1", "300"), ("IN IP4 phone.example", "301"), ("IN IP4 2001:db8::1", "399")],
)
def test_media_that_our_socket_cannot_reach_is_488_before_anybody_rings(
    target: Target, bob: AttackWire, address: str, warning: str
) -> None:
    with target.wire("udp") as caller:
        call_in(caller, offer(head=[f"c={address}" if line.startswith("c=") else line for line in HEAD]))
        refused = response_of(caller, 488)
        assert (refused.headers.get("Warning") or "").startswith(warning)
    assert bob.receive(0.2) is None


def test_media_aimed_at_a_port_of_ours_is_488_before_anybody_rings(target: Target, bob: AttackWire) -> None:
    audio = (TRUNK_AUDIO[0].replace("4000", str(target.setup.sip_port)), *TRUNK_AUDIO[1:])
    head = ["c=IN IP4 127.0.0.1" if line.startswith("c=") else line for line in HEAD]
    with target.wire("udp") as caller:
        call_in(caller, offer(head=head, audio=audio))
        assert response_of(caller, 488)
    assert bob.receive(0.2) is None
