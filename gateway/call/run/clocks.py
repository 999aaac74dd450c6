"""The timers of one call: each name runs once for each leg."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.base.values import LegId
from gateway.call.machine.effects import ClearTimer, SetTimer, Timer
from gateway.call.machine.events import TimerFired


class Clocks:
    """Timers that run; `fired` is told when one has run out."""

    def __init__(self, fired: Callable[[TimerFired], None]) -> None:
        self._fired = fired
        self._running: dict[tuple[Timer, LegId], asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._running)

    def set(self, effect: SetTimer) -> None:
        """Run anew from now on."""
        clock = (effect.name, effect.leg)
        self._stop(clock)
        self._running[clock] = asyncio.get_running_loop().call_later(effect.seconds, self._ran_out, clock)

    def clear(self, effect: ClearTimer) -> None:
        """Run no longer."""
        self._stop((effect.name, effect.leg))

    def clear_all(self) -> None:
        """Nothing of this call fires any more."""
        for clock in list(self._running):
            self._stop(clock)

    def _stop(self, clock: tuple[Timer, LegId]) -> None:
        timer = self._running.pop(clock, None)
        if timer is not None:
            timer.cancel()

    def _ran_out(self, clock: tuple[Timer, LegId]) -> None:
        self._running.pop(clock, None)
        self._fired(TimerFired(*clock))
