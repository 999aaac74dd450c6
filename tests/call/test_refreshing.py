"""Session timers of a call, each leg on its own: refreshed in time, or over (RFC 4028)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose, Timer
from gateway.media.relay_commands import Route, SetIce, SetKeys, SetPeer
from gateway.sip.message import Request
from gateway.sip.session_timer import Timing
from tests.call.machine_scene import MachineScene, answer, sdes_answer, vector

TRUNK, BROWSER = LegKind.TRUNK, LegKind.BROWSER
KNOWS = ("Supported", "timer")
UPDATES = ("Allow", "INVITE, ACK, BYE, UPDATE")


def said(scene: MachineScene, status: int, body: bytes, *fields: tuple[str, str], purpose: Purpose) -> MachineScene:
    """The trunk answers the request sent last, with these header fields."""
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is purpose][-1]
    event = scene.answer_to(sent, status, body)
    assert isinstance(event, events.ResponseIn)
    return scene.feed(replace(event, response=event.response.with_added(fields)))


def talking(
    timer: str = "1800;refresher=uac", *more: tuple[str, str], profile: Profile = Profile.STRICT
) -> MachineScene:
    """A browser speaks with a trunk, which has answered with this Session-Expires."""
    scene = MachineScene(profile=profile).calling()
    body = sdes_answer(scene.invite.body) if profile is Profile.STRICT else answer()
    fields = (("Session-Expires", timer), *more) if timer else more
    return said(scene, 200, body, *fields, purpose=Purpose.INVITE).ack().feed(scene.keyed()).clear()


def called(*fields: tuple[str, str]) -> MachineScene:
    """A trunk speaks with a browser; its INVITE had these header fields."""
    scene = MachineScene(profile=Profile.LEGACY, outbound=False, offer=answer())
    assert scene.state.caller.invite is not None
    scene.state.caller.invite = scene.state.caller.invite.with_added(fields)
    scene.calling().reply(200, vector("chromium_offer").replace(b"setup:actpass", b"setup:active"))
    return scene.ack().feed(scene.keyed())


def clock(scene: MachineScene) -> float:
    return [e.seconds for e in scene.all if isinstance(e, fx.SetTimer) and e.name is Timer.SESSION][-1]


def rings_out(scene: MachineScene) -> MachineScene:
    """The clock that was set last runs out."""
    scene.now += clock(scene)
    return scene.clear().feed(scene.fires(Timer.SESSION))


def refreshes(scene: MachineScene, purpose: Purpose = Purpose.REFRESH) -> list[Request]:
    return [e.request for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is purpose]


# What is asked for and agreed on.


def test_a_trunk_is_asked_for_a_timer_that_we_refresh() -> None:
    invite = MachineScene().calling().invite
    assert invite.headers.get("Session-Expires") == "1800;refresher=uac"
    assert "timer" in invite.tokens("Supported")


def test_a_trunk_that_is_configured_without_is_asked_for_none_and_still_understood() -> None:
    invite = MachineScene().configure(session_expires=0).calling().invite
    assert "Session-Expires" not in invite.headers
    assert "timer" in invite.tokens("Supported")


def test_no_browser_is_asked_for_a_timer() -> None:
    invite = MachineScene(profile=Profile.LEGACY, outbound=False, offer=answer()).calling().invite
    assert "Session-Expires" not in invite.headers
    assert "timer" not in invite.tokens("Supported")


def test_without_an_agreement_there_is_no_clock() -> None:
    scene = talking("")
    assert scene.trunk_leg.timing is None
    assert not [e for e in scene.all if isinstance(e, fx.SetTimer) and e.name is Timer.SESSION]


def test_each_side_has_its_own_timer_and_that_of_a_browser_is_its_own_affair() -> None:
    """JsSIP asks for 90 s and refreshes; the trunk has 1800 s, which we refresh."""
    scene = MachineScene(profile=Profile.LEGACY)
    assert scene.state.caller.invite is not None
    fields = (KNOWS, ("Session-Expires", "90"))
    scene.state.caller.invite = scene.state.caller.invite.with_added(fields)
    scene.calling()
    said(scene, 200, answer(), ("Session-Expires", "1800;refresher=uac"), purpose=Purpose.INVITE)
    (answered,) = [r for r in scene.responses if r.status == 200]
    assert answered.headers.get("Session-Expires") == "90;refresher=uac"
    assert scene.invite.headers.get("Session-Expires") == "1800;refresher=uac"
    clocks = [(e.leg, e.seconds) for e in scene.all if isinstance(e, fx.SetTimer) and e.name is Timer.SESSION]
    assert clocks == [(scene.trunk_leg.id, 900.0)]


def test_a_browser_that_wants_to_be_refreshed_is_not_promised_that() -> None:
    scene = MachineScene(profile=Profile.LEGACY)
    assert scene.state.caller.invite is not None
    fields = (KNOWS, ("Session-Expires", "90;refresher=uas"))
    scene.state.caller.invite = scene.state.caller.invite.with_added(fields)
    scene.calling().reply(200, answer())
    assert "Session-Expires" not in [r for r in scene.responses if r.status == 200][-1].headers


# Ours.


def test_our_refresh_is_an_update_without_a_description_where_the_trunk_takes_it() -> None:
    scene = rings_out(talking("1800;refresher=uac", UPDATES))
    (update,) = refreshes(scene)
    assert update.method == "UPDATE"
    assert update.body == b""
    assert update.headers.get("Session-Expires") == "1800;refresher=uac"
    assert "timer" in update.tokens("Supported")
    said(scene, 200, b"", ("Session-Expires", "1800;refresher=uac"), purpose=Purpose.REFRESH)
    assert clock(scene) == 900.0
    assert scene.now == 1000.0


def test_else_it_is_a_reinvite_that_repeats_the_session_with_the_same_version() -> None:
    scene = talking("1800;refresher=uac", ("Allow", "INVITE, BYE"), profile=Profile.LEGACY)
    before = scene.invite.body
    rings_out(scene)
    (again,) = refreshes(scene, Purpose.REINVITE)
    assert again.body == before
    assert again.headers.get("Session-Expires") == "1800;refresher=uac"


def test_two_refreshes_by_reinvite_are_the_same_octets() -> None:
    scene = talking("1800;refresher=uac")
    bodies = []
    for _ in range(2):
        rings_out(scene)
        bodies.append(refreshes(scene, Purpose.REINVITE)[-1].body)
        said(scene, 200, sdes_answer(scene.invite.body), ("Session-Expires", "1800"), purpose=Purpose.REINVITE)
    assert bodies[0] == bodies[1]
    assert scene.state.live


@pytest.mark.parametrize("allow", [UPDATES, ("Allow", "INVITE")])
def test_a_refresh_touches_neither_keys_nor_ice_nor_dtls_nor_the_other_leg(allow: tuple[str, str]) -> None:
    """Pain 4: a refresh without a change took the audio of WebRTC calls. Pain 25: without one they end after 15 min."""
    scene = talking("1800;refresher=uac", allow)
    rings_out(scene)
    purpose = Purpose.REFRESH if allow == UPDATES else Purpose.REINVITE
    body = b"" if purpose is Purpose.REFRESH else sdes_answer(scene.invite.body)
    said(scene, 200, body, ("Session-Expires", "1800;refresher=uac"), purpose=purpose)
    assert not scene.told(SetKeys)
    assert not scene.told(SetIce)
    assert not scene.told(Route)
    assert not scene.take(fx.StartDtls)
    assert not [e for e in scene.take(fx.SendRequest) if e.leg == scene.browser_leg.id]
    assert not scene.take(fx.WriteAudit)


@pytest.mark.parametrize("allow", [UPDATES, ("Allow", "INVITE")])
def test_a_refresh_of_theirs_touches_nothing_either(allow: tuple[str, str]) -> None:
    scene = talking("1800;refresher=uas", allow)
    theirs = sdes_answer(scene.invite.body) if allow != UPDATES else b""
    method, fields = "INVITE" if theirs else "UPDATE", (KNOWS, ("Session-Expires", "1800;refresher=uac"))
    scene.inside(TRUNK, method, theirs, cseq=40, extra=fields).ack_of(TRUNK, 40).clear()
    scene.inside(TRUNK, method, theirs, cseq=41, extra=fields)
    (answered,) = scene.take(fx.Respond)
    assert answered.response.status == 200
    assert answered.response.headers.get("Session-Expires") == "1800;refresher=uac"
    assert not scene.told(SetKeys)
    assert not scene.told(Route)
    assert not scene.take(fx.StartDtls)
    assert not scene.take(fx.SendRequest)
    assert not scene.take(fx.WriteAudit)
    assert len(scene.told(SetPeer)) <= 1  # silence is counted from each description


@pytest.mark.parametrize("body", [answer(), answer("RTP/SAVP")], ids=["plain", "without keys"])
def test_a_refresh_that_is_answered_without_keys_is_a_violation_and_no_refresh(body: bytes) -> None:
    scene = talking("1800;refresher=uac")
    rings_out(scene)
    said(scene, 200, body, ("Session-Expires", "1800"), purpose=Purpose.REINVITE)
    assert "leg.violation" in scene.records
    assert not scene.state.live
    assert not [c for c in scene.told(SetPeer) if not c.keyed]


@pytest.mark.parametrize("status", [405, 408, 415, 420, 501])
def test_a_trunk_that_takes_no_update_after_all_is_refreshed_by_reinvite_at_once(status: int) -> None:
    scene = rings_out(talking("1800;refresher=uac", UPDATES))
    said(scene, status, b"", purpose=Purpose.REFRESH)
    assert len(refreshes(scene, Purpose.REINVITE)) == 1


def test_an_update_that_is_swallowed_is_followed_by_a_reinvite() -> None:
    scene = rings_out(talking("1800;refresher=uac", UPDATES))
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.REFRESH][-1]
    scene.feed(events.RequestFailed(sent.ask, transport=False))
    assert len(refreshes(scene, Purpose.REINVITE)) == 1


@pytest.mark.parametrize("status", [491, 500, 503])
def test_a_refresh_that_is_refused_for_a_passing_reason_is_tried_again_until_the_session_is_over(status: int) -> None:
    scene = talking("90;refresher=uac", UPDATES)
    begun, tries = scene.now, 0
    while scene.state.live:
        rings_out(scene)
        if scene.state.live:
            said(scene, status, b"", purpose=Purpose.REFRESH)
            tries += 1
    assert scene.now - begun == pytest.approx(90.0)
    assert tries == 5
    assert scene.state.termination is Termination.SESSION_EXPIRED
    ended = [e.leg for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]
    assert sorted(ended) == [1, 2], "both are told"


def test_one_refresh_is_out_at_a_time() -> None:
    scene = talking("90;refresher=uac", UPDATES)
    rings_out(rings_out(scene))
    assert len(refreshes(scene)) == 1


def test_a_refresh_to_a_peer_that_does_not_know_the_call_ends_it() -> None:
    scene = rings_out(talking("1800;refresher=uac", UPDATES))
    said(scene, 481, b"", purpose=Purpose.REFRESH)
    assert scene.state.termination is Termination.PEER_GONE
    ended = [e.leg for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]
    assert ended == [scene.state.caller.id], "who says so knows already"


def test_a_change_of_ours_is_a_refresh_and_says_so() -> None:
    scene = talking("1800;refresher=uac", UPDATES)
    scene.now += 800
    held = vector("chromium_offer").replace(b"a=sendrecv", b"a=sendonly")
    scene.inside(BROWSER, "INVITE", held, cseq=40)
    (again,) = refreshes(scene, Purpose.REINVITE)
    assert again.headers.get("Session-Expires") == "1800;refresher=uac"
    body = sdes_answer(again.body).replace(b"sendrecv", b"recvonly")
    said(scene.clear(), 200, body, ("Session-Expires", "1800;refresher=uac"), purpose=Purpose.REINVITE)
    assert fx.SetTimer(Timer.SESSION, 900.0, scene.trunk_leg.id) in scene.effects


def test_a_2xx_without_a_timer_ends_the_timer_and_not_the_call() -> None:
    scene = rings_out(talking("1800;refresher=uac", UPDATES))
    said(scene, 200, b"", purpose=Purpose.REFRESH)
    assert scene.trunk_leg.timing is None
    assert scene.take(fx.ClearTimer)[-1] == fx.ClearTimer(Timer.SESSION, scene.trunk_leg.id)


def test_a_peer_cannot_make_us_refresh_without_end() -> None:
    assert clock(talking("1;refresher=uac", UPDATES)) == 45.0


# Theirs.


@pytest.mark.parametrize(("timer", "seconds"), [("1800;refresher=uas", 1768.0), ("90;refresher=uas", 60.0)])
def test_a_trunk_that_does_not_refresh_in_time_has_ended_the_call(timer: str, seconds: float) -> None:
    scene = talking(timer)
    assert clock(scene) == seconds
    rings_out(scene)
    assert scene.state.termination is Termination.SESSION_EXPIRED
    assert scene.order(fx.Finished) == ["Finished"]
    ended = [e.request for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]
    assert [r.headers.get("Reason") for r in ended] == [
        'SIP;cause=408;text="The session was not refreshed in time"'
    ] * 2


def test_each_refresh_of_theirs_begins_the_wait_anew() -> None:
    scene = called(KNOWS, ("Session-Expires", "90"))
    for cseq in (40, 41, 42):
        scene.now += 45
        scene.inside(TRUNK, "UPDATE", cseq=cseq, extra=(KNOWS, ("Session-Expires", "90;refresher=uac")))
    assert clock(scene) == 60.0
    assert scene.state.live
    scene.now += 45
    scene.feed(scene.fires(Timer.SESSION))
    assert scene.state.live, "a clock of before says nothing"


def test_a_caller_may_have_us_refresh() -> None:
    scene = called(KNOWS, UPDATES, ("Session-Expires", "600;refresher=uas"))
    assert clock(scene) == 300.0
    rings_out(scene)
    (update,) = refreshes(scene)
    assert update.headers.get("Session-Expires") == "600;refresher=uac", "in our request we are the UAC"


def test_a_caller_that_knows_timers_and_asks_for_none_gets_ours() -> None:
    scene = called(KNOWS)
    assert scene.trunk_leg.timing == Timing(1800, is_ours=True)


def test_an_emergency_call_is_never_ended_by_a_clock() -> None:
    scene = MachineScene(profile=Profile.LEGACY, emergency=True).calling()
    said(scene, 200, answer(), ("Session-Expires", "90;refresher=uac"), UPDATES, purpose=Purpose.INVITE)
    scene.ack().feed(scene.keyed())
    for _ in range(12):
        rings_out(scene)
    assert scene.state.live
    assert scene.now > 190.0


# 422.


def test_an_interval_that_is_too_small_for_the_trunk_is_asked_for_again_larger() -> None:
    scene = MachineScene().calling()
    said(scene, 422, b"", ("Min-SE", "3600"), purpose=Purpose.INVITE)
    assert scene.invite.headers.get("Session-Expires") == "3600;refresher=uac"
    assert scene.invite.headers.get("Min-SE") == "3600"
    assert scene.invite.cseq.number == 2
    said(scene, 200, sdes_answer(scene.invite.body), ("Session-Expires", "3600;refresher=uac"), purpose=Purpose.INVITE)
    assert scene.state.live
    assert clock(scene) == 1800.0


@pytest.mark.parametrize("least", ["", "90", "60", "x", "9999999"])
def test_a_422_that_asks_for_nothing_we_could_do_is_a_refusal(least: str) -> None:
    scene = MachineScene().calling()
    said(scene, 422, b"", *((("Min-SE", least),) if least else ()), purpose=Purpose.INVITE)
    assert scene.state.termination is Termination.TRUNK_REFUSED


def test_a_trunk_that_wants_more_each_time_is_not_followed_for_ever() -> None:
    scene = MachineScene().calling()
    least = 1800
    while scene.state.live:
        least += 100
        said(scene, 422, b"", ("Min-SE", str(least)), purpose=Purpose.INVITE)
    assert len([e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]) == 3


@pytest.mark.parametrize("allow", [UPDATES, ("Allow", "INVITE")])
def test_a_refresh_whose_interval_is_too_small_comes_again_larger(allow: tuple[str, str]) -> None:
    scene = rings_out(talking("1800;refresher=uac", allow))
    purpose = Purpose.REFRESH if allow == UPDATES else Purpose.REINVITE
    said(scene, 422, b"", ("Min-SE", "3600"), purpose=purpose)
    assert refreshes(scene, purpose)[-1].headers.get("Session-Expires") == "3600;refresher=uac"
    assert len(refreshes(scene, purpose)) == 2
