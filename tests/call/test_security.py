"""Judging and recording: once for each state, before whatever makes it true."""

from __future__ import annotations

from gateway.base.codes import Code
from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import events, security
from gateway.media.relay_commands import SetKeys, SetPeer
from tests.call.machine_scene import MachineScene, answer, sdes_answer


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack().feed(scene.keyed()).clear()


def test_one_state_of_a_leg_is_recorded_and_commanded_once() -> None:
    scene = talking()
    assert security.posture_changed(scene.state, scene.trunk_leg) is None
    assert scene.state.out == []


def test_a_weakness_that_was_found_is_news_and_its_end_too() -> None:
    scene = talking()
    found = frozenset({Code.MEDIA_PLAIN_ON_SECURE})
    assert security.posture_changed(scene.state, scene.trunk_leg, found=found) is not None
    assert Code.MEDIA_PLAIN_ON_SECURE in scene.state.posture.codes_seen
    assert security.posture_changed(scene.state, scene.trunk_leg, gone=found) is not None
    assert [type(e) for e in scene.state.out] == [fx.WriteAudit, fx.WriteAudit]


def test_the_record_of_a_leg_stands_before_its_keys_and_its_peer() -> None:
    scene = MachineScene().calling().clear()
    scene.reply(200, sdes_answer(scene.invite.body))
    kinds = [type(e) for e in scene.done if isinstance(e, fx.WriteAudit | SetKeys | SetPeer)]
    assert kinds == [fx.WriteAudit, SetKeys, SetPeer]


def test_a_violation_leaves_its_grade_with_the_call_and_does_not_touch_the_posture() -> None:
    scene = talking()
    before = scene.state.posture.legs()
    security.violation(scene.state, scene.trunk_leg, (Code.MEDIA_PLAIN_RTP,), Termination.ENCRYPTION_REQUIRED)
    assert scene.state.refused is not None
    assert scene.state.posture.legs() == before


def test_a_leg_whose_keys_never_came_is_recorded_as_pending_before_the_end() -> None:
    scene = MachineScene().calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack().feed(events.Lost(Termination.SHUTDOWN))
    assert scene.record("leg.pending")["leg_id"] == LegId(1)
    assert scene.order(fx.WriteAudit, fx.Finished)[-1] == "Finished"


def test_records_name_the_call_ids_of_both_sides() -> None:
    info = security.info(talking().state)
    assert info.browser_call_id
    assert info.trunk_call_id
    assert info.browser_call_id != info.trunk_call_id


def test_a_refused_offer_is_in_the_log_without_a_leg_that_was_agreed() -> None:
    scene = MachineScene(outbound=False, offer=answer()).begin()
    assert scene.record("leg.violation")["decision"] == "refused"
    assert "leg.secured" not in scene.records
