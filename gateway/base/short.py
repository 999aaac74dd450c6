"""A queue that is nearly always empty. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class Short(list[T]):
    """A queue for a few, of which every call has many: a deque holds 700 octets before there is anything in it.

    Args:
        most: how many fit, of which the oldest makes room; None: whoever fills it sees to that.
    """

    __slots__ = ("_most",)

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self._most = most

    def append(self, item: T) -> None:
        """Put one behind the others."""
        super().append(item)
        self._make_room()

    def extend(self, items: Iterable[T]) -> None:
        """Put several behind the others."""
        super().extend(items)
        self._make_room()

    def appendleft(self, item: T) -> None:
        """Put one before all others."""
        self.insert(0, item)

    def popleft(self) -> T:
        """Take the first one; raises IndexError without any."""
        return self.pop(0)

    def _make_room(self) -> None:
        if self._most is not None and len(self) > self._most:
            del self[: len(self) - self._most]
