"""The timers of a call: each name runs once for each leg, and none fires once it is stopped."""

from __future__ import annotations

import asyncio

import pytest

from gateway.base.values import CALLER, NO_LEG, LegId
from gateway.call.machine.effects import ClearTimer, SetTimer, Timer
from gateway.call.machine.events import TimerFired
from gateway.call.run.clocks import Clocks

pytestmark = pytest.mark.asyncio


async def test_a_clock_that_is_set_again_runs_once_and_anew() -> None:
    fired: list[TimerFired] = []
    clocks = Clocks(fired.append)
    clocks.set(SetTimer(Timer.RING, 3600.0))
    clocks.set(SetTimer(Timer.RING, 0.0))
    assert len(clocks) == 1
    await asyncio.sleep(0.001)
    assert fired == [TimerFired(Timer.RING, NO_LEG)]
    assert len(clocks) == 0


async def test_clocks_of_one_name_are_told_apart_by_their_leg() -> None:
    fired: list[TimerFired] = []
    clocks = Clocks(fired.append)
    for leg in (CALLER, LegId(2)):
        clocks.set(SetTimer(Timer.KEYED, 0.0, leg))
    clocks.clear(ClearTimer(Timer.KEYED, CALLER))
    await asyncio.sleep(0.001)
    assert fired == [TimerFired(Timer.KEYED, LegId(2))]


async def test_nothing_fires_when_all_are_stopped_and_stopping_what_does_not_run_is_nothing() -> None:
    fired: list[TimerFired] = []
    clocks = Clocks(fired.append)
    for name in Timer:
        clocks.set(SetTimer(name, 0.0))
    clocks.clear_all()
    clocks.clear(ClearTimer(Timer.RING))
    await asyncio.sleep(0.001)
    assert (fired, len(clocks)) == ([], 0)
