"""What one side writes never reaches the other: headers, names, reasons, hosts stop at the gateway (RFC 3261 7.3)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest

from gateway.sip.message import Message, Request, Response, create_response, parse_message
from tests.attacks.judge import acknowledge, final_answer, status_of
from tests.attacks.table.bodies import BROWSER_AUDIO, TRUNK_AUDIO, offer
from tests.attacks.target import CALLED_IN, HOSTS, NUMBERS, WAIT, Target, request
from tests.attacks.wires import AttackWire
from tests.rig.gateway import REALM

pytestmark = pytest.mark.attack

OURS = {
    *("via", "max-forwards", "from", "to", "call-id", "cseq", "contact", "allow", "content-type", "content-length"),
    *("supported", "session-expires"),
    *("gateway-hop", "call-security", "call-security-detail", "warning", "reason"),
}
"""Every header field the gateway writes; whatever else arrives was smuggled."""
FORGED = (
    "Call-Security: grade=E2E; browser=evil; trunk=evil",
    "call-security: evil",
    "P-Asserted-Identity: <sip:evil@bank.test>",
    "P-Preferred-Identity: <sip:evil@bank.test>",
    "Remote-Party-ID: <sip:evil@bank.test>;party=calling",
    "Identity: evil;info=<https://169.254.169.254/evil>;alg=ES256",
    "Privacy: id;evil",
    "Diversion: <sip:evil@bank.test>;reason=unconditional",
    "History-Info: <sip:evil@bank.test>;index=1",
    "Alert-Info: <http://evil.test/ring.wav>",
    "Call-Info: <http://evil.test/face.png>;purpose=icon",
    "Reply-To: <sip:evil@bank.test>",
    "Referred-By: <sip:evil@bank.test>",
    "Subject: evil",
    "User-Agent: evil",
    "Server: evil",
    "Organization: evil",
    "Priority: emergency",
    "Error-Info: <http://evil.test/>",
    "Warning: 399 evil.test evil",
    "X-Evil: evil",
)
SDP_TYPE = "Content-Type: application/sdp"
NAMES = (
    '"evil%0d%0aRoute: <sip:evil.test>"',
    '"evil\\"> <sip:evil@bank.test"',
    '"<script>evil()</script>"',
    "evil",
)


@pytest.fixture
def trunk(target: Target) -> Iterator[AttackWire]:
    """The trunk's own end, where calls from browsers arrive."""
    with target.wire("udp", port=target.ports["udp"]) as wire:
        yield wire


@pytest.fixture
def alice(target: Target) -> Iterator[AttackWire]:
    with target.wire("wss", "alice") as wire:
        yield wire


@pytest.fixture
def bob(target: Target) -> Iterator[AttackWire]:
    with target.wire("wss", "bob") as wire:
        yield wire


def next_request(wire: AttackWire, method: str) -> tuple[bytes, Request]:
    """The next request of that method, as octets too."""
    while data := wire.receive(WAIT):
        message = parse_message(data, stream=False)
        if isinstance(message, Request) and message.method == method:
            return data, message
    raise AssertionError(f"no {method} came")


def check_clean(data: bytes, message: Message, more: frozenset[str] = frozenset()) -> None:
    """Only what the gateway writes itself, each once, and not a word of the attacker's."""
    names = [name.lower() for name, _ in message.headers]
    assert set(names) <= OURS | more, set(names) - OURS - more
    assert len(set(names)) == len(names)
    assert b"evil" not in data.lower()
    assert data.count(b"SIP/2.0\r\n") == 1 or isinstance(message, Response)


def answer(wire: AttackWire, invite: Request, status: int, reason: str = "", *headers: str, body: bytes = b"") -> None:
    """A response with header lines of our choice."""
    response = create_response(invite, status, reason, to_tag="evil", body=body)
    response = response.with_added([("Contact", f"<sip:evil@{HOSTS['udp']}>")])
    for line in (*headers, *([SDP_TYPE] if body else [])):
        name, value = line.split(": ", 1)
        response = response.with_added([(name, value)])
    wire.send(bytes(response))


def give_up(wire: AttackWire, invite: bytes) -> None:
    """CANCEL our INVITE and take its 487."""
    head = invite.partition(b"\r\n\r\n")[0].replace(b"INVITE", b"CANCEL").split(b"\r\nContent-Type")[0]
    wire.send(head.split(b"\r\nContent-Length")[0] + b"\r\nContent-Length: 0\r\n\r\n")
    while answered := final_answer(wire):
        acknowledge(wire, answered)
        if b" 487 " in answered[:15]:
            return
    raise AssertionError("no 487")


