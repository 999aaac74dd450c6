"""What a call has asked: numbered, awaited, and forgotten within a limit."""

from __future__ import annotations

from gateway.base.values import CALLER, LegId
from gateway.call.machine.asks import MAX_KNOWN, Asks
from gateway.call.machine.effects import Purpose


def test_each_request_has_a_number_of_its_own_and_is_awaited_until_it_is_answered() -> None:
    asks = Asks()
    first, second = asks.new(CALLER, Purpose.BYE), asks.new(LegId(2), Purpose.BYE)
    assert first.number != second.number
    asks.answered(first.number)
    assert asks
    asks.answered(second.number)
    assert not asks


def test_only_an_invite_is_known_after_its_answer_for_its_2xx_may_come_again() -> None:
    asks = Asks()
    bye, invite = asks.new(CALLER, Purpose.BYE), asks.new(CALLER, Purpose.INVITE)
    for ask in (bye, invite):
        asks.answered(ask.number)
    assert asks.find(bye.number) is None
    assert asks.find(invite.number) == invite


def test_what_is_awaited_is_told_apart_by_leg_and_purpose() -> None:
    asks = Asks()
    asks.new(CALLER, Purpose.UPDATE)
    assert asks.awaits(CALLER, Purpose.UPDATE)
    assert not asks.awaits(LegId(2), Purpose.UPDATE)
    assert not asks.awaits(CALLER, Purpose.OPTIONS)


def test_a_call_that_asks_without_end_forgets_what_was_answered_and_never_what_is_open() -> None:
    asks = Asks()
    waiting = asks.new(CALLER, Purpose.INVITE)
    for _ in range(3 * MAX_KNOWN):
        asks.answered(asks.new(CALLER, Purpose.REINVITE).number)
    assert asks.find(waiting.number) == waiting
    assert sum(asks.find(number) is not None for number in range(1, 3 * MAX_KNOWN + 2)) <= MAX_KNOWN
