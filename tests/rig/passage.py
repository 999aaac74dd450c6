"""What a capture tells of how media passed the gateway: whether a silence was one of the peers, or made on the way.

A listener that heard a gap proves nothing on a busy machine: the peer that spoke may have paused. So each direction is
looked at on both sides of the gateway. A *hole* is a time in which one peer went on sending and nothing left for the
other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.rig.capture import Packet

Address = tuple[str, int]


@dataclass(frozen=True)
class Passage:
    """One direction, in milliseconds."""

    packets: int
    """That left for the one who listens."""
    hole: float
    """The longest time media came in and none left."""
    pauses: tuple[float, ...]
    """The longest times between two packets of whoever spoke, longest first: no listener can hear less."""


MAX_PAUSES = 5
CONTINUOUS = 0.05
"""Seconds between two packets of somebody who goes on speaking."""


def passage(
    packets: Sequence[Packet], speaks: Callable[[Address], bool], listens: Callable[[Address], bool]
) -> Passage:
    """How media of some peers reached another one, from its first packet there to the last.

    Args:
        speaks: whether an address is one of those heard, one after the other.
        listens: whether it is the other peer's.
    """
    came = [packet.at for packet in packets if packet.is_rtp and speaks(packet.source)]
    left = [packet.at for packet in packets if packet.is_rtp and listens(packet.destination)]
    holes = [_spoken(came[bisect_right(came, a) : bisect_left(came, b)], b) for a, b in pairwise(left)]
    within = [at for at in came if left and left[0] - 1 <= at <= left[-1]]
    pauses = sorted((round(1000 * (b - a), 1) for a, b in pairwise(within)), reverse=True)
    return Passage(len(left), round(1000 * max(holes, default=0.0), 1), tuple(pauses[:MAX_PAUSES]))


def _spoken(came: Sequence[float], until: float) -> float:
    """For how long somebody went on speaking at these moments, before something left again."""
    longest, began = 0.0, None
    for at, after in pairwise([*came, until]):
        began = at if began is None else began
        longest = max(longest, (after if after - at <= CONTINUOUS else at) - began)
        began = began if after - at <= CONTINUOUS else None
    return longest
