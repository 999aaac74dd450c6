"""The facts of a call: who hears whom, and what the relay knows already."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.base.values import CALLER, LegId
from gateway.call import machine
from gateway.call.legs.identity import Origin
from gateway.call.machine.effects import Purpose, Relay, SendRequest
from gateway.call.machine.state import Bridge
from gateway.media.relay_commands import RelayPlan, Route
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, request, sdes_answer

MACHINE = Path(machine.__file__).parent
ROUTE = Route(CALLER, LegId(2), RelayPlan())


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack().clear()


@pytest.mark.parametrize(
    ("step", "owner"), [(".invitation.on(", "state"), (".posture.update(", "security"), (".invite_ask = ", "invite")]
)
def test_where_a_leg_stands_is_said_in_one_place(step: str, owner: str) -> None:
    said = {path.stem for path in MACHINE.parent.rglob("*.py") if step in path.read_text()}
    assert said == {owner}


def test_each_room_of_the_call_is_on_the_map() -> None:
    named = set(re.findall(r"\w+", (MACHINE.parents[2] / "docs" / "architecture.md").read_text()))
    rooms = {path.stem for floor in ("legs", "machine") for path in (MACHINE.parent / floor).glob("[!_]*.py")}
    assert rooms - named == set()


def test_no_number_of_a_leg_is_used_twice() -> None:
    state = MachineScene().state
    numbers = [state.next_leg() for _ in range(5)]
    assert len({CALLER, *numbers}) == 6


def test_each_of_a_pair_hears_the_other_and_whoever_is_called_hears_the_one_it_is_called_for() -> None:
    scene = talking()
    state = scene.state
    browser, trunk = scene.browser_leg, scene.trunk_leg
    assert (state.other(browser), state.other(trunk)) == (trunk, browser)
    called = state.context.make.called_trunk(state.next_leg(), scene.flow, scene.target, Origin("alice"))
    assert state.other(called) is state.asker
    state.bridge = Bridge(CALLER, None)
    assert state.other(browser) is None
    assert state.pair == (browser,)


def test_the_posture_is_not_of_one_who_stood_there_before() -> None:
    scene = talking()
    called = scene.state.context.make.called_trunk(scene.state.next_leg(), scene.flow, scene.target, Origin("alice"))
    scene.state.legs[called.id] = called
    scene.state.meet(called)
    assert LegId(2) not in scene.state.posture.legs()


def test_the_relay_is_told_what_it_does_not_know_or_must_hear_again() -> None:
    state = MachineScene().state
    state.tell_relay(ROUTE, ROUTE.sink)
    state.tell_relay(ROUTE, ROUTE.sink)
    assert state.out == [Relay(ROUTE)]
    state.tell_relay(ROUTE, ROUTE.sink, again=True)
    assert state.out == [Relay(ROUTE)] * 2


def test_what_is_sent_is_awaited_under_the_number_it_left_with() -> None:
    scene = talking()
    number = scene.state.send(scene.browser_leg, request("OPTIONS"), BROWSER_FLOW, Purpose.OPTIONS)
    (sent,) = [e for e in scene.state.out if isinstance(e, SendRequest)]
    assert sent.ask == number
    assert scene.state.asks.awaits(CALLER, Purpose.OPTIONS)
