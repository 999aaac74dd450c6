"""How soon credentials of somebody who guessed wrong before are looked at again.

Delays grow with failures, are capped, and age. They are kept for whoever failed, never for a user as such: a right
password from where its user signed in before is delayed by failures of just that place with just that name, and one
from a place that has not failed yet by a short, shared delay, so that no number of guesses elsewhere locks a user out.
Whoever is signed in is not asked again and feels nothing. User names are counted as claimed, whether there is such a
user or not.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from gateway.base.sources import site_of, source_of

FORGET_SECONDS = 900.0
"""Seconds without a failure after which the earlier ones are forgotten."""
MAX_KEPT = 8192
"""Failing places and names remembered; the one that failed longest ago gives way."""
MAX_PROVEN = 8192
"""Places where a user signed in, remembered; the one used longest ago gives way."""
MAX_DOUBLINGS = 16
"""Beyond, the power of two says nothing: every cap is reached."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How many failures are free, and the longest delay those after them grow to, doubling from 1 s."""

    free: int
    cap: float

    def delay(self, failures: int) -> float:
        """Seconds until the next try after that many failures."""
        extra = failures - self.free
        return min(self.cap, 2.0 ** min(extra - 1, MAX_DOUBLINGS)) if extra > 0 else 0.0


OWN_PLACE = Patience(free=10, cap=15.0)
"""A name at a place where it signed in before: somebody who forgot a new password."""
NAME_AT_PLACE = Patience(free=4, cap=60.0)
"""A name at a place where it never signed in."""
PLACE = Patience(free=20, cap=60.0)
"""Any names at one place: an office whose telephones all have old passwords, or a list of names being tried."""
SITE = Patience(free=60, cap=60.0)
"""Any names at the places of one IPv6 site: 65,536 networks belong to one."""
NAME_AGAIN = Patience(free=20, cap=30.0)
"""A name at all places that have failed with it already: guessing from many places."""
NAME_FRESH = Patience(free=20, cap=2.0)
"""A name at all places that have not: short, since its user may be there."""

Key = tuple[str, str]


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = float("-inf")
    until: float = float("-inf")


class Guesses:
    """Remembers who failed to prove a password, in bounded memory."""

    def __init__(self) -> None:
        self._failures: OrderedDict[Key, _Failures] = OrderedDict()
        self._proven: OrderedDict[Key, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def wait(self, host: str, user: str, now: float) -> float:
        """Seconds until credentials of that name from that address are looked at; 0 when they are now."""
        return max(0.0, *(self._until(key) - now for key, _ in self._counted(host, user, now)))

    def failed(self, host: str, user: str, now: float) -> None:
        """Credentials were looked at and were wrong."""
        for key, patience in self._counted(host, user, now):
            found = self._alive(key, now) or _Failures()
            found.count, found.last = found.count + 1, now
            found.until = now + patience.delay(found.count)
            self._failures[key] = found
            self._failures.move_to_end(key)
        while len(self._failures) > MAX_KEPT:
            self._failures.popitem(last=False)

    def proved(self, host: str, user: str) -> None:
        """Credentials were right: the user belongs to that place from now on."""
        key = (user, source_of(host))
        self._proven[key] = None
        self._proven.move_to_end(key)
        if len(self._proven) > MAX_PROVEN:
            self._proven.popitem(last=False)
        self._failures.pop(key, None)

    def _counted(self, host: str, user: str, now: float) -> list[tuple[Key, Patience]]:
        """What a failure of this name at this place counts against, and what it has to wait for."""
        source, site = source_of(host), site_of(host)
        own = (user, source)
        if own in self._proven:
            return [(own, OWN_PLACE)]
        again = self._alive(own, now) is not None
        shared = ((user, "again"), NAME_AGAIN) if again else ((user, "fresh"), NAME_FRESH)
        places: list[tuple[Key, Patience]] = [(("", source), PLACE)]
        if site != source:
            places.append((("", site), SITE))
        return [(own, NAME_AT_PLACE), shared, *places]

    def _alive(self, key: Key, now: float) -> _Failures | None:
        found = self._failures.get(key)
        return found if found is not None and now - found.last < FORGET_SECONDS else None

    def _until(self, key: Key) -> float:
        found = self._failures.get(key)
        return found.until if found is not None else float("-inf")
