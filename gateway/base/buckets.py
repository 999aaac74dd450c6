"""Token buckets: how often something may happen, for one or for each of many, on passed-in time."""

from __future__ import annotations

from dataclasses import dataclass

PRUNE_SECONDS = 1.0
"""How often a full table looks for entries it can forget: a flood of new keys must not pay for a look each."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second in the long run, and so many at once."""

    per_second: float
    burst: int

    @property
    def interval(self) -> float:
        return 1 / self.per_second

    def next_full(self, full_at: float, now: float) -> float:
        """When a bucket that is full again at `full_at` is full after one more token is taken from it."""
        return max(full_at, now) + self.interval

    def wait(self, full_at: float, now: float) -> float:
        """Seconds until a bucket with that debt has paid it, 0 when it had the token."""
        return max(0.0, full_at - now - self.burst * self.interval)


class Bucket:
    """One bucket; its whole state is the time at which it will be full again."""

    __slots__ = ("_full_at", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._full_at = float("-inf")

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        full_at = self.rate.next_full(self._full_at, now)
        if self.rate.wait(full_at, now) > 0:
            return False
        self._full_at = full_at
        return True

    def reserve(self, now: float) -> float:
        """Take a token, perhaps one that is not there yet, and return the seconds until it is.

        Whoever asks next waits longer: those who each wait for their token before they ask again take turns.
        """
        self._full_at = self.rate.next_full(self._full_at, now)
        return self.rate.wait(self._full_at, now)


class Buckets:
    """A bucket for each key, in bounded memory.

    A bucket that is full again says nothing and is forgotten. When the table is full of others, further keys share one
    bucket: a flood of keys cannot push out what is known of those before it.
    """

    def __init__(self, rate: Rate, room: int) -> None:
        self.rate, self._room = rate, room
        self._full_at: dict[str, float] = {}
        self._others = Bucket(rate)
        self._pruned_at = float("-inf")

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str, now: float) -> bool:
        """Take a token of that key if there is one."""
        known = self._full_at.get(key)
        if known is None and not self._has_room(now):
            return self._others.take(now)
        full_at = self.rate.next_full(float("-inf") if known is None else known, now)
        if self.rate.wait(full_at, now) > 0:
            return False
        self._full_at[key] = full_at
        return True

    def _has_room(self, now: float) -> bool:
        if len(self._full_at) >= self._room and now - self._pruned_at >= PRUNE_SECONDS:
            self._pruned_at = now
            self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        return len(self._full_at) < self._room
