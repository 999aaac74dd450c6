"""A trunk that falls silent is asked whether it still knows the call; a browser is there as long as it consents."""

from __future__ import annotations

import pytest

from gateway.base.errors import Party
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events, liveness
from gateway.call.machine.effects import Purpose, Timer
from gateway.call.machine.liveness import ASK_AGAIN_SECONDS, ASK_HELD_SECONDS
from gateway.media import relay_events as relay
from tests.call.machine_scene import MachineScene, answer, vector


def silent(scene: MachineScene) -> events.Event:
    return relay.LegSilent(scene.id(LegKind.TRUNK))


def of_the_browser(scene: MachineScene) -> events.Event:
    return relay.LegSilent(scene.id(LegKind.BROWSER))


def heard(scene: MachineScene) -> events.Event:
    return relay.LegHeard(scene.id(LegKind.TRUNK))


def look(scene: MachineScene) -> events.Event:
    return scene.fires(Timer.LIVENESS)


def _talking(*, outbound: bool = True, emergency: bool = False) -> MachineScene:
    if outbound:
        scene = MachineScene(Profile.LEGACY, emergency=emergency).calling().reply(200, answer()).ack()
    else:
        scene = MachineScene(Profile.LEGACY, outbound=False, offer=answer()).calling()
        scene.reply(200, vector("chromium_offer").replace(b"actpass", b"active")).ack()
    return scene.clear()


def _questions(scene: MachineScene) -> list[fx.SendRequest]:
    return [e for e in scene.take(fx.SendRequest) if e.purpose is Purpose.OPTIONS]


def _answered(scene: MachineScene, status: int) -> MachineScene:
    return scene.reply(status, purpose=Purpose.OPTIONS)


def _ended(scene: MachineScene) -> str:
    finished = scene.take(fx.Finished)
    return finished[0].termination.slug if finished else ""


def _byes(scene: MachineScene) -> set[LegKind]:
    return {scene.kind(e.leg) for e in scene.take(fx.SendRequest) if e.purpose is Purpose.BYE}


def _look(scene: MachineScene, seconds: float) -> MachineScene:
    scene.now += seconds
    return scene.clear().feed(look)


@pytest.mark.parametrize("outbound", [True, False], ids=["outbound", "inbound"])
def test_a_silent_trunk_is_asked_inside_its_dialog(outbound: bool) -> None:
    scene = _talking(outbound=outbound).feed(silent)
    (question,) = _questions(scene)
    assert (scene.kind(question.leg), question.request.method) == (LegKind.TRUNK, "OPTIONS")
    assert question.request.to.tag
    assert question.request.from_.tag
    assert not question.request.body
    assert [(e.name, e.seconds) for e in scene.take(fx.SetTimer)] == [(Timer.LIVENESS, ASK_AGAIN_SECONDS)]


def test_a_silent_browser_is_asked_nothing_for_it_is_known_to_be_there_by_its_consent() -> None:
    scene = _talking().feed(of_the_browser)
    assert _questions(scene) == []
    assert scene.take(fx.SetTimer) == [fx.SetTimer(Timer.LIVENESS, ASK_AGAIN_SECONDS, leg=scene.id(LegKind.BROWSER))]


def test_a_browser_of_which_nothing_comes_but_consent_ends_the_call_after_the_limit_by_a_reason_of_its_own() -> None:
    scene = _talking().feed(of_the_browser)
    limit = scene.state.site.limits.silence_seconds
    assert _ended(_look(scene, limit - 1.0)) == ""
    assert _ended(_look(scene, 1.0)) == "browser-silent"
    assert _byes(scene) == {LegKind.BROWSER, LegKind.TRUNK}
    assert scene.take(fx.Finished)[0].termination.party is Party.BROWSER


def test_a_browser_that_is_heard_again_has_all_its_time() -> None:
    scene = _talking().feed(of_the_browser)
    scene.now += 1700.0
    scene.feed(relay.LegHeard(scene.id(LegKind.BROWSER)))
    assert _ended(_look(scene, 10_000.0)) == ""


