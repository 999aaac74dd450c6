"""The ACK of our 2xx: it establishes the call, may bring an answer, and may be missing."""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.call.machine.state import Bridge, Phase
from gateway.media.relay_commands import Route
from tests.call.machine_scene import MachineScene, answer, browser_answer, sdes_answer, vector


def answered() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body))


def byes(scene: MachineScene) -> list[LegId]:
    return [e.leg for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]


def waits(scene: MachineScene) -> bool:
    """Our offer to the browser has no answer."""
    return scene.state.caller.talk.ours_is_open is not None


def test_the_ack_establishes_the_call_and_a_second_one_changes_nothing() -> None:
    scene = answered()
    before = scene.state.phase
    scene.ack()
    assert (before, scene.state.phase) == (Phase.ANSWERED, Phase.ESTABLISHED)
    scene.clear().ack()
    assert scene.effects == []


@pytest.mark.parametrize(("transport", "why"), [(False, Termination.ACK_MISSING), (True, Termination.FLOW_LOST)])
def test_without_an_ack_the_call_ends_for_both(transport: bool, why: Termination) -> None:
    scene = answered().feed(events.AckMissing("invite-key", transport))
    assert scene.state.termination is why
    assert set(byes(scene)) == {LegId(1), LegId(2)}


def test_a_call_that_ended_before_the_ack_is_hung_up_on_when_it_comes() -> None:
    """RFC 3261 15: a callee does not send BYE before its 2xx is acknowledged."""
    scene = answered().feed(events.Lost(Termination.SHUTDOWN))
    assert byes(scene) == [LegId(2)]
    scene.ack()
    assert byes(scene) == [LegId(2), LegId(1)]


def test_an_answer_in_the_ack_joins_the_two() -> None:
    scene = MachineScene(offer=b"").calling()
    scene.reply(200, sdes_answer(scene.invite.body))
    assert scene.relayed(Route) == []
    scene.ack(browser_answer(scene.responses[-1].body))
    assert len(scene.relayed(Route)) == 2


def test_an_answer_in_the_ack_is_taken_although_the_other_side_has_left_meanwhile() -> None:
    """Else the leg would wait for it for ever, and whoever is joined with it next could change nothing."""
    scene = answered().ack().feed(answered().keyed())
    scene.inside(LegKind.BROWSER, "INVITE", cseq=20)
    assert waits(scene)
    scene.state.bridge = Bridge(LegId(1), None)
    scene.ack_of(LegKind.BROWSER, 20, vector("chromium_offer").replace(b"setup:actpass", b"setup:active"))
    assert not waits(scene)
    assert scene.state.live


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("emergency", [False, True])
def test_a_change_nobody_acknowledges_ends_a_call_unless_it_is_for_help(emergency: bool, asks: bool) -> None:
    """RFC 3261 13.3.1.4; what is missing proves nothing where nobody may be cut off."""
    scene = (
        MachineScene(Profile.LEGACY, emergency=emergency).calling().reply(200, answer()).ack().feed(MachineScene.keyed)
    )
    scene.inside(LegKind.TRUNK, "INVITE", b"" if asks else answer(direction="sendonly"), cseq=20)
    scene.feed(events.AckMissing(scene.take(fx.Respond)[-1].key))
    assert scene.state.live is emergency
    if emergency:
        scene.inside(LegKind.TRUNK, "INVITE", answer(), cseq=21)
        assert scene.responses[-1].status == 200, "the next change finds nothing in its way"
