"""Keepalive of a connection we opened (RFC 5626 3.5.1, 4.4.1): when to send two line ends, and when its peer is dead.

Middleboxes forget connections nobody speaks on, and tell nobody. A peer that once answered a ping with a pong owes one
to every further ping. One that never did may not know of pings at all, must skip line ends all the same (RFC 3261 7.5),
and is left alone. No clock and no sockets.
"""

from __future__ import annotations

from enum import Enum, auto

from gateway.sip.framing import PING, PONG

PONG_SECONDS = 10.0
"""How long a pong may take (RFC 5626 4.4.1)."""
ERROR_SECONDS = 30.0
"""How long after a ping the kernel may find out that nobody acknowledges it (20 s), or that the peer knows of no such
connection."""
LEAST = 0.8
"""Of the interval: each pause is between this part of it and the whole, so that gateways do not ping in step."""


class Due(Enum):
    """What is to be done for a connection now."""

    NOTHING = auto()
    PING = auto()
    DEAD = auto()
    """The peer owes a pong and has said nothing: close the connection."""


class Keepalive:
    """One connection's pings and pongs, on passed-in time.

    Args:
        interval: seconds between two pings at most; 0: none are sent.
        lot: drawn from 0 to 1 for this connection.
    """

    __slots__ = ("_answers", "_next", "_pause", "_pinged_at", "_waiting")

    def __init__(self, interval: float, lot: float, now: float) -> None:
        self._pause = interval * (LEAST + (1 - LEAST) * lot)
        self._next = now + self._pause if interval else float("inf")
        self._pinged_at = float("-inf")
        self._waiting = False
        self._answers = False

    def has_asked(self, now: float) -> bool:
        """Whether a connection that breaks now may have broken under a ping, and not under anything we had to say."""
        return now - self._pinged_at <= ERROR_SECONDS

    def heard(self, data: bytes, now: float, *, between_messages: bool) -> None:
        """Octets came in: whatever they are, the peer lives."""
        self._waiting = False
        is_pong = between_messages and data.startswith(PONG) and not data.startswith(PING)
        if is_pong and now - self._pinged_at <= PONG_SECONDS:
            self._answers = True

    def due(self, now: float) -> Due:
        """What is to be done; asked every second or so."""
        if self._waiting and now - self._pinged_at > PONG_SECONDS:
            self._waiting = False
            if self._answers:
                return Due.DEAD
        if self._waiting or now < self._next:
            return Due.NOTHING
        self._next, self._pinged_at, self._waiting = now + self._pause, now, True
        return Due.PING
