"""A peer that says it knows no such dialog: the same follows, whatever it was asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import lost_dialog
from gateway.call.machine.effects import Purpose
from gateway.media.relay_events import LegSilent
from tests.call.machine_scene import MachineScene, answer
from tests.call.test_change import from_browser, from_trunk, held
from tests.sites import made_trunk

Ask = Callable[[MachineScene], MachineScene]


def talking(*, emergency: bool) -> MachineScene:
    """A browser and a trunk that is told digits by INFO."""
    trunk = made_trunk("sip:pbx.example;transport=udp", security="legacy", dtmf="info")
    scene = MachineScene(profile=Profile.LEGACY, trunk=trunk, emergency=emergency).calling()
    return scene.reply(200, answer()).ack().feed(scene.keyed()).clear()


def hold(scene: MachineScene) -> MachineScene:
    return from_browser(scene, "INVITE", held(b"sendonly"))


def digit(scene: MachineScene) -> MachineScene:
    kind = ("Content-Type", "application/dtmf-relay")
    return scene.inside(LegKind.BROWSER, "INFO", b"Signal=5\r\nDuration=100", cseq=40, extra=(kind,))


def silence(scene: MachineScene) -> MachineScene:
    return scene.feed(LegSilent(scene.id(LegKind.TRUNK)))


def report(scene: MachineScene) -> MachineScene:
    """The trunk loses its music: the browser is told by UPDATE."""
    leg = scene.trunk_leg
    assert leg is not None
    leg.media_lost = True
    return from_trunk(scene, "OPTIONS")


ASKED = {Purpose.REINVITE: hold, Purpose.INFO: digit, Purpose.OPTIONS: silence, Purpose.UPDATE: report}


def byes(scene: MachineScene) -> int:
    return len([e for e in scene.take(fx.SendRequest) if e.purpose is Purpose.BYE])


@pytest.mark.parametrize("purpose", ASKED)
@pytest.mark.parametrize(("status", "told"), [(481, 1), (408, 2)])
def test_it_ends_the_call_and_who_did_not_say_so_itself_is_told(purpose: Purpose, status: int, told: int) -> None:
    scene = ASKED[purpose](talking(emergency=False)).clear().reply(status, purpose=purpose)
    assert scene.state.termination in (Termination.PEER_TIMEOUT, Termination.PEER_GONE)
    assert byes(scene) == told


@pytest.mark.parametrize("purpose", ASKED)
def test_an_emergency_call_ends_by_the_word_of_the_peer_and_not_by_that_of_a_proxy(purpose: Purpose) -> None:
    scene = ASKED[purpose](talking(emergency=True))
    assert scene.reply(408, purpose=purpose).state.live
    assert not ASKED[purpose](talking(emergency=True)).reply(481, purpose=purpose).state.live


@pytest.mark.parametrize("status", [200, 404, 480, 487, 500, 503])
def test_whoever_says_anything_else_knows_the_call(status: int) -> None:
    scene = talking(emergency=False)
    assert not lost_dialog.is_said(scene.state, scene.state.caller, status)
    assert scene.state.live
