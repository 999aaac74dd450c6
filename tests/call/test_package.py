"""INFO of the package `call-security` (RFC 6086): to whom asked for it, while that holds, and to nobody else."""

from __future__ import annotations

import json

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.sip.message import Request
from tests.call.machine_scene import MachineScene, answer, sdes_answer, trunk_flow
from tests.call.test_change import from_browser, from_trunk, held
from tests.call.test_setup import finished
from tests.call.test_telling import BROWSER_ANSWER, KEY, SIPJS, keyed, to_browser

ASKED = (("Recv-Info", "call-security"),)


def outbound(*headers: tuple[str, str], profile: Profile = Profile.PREFER) -> MachineScene:
    """The browser called, with these header fields in its INVITE."""
    scene = MachineScene(profile=profile)
    assert scene.state.caller.invite is not None
    scene.state.caller.invite = scene.state.caller.invite.with_added(headers)
    scene.calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack()
    return keyed(scene)


def weaker(scene: MachineScene) -> MachineScene:
    return from_trunk(scene, "INVITE", answer("RTP/AVP"))


def told(scene: MachineScene) -> Request:
    (found,) = to_browser(scene)
    return found


@pytest.mark.parametrize(
    "named",
    [
        "call-security",
        "Call-Security",
        "foo, call-security",
        "call-security;x=1",
        "foo;a=b , call-security ;c",
    ],
)
def test_a_page_that_asked_for_the_package_is_told_by_info_whose_body_is_the_report(named: str) -> None:
    info = told(weaker(outbound(("Recv-Info", named))))
    assert (info.method, info.headers.get("Info-Package")) == ("INFO", "call-security")
    assert info.headers.get("Content-Type") == "application/json"
    assert info.headers.get("Content-Disposition") == "Info-Package"
    body = json.loads(info.body)
    assert (body["v"], body["type"], body["grade"], body["worst"]) == (1, "call.security", "CLEARTEXT", "CLEARTEXT")
    assert body["call_id"] == "c-1"
    assert body["legs"][1] == "plain,none,tls1.3,verified"
    assert "mid.crypto_removed" in body["codes"]


@pytest.mark.parametrize("named", ["", "nil", "foo", "call-security2", "x-call-security", "foo;p=call-security"])
def test_a_page_that_asked_for_none_or_another_gets_no_info(named: str) -> None:
    assert told(weaker(outbound(("Recv-Info", named)))).method == "UPDATE"


def test_a_callee_asks_by_its_200() -> None:
    scene = MachineScene(profile=Profile.PREFER, outbound=False, offer=answer("RTP/SAVP", KEY), flow=trunk_flow())
    scene.calling()
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.request.method == "INVITE"][-1]
    answered = scene.answer_to(sent, 200, BROWSER_ANSWER)
    assert isinstance(answered, events.ResponseIn)
    scene.feed(events.ResponseIn(answered.ask, answered.response.with_added(ASKED), answered.flow)).ack()
    assert told(weaker(keyed(scene))).method == "INFO"


def test_the_numbers_of_info_and_header_are_one_row() -> None:
    scene = weaker(outbound(*ASKED))
    first = json.loads(told(scene).body)["seq"]
    scene.clear().reply(200, purpose=Purpose.REPORT)
    from_trunk(scene, "INVITE", answer("RTP/SAVP", KEY), cseq=901)
    assert json.loads(told(scene).body)["seq"] > first


def test_what_changes_while_an_info_is_out_is_told_behind_it_as_one_report() -> None:
    scene = weaker(outbound(*ASKED))
    from_trunk(scene, "INVITE", answer("RTP/SAVP", KEY), cseq=901)
    from_trunk(scene, "INVITE", answer("RTP/AVP"), cseq=902)
    from_trunk(scene, "INVITE", answer("RTP/SAVP", KEY), cseq=903)
    assert len(to_browser(scene)) == 1
    scene.clear().reply(200, purpose=Purpose.REPORT)
    assert json.loads(told(scene).body)["grade"] == "HOP_BY_HOP"


@pytest.mark.parametrize("status", [469, 405, 415, 420, 489, 501])
@pytest.mark.parametrize(("allow", "way"), [("", "UPDATE"), (SIPJS, "INVITE")])
def test_a_page_that_refuses_the_package_is_told_at_once_as_all_others_and_gets_no_other_info(
    status: int, allow: str, way: str
) -> None:
    scene = weaker(outbound(*ASKED, *([("Allow", allow)] if allow else [])))
    scene.clear().reply(status, purpose=Purpose.REPORT)
    assert told(scene).method == way
    assert (told(scene).headers.get("Call-Security") or "").startswith("grade=CLEARTEXT;")
    assert finished(scene) is None


