"""Which packets of a source are lost, and which of these losses make a burst (RFC 3611 4.7.2). Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

GMIN = 16
"""Packets received in a row that end a burst: the value RFC 3611 4.7.2 recommends."""
MAX_PENDING = 64
"""Gaps that may still be filled by late packets; with more of them the oldest is a loss."""


@dataclass(slots=True)
class Bursts:
    """Losses in the order of their numbers."""

    lost: int = 0
    """All of them, in bursts or alone."""
    count: int = 0
    """Bursts that ended."""
    inside: int = 0
    """Losses within these."""
    packets: int = 0
    """Packets these lasted."""
    _first: int = 0
    _last: int = 0
    _open: int = 0
    """Losses of the burst that may go on."""

    def add(self, first: int, last: int) -> None:
        """Packets `first` to `last` are lost."""
        if first - self._last > GMIN:
            self._end()
        if not self._open:
            self._first = first
        self._last = last
        self._open += last - first + 1
        self.lost += last - first + 1

    def _end(self) -> None:
        if self._open > 1:
            self.count += 1
            self.inside += self._open
            self.packets += self._last - self._first + 1
        self._open = 0

    def with_pending(self, gaps: list[tuple[int, int]]) -> Bursts:
        """What it would be if these were losses too and nothing more came."""
        copy = replace(self)
        for first, last in gaps:
            copy.add(first, last)
        copy._end()
        return copy


class Losses:
    """The numbers that did not come, some of which may still come late."""

    __slots__ = ("_bursts", "_gaps")

    def __init__(self) -> None:
        self._bursts = Bursts()
        self._gaps: list[tuple[int, int]] = []
        """First and last number of each, in order; disjoint."""

    def missed(self, first: int, last: int) -> None:
        """Packets `first` to `last` were skipped."""
        if len(self._gaps) >= MAX_PENDING:
            self._bursts.add(*self._gaps.pop(0))
        self._gaps.append((first, last))

    def came(self, number: int) -> None:
        """A packet came late, or once more."""
        for at, (first, last) in enumerate(self._gaps):
            if first <= number <= last:
                parts = (first, number - 1), (number + 1, last)
                self._gaps[at : at + 1] = [part for part in parts if part[0] <= part[1]]
                return

    @property
    def so_far(self) -> Bursts:
        """As if nothing came late any more."""
        return self._bursts.with_pending(self._gaps)
