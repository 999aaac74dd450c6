"""How calls end: once, for both sides, with one reason, and forgotten when everybody has answered."""

from __future__ import annotations

import pytest

from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import ending, events
from gateway.call.machine.effects import Purpose, Timer
from tests.call.machine_scene import MachineScene, sdes_answer


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack().feed(scene.keyed()).clear()


def test_media_stops_and_the_record_is_written_before_the_peers_are_told() -> None:
    scene = talking().feed(events.Lost(Termination.SHUTDOWN))
    assert scene.order(fx.Finished, fx.SendRequest)[-3:] == ["Finished", "SendRequest", "SendRequest"]


def test_a_second_end_changes_nothing() -> None:
    scene = talking().feed(events.Lost(Termination.SHUTDOWN)).clear()
    ending.terminate(scene.state, Termination.CONSENT_LOST)
    assert scene.state.out == []
    assert scene.state.termination is Termination.SHUTDOWN


def test_who_knows_already_is_not_told() -> None:
    scene = talking()
    ending.terminate(scene.state, Termination.HANGUP_TRUNK, by=LegId(2))
    assert [e.leg for e in scene.state.out if isinstance(e, fx.SendRequest)] == [LegId(1)]


def test_an_unanswered_caller_hears_the_status_of_the_reason_and_a_callee_that_rings_is_cancelled() -> None:
    scene = MachineScene().calling().clear().feed(events.Lost(Termination.SHUTDOWN))
    assert [e.response.status for e in scene.take(fx.Respond)] == [503]
    assert len(scene.take(fx.CancelInvite)) == 1


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_a_call_is_forgotten_when_each_bye_has_its_answer_or_when_it_lingered_long_enough(answered: int) -> None:
    scene = talking().feed(events.Lost(Termination.SHUTDOWN))
    byes = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]
    for bye in byes[:answered]:
        scene.feed(scene.answer_to(bye, 200))
    assert scene.order(fx.Forget) == (["Forget"] if answered == 2 else [])
    scene.feed(events.TimerFired(Timer.LINGER))
    assert scene.order(fx.Forget) == ["Forget"]


def test_no_clock_but_the_last_runs_on() -> None:
    scene = talking().feed(events.Lost(Termination.SHUTDOWN))
    assert [e.name for e in scene.take(fx.SetTimer)] == [Timer.LINGER]
    cleared = {(e.name, e.leg) for e in scene.take(fx.ClearTimer)}
    assert {(name, leg) for name in ending.OF_A_LEG for leg in (LegId(1), LegId(2))} <= cleared