@pytest.mark.parametrize("holder", [LegKind.BROWSER, LegKind.TRUNK])
def test_a_browser_on_hold_may_be_silent_for_ever(holder: LegKind) -> None:
    scene = _talking()
    if holder is LegKind.TRUNK:
        scene.inside(LegKind.TRUNK, "INVITE", answer(direction="sendonly"), cseq=2)
    else:
        body = vector("chromium_offer").replace(b"a=sendrecv", b"a=inactive")
        scene.inside(LegKind.BROWSER, "INVITE", body, cseq=2)
        scene.reply(200, answer(direction="inactive"), purpose=Purpose.REINVITE)
    scene.clear().feed(of_the_browser)
    for _ in range(20):
        assert _ended(_look(scene, ASK_HELD_SECONDS)) == ""


def test_an_emergency_call_outlives_the_silence_of_its_browser() -> None:
    scene = _talking(emergency=True).feed(of_the_browser)
    assert _ended(_look(scene, 10_000.0)) == ""


@pytest.mark.parametrize("status", [200, 403, 404, 405, 415, 420, 486, 491, 500, 501, 503, 603])
def test_any_answer_of_somebody_who_knows_the_call_lets_it_go_on_and_it_is_asked_again(status: int) -> None:
    scene = _answered(_talking().feed(silent), status)
    assert _ended(scene) == ""
    assert len(_questions(_look(scene, ASK_AGAIN_SECONDS))) == 1


def test_a_peer_that_does_not_know_the_call_ends_it_and_gets_no_bye() -> None:
    scene = _answered(_talking().feed(silent).clear(), 481)
    assert _ended(scene) == "peer-gone"
    assert _byes(scene) == {LegKind.BROWSER}


def test_408_ends_the_call_and_the_peer_gets_a_bye_all_the_same() -> None:
    scene = _answered(_talking().feed(silent).clear(), 408)
    assert _ended(scene) == "peer-gone"
    assert _byes(scene) == {LegKind.BROWSER, LegKind.TRUNK}


@pytest.mark.parametrize("transport", [True, False], ids=["transport failed", "no answer"])
def test_a_question_that_nobody_answers_ends_the_call(transport: bool) -> None:
    scene = _talking().feed(silent)
    (question,) = _questions(scene)
    scene.clear().feed(events.RequestFailed(question.ask, transport=transport))
    assert _ended(scene) == "peer-gone"
    assert _byes(scene) == {LegKind.BROWSER, LegKind.TRUNK}


def test_a_provisional_answer_decides_nothing() -> None:
    scene = _answered(_talking().feed(silent), 100)
    assert _ended(scene) == ""
    assert _questions(_look(scene, ASK_AGAIN_SECONDS)) == [], "the question is still out"


def test_a_trunk_that_is_heard_again_is_asked_no_more() -> None:
    scene = _answered(_talking().feed(silent), 200).clear().feed(heard)
    assert scene.take(fx.ClearTimer) == [fx.ClearTimer(Timer.LIVENESS, leg=scene.id(LegKind.TRUNK))]
    assert _look(scene, 10_000.0).effects == []


def test_silence_ends_the_call_of_a_trunk_that_agrees_to_everything_after_the_limit() -> None:
    scene = _talking().feed(silent)
    limit = scene.state.site.limits.silence_seconds
    for _ in range(int(limit / ASK_AGAIN_SECONDS) - 1):
        _answered(scene, 200)
        assert _ended(_look(scene, ASK_AGAIN_SECONDS)) == ""
    _answered(scene, 200)
    assert _ended(_look(scene, ASK_AGAIN_SECONDS)) == "media-timeout"
    assert _byes(scene) == {LegKind.BROWSER, LegKind.TRUNK}


def test_the_limit_counts_from_the_last_silence_and_not_from_the_first() -> None:
    scene = _answered(_talking().feed(silent), 200)
    scene.now += 1700.0
    scene.feed(heard).feed(silent)
    assert _ended(_look(_answered(scene, 200), 200.0)) == ""


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
@pytest.mark.parametrize("holder", [LegKind.BROWSER, LegKind.TRUNK])
def test_on_hold_silence_never_ends_a_call_and_the_question_is_put_seldom(holder: LegKind, direction: str) -> None:
    scene = _talking()
    held = {"sendonly": "sendonly", "inactive": "inactive"}[direction]
    if holder is LegKind.TRUNK:
        held = {"sendonly": "recvonly", "inactive": "inactive"}[direction]
        scene.inside(LegKind.TRUNK, "INVITE", answer(direction=held), cseq=2)
    else:
        body = vector("chromium_offer").replace(b"a=sendrecv", b"a=" + held.encode())
        scene.inside(LegKind.BROWSER, "INVITE", body, cseq=2)
        scene.reply(200, answer(direction="recvonly" if held == "sendonly" else "inactive"), purpose=Purpose.REINVITE)
    scene.clear().feed(silent)
    assert scene.take(fx.SetTimer) == [fx.SetTimer(Timer.LIVENESS, ASK_HELD_SECONDS, leg=scene.id(LegKind.TRUNK))]
    for _ in range(20):
        if _questions(scene):
            _answered(scene, 200)
        assert _ended(_look(scene, ASK_HELD_SECONDS)) == ""
    assert len([e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.OPTIONS]) > 10


