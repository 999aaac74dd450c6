"""Who the browser is shown as the other side: what a trusted trunk asserts, privacy, and changes in mid-call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.values import LegKind
from gateway.call.legs.party import HIDDEN, MAX_NAME, Party, Reading, caller, cleaned, connected
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.sip.address import NameAddr
from gateway.sip.message import Headers, Request
from gateway.sip.uri import SipUri
from tests.call.machine_scene import TRUNK_CONTACT, MachineScene, request, sdes_answer, trunk_flow
from tests.call.office import Office, invite
from tests.call.test_causes import ringing_browser
from tests.call.test_inbound import BROWSER_ANSWER
from tests.call.test_runner import inbound_invite

REALM = "example.test"
ALICE = '"Alice Example" <sip:+49301234@pbx.example>'


def said(from_: str = "<sip:4711@pbx.example>", *headers: tuple[str, str]) -> Request:
    """An INVITE or UPDATE of a trunk."""
    return Request("INVITE", "sip:100@gw", Headers.received([("From", f"{from_};tag=t"), *headers]))


def asserted(*values: str, privacy: str = "") -> Request:
    more = [("Privacy", privacy)] if privacy else []
    return said("<sip:4711@pbx.example>", *[("P-Asserted-Identity", value) for value in values], *more)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (said(), Party("", "4711")),
        (said('"Bob" <sip:4711@pbx.example>'), Party("Bob", "4711")),
        (asserted(ALICE), Party("Alice Example", "+49301234")),
        (asserted("<tel:+49-30-1234>"), Party("", "+49301234")),
        (asserted('"Alice" <sip:+49301234@x>', "tel:+49301234"), Party("Alice", "+49301234")),
        (asserted('<tel:+49301234>, "Alice" <sip:alice@x>'), Party("Alice", "+49301234")),
        (asserted("<tel:1234;phone-context=+4930>"), Party("", "+49301234")),
        (asserted("garbage"), Party("", "4711")),
        (asserted('"open <sip:1@x>'), Party("", "4711")),
        (asserted("<sip:x%20y@z>"), Party("", "4711")),
        (said('"Bob" <sip:%0d%0a@x>'), Party("Bob", "anonymous")),
        (said('"a\u202eb\x07  c\u2028d" <sip:4711@x>'), Party("a b c d", "4711")),
    ],
)
def test_a_trusted_trunk_is_believed_as_far_as_it_can_be_read(message: Request, expected: Party) -> None:
    assert caller(message, Reading(REALM), trusted=True) == expected


@pytest.mark.parametrize("message", [said('"Bob" <sip:4711@x>'), asserted(ALICE)])
def test_of_any_other_trunk_the_number_in_from_is_all(message: Request) -> None:
    assert caller(message, Reading(REALM), trusted=False) == Party("", "4711")
    assert connected(message, Reading(REALM), trusted=False) is None


@pytest.mark.parametrize(
    "privacy", ["id", "user", "ID; critical", "header", "none,id", "unheard-of", "critical;user;id"]
)
@pytest.mark.parametrize("trusted", [True, False])
def test_privacy_is_kept_whoever_asks_for_it(privacy: str, trusted: bool) -> None:
    assert caller(asserted(ALICE, privacy=privacy), Reading(REALM), trusted=trusted) == HIDDEN
    assert connected(asserted(ALICE, privacy=privacy), Reading(REALM), trusted=True) == HIDDEN


@pytest.mark.parametrize("privacy", ["none", "session", "history", "session;critical"])
def test_what_asks_for_no_privacy_of_the_person_hides_nobody(privacy: str) -> None:
    assert caller(asserted(ALICE, privacy=privacy), Reading(REALM), trusted=True) == Party("Alice Example", "+49301234")


@given(st.text(max_size=200))
def test_a_name_is_one_short_line_of_what_can_be_seen(name: str) -> None:
    shown = cleaned(name)
    assert shown.isprintable()
    assert len(shown) <= MAX_NAME
    address = NameAddr.parse(str(Party(shown, "1").address(REALM)))
    assert (address.display_name, address.uri) == (shown, SipUri.parse("sip:1@example.test"))


# --- the machine


def trusted(scene: MachineScene) -> MachineScene:
    scene.configure(trust_identity=True)
    return scene


def talking(*, outbound: bool = True) -> MachineScene:
    """A call that is answered and acknowledged on both sides; the browser has heard all there is."""
    scene = trusted(MachineScene() if outbound else ringing_browser()).calling()
    scene.reply(200, sdes_answer(scene.invite.body) if outbound else BROWSER_ANSWER)
    if outbound:
        return scene.ack().clear()
    return scene.feed(events.AckIn("invite-key", request("ACK", to_tag="gw-trunk"))).clear()


def changes(
    scene: MachineScene, method: str, *headers: tuple[str, str], body: bytes = b"", cseq: int = 7
) -> MachineScene:
    """The trunk sends a re-INVITE or UPDATE with these headers."""
    found = request(method, body, cseq=cseq, to_tag="gw-trunk", extra=headers)
    found = found.with_header("Contact", TRUNK_CONTACT)
    side = scene.trunk_leg
    assert side is not None
    if not side.is_caller:
        found = found.with_header("Call-ID", scene.callee_call_id)
        found = found.with_header("From", "<sip:callee@127.0.0.2>;tag=callee")
    return scene.feed(events.RequestIn(scene.id(LegKind.TRUNK), f"change-{cseq}", found, side.flow))


def updates(scene: MachineScene) -> list[str | None]:
    """Identities in what the browser was sent since the last clear."""
    to_browser = [e.request for e in scene.take(fx.SendRequest) if scene.kind(e.leg) is LegKind.BROWSER]
    return [sent.headers.get("P-Asserted-Identity") for sent in to_browser]


PAI = ("P-Asserted-Identity", ALICE)
SHOWN = '"Alice Example" <sip:+49301234@example.test>'


def at_home(scene: MachineScene) -> MachineScene:
    """The scene's realm; what makes legs is frozen."""
    make = scene.state.context.make
    object.__setattr__(make, "site", replace(make.site, realm=REALM))
    return scene


