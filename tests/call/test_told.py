"""What a peer has heard: a report that was not read counts as none, and keeps its number."""

from __future__ import annotations

from gateway.call.legs.told import Told
from tests.call.machine_scene import MachineScene, sdes_answer


def test_who_has_heard_nothing_is_tried_by_update_first() -> None:
    assert Told().takes_update
    assert Told().news is None


def test_a_report_that_was_not_read_is_news_again_and_its_number_is_used_up() -> None:
    scene = MachineScene().calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack()
    told = scene.browser_leg.told or Told()
    number, heard = told.number, told.news
    told.forget()
    assert (heard is None, told.news) == (False, None)
    assert told.number == number > 0
