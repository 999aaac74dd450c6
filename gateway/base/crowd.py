"""People waiting at a door: so many in all and so many of one source, and the longest waiting gives way to a newcomer.

Refusing newcomers would let whoever came first, and stays, keep everybody else out.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

M = TypeVar("M", bound=Hashable)


class Crowd(Generic[M]):
    """Members by source, each source's in order of their last sign of life."""

    def __init__(self, total: int, per_source: int) -> None:
        self._total, self._per_source = total, per_source
        self._sources: dict[str, dict[M, None]] = {}
        self._size = 0

    def resize(self, total: int, per_source: int) -> None:
        """Let so many in from now on. Nobody has to leave for that: each newcomer goes on taking somebody's place."""
        self._total, self._per_source = total, per_source

    def __len__(self) -> int:
        return self._size

    def __contains__(self, place: tuple[str, M]) -> bool:
        source, member = place
        return member in self._sources.get(source, {})

    def count(self, source: str) -> int:
        """Members of one source."""
        return len(self._sources.get(source, {}))

    def enter(self, source: str, member: M) -> M | None:
        """Let a newcomer in; returns who had to leave for it.

        That is the oldest of its own source when that has its share, else, when all is full, of the source with most.
        """
        crowded = source if self.count(source) >= self._per_source else ""
        if not crowded and self._size >= self._total:
            crowded = max(self._sources, key=self.count)
        oldest = next(iter(self._sources[crowded])) if crowded else None
        if oldest is not None:
            self.leave(crowded, oldest)
        self._sources.setdefault(source, {})[member] = None
        self._size += 1
        return oldest

    def touch(self, source: str, member: M) -> None:
        """A member gave a sign of life."""
        members = self._sources.get(source, {})
        if member in members:
            del members[member]
            members[member] = None

    def leave(self, source: str, member: M) -> bool:
        """A member has gone; False when it was not there."""
        members = self._sources.get(source)
        if members is None or member not in members:
            return False
        del members[member]
        self._size -= 1
        if not members:
            del self._sources[source]
        return True