def test_on_hold_too_a_peer_that_does_not_know_the_call_ends_it() -> None:
    scene = _talking().inside(LegKind.TRUNK, "INVITE", answer(direction="inactive"), cseq=2)
    for sent in [e for e in scene.take(fx.SendRequest) if e.purpose is Purpose.REINVITE]:
        scene.feed(scene.answer_to(sent, 200, vector("chromium_offer").replace(b"actpass", b"active")))
    scene.clear().feed(silent)
    assert _ended(_answered(scene, 481)) == "peer-gone"


def test_time_on_hold_does_not_count_when_the_call_is_resumed() -> None:
    scene = _talking().inside(LegKind.TRUNK, "INVITE", answer(direction="inactive"), cseq=2)
    for sent in [e for e in scene.take(fx.SendRequest) if e.purpose is Purpose.REINVITE]:
        scene.feed(scene.answer_to(sent, 200, vector("chromium_offer").replace(b"actpass", b"active")))
    _answered(scene.feed(silent), 200)
    scene.now += 7200.0
    scene.inside(LegKind.TRUNK, "INVITE", answer(), cseq=3)
    for sent in [e for e in scene.take(fx.SendRequest) if e.purpose is Purpose.REINVITE][-1:]:
        scene.feed(scene.answer_to(sent, 200, vector("chromium_offer").replace(b"actpass", b"active")))
    assert _ended(_look(scene, 1.0)) == ""
    _answered(scene, 200)
    assert _ended(_look(scene, 1799.0)) == ""


def test_before_the_call_stands_nobody_is_asked_but_it_is_looked_at_again() -> None:
    scene = MachineScene(Profile.LEGACY).calling().reply(200, answer()).clear().feed(silent)
    assert _questions(scene) == []
    scene.ack()
    assert len(_questions(_look(scene, ASK_AGAIN_SECONDS))) == 1


def test_a_question_does_not_overtake_a_change_of_ours() -> None:
    scene = _talking()
    body = vector("chromium_offer").replace(b"a=sendrecv", b"a=inactive")
    scene.inside(LegKind.BROWSER, "INVITE", body, cseq=2)
    assert scene.trunk_leg.talk.ours_is_open
    scene.clear().feed(silent)
    assert _questions(scene) == []


def test_anybody_may_ask_for_a_reason_of_his_own_once_at_a_time() -> None:
    scene = _talking()
    trunk = scene.trunk_leg
    assert trunk is not None
    for _ in range(3):
        liveness.ask(scene.state, trunk)
    assert len([e for e in scene.state.out if isinstance(e, fx.SendRequest)]) == 1


@pytest.mark.parametrize("status", [200, 408, 481])
def test_an_emergency_call_ends_only_when_the_peer_says_that_it_does_not_know_it(status: int) -> None:
    scene = _answered(_talking(emergency=True).feed(silent).clear(), status)
    assert _ended(scene) == ("peer-gone" if status == 481 else "")


def test_an_emergency_call_outlives_silence_and_questions_without_answer() -> None:
    scene = _talking(emergency=True).feed(silent)
    for transport in (False, True) * 50:
        (question,) = _questions(scene)
        scene.feed(events.RequestFailed(question.ask, transport=transport))
        assert _ended(_look(scene, ASK_AGAIN_SECONDS)) == ""


def test_the_reasons_are_told_apart() -> None:
    reasons = (Termination.PEER_GONE, Termination.MEDIA_TIMEOUT, Termination.BROWSER_SILENT, Termination.CONSENT_LOST)
    assert len({reason.slug for reason in reasons}) == len({reason.words for reason in reasons}) == 4