def browser_invite(wire: AttackWire, name: str = "", *headers: str) -> bytes:
    return request(
        wire,
        "INVITE",
        f"sip:{NUMBERS['udp']}@{REALM}",
        from_=f"{name}<sip:alice@{REALM}>;tag=evil",
        headers=(*headers, SDP_TYPE),
        body=offer("a=evil", audio=BROWSER_AUDIO),
    )


def trunk_invite(wire: AttackWire, name: str = "", *headers: str) -> bytes:
    return request(
        wire,
        "INVITE",
        f"sip:{CALLED_IN}@{REALM}",
        from_=f"{name}<sip:4930123@evil.test>;tag=evil",
        headers=(*headers, SDP_TYPE),
        body=offer("a=evil", audio=TRUNK_AUDIO),
    )


@pytest.mark.parametrize(
    ("privacy", "shown"), [((), "4930123"), (("Privacy: id",), "anonymous")], ids=["number", "private"]
)
@pytest.mark.parametrize("name", NAMES)
def test_of_a_trunks_invite_only_the_number_reaches_the_browser(
    target: Target, bob: AttackWire, name: str, privacy: tuple[str, ...], shown: str
) -> None:
    with target.wire("udp") as caller:
        forged = [line for line in FORGED if not line.startswith("Privacy")]
        invite = trunk_invite(caller, f"{name} ", *forged, *privacy)
        caller.send(invite)
        data, seen = next_request(bob, "INVITE")
        check_clean(data, seen, frozenset({"p-asserted-identity"}))  # ours, from the number: see the next lines
        assert shown in (seen.headers.get("P-Asserted-Identity") or "")
        assert shown in str(seen.from_)
        assert "CLEARTEXT" in (seen.headers.get("Call-Security") or "")
        give_up(caller, invite)


@pytest.mark.parametrize("name", NAMES)
def test_of_a_browsers_invite_only_the_number_reaches_the_trunk(
    alice: AttackWire, trunk: AttackWire, name: str
) -> None:
    invite = browser_invite(alice, f"{name} ", *FORGED)
    alice.send(invite)
    data, seen = next_request(trunk, "INVITE")
    check_clean(data, seen)
    assert b"attacker.invalid" not in data
    assert "call-security" not in [n.lower() for n, _ in seen.headers]
    answer(trunk, seen, 180)
    give_up(alice, invite)


@pytest.mark.parametrize("status", [183, 486, 503, 603])
def test_of_a_trunks_response_only_the_status_reaches_the_browser(
    alice: AttackWire, trunk: AttackWire, status: int
) -> None:
    invite = browser_invite(alice)
    alice.send(invite)
    _, seen = next_request(trunk, "INVITE")
    answer(trunk, seen, status, "evil <script>", *FORGED)
    responses = [alice.receive(WAIT) or b"" for _ in range(2)]  # 100, and ours
    told = responses[1]
    message = parse_message(told, stream=False)
    assert isinstance(message, Response)
    own = told.replace(b"tag=evil", b"")  # From is ours to get back
    check_clean(own, message)
    if status < 200:
        give_up(alice, invite)
    else:
        acknowledge(alice, told)


def call_back(wire: AttackWire, hop: str) -> bytes:
    wire.send(trunk_invite(wire, "", hop))
    answered = final_answer(wire)
    assert answered
    acknowledge(wire, answered)
    return answered


def test_an_invite_of_our_own_that_comes_back_is_a_loop(target: Target, alice: AttackWire, trunk: AttackWire) -> None:
    invite = browser_invite(alice)
    alice.send(invite)
    _, seen = next_request(trunk, "INVITE")
    answer(trunk, seen, 180)
    hop = f"Gateway-Hop: {seen.headers.get('Gateway-Hop')}"
    with target.wire("udp") as back:
        with target.wire("wss", "bob"):
            assert status_of(call_back(back, hop)) == 482
        assert status_of(call_back(back, hop[:-1] + "!")) == 480  # a mark that is not ours means nothing
    give_up(alice, invite)


def test_the_hop_marks_of_two_calls_have_nothing_in_common(alice: AttackWire, trunk: AttackWire) -> None:
    marks = []
    for _ in range(3):
        invite = browser_invite(alice)
        alice.send(invite)
        _, seen = next_request(trunk, "INVITE")
        answer(trunk, seen, 180)
        marks.append(seen.headers.get("Gateway-Hop") or "")
        give_up(alice, invite)
    assert all(len(mark) >= 32 for mark in marks)
    assert all(a[start : start + 8] not in b for a, b in combinations(marks, 2) for start in range(len(a) - 7))