@pytest.mark.parametrize("outbound", [True, False])
def test_after_a_transfer_the_browser_hears_who_is_there_by_update(outbound: bool) -> None:
    scene = changes(talking(outbound=outbound), "UPDATE", PAI)
    assert updates(scene) == [SHOWN]
    (sent,) = [e.request for e in scene.take(fx.SendRequest)]
    assert sent.method == "UPDATE"
    assert "grade=" in (sent.headers.get("Call-Security") or "")
    scene.reply(200, purpose=Purpose.UPDATE).clear()
    changes(scene, "UPDATE", PAI, cseq=8)
    assert updates(scene) == [], "nothing new"
    changes(scene, "UPDATE", cseq=9)
    assert updates(scene) == [], "an update that says nothing changes nothing"


def test_a_reinvite_that_names_somebody_else_is_told_too() -> None:
    scene = talking()
    body = sdes_answer(scene.invite.body)
    changes(scene, "INVITE", PAI, body=body)
    assert SHOWN in updates(scene)


def test_a_browser_without_update_hears_of_it_by_reinvite() -> None:
    scene = at_home(talking())
    assert scene.browser_leg.told is not None
    scene.browser_leg.told.takes_update = False
    changes(scene, "UPDATE", PAI)
    assert [e.request.method for e in scene.take(fx.SendRequest)] == ["INVITE"]
    assert updates(scene) == [SHOWN]


def test_privacy_in_mid_call_hides_who_it_is_now() -> None:
    scene = changes(talking(), "UPDATE", PAI, ("Privacy", "id"))
    assert updates(scene) == ["<sip:anonymous@example.test>"]


def test_a_trunk_that_is_not_trusted_tells_nothing() -> None:
    scene = talking()
    scene.configure(trust_identity=False)
    assert updates(changes(scene, "UPDATE", PAI)) == []


def test_a_change_that_is_refused_names_nobody() -> None:
    scene = changes(talking(), "INVITE", PAI, body=b"v=0\r\nnonsense")
    assert scene.take(fx.Respond)[-1].response.status >= 400
    assert updates(scene) == []


def test_who_answered_is_told_with_the_answer() -> None:
    scene = trusted(MachineScene()).calling()
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest)][-1]
    event = scene.answer_to(sent, 200, sdes_answer(scene.invite.body))
    assert isinstance(event, events.ResponseIn)
    scene.feed(replace(event, response=event.response.with_added([PAI])))
    assert scene.responses[-1].headers.get("P-Asserted-Identity") == SHOWN


# --- through the manager


async def incoming(directory: Path, *, trust: bool) -> Request:
    """What the browser gets of a call from a trunk that names its caller."""
    office = Office(directory)
    trunks = office.sites.current.trunks
    pbx = replace(trunks["pbx"], trust_identity=trust)
    office.sites.current = replace(office.sites.current, trunks={**trunks, "pbx": pbx})
    office.bind()
    call = inbound_invite()
    call = call.with_header("From", '"Eve" <sip:4711@pbx.example>;tag=trunk')
    call = call.with_added([("P-Asserted-Identity", ALICE)])
    office.request(call, key="in-9", flow=trunk_flow())
    await office.settle()
    assert office.audit.records[0]["from"] == "4711"
    return next(request for request, _ in office.sip.sent.values() if request.method == "INVITE")


@pytest.mark.asyncio
async def test_the_invite_to_the_browser_names_the_caller_of_a_trusted_trunk_in_our_own_domain(tmp_path: Path) -> None:
    sent = await incoming(tmp_path, trust=True)
    assert sent.headers.get("From").startswith(f"{SHOWN};tag=")  # type: ignore[union-attr]
    assert sent.headers.get("P-Asserted-Identity") == SHOWN
    assert b"pbx.example" not in bytes(sent)


@pytest.mark.asyncio
async def test_of_another_trunk_it_has_the_number_and_no_text(tmp_path: Path) -> None:
    sent = await incoming(tmp_path, trust=False)
    assert str(sent.from_.uri) == "sip:4711@example.test"
    for text in (b"Eve", b"Alice Ex", b"49301234", b"pbx.example"):
        assert text not in bytes(sent)


@pytest.mark.asyncio
async def test_nothing_a_browser_says_of_itself_reaches_the_trunk_but_its_user_name(tmp_path: Path) -> None:
    office = Office(tmp_path)
    call = invite()
    call = call.with_header("From", '"Mallory" <sip:alice@example.test>;tag=caller')
    for name in ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Identity"):
        call = call.with_added([(name, '"Mallory" <sip:+4999@evil.example>')])
    office.request(call)
    await office.settle()
    (sent, _) = office.sip.sent["sent-1"]
    assert str(sent.from_.uri) == "sip:alice@example.test"
    for text in (b"Mallory", b"4999", b"evil", b"Privacy", b"Identity", b"Remote-Party"):
        assert text not in bytes(sent)
