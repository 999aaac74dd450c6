"""What comes of a request: by its number it is known what was asked, and of which leg."""

from __future__ import annotations

import pytest

from gateway.base.termination import Termination
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.call.machine.outcomes import lost
from gateway.sip.message import create_response
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, request, sdes_answer


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack().feed(scene.keyed()).clear()


def test_a_response_to_what_was_never_asked_is_nothing() -> None:
    scene = talking()
    scene.feed(events.ResponseIn(99, create_response(request("BYE"), 481, to_tag="x"), BROWSER_FLOW))
    scene.feed(events.RequestFailed(99, transport=True))
    assert scene.effects == []


@pytest.mark.parametrize(
    ("transport", "why"), [(True, Termination.TRUNK_UNREACHABLE), (False, Termination.TRUNK_SILENT)]
)
def test_an_invite_without_answer_says_why(transport: bool, why: Termination) -> None:
    scene = MachineScene().calling()
    (sent,) = [e for e in scene.all if isinstance(e, fx.SendRequest)]
    assert scene.feed(events.RequestFailed(sent.ask, transport)).state.termination is why


def test_a_trunk_that_said_something_and_then_no_more_is_a_timeout() -> None:
    scene = MachineScene().calling().reply(180)
    (sent,) = [e for e in scene.all if isinstance(e, fx.SendRequest)]
    assert scene.feed(events.RequestFailed(sent.ask, transport=False)).state.termination is Termination.PEER_TIMEOUT


def test_a_lost_transport_is_a_trunks_or_a_browsers() -> None:
    scene = talking()
    assert lost(scene.trunk_leg) is Termination.TRUNK_UNREACHABLE
    assert lost(scene.browser_leg) is Termination.FLOW_LOST


def test_the_answer_to_a_goodbye_ends_the_waiting_for_it_and_a_provisional_one_does_not() -> None:
    scene = talking().feed(events.Lost(Termination.SHUTDOWN))
    bye = next(e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE)
    scene.feed(scene.answer_to(bye, 100))
    assert scene.state.asks.find(bye.ask) is not None
    scene.feed(scene.answer_to(bye, 481))
    assert scene.state.asks.find(bye.ask) is None
