"""The report a browser gets: its number counts up, it is told again when it was not read, a trunk gets none."""

from __future__ import annotations

import pytest

from gateway.base.values import LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import report
from gateway.call.machine.effects import Timer
from gateway.policy.header import HEADER_NAME
from tests.call.machine_scene import MachineScene, request, sdes_answer


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack().feed(scene.keyed()).clear()


def numbers(scene: MachineScene) -> list[int]:
    headers = dict(report.announce(scene.state, scene.browser_leg))
    return [int(part.partition("=")[2]) for part in headers[HEADER_NAME].split(";") if part.startswith("seq=")]


def test_a_trunk_is_told_nothing() -> None:
    scene = talking()
    assert report.announce(scene.state, scene.trunk_leg) == ()
    assert report.is_told(scene.state, scene.trunk_leg, report.news(scene.state, scene.trunk_leg))


def test_each_report_has_a_higher_number() -> None:
    scene = talking()
    one, two = numbers(scene), numbers(scene)
    assert two[0] == one[0] + 1


@pytest.mark.parametrize(("allow", "taken"), [("INVITE, BYE", False), ("INVITE, UPDATE", True), ("", True)])
def test_a_browser_that_lists_its_methods_without_update_gets_none(allow: str, taken: bool) -> None:
    scene = talking()
    report.note_allow(scene.browser_leg, request("INVITE", extra=(("Allow", allow),)))
    assert scene.browser_leg.told is not None
    assert scene.browser_leg.told.takes_update is taken


def test_a_report_that_was_not_read_waits_longer_each_time_within_a_limit() -> None:
    scene = talking()
    for _ in range(12):
        report.missed(scene.state, scene.browser_leg)
    waits = [e.seconds for e in scene.state.out if isinstance(e, fx.SetTimer) and e.name is Timer.REPORT]
    assert waits[:3] == [report.RETRY_SECONDS, 2 * report.RETRY_SECONDS, 4 * report.RETRY_SECONDS]
    assert max(waits) == report.MAX_RETRY_SECONDS
    assert not report.is_told(scene.state, scene.browser_leg, report.news(scene.state, scene.browser_leg))


def test_a_refused_change_was_read_unless_the_refusal_says_otherwise() -> None:
    scene = talking()
    report.reinvite_refused(scene.state, scene.browser_leg, 488)
    assert scene.state.out == []
    report.reinvite_refused(scene.state, scene.browser_leg, 491)
    assert [e.leg for e in scene.state.out if isinstance(e, fx.SetTimer)] == [LegId(1)]
