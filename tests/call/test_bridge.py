"""Two legs joined: common codecs in the numbers of each side, ways as open as both want, a handshake once."""

from __future__ import annotations

from gateway.call.machine import bridge
from gateway.call.machine.effects import StartDtls
from gateway.media.relay_commands import Route
from tests.call.machine_scene import MachineScene, sdes_answer


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack()


def test_only_what_both_sides_can_do_is_agreed_and_its_numbers_are_the_legs_own() -> None:
    scene = talking()
    codecs = bridge.agreed_codecs(scene.browser_leg, scene.trunk_leg)
    assert [codec.name for codec in codecs if not codec.is_companion] == ["PCMU"]
    theirs = {codec.payload_type for codec in scene.browser_leg.remote.codecs} if scene.browser_leg.remote else set()
    assert {codec.payload_type for codec in codecs} <= theirs


def test_a_way_is_open_when_the_source_sends_and_the_sink_listens() -> None:
    scene = MachineScene().calling()
    scene.reply(200, sdes_answer(scene.invite.body).replace(b"a=sendrecv", b"a=sendonly")).ack()
    assert not bridge.plan(scene.browser_leg, scene.trunk_leg).is_open
    assert bridge.plan(scene.trunk_leg, scene.browser_leg).is_open


def test_the_relay_is_told_of_a_way_only_when_it_is_another() -> None:
    scene = talking()
    before = len(scene.relayed(Route))
    bridge.connect(scene.state)
    assert [e for e in scene.state.out if not isinstance(e, StartDtls)] == []
    assert len(scene.relayed(Route)) == before == 2


def test_a_handshake_begins_once() -> None:
    scene = talking()
    for _ in range(3):
        bridge.begin_handshake(scene.state, scene.browser_leg)
    assert len([e for e in [*scene.all, *scene.state.out] if isinstance(e, StartDtls)]) == 1


def test_before_anything_is_agreed_nothing_is_common() -> None:
    scene = MachineScene().calling()
    assert bridge.agreed_codecs(scene.browser_leg, scene.trunk_leg) == ()
    assert bridge.codec_in_use(scene.state) == ""
    scene.reply(200, sdes_answer(scene.invite.body))
    assert bridge.codec_in_use(scene.state) == "PCMU/8000"
