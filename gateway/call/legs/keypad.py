"""The digits of one leg: how many its peer may still tell by INFO, and which wait to be told to it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil

from gateway.base.dtmf import Once
from gateway.sip.info import Pressed

MAX_AHEAD = 60
"""Digits told by INFO whose time to be played has not come: a little less than a relay keeps."""
MAX_DUE = 64
"""Digits that wait to be told by INFO: each waits for the answer to the one before."""
PAUSE = 0.04
"""Seconds between two digits as they are played."""


@dataclass
class Keypad:
    """What a leg has to do with digits; their values are in no log, and no count is kept of them."""

    once: Once = field(default_factory=Once)
    """Digits of the peer that come both ways."""
    due: deque[Pressed] = field(default_factory=deque, repr=False)
    """What its peer is still to be told."""
    _until: deque[float] = field(default_factory=deque, repr=False)

    def delay(self, pressed: Pressed, now: float) -> int:
        """Take a digit of the peer: 0, or in how many seconds the next one may come, for this one is too many."""
        until = self._until
        while until and until[0] <= now:
            until.popleft()
        if len(until) >= MAX_AHEAD:
            return max(1, ceil(until[0] - now))
        until.append((until[-1] if until else now) + pressed.milliseconds / 1000 + PAUSE)
        return 0

    def wait(self, pressed: Pressed) -> bool:
        """Let a digit wait for its turn to be told to the peer; whether there was room."""
        if len(self.due) >= MAX_DUE:
            return False
        self.due.append(pressed)
        return True
