"""The own ports of a worker: pairs of an even RTP and the odd RTCP port above it (RFC 3550 11), with quarantine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class PortPool:
    """Hands out the even port of each pair, the one longest unused first.

    Args:
        pairs: the even ports, in the order they are used at first.
        quarantine: seconds a released pair rests.
    """

    def __init__(self, pairs: Iterable[int], quarantine: float) -> None:
        self._free = deque(pairs)
        self._resting: deque[tuple[float, int]] = deque()
        self._quarantine = quarantine

    def acquire(self, now: float) -> int | None:
        """A free even port, or None."""
        self._wake(now)
        return self._free.popleft() if self._free else None

    def release(self, port: int, now: float) -> None:
        """Take a pair back; it rests in quarantine first."""
        self._resting.append((now + self._quarantine, port))

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            self._free.append(self._resting.popleft()[1])


def even_ports(first: int, last: int) -> list[int]:
    """The even ports in a range whose odd neighbour is in it too."""
    return list(range(first + first % 2, last, 2))
