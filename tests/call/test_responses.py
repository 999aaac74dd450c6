"""What a callee says to its INVITE: ringing, early media, the answer, a refusal and the one retry."""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.call.machine import effects as fx
from gateway.call.machine.effects import Purpose
from tests.call.machine_scene import MachineScene, answer, sdes_answer


def statuses(scene: MachineScene) -> list[int]:
    return [response.status for response in scene.responses]


def invites(scene: MachineScene) -> list[bytes]:
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]
    return [e.request.body for e in sent]


@pytest.mark.parametrize(("said", "told"), [(100, []), (180, [180]), (183, [180]), (182, [182]), (199, [])])
def test_ringing_stays_ringing_and_what_means_nothing_to_the_caller_is_not_told(said: int, told: list[int]) -> None:
    assert statuses(MachineScene().calling().reply(said)) == told


def test_early_media_that_policy_takes_is_heard_and_its_record_stands() -> None:
    scene = MachineScene().calling()
    scene.reply(183, sdes_answer(scene.invite.body))
    assert statuses(scene) == [183]
    assert scene.records[-1] == "leg.secured"


def test_early_media_that_policy_refuses_is_not_heard_and_ends_nothing() -> None:
    scene = MachineScene().calling().reply(183, answer())
    assert statuses(scene) == [180]
    assert scene.state.live


def test_a_refused_secure_offer_is_followed_by_a_plain_one_only_where_policy_says_so() -> None:
    strict = MachineScene().calling().reply(488)
    assert (len(invites(strict)), strict.state.live) == (1, False)
    prefer = MachineScene(profile=Profile.PREFER).calling().reply(488)
    assert [b"a=crypto" in body for body in invites(prefer)] == [True, False]
    assert prefer.records[-1] == "leg.downgraded"


def test_there_is_one_retry_and_no_more() -> None:
    scene = MachineScene(profile=Profile.PREFER).calling().reply(488).reply(488)
    assert len(invites(scene)) == 2
    assert not scene.state.live


def test_a_retry_is_the_same_call_with_the_next_number() -> None:
    """RFC 3261 8.1.3.5."""
    scene = MachineScene(profile=Profile.PREFER).calling().reply(488)
    one, two = [e.request for e in scene.all if isinstance(e, fx.SendRequest)]
    assert (one.call_id, one.from_.tag) == (two.call_id, two.from_.tag)
    assert two.cseq.number == one.cseq.number + 1


def test_a_trunk_that_agreed_to_keys_in_this_call_is_not_offered_plain_media_after_that() -> None:
    scene = MachineScene(profile=Profile.PREFER).calling()
    scene.reply(183, sdes_answer(scene.invite.body)).reply(488)
    assert len(invites(scene)) == 1
    assert scene.state.termination is not None


@pytest.mark.parametrize(("status", "why"), [(486, Termination.BUSY), (603, Termination.REJECTED)])
def test_what_the_person_says_is_told_to_the_caller(status: int, why: Termination) -> None:
    scene = MachineScene().calling().reply(status)
    assert statuses(scene)[-1] == status
    assert scene.state.termination is why