def test_a_page_that_says_nothing_to_info_keeps_its_call_and_is_told_otherwise() -> None:
    """SIP.js drops an INFO without a word while its session is not established."""
    scene = weaker(outbound(*ASKED))
    asked = scene.take(fx.SendRequest)[-1].ask
    scene.clear().feed(events.RequestFailed(asked, transport=False))
    assert told(scene).method == "UPDATE"
    assert finished(scene) is None


@pytest.mark.parametrize("status", [400, 491, 500, 503])
def test_an_info_that_could_not_be_taken_just_then_comes_again(status: int) -> None:
    scene = weaker(outbound(*ASKED))
    scene.clear().reply(status, purpose=Purpose.REPORT)
    assert to_browser(scene) == []
    scene.feed(scene.fires(fx.Timer.REPORT))
    assert told(scene).method == "INFO"


@pytest.mark.parametrize("status", [481, 408])
def test_a_page_that_does_not_know_the_dialog_any_more_ends_the_call(status: int) -> None:
    scene = weaker(outbound(*ASKED))
    scene.clear().reply(status, purpose=Purpose.REPORT)
    assert finished(scene) is Termination.PEER_TIMEOUT


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_page_takes_its_wish_back_or_utters_it_in_mid_call(method: str) -> None:
    for before, after, way in ((ASKED, "nil", "UPDATE"), ((), "call-security", "INFO")):
        scene = outbound(*before)
        body = held(b"sendrecv")
        scene.inside(LegKind.BROWSER, method, body, cseq=2, extra=(("Recv-Info", after),))
        assert told(weaker(scene.clear())).method == way


def test_a_wish_that_is_not_repeated_holds() -> None:
    """RFC 6086 5.2.1: until another set is named."""
    scene = from_browser(outbound(*ASKED), "INVITE", held(b"sendrecv"))
    assert told(weaker(scene.clear())).method == "INFO"


def test_before_the_page_has_acknowledged_there_is_no_info() -> None:
    scene = MachineScene(profile=Profile.OSRTP)
    assert scene.state.caller.invite is not None
    scene.state.caller.invite = scene.state.caller.invite.with_added(ASKED)
    scene.calling()
    scene.reply(200, sdes_answer(scene.invite.body).replace(b"SAVP", b"AVP")).clear()
    weaker(scene)
    assert to_browser(scene) == []


def test_a_trunk_that_asks_for_the_package_is_told_nothing() -> None:
    scene = outbound()
    scene.inside(LegKind.TRUNK, "UPDATE", cseq=800, extra=ASKED)
    weaker(scene)
    assert [(scene.kind(e.leg), e.request.method) for e in scene.take(fx.SendRequest)] == [(LegKind.BROWSER, "UPDATE")]


@pytest.mark.parametrize("leg", list(LegKind))
def test_an_info_of_the_package_from_outside_is_refused_and_goes_no_further(leg: LegKind) -> None:
    scene = outbound(*ASKED)
    extra = (("Info-Package", "call-security"), ("Content-Type", "application/json"))
    scene.inside(leg, "INFO", b'{"grade":"END_TO_END"}', cseq=900, extra=extra)
    assert scene.responses[-1].status == 469
    assert not scene.take(fx.SendRequest)


@pytest.mark.parametrize("ends", [events.Lost(Termination.SHUTDOWN), None])
def test_the_goodbye_to_a_browser_says_what_its_call_was(ends: events.Event | None) -> None:
    scene = weaker(outbound())
    scene.clear().reply(200, purpose=Purpose.UPDATE)
    if ends is None:
        scene.inside(LegKind.TRUNK, "BYE", cseq=950)
    else:
        scene.feed(ends)
    byes = {scene.kind(e.leg): e.request for e in scene.take(fx.SendRequest) if e.purpose is Purpose.BYE}
    assert (byes[LegKind.BROWSER].headers.get("Call-Security") or "").startswith("grade=CLEARTEXT;worst=CLEARTEXT;")
    if ends is not None:
        assert byes[LegKind.TRUNK].headers.get("Call-Security") is None
