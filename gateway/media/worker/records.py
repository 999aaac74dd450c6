"""What changes with every packet of a lane, side by side in memory.

A worker with a few hundred calls touches the state of each fifty times a second, and much else between: it is in no
cache when it is wanted. As attributes it would be twenty small objects in as many places, and fetching them from there
costs more than all that is done with them. Here it is two lines of the cache.
"""

from __future__ import annotations

import mmap
from struct import Struct
from typing import NamedTuple

from gateway.media.relay_protocol import MAX_CALLS

MAX_LANES = 4 * MAX_CALLS
"""As many as the worker may have calls, both ways and as much again; without a record packets go the long way."""
SIZE = 128
"""Octets of a record, two lines of the cache."""
LAST_PACKET = "QddddIQ"
"""The part that is written with each packet; it stands first."""

read = Struct(f"={LAST_PACKET}QdqIIHH").unpack_from
write_last = Struct(f"={LAST_PACKET}").pack_into
_write = Struct(f"={LAST_PACKET}QdqIIHH").pack_into


class Record(NamedTuple):
    """A record as `read` gives it."""

    head: int
    """What the next packet begins with, as a number: flags, payload type, sequence number and timestamp."""
    at: float
    """When the last packet came."""
    lag: float
    """How late that was, as its stream has it."""
    jitter: float
    worst: float
    """As `Source` has them."""
    left: int
    """How many packets may still come before a number begins anew at zero, there or on the other side."""
    octets: int
    """Of the packets that came and the classes do not know of yet, headers included."""
    stride: int = 0
    """From `head` to that of the packet after."""
    seconds: float = 0.0
    """The same by the clock."""
    shift: int = 0
    """From how they come to how they leave."""
    ssrc: int = 0
    leaves_as: int = 0
    """The SSRCs of both."""
    least: int = 0
    longest: int = 0
    """Octets of a packet as it comes."""


class Records:
    """The records of a worker. Memory that no record ever was in costs nothing."""

    def __init__(self, count: int = MAX_LANES) -> None:
        self.octets = memoryview(mmap.mmap(-1, count * SIZE))
        self._free: list[int] = []
        self._fresh = iter(range(0, count * SIZE, SIZE))

    def take(self) -> int | None:
        """The place of a free one; None when there is none."""
        return self._free.pop() if self._free else next(self._fresh, None)

    def give_back(self, place: int) -> None:
        """Nobody reads that one any more."""
        self._free.append(place)

    def get(self, place: int) -> Record:
        return Record(*read(self.octets, place))

    def put(self, place: int, record: Record) -> None:
        _write(self.octets, place, *record)
