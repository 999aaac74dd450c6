"""When a relay worker counts as slow, and when as dead."""

from __future__ import annotations

import pytest

from gateway.media.relay_health import HEARTBEAT_SECONDS, MAX_MISSED, SLOW_SECONDS, Health


def test_a_heartbeat_a_second_and_dead_after_three_seconds() -> None:
    assert (HEARTBEAT_SECONDS, MAX_MISSED) == (1.0, 3)


def test_a_worker_that_answers_is_asked_again_with_another_number() -> None:
    health = Health()
    for number in (1, 2, 3):
        assert health.beat(float(number)) == number
        health.answered(number)
        assert (health.missed, health.hung, health.slow(number + 0.9)) == (0, False, False)


def test_a_worker_that_owes_an_answer_is_not_asked_again_and_dead_with_the_third_missed_beat() -> None:
    health = Health()
    assert health.beat(10.0) == 1
    for missed, now in ((1, 11.0), (2, 12.0)):
        assert health.beat(now) is None
        assert (health.missed, health.hung) == (missed, False)
    assert health.beat(13.0) is None
    assert health.hung


def test_a_late_answer_clears_the_worker() -> None:
    health = Health()
    health.beat(10.0)
    health.beat(11.0)
    health.beat(12.0)
    health.answered(1)
    assert (health.missed, health.hung, health.slow(12.5)) == (0, False, False)
    assert health.beat(13.0) == 2


def test_a_gateway_that_was_held_up_for_a_minute_does_not_take_its_worker_for_hung() -> None:
    health = Health()
    health.beat(10.0)
    assert health.beat(70.0) is None
    assert not health.hung


@pytest.mark.parametrize("number", [0, 2, -1])
def test_an_answer_to_another_heartbeat_is_none(number: int) -> None:
    health = Health()
    health.beat(10.0)
    health.answered(number)
    assert health.beat(11.0) is None


def test_a_worker_is_slow_from_a_quarter_of_a_second_on() -> None:
    health = Health()
    assert not health.slow(0.0)
    health.beat(10.0)
    assert not health.slow(10.0 + SLOW_SECONDS)
    assert health.slow(10.0 + SLOW_SECONDS + 0.01)


def test_a_session_that_was_not_opened_in_time_makes_a_worker_slow_until_it_says_something_of_it() -> None:
    health = Health()
    health.overdue(7)
    assert health.slow(0.0)
    health.settled(8)
    assert health.slow(0.0)
    health.settled(7)
    assert not health.slow(0.0)


def test_a_worker_that_answers_heartbeats_but_opens_nothing_is_hung() -> None:
    health = Health()
    health.overdue(7)
    health.beat(10.0)
    health.answered(1)
    assert health.hung


def test_a_session_that_ran_late_after_the_heartbeat_was_sent_is_no_disorder() -> None:
    health = Health()
    health.beat(10.0)
    health.overdue(7)
    health.answered(1)
    assert not health.hung
    health.beat(11.0)
    health.settled(7)
    health.answered(2)
    assert not health.hung
