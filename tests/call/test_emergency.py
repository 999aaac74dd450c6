"""An emergency call tries every trunk it may, however the first one fails."""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.media.relay_commands import CloseLeg, OpenLeg, OwnPort
from tests.call.machine_scene import MachineScene, answer, trunk_flow
from tests.call.test_setup import finished
from tests.sites import made_trunk

HERE = {"bind": "127.0.0.9"}


def emergency(*, other_address: bool = False, second: str = "legacy") -> MachineScene:
    """A call to 112 with two trunks."""
    media = HERE if other_address else None
    other = made_trunk("sip:127.0.0.3", name="second", security=second, media=media)
    return MachineScene(profile=Profile.LEGACY, emergency=True, flow=trunk_flow("udp"), others=(other,))


def trunks(scene: MachineScene) -> list[str]:
    return [e.trunk for e in scene.all if isinstance(e, fx.ConnectTrunk)]


@pytest.mark.parametrize("verification", ["", "certificate has expired"])
def test_a_trunk_that_cannot_be_reached_is_followed_by_the_next(verification: str) -> None:
    scene = emergency().begin().unreachable("refused", verification)
    assert trunks(scene) == ["pbx", "second"]
    scene.connect().open_media().reply(200, answer())
    assert scene.responses[-1].status == 200


@pytest.mark.parametrize("status", [401, 404, 408, 480, 488, 500, 503])
def test_so_is_one_that_refuses_the_call(status: int) -> None:
    scene = emergency().calling().reply(status)
    assert trunks(scene) == ["pbx", "second"]
    assert finished(scene) is None
    scene.connect().open_media()
    invites = [e.request for e in scene.all if isinstance(e, fx.SendRequest)]
    assert len(invites) == 2
    assert invites[0].call_id != invites[1].call_id
    assert [c.leg for c in scene.relayed(OpenLeg)] == [1, 2, 3], "the caller keeps its place"
    assert [c.leg for c in scene.relayed(CloseLeg)] == [2]
    scene.reply(200, answer()).ack()
    assert scene.responses[-1].status == 200
    assert scene.records == ["call.start", "leg.downgraded"]


@pytest.mark.parametrize("transport", [True, False])
def test_and_one_that_does_not_answer_at_all(transport: bool) -> None:
    """UDP has no connection that could fail: silence is all there is."""
    scene = emergency().calling().feed(events.RequestFailed(1, transport=transport))
    assert trunks(scene) == ["pbx", "second"]
    scene.connect().open_media().reply(200, answer())
    assert scene.responses[-1].status == 200


@pytest.mark.parametrize("status", [486, 603])
def test_who_says_no_in_person_is_not_called_again(status: int) -> None:
    scene = emergency().calling().reply(status)
    assert trunks(scene) == ["pbx"]
    assert scene.responses[-1].status == status


def test_when_no_trunk_is_left_the_last_failure_is_told() -> None:
    scene = emergency().calling().reply(503).connect().open_media().reply(500)
    assert finished(scene) is Termination.TRUNK_ERROR
    assert scene.responses[-1].status == 500
    assert len([e for e in scene.all if isinstance(e, fx.Forget)]) == 1


def test_a_trunk_with_its_media_elsewhere_takes_the_call_over_all_the_same() -> None:
    scene = emergency(other_address=True).calling().reply(503)
    assert trunks(scene) == ["pbx", "second"]
    scene.connect().open_media()
    assert [c.place for c in scene.relayed(OpenLeg)][-1] == OwnPort("127.0.0.9", "127.0.0.9")
    scene.reply(200, answer()).ack()
    assert scene.responses[-1].status == 200


def test_giving_up_between_two_trunks_ends_the_call() -> None:
    scene = emergency().calling().reply(503).feed(events.CancelIn())
    assert finished(scene) is Termination.CANCELLED
    assert scene.responses[-1].status == 487
    assert scene.connect().take(fx.SendRequest)[1:] == []


def test_only_an_emergency_call_has_another_trunk() -> None:
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp")).calling().reply(503)
    assert trunks(scene) == ["pbx"]
    assert finished(scene) is Termination.TRUNK_UNAVAILABLE


def test_the_next_trunk_is_called_under_its_own_policy_for_emergencies() -> None:
    scene = emergency(second="strict").begin().unreachable("refused")
    (target,) = scene.state.hunt.connecting.values()
    assert scene.state.policy is target.policy
    assert (scene.state.policy.profile, scene.state.policy.emergency) == (Profile.STRICT, True)
