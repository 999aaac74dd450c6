"""A digit that is told in two ways is one digit."""

from __future__ import annotations

import random

import pytest

from gateway.base.dtmf import LONGEST, MAX_TOLD, SHORTEST, SIGNALS, TWICE_SECONDS, Once, Way, in_limits

EVENT, INFO = Way.EVENT, Way.INFO


@pytest.mark.parametrize(("first", "second"), [(EVENT, INFO), (INFO, EVENT)])
def test_each_digit_of_a_peer_that_tells_all_of_them_twice_is_news_once(first: Way, second: Way) -> None:
    once, chance, found = Once(), random.Random(7), ""
    told = "".join(chance.choice(SIGNALS) for _ in range(500))
    waiting: list[str] = []
    for n, signal in enumerate(told):
        found += signal if once.is_news(signal, first, n * 0.25) else ""
        waiting.append(signal)
        if len(waiting) > 3:
            late = waiting.pop(0)
            found += late if once.is_news(late, second, n * 0.25 + 0.01) else ""
    assert found == told


def test_the_same_key_pressed_again_is_another_digit() -> None:
    once = Once()
    assert [once.is_news("5", EVENT, n * 0.1) for n in range(3)] == [True] * 3
    assert [once.is_news("5", INFO, 0.5 + n * 0.1) for n in range(4)] == [False] * 3 + [True]


def test_after_a_while_it_is_another_digit_whatever_way_it_comes() -> None:
    once = Once()
    assert once.is_news("5", EVENT, 0.0)
    assert once.is_news("5", INFO, TWICE_SECONDS + 0.01)


def test_few_digits_are_remembered() -> None:
    once = Once()
    for _ in range(10 * MAX_TOLD):
        once.is_news("5", EVENT, 0.0)
    assert [once.is_news("5", INFO, 0.1) for _ in range(MAX_TOLD + 1)] == [False] * MAX_TOLD + [True]


def test_a_digit_lasts_what_it_lasts_within_limits() -> None:
    assert [in_limits(seconds) for seconds in (0.0, 0.039, 0.1, 8.0, 60.0)] == [SHORTEST, SHORTEST, 0.1, 8.0, LONGEST]
