"""How long a call had which grade: from its answer on, every second once."""

from __future__ import annotations

from gateway.base.grades import Grade
from gateway.call.machine.grade_time import GradeTime


def test_time_counts_from_the_answer_on_and_for_the_grade_that_was() -> None:
    time = GradeTime()
    time.passes(5.0, None, Grade.CLEARTEXT)
    time.passes(12.0, 10.0, Grade.HOP_BY_HOP)
    time.passes(13.5, 10.0, Grade.CLEARTEXT)
    time.passes(20.0, 10.0, Grade.HOP_BY_HOP)
    assert time.by_name == {"CLEARTEXT": 1.5, "HOP_BY_HOP": 8.5}


def test_a_clock_that_stands_still_or_goes_back_adds_nothing() -> None:
    time = GradeTime()
    time.passes(10.0, 10.0, Grade.PARTIAL)
    time.passes(9.0, 10.0, Grade.PARTIAL)
    assert time.by_name == {"PARTIAL": 0.0}
