"""Who may ask for how much: token buckets per source, and caps on calls. Pure: time comes in as an argument.

Every table here is bounded. Running out of room makes strangers share, it never makes anyone unlimited.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

MAX_SOURCES = 4096
"""Buckets kept at the same time; about 1 MB."""

MAX_CALLS_PER_USER = 8
"""Calls one browser user may hold at once: a person has two ears, a fraudster dials in parallel."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How much is allowed: steadily so many a second, and `burst` at once."""

    per_second: float
    burst: int


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float

    def take(self, rate: Rate, now: float) -> bool:
        # A clock that steps back must not drain the bucket.
        elapsed = max(0.0, now - self.filled_at)
        self.tokens = min(float(rate.burst), self.tokens + elapsed * rate.per_second)
        self.filled_at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class RateLimiter:
    """A token bucket per key (source address, user, trunk).

    When the table is full and its oldest bucket is not yet refilled, new keys share one bucket: a flood from many
    sources limits itself and does not reset the buckets of those already known.
    """

    def __init__(self, rate: Rate, *, max_keys: int = MAX_SOURCES) -> None:
        self._rate = rate
        self._max_keys = max_keys
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._shared = _Bucket(float(rate.burst), 0.0)

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, key: str, now: float) -> bool:
        """True when this key may do one more thing now."""
        return self._bucket(key, now).take(self._rate, now)

    def _bucket(self, key: str, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            if not self._make_room(now):
                return self._shared
            bucket = self._buckets[key] = _Bucket(float(self._rate.burst), now)
        self._buckets.move_to_end(key)
        return bucket

    def _make_room(self, now: float) -> bool:
        if len(self._buckets) < self._max_keys:
            return True
        key, oldest = next(iter(self._buckets.items()))
        missing = self._rate.burst - oldest.tokens
        if (now - oldest.filled_at) * self._rate.per_second < missing:
            return False
        del self._buckets[key]
        return True


class CallCaps:
    """Counts live calls in total and per user."""

    def __init__(self, total: int, *, per_user: int = MAX_CALLS_PER_USER) -> None:
        self._total = total
        self._per_user = per_user
        self._by_user: dict[str, int] = {}
        self._live = 0

    @property
    def live(self) -> int:
        return self._live

    def take(self, user: str, *, emergency: bool = False) -> bool:
        """Count one more call of this user; False when a cap is reached. An emergency call is never refused."""
        held = self._by_user.get(user, 0)
        if not emergency and (self._live >= self._total or held >= self._per_user):
            return False
        self._by_user[user] = held + 1
        self._live += 1
        return True

    def release(self, user: str) -> None:
        """One call of this user has ended. A release without a take changes nothing."""
        held = self._by_user.get(user, 0)
        if held == 0:
            return
        self._live -= 1
        if held == 1:
            del self._by_user[user]
        else:
            self._by_user[user] = held - 1
