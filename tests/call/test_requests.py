"""Requests inside a dialog: whose they are, whether they come in order, who answers."""

from __future__ import annotations

import pytest

from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.legs.user_agent import ALLOW
from gateway.call.machine import effects as fx
from tests.call.machine_scene import MachineScene, sdes_answer


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack().feed(scene.keyed()).clear()


def statuses(scene: MachineScene) -> list[int]:
    return [e.response.status for e in scene.take(fx.Respond)]


@pytest.mark.parametrize("leg", LegKind)
def test_a_request_older_than_the_last_one_is_500(leg: LegKind) -> None:
    """RFC 3261 12.2.2."""
    scene = talking().inside(leg, "OPTIONS", cseq=40).inside(leg, "OPTIONS", cseq=39)
    assert statuses(scene) == [200, 500]


@pytest.mark.parametrize("method", ["MESSAGE", "PUBLISH"])
def test_a_method_nobody_serves_is_405_with_what_is_served(method: str) -> None:
    scene = talking().inside(LegKind.BROWSER, method, cseq=40)
    (effect,) = scene.take(fx.Respond)
    assert effect.response.status == 405
    assert effect.response.headers.get("Allow") == ALLOW


@pytest.mark.parametrize(("method", "status"), [("BYE", 200), ("OPTIONS", 481), ("INVITE", 481)])
def test_a_dialog_that_is_not_the_calls_may_end_and_nothing_else(method: str, status: int) -> None:
    scene = talking().inside(LegKind.TRUNK, method, cseq=40, tag="stranger")
    assert statuses(scene) == [status]
    assert scene.state.live


@pytest.mark.parametrize(
    ("leg", "why"), [(LegKind.BROWSER, Termination.HANGUP_BROWSER), (LegKind.TRUNK, Termination.HANGUP_TRUNK)]
)
def test_a_goodbye_is_answered_before_the_call_ends_and_says_who_hung_up(leg: LegKind, why: Termination) -> None:
    scene = talking().inside(leg, "BYE", cseq=40)
    assert scene.order(fx.Respond, fx.Finished)[-2:] == ["Respond", "Finished"]
    assert scene.state.termination is why


def test_a_goodbye_that_crosses_ours_is_answered_and_no_more() -> None:
    scene = talking().inside(LegKind.BROWSER, "BYE", cseq=40).clear()
    scene.inside(LegKind.TRUNK, "BYE", cseq=40)
    assert [type(e) for e in scene.effects] == [fx.Respond]
    assert statuses(scene) == [200]
