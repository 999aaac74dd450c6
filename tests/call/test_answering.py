"""Answers: judged before anything of them is used, and objected to without taking anything."""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.machine import answering
from gateway.call.machine import effects as fx
from gateway.call.machine.bridge import KEYED_SECONDS
from gateway.call.machine.effects import Purpose
from gateway.call.machine.events import ResponseIn
from gateway.media.relay_commands import SetKeys, SetPeer
from gateway.sip.message import Response
from tests.call.machine_scene import MachineScene, answer, sdes_answer


def response(scene: MachineScene, body: bytes) -> Response:
    """What the callee says to its INVITE."""
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE][-1]
    event = scene.answer_to(sent, 200, body)
    assert isinstance(event, ResponseIn)
    return event.response


def test_an_answer_that_policy_takes_is_recorded_before_the_relay_hears_of_it() -> None:
    scene = MachineScene().calling().clear()
    scene.reply(200, sdes_answer(scene.invite.body))
    order = [type(e) for e in scene.done if isinstance(e, fx.WriteAudit | SetKeys | SetPeer | fx.Respond)]
    assert order.index(fx.WriteAudit) < order.index(SetKeys) < order.index(SetPeer) < order.index(fx.Respond)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (answer("RTP/SAVP"), Termination.ENCRYPTION_IGNORED),
        (answer(), Termination.ENCRYPTION_IGNORED),
        (b"v=0\r\n", Termination.BAD_SDP),
    ],
)
def test_an_answer_that_policy_refuses_ends_the_call_and_nothing_of_it_is_used(body: bytes, why: Termination) -> None:
    scene = MachineScene().calling().reply(200, body)
    assert scene.state.termination is why
    assert scene.relayed(SetPeer) == []


def test_an_objection_takes_nothing_of_the_answer() -> None:
    scene = MachineScene().calling()
    leg = scene.trunk_leg
    before = leg.talk.session, leg.remote, scene.state.posture.legs()
    objection = answering.objection(scene.state, leg, response(scene, answer("RTP/SAVP")))
    assert objection is not None
    assert objection.termination is Termination.ENCRYPTION_IGNORED
    assert (leg.talk.session, leg.remote, scene.state.posture.legs()) == before


def test_there_is_no_objection_to_a_good_answer() -> None:
    scene = MachineScene().calling()
    assert answering.objection(scene.state, scene.trunk_leg, response(scene, sdes_answer(scene.invite.body))) is None


def test_an_answer_without_a_codec_of_the_caller_is_objected_to() -> None:
    scene = MachineScene(profile=Profile.LEGACY).calling()
    other = answer().replace(b" 0 101", b" 18").replace(b"0 PCMU", b"18 G729")
    objection = answering.objection(scene.state, scene.trunk_leg, response(scene, other))
    assert objection is not None
    assert objection.codes == ()


def test_a_browser_has_a_limited_time_to_be_keyed_once_the_call_is_answered() -> None:
    scene = MachineScene().calling()
    scene.clear().reply(200, sdes_answer(scene.invite.body))
    assert fx.SetTimer(fx.Timer.KEYED, KEYED_SECONDS, LegId(1)) in scene.effects


def test_the_callers_dialog_begins_with_the_first_answer_that_has_our_tag() -> None:
    scene = MachineScene().calling().reply(180)
    dialog = scene.state.caller.dialog
    assert dialog is not None
    scene.reply(200, sdes_answer(scene.invite.body))
    assert scene.state.caller.dialog is dialog
    assert [e.leg for e in scene.all if isinstance(e, fx.TrackDialog)].count(LegId(1)) == 1
