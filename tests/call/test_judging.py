"""One vector, one verdict: what judged an answer is what the record says of it."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.base.keying import Keying
from gateway.base.profiles import Profile
from gateway.base.values import LegKind
from gateway.call.machine import judging
from gateway.policy import evaluate, posture
from gateway.policy.model import EffectivePolicy
from gateway.policy.posture import SecurityVector
from tests.call.machine_scene import MachineScene, answer, sdes_answer

TOLERANT = [Profile.OSRTP, Profile.LEGACY]


@pytest.fixture
def gradings(monkeypatch: pytest.MonkeyPatch) -> Counter[Keying]:
    """How often a vector was graded, by its keying."""
    count: Counter[Keying] = Counter()
    grade = posture._keying_codes

    def counted(vector: SecurityVector) -> object:
        count[vector.keying] += 1
        return grade(vector)

    monkeypatch.setattr(posture, "_keying_codes", counted)
    return count


def test_a_200_is_graded_once_for_each_thing_that_is_said_of_a_leg(gradings: Counter[Keying]) -> None:
    """The agreed trunk leg; what the browser will be at best was graded with its INVITE."""
    scene = MachineScene().calling()
    gradings.clear()
    scene.reply(200, sdes_answer(scene.invite.body)).ack()
    assert gradings == {Keying.SDES: 1}


def test_the_handshake_is_graded_once(gradings: Counter[Keying]) -> None:
    scene = MachineScene().calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack()
    gradings.clear()
    scene.feed(scene.keyed())
    assert gradings == {Keying.DTLS: 1}


def test_a_hold_grades_nothing(gradings: Counter[Keying]) -> None:
    scene = MachineScene().calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack().feed(scene.keyed())
    gradings.clear()
    body = sdes_answer(scene.invite.body).replace(b"sendrecv", b"sendonly")
    scene.inside(LegKind.TRUNK, "INVITE", body, cseq=5)
    assert scene.responses[-1].status == 200
    assert not gradings


@pytest.mark.parametrize("profile", TOLERANT)
def test_the_verdict_that_let_an_answer_pass_is_the_one_recorded(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts: list[SecurityVector] = []
    judge = evaluate.judge

    def counted(policy: EffectivePolicy, vector: SecurityVector) -> evaluate.Verdict:
        verdicts.append(vector)
        return judge(policy, vector)

    monkeypatch.setattr(judging, "judge", counted)
    scene = MachineScene(profile=profile).calling()
    verdicts.clear()
    scene.reply(200, answer())
    trunk = [vector for vector in verdicts if vector.leg is LegKind.TRUNK]
    assert len(trunk) == 1
    assert scene.record("leg.downgraded")["grade_after"] == trunk[0].grade.name
