"""The call as a machine: every event has a meaning, none is missed, and a defect ends its own call only."""

from __future__ import annotations

from typing import get_args

import pytest

from gateway.base.termination import Termination
from gateway.call.machine import call as b2bua
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.media.relay_events import LegSilent, MediaStarted, WorkerLost
from tests.call.machine_scene import MachineScene, sdes_answer


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack().feed(scene.keyed()).clear()


def test_each_clock_has_a_meaning_of_the_call_or_of_a_leg_and_not_both() -> None:
    of_the_call, of_a_leg = set(b2bua._OF_THE_CALL), set(b2bua._OF_A_LEG)
    assert of_the_call | of_a_leg == set(fx.Timer)
    assert not of_the_call & of_a_leg


def test_each_event_of_a_call_has_a_meaning() -> None:
    named = {kind for kind in get_args(events.Event) if kind.__module__ == events.__name__}
    assert named - set(b2bua._HANDLERS) == {events.NamesFound}, "names are looked up before anything else is done"


def test_the_first_effect_is_the_record_of_the_start() -> None:
    scene = MachineScene()
    (effect,) = scene.call.open(scene.now)
    assert isinstance(effect, fx.WriteAudit)
    assert effect.record["type"] == "call.start"


def test_a_call_that_cannot_be_served_ends_at_once_with_the_reason() -> None:
    scene = MachineScene()
    scene.call.open(scene.now)
    effects = scene.call.begin_refused(Termination.NO_ROUTE, scene.now)
    assert [e.termination for e in effects if isinstance(e, fx.Finished)] == [Termination.NO_ROUTE]
    assert [e.response.status for e in effects if isinstance(e, fx.Respond)] == [404]


def test_a_defect_ends_the_call_and_a_second_one_finds_it_ended() -> None:
    scene = talking()
    assert [type(e) for e in scene.call.fail(scene.now)].count(fx.Finished) == 1
    assert [e for e in scene.call.fail(scene.now) if isinstance(e, fx.Finished)] == []


@pytest.mark.parametrize("late", [LegSilent, MediaStarted])
def test_media_means_nothing_to_a_call_that_has_ended(late: type[LegSilent] | type[MediaStarted]) -> None:
    scene = talking().feed(events.Lost(Termination.SHUTDOWN)).clear()
    scene.feed(late(scene.trunk_leg.id))
    assert scene.effects == []


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        (WorkerLost(), Termination.WORKER_LOST),
        (WorkerLost(hung=True), Termination.WORKER_HUNG),
        (WorkerLost(drained=True), Termination.WORKER_DRAINED),
    ],
)
def test_a_call_whose_worker_is_gone_ends_and_says_how(lost: WorkerLost, why: Termination) -> None:
    assert talking().feed(lost).state.termination is why
