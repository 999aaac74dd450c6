"""A trunk that says nothing to an INVITE: asked after seconds, given up after a few more."""

from __future__ import annotations

import pytest

from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Timer
from gateway.trunks.health import SILENT_SECONDS, TRY_SECONDS
from tests.call.machine_scene import MachineScene, answer, sdes_answer
from tests.call.test_emergency import emergency, trunks
from tests.call.test_setup import finished


def unheard(scene: MachineScene) -> events.Event:
    return scene.fires(Timer.SILENT)


def waits(scene: MachineScene) -> list[float]:
    """How long each INVITE may stay without any response."""
    return [e.seconds for e in scene.all if isinstance(e, fx.SetTimer) and e.name is Timer.SILENT]


def tried(scene: MachineScene) -> MachineScene:
    """Its trunk is down, and called all the same."""
    scene.begin().feed(events.TrunkConnected(scene.connecting, scene.flow, down=True))
    return scene.open_media()


def test_a_trunk_that_does_not_even_say_100_is_asked_whether_it_is_there() -> None:
    scene = MachineScene().calling().feed(unheard)
    assert waits(scene) == [SILENT_SECONDS]
    assert scene.take(fx.ProbeTrunk) == [fx.ProbeTrunk(LegId(2), "pbx")]
    assert finished(scene) is None


def test_without_an_answer_to_that_the_call_fails_as_trunk_silent_with_504_and_words() -> None:
    scene = MachineScene().calling().feed(unheard).feed(MachineScene.silent)
    assert finished(scene) is Termination.TRUNK_SILENT
    assert scene.responses[-1].status == 504
    assert scene.responses[-1].headers.get("Warning") == '399 gw "The trunk does not answer"'
    assert scene.take(fx.CancelInvite)


@pytest.mark.parametrize("status", [100, 180, 183])
def test_any_response_ends_the_wait_for_one(status: int) -> None:
    scene = MachineScene().calling().clear().reply(status)
    assert fx.ClearTimer(Timer.SILENT, LegId(2)) in scene.effects
    scene.feed(unheard).feed(MachineScene.silent)
    assert not scene.take(fx.ProbeTrunk)
    assert finished(scene) is None


def test_a_call_that_was_answered_meanwhile_goes_on() -> None:
    scene = MachineScene().calling().feed(unheard)
    scene.reply(200, sdes_answer(scene.invite.body)).feed(MachineScene.silent)
    assert finished(scene) is None
    assert scene.responses[-1].status == 200


def test_an_invite_that_times_out_unheard_is_trunk_silent_and_after_100_a_timeout() -> None:
    for heard, expected in ((False, Termination.TRUNK_SILENT), (True, Termination.PEER_TIMEOUT)):
        scene = MachineScene().calling()
        sent = [e for e in scene.all if isinstance(e, fx.SendRequest)][-1]
        if heard:
            scene.reply(100)
        scene.feed(events.RequestFailed(sent.ask, transport=False))
        assert finished(scene) is expected


def test_a_trunk_that_is_down_gets_little_time_and_no_question() -> None:
    scene = tried(MachineScene())
    assert waits(scene) == [TRY_SECONDS]
    scene.feed(unheard)
    assert not scene.take(fx.ProbeTrunk)
    assert finished(scene) is Termination.TRUNK_SILENT


def test_a_trunk_that_is_down_and_answers_has_the_call() -> None:
    scene = tried(MachineScene()).reply(100).feed(unheard)
    scene.reply(200, sdes_answer(scene.invite.body))
    assert scene.responses[-1].status == 200


def test_an_emergency_call_goes_to_the_next_trunk_at_once_and_leaves_nobody_in_the_first() -> None:
    scene = emergency().calling()
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest)][-1]
    scene.feed(unheard).feed(MachineScene.silent)
    assert trunks(scene) == ["pbx", "second"]
    assert scene.take(fx.CancelInvite)
    scene.connect().open_media()
    assert finished(scene) is None
    scene.clear().feed(scene.answer_to(sent, 200, answer(), tag="late"))
    assert scene.order(fx.SendAck) == ["SendAck"]
    assert [e.request.method for e in scene.take(fx.SendRequest)] == ["BYE"]
    assert not scene.take(fx.Respond), "the caller hears nothing of it"


def test_what_an_abandoned_trunk_says_later_changes_nothing() -> None:
    scene = emergency().calling()
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest)][-1]
    scene.feed(unheard).feed(MachineScene.silent).connect().open_media().clear()
    scene.feed(scene.answer_to(sent, 180)).feed(scene.answer_to(sent, 503))
    scene.feed(events.RequestFailed(sent.ask, transport=False))
    assert scene.effects == []
    assert trunks(scene) == ["pbx", "second"]


def test_the_last_trunk_of_an_emergency_call_gets_its_time_although_it_is_down() -> None:
    scene = emergency().calling().feed(unheard).feed(MachineScene.silent)
    scene.feed(events.TrunkConnected(scene.connecting, scene.flow, down=True))
    assert waits(scene)[-1] == SILENT_SECONDS


def test_a_browser_that_does_not_answer_is_no_trunk() -> None:
    from tests.call.test_causes import ringing_browser

    assert waits(ringing_browser().calling()) == []
