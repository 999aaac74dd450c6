"""Glare: both sides of a dialog want to change the session at once (RFC 3261 14.1, 14.2, RFC 3311 5.2).

Who made the Call-ID waits longer, so that the two do not collide again. Both waits are drawn by lot.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.counters import Counter
from gateway.base.values import TokenSource

UNIT = 0.01
"""Seconds: "in units of 10 ms"."""
OWNER_FIRST, OWNER_LAST = 210, 400
OTHER_FIRST, OTHER_LAST = 0, 200
"""How many units the owner of the Call-ID waits, and how many the other side (RFC 3261 14.1)."""
MAX_RETRY_AFTER = 10
"""Seconds: Retry-After of a change that comes before the one under way is answered (RFC 3261 14.2, RFC 3311 5.2)."""
LOT_LENGTH = 8
"""Characters of a lot: 36**8 against a few hundred choices, so that none is noticeably likelier."""


@dataclass(frozen=True, slots=True)
class Glare:
    """Their change cannot be looked at now (RFC 3261 14.2, RFC 3311 5.2)."""

    status: int
    retry_after: int | None = None
    """Seconds, for the header of a 500."""

    @property
    def counter(self) -> Counter:
        return Counter.OFFER_GLARE


@dataclass(frozen=True, slots=True)
class BackOff:
    """Our offer met theirs: it is dropped and due again after this many seconds (RFC 3261 14.1)."""

    seconds: float

    @property
    def counter(self) -> Counter:
        return Counter.OFFER_GLARE


def wait_seconds(tokens: TokenSource, *, owns_call_id: bool) -> float:
    """How long to wait after 491 before the change is tried again."""
    first, last = (OWNER_FIRST, OWNER_LAST) if owns_call_id else (OTHER_FIRST, OTHER_LAST)
    return (first + _draw(tokens, last - first + 1)) * UNIT


def retry_after(tokens: TokenSource) -> int:
    """Seconds after which a peer may try again that changed the session too early."""
    return _draw(tokens, MAX_RETRY_AFTER + 1)


def _draw(tokens: TokenSource, choices: int) -> int:
    return int(tokens(LOT_LENGTH), 36) % choices
