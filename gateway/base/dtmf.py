"""Digits of a keypad while a call lives: their names, how they may be told, and that none is told twice."""

from __future__ import annotations

from enum import StrEnum

from gateway.base.short import Short

SIGNALS = "0123456789*#ABCD!"
"""Each at the place of its event code (RFC 4733 3.2); the last one is the hook that is flashed."""
SHORTEST = 0.04
"""Seconds: shorter digits are played this long, for many receivers do not take them for digits (RFC 7874 3)."""
LONGEST = 8.0
"""Seconds: a key that is held for longer says nothing more (RFC 7874 3)."""
TWICE_SECONDS = 2.0
"""A peer that tells its digits in two ways tells the second one this soon, also when a datagram was lost on the way."""
MAX_TOLD = 16
"""Digits remembered for that; nobody presses more in the time."""


class Dtmf(StrEnum):
    """How digits reach a trunk, and come from it."""

    RTP = "rtp"
    """As telephone-events in its media (RFC 4733), or not at all."""
    INFO = "info"
    """By INFO with `application/dtmf-relay`; telephone-event is neither offered nor taken."""
    AUTO = "auto"
    """As events where the trunk has agreed to them, else by INFO."""


class Way(StrEnum):
    """How one digit was told."""

    EVENT = "event"
    INFO = "info"


def in_limits(seconds: float) -> float:
    """How long a digit lasts when it is told on."""
    return min(max(seconds, SHORTEST), LONGEST)


class Once:
    """Notices a digit that a peer tells as an event and by INFO as well: the second one is the same digit."""

    def __init__(self) -> None:
        self._told: Short[tuple[str, Way, float]] = Short(MAX_TOLD)

    def is_news(self, signal: str, way: Way, now: float) -> bool:
        """Whether this is another digit than those that were told; each makes up for one of the other way at most."""
        while self._told and now - self._told[0][2] > TWICE_SECONDS:
            self._told.popleft()
        twin = next((one for one in self._told if one[0] == signal and one[1] is not way), None)
        if twin is None:
            self._told.append((signal, way, now))
            return True
        self._told.remove(twin)
        return False
