"""The one timer of the endpoint: it goes off once, at the time it was set to last, and leaves nothing."""

from __future__ import annotations

import asyncio

import pytest

from gateway.net.alarm import Alarm

pytestmark = pytest.mark.asyncio
LATER = 3600.0


class Waiting:
    """An alarm, and how often it went off."""

    def __init__(self) -> None:
        self.clock = asyncio.get_running_loop().time
        self.alarm = Alarm(self.clock, self.off)
        self.times = 0
        self.was_set: list[bool] = []
        self.went_off = asyncio.Event()

    def off(self) -> None:
        self.times += 1
        self.was_set.append(self.alarm.is_set)
        self.went_off.set()

    def timers(self) -> int:
        """Timers of the loop that are still to come."""
        scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        return sum(not timer.cancelled() for timer in scheduled)


async def test_it_goes_off_once_and_is_not_set_any_more_by_then() -> None:
    waiting = Waiting()
    waiting.alarm.set(waiting.clock())
    await asyncio.wait_for(waiting.went_off.wait(), 5)
    assert (waiting.times, waiting.was_set) == (1, [False])
    assert waiting.timers() == 0


@pytest.mark.parametrize("times", [(LATER, 0.0), (0.0, LATER, 0.0)], ids=["earlier", "later and back"])
async def test_what_it_was_set_to_last_counts(times: tuple[float, ...]) -> None:
    waiting, now = Waiting(), asyncio.get_running_loop().time()
    for seconds in times:
        waiting.alarm.set(now + seconds)
    await asyncio.wait_for(waiting.went_off.wait(), 5)
    assert waiting.times == 1
    assert waiting.timers() == 0


async def test_one_that_is_set_to_the_same_time_again_has_one_timer_and_none_when_it_is_put_off() -> None:
    waiting = Waiting()
    at = waiting.clock() + LATER
    for _ in range(3):
        waiting.alarm.set(at)
    assert (waiting.alarm.is_set, waiting.timers()) == (True, 1)
    waiting.alarm.set(None)
    assert (waiting.alarm.is_set, waiting.timers()) == (False, 0)


async def test_what_is_long_due_is_told_by_the_loop_and_not_at_once() -> None:
    """Whoever sets it may be in the middle of something."""
    waiting = Waiting()
    waiting.alarm.set(waiting.clock() - LATER)
    assert waiting.times == 0
    await asyncio.wait_for(waiting.went_off.wait(), 5)
