"""The final record: how long the call lasted, its codec, and what was counted on each leg by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.keying import Keying
from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId
from gateway.call.machine.effects import Finished
from gateway.call.machine.final import final_record
from gateway.media.relay_counters import PacketCounters
from tests.call.machine_scene import MachineScene, sdes_answer

HUNG_UP = Finished(Termination.HANGUP_TRUNK, 200)


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack().feed(scene.keyed())


def test_a_call_lasts_from_its_answer_and_one_that_was_not_answered_not_at_all() -> None:
    scene = talking()
    assert final_record(scene.state, HUNG_UP, {}, scene.now + 12.0)["duration"] == 12.0
    ringing = MachineScene().calling()
    assert final_record(ringing.state, Finished(Termination.BUSY, 486), {}, ringing.now + 12.0)["duration"] == 0.0


def test_the_reason_and_the_status_are_those_the_call_ended_with() -> None:
    record = final_record(talking().state, HUNG_UP, {}, 200.0)
    assert (record["termination"], record["sip_status"]) == (Termination.HANGUP_TRUNK.slug, 200)
    assert record["codec"] == "PCMU/8000"


def test_what_was_counted_is_named_by_the_leg_and_what_never_happened_is_left_out() -> None:
    name = PacketCounters.__slots__[0]
    counters = {CALLER: PacketCounters(**{name: 3}), LegId(2): PacketCounters(), LegId(9): PacketCounters(**{name: 1})}
    record = final_record(talking().state, HUNG_UP, counters, 200.0)
    assert record["counters"] == {"browser": {name: 3}, "trunk": {}}


def test_the_seconds_of_each_grade_add_up_to_the_duration_from_the_answer_on() -> None:
    scene = talking()
    first = scene.state.posture.current
    weaker = replace(scene.state.posture.vector(LegId(2)) or pytest.fail("no vector"), keying=Keying.NONE, suite=None)
    scene.state.passes(scene.now + 7.0)
    scene.state.posture.update(LegId(2), weaker)
    record = final_record(scene.state, HUNG_UP, {}, scene.now + 12.0)
    assert record["seconds_per_grade"] == {scene.state.posture.current.name: 5.0, first.name: 7.0}
    assert record["duration"] == 12.0


def test_a_call_that_was_never_answered_had_no_grade_for_any_time() -> None:
    ringing = MachineScene().calling()
    assert (
        final_record(ringing.state, Finished(Termination.BUSY, 486), {}, ringing.now + 9.0)["seconds_per_grade"] == {}
    )


def test_the_streams_are_those_each_peer_described_last() -> None:
    record = final_record(talking().state, HUNG_UP, {}, 200.0)
    assert record["streams"] == {"browser": "audio UDP/TLS/RTP/SAVPF sendrecv", "trunk": "audio RTP/SAVP sendrecv"}
