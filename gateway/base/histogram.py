"""A histogram by labels, as Prometheus has them: how many values were at most so much, and their sum."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

Labels = tuple[str, ...]


class Histogram:
    """Counts values. Who gives the labels bounds their number.

    Args:
        bounds: upper bounds of the buckets, ascending; one without a bound is added.
        seeds: labels that are there before anything was counted, so that a graph of nothing is zero.
    """

    def __init__(self, bounds: Sequence[float], seeds: Sequence[Labels] = ()) -> None:
        self.bounds = tuple(bounds)
        self._counts: dict[Labels, list[int]] = {labels: self._empty() for labels in seeds}
        self._sums: dict[Labels, float] = dict.fromkeys(seeds, 0.0)

    def add(self, labels: Labels, value: float) -> None:
        """One more value."""
        counts = self._counts.setdefault(labels, self._empty())
        counts[bisect_left(self.bounds, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def rows(self) -> Iterator[tuple[Labels, list[tuple[str, int]], float]]:
        """Labels, the buckets with all that is at most their bound, and the sum of the values."""
        names = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        for labels, counts in self._counts.items():
            reached = [sum(counts[: place + 1]) for place in range(len(counts))]
            yield labels, list(zip(names, reached, strict=True)), self._sums[labels]

    def _empty(self) -> list[int]:
        return [0] * (len(self.bounds) + 1)
