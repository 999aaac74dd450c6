"""What a leg keeps of digits told by INFO: how many may be ahead of their time, and how many wait."""

from __future__ import annotations

from gateway.base.values import Secret
from gateway.call.legs.keypad import MAX_AHEAD, MAX_DUE, PAUSE, Keypad
from gateway.sip.info import Pressed

DIGIT = Pressed(Secret("7"), 160)


def test_digits_may_come_faster_than_they_are_played_up_to_a_limit_that_ages() -> None:
    keypad, each = Keypad(), 0.16 + PAUSE
    assert [keypad.delay(DIGIT, 100.0) for _ in range(MAX_AHEAD)] == [0] * MAX_AHEAD
    assert keypad.delay(DIGIT, 100.0) == 1
    assert keypad.delay(DIGIT, 100.0 + each + 0.001) == 0
    assert keypad.delay(DIGIT, 100.0 + each + 0.001) == 1
    assert keypad.delay(DIGIT, 100.0 + 2 * MAX_AHEAD * each) == 0


def test_the_time_to_wait_is_that_of_the_digit_that_is_played() -> None:
    keypad = Keypad()
    for _ in range(MAX_AHEAD):
        keypad.delay(Pressed(Secret("7"), 8000), 100.0)
    assert keypad.delay(DIGIT, 101.0) == 8


def test_so_many_digits_wait_and_no_more_and_none_of_them_can_be_printed() -> None:
    keypad = Keypad()
    assert [keypad.wait(DIGIT) for _ in range(MAX_DUE + 1)] == [True] * MAX_DUE + [False]
    assert len(keypad.due) == MAX_DUE
    assert "***" in repr(DIGIT)
    assert "due" not in repr(keypad)
