"""A leg turns bad and good again, with hysteresis."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.quality.leg import Way, score
from gateway.quality.told import final_facts
from gateway.quality.watch import BAD_TIMES, GOOD_TIMES, LEAST_PACKETS, Marks, QualityWatch, Turn
from tests.quality.measures import Counted, Leg, Says, after

MARKS = Marks()


class Line:
    """A leg that is looked at every ten seconds."""

    def __init__(self) -> None:
        self.watch, self.now = QualityWatch(), 1000.0
        self.expected = self.lost = 0

    def look(self, loss: float, packets: int = 500) -> Turn | None:
        self.now += MARKS.seconds
        self.expected, self.lost = self.expected + packets, self.lost + round(packets * loss)
        return self.watch.look(Leg(Counted(self.expected, self.lost)), "pcma", self.now, MARKS)

    def looks(self, *losses: float) -> list[bool | None]:
        return [turn.is_bad if turn is not None else None for turn in map(self.look, losses)]


def test_the_score_of_a_leg_is_that_of_its_worse_way() -> None:
    found = score(after(10, 0.01, sent_loss=0.2), None, "opus")
    assert found.worse is Way.SENT
    assert found.heard is not None
    assert found.sent is not None
    assert found.mos == found.sent.mos < found.heard.mos


def test_a_peer_that_reports_nothing_is_judged_by_what_it_sends() -> None:
    found = score(after(10, 0.2), None, "opus")
    assert (found.worse, found.sent) == (Way.HEARD, None)
    assert score(Leg(Counted(0), Counted(500, 100)), None, "opus").worse is Way.SENT


def test_only_what_is_sent_is_judged_by_what_its_listener_says() -> None:
    said = replace(after(10, 0.0, sent_loss=0.0), told=Says(discard_rate=0.3))
    found = score(said, None, "opus")
    assert found.worse is Way.SENT
    assert found.heard is not None
    assert found.heard.mos > 4.3
    facts = final_facts(replace(said, told=Says(0.1, 0.0, 0.05, 3.4)), QualityWatch(), "opus", 0.0)
    assert facts is not None
    sent = facts["sent"]
    assert isinstance(sent, dict)
    assert (sent["discard_percent"], sent["buffer_ms"], sent["told_mos"]) == (10.0, 50.0, 3.4)


def test_a_leg_that_nothing_is_known_of_has_no_score() -> None:
    assert score(Leg(), None, "opus").mos is None
    assert QualityWatch().look(Leg(), "opus", 1.0, MARKS) is None


def test_one_bad_stretch_is_a_hiccup() -> None:
    assert Line().looks(0.0, 0.3, 0.0, 0.3, 0.0) == [None] * 5


def test_a_leg_is_bad_after_several_bad_stretches_and_that_is_told_once() -> None:
    line = Line()
    assert line.looks(0.0, *[0.3] * (BAD_TIMES + 4)) == [None] * BAD_TIMES + [True] + [None] * 4
    assert line.watch.is_bad


def test_it_is_good_again_after_more_good_ones_and_what_lies_between_the_marks_changes_nothing() -> None:
    line = Line()
    line.looks(*[0.3] * BAD_TIMES)
    between = 0.06  # MOS of about 3.75
    assert line.looks(between, between, between, between) == [None] * 4
    assert line.watch.latest is not None
    assert MARKS.bad < (line.watch.latest.mos or 0.0) < MARKS.good
    assert line.looks(*[0.0] * GOOD_TIMES) == [None] * (GOOD_TIMES - 1) + [False]
    assert line.looks(between, between, between) == [None] * 3  # nor does it make a good one bad


def test_one_bad_stretch_makes_the_good_ones_count_anew() -> None:
    line = Line()
    line.looks(*[0.3] * BAD_TIMES)
    assert line.looks(*[0.0] * (GOOD_TIMES - 1), 0.3, *[0.0] * (GOOD_TIMES - 1)) == [None] * (2 * GOOD_TIMES - 1)


def test_a_hold_or_a_pause_in_speech_is_not_judged() -> None:
    line = Line()
    line.looks(0.0, 0.3)
    assert line.look(1.0, packets=LEAST_PACKETS - 1) is None
    assert line.watch.latest is not None
    assert line.watch.latest.mos is None
    assert line.looks(0.3) == [True]  # the pause broke nothing off


def test_how_long_it_was_bad_is_known_also_while_it_lasts() -> None:
    line = Line()
    line.looks(0.0, *[0.3] * BAD_TIMES, 0.3, 0.3)
    assert line.watch.bad_until(line.now) == pytest.approx(20.0)
    line.looks(*[0.0] * GOOD_TIMES, 0.0, 0.0)
    assert line.watch.bad_until(line.now) == pytest.approx(20.0 + 10.0 * GOOD_TIMES)


def test_a_turn_tells_how_long_it_was_otherwise() -> None:
    line = Line()
    first = [turn for loss in [0.3] * BAD_TIMES if (turn := line.look(loss))]
    again = [turn for loss in [0.0] * GOOD_TIMES if (turn := line.look(loss))]
    assert [turn.lasted for turn in (*first, *again)] == [0.0, pytest.approx(10.0 * GOOD_TIMES)]


def test_the_worst_stretch_is_remembered() -> None:
    line = Line()
    line.looks(0.0, 0.3, 0.0)
    assert line.watch.lowest == score(after(10, 0.3), None, "pcma").mos
