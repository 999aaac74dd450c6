"""What waits for a sink: bounded, in order, with room kept for what proves the log. PURE."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.audit.sinks.item import Item

VITAL_ROOM = 1440
"""Checkpoints that wait beside the records, those of a day: what proves the log is not crowded out."""

QUEUE_OCTETS = 32 << 20
"""Octets that wait for one sink, however small its records were expected to be."""


class SinkQueue:
    """Items in the order of the log; what does not fit is told to the caller and not kept.

    Args:
        limit: records that wait at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[Item] = deque()
        self._octets = self._vital = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> bool:
        """Let an item wait; False when there is no room."""
        if not self._has_room(item):
            return False
        self._count(item, 1)
        self._items.append(item)
        return True

    def put_first(self, items: Sequence[Item]) -> list[Item]:
        """Let older items wait before all others; gives those there is no room for, the oldest first."""
        refused: list[Item] = []
        for item in reversed(items):
            if self._has_room(item):
                self._count(item, 1)
                self._items.appendleft(item)
            else:
                refused.append(item)
        return refused[::-1]

    def first(self, most: int, octets: int) -> list[Item]:
        """The next items, at most so many and, but for the first, so many octets. They stay until `take`."""
        found: list[Item] = []
        for item in self._items:
            octets -= len(item.line)
            if len(found) == most or (found and octets < 0):
                break
            found.append(item)
        return found

    def take(self, number: int) -> None:
        """The first items are where they should be."""
        for _ in range(number):
            self._count(self._items.popleft(), -1)

    def _has_room(self, item: Item) -> bool:
        if item.is_vital:
            return self._vital < VITAL_ROOM
        fits = self._octets + len(item.line) <= QUEUE_OCTETS
        return fits and len(self._items) - self._vital < self._limit

    def _count(self, item: Item, sign: int) -> None:
        if item.is_vital:
            self._vital += sign
        else:
            self._octets += sign * len(item.line)
