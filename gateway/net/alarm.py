"""One timer of the event loop for whatever is due next: many things that have a time need one, and leave none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Goes off once at the time it is set to.

    Args:
        clock: monotonic seconds.
        on_due: called when the time has come; it may be early by the coarseness of the loop's clock.
    """

    def __init__(self, clock: Callable[[], float], on_due: Callable[[], None]) -> None:
        self._clock, self._on_due = clock, on_due
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0

    @property
    def is_set(self) -> bool:
        """Whether it will go off."""
        return self._timer is not None

    def set(self, at: float | None) -> None:
        """Go off then, and at no other time; None: not at all."""
        if self._timer is not None and at == self._at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._at = at
            self._timer = asyncio.get_running_loop().call_later(max(0.0, at - self._clock()), self._go_off)

    def _go_off(self) -> None:
        self._timer = None
        self._on_due()
