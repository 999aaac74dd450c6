"""Who may have how many WebSockets: strangers, who make room for each other, and users that are signed in."""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway.base.buckets import Buckets, Rate
from gateway.base.counters import Counter, Counters
from gateway.base.crowd import Crowd
from gateway.base.sources import source_of
from gateway.site import ConnectionShares

LOG_LINES = Rate(per_second=0.5, burst=10)
"""Log lines about strangers' connections, of each kind: a stranger decides how many connections he breaks. What is left
out is counted all the same."""

log = logging.getLogger(__name__)


@runtime_checkable
class Watchable(Protocol):
    """The web server's end of a connection, as its WebSocket sees it."""

    def upgraded(self, observer: Callable[[bytes], None]) -> None:
        """The connection is a WebSocket from now on, no longer one of the page's; `observer` sees what comes in."""


@dataclass(slots=True, eq=False)
class Place:
    """One WebSocket among the others."""

    source: str
    give_way: Callable[[], object]
    """Ends it when it is not signed in and others need the place."""
    user: str = ""
    """Who is signed in on it."""


class Shares:
    """Counts WebSockets. Strangers use up no place of users, one source none of the others', one user none of hers."""

    def __init__(self, limits: ConnectionShares, counters: Counters, clock: Callable[[], float]) -> None:
        self._limits, self._counters, self._clock = limits, counters, clock
        self._strangers: Crowd[Place] = Crowd(limits.strangers, limits.strangers_per_source)
        self._by_source: Tally[str] = Tally()
        self._by_user: Tally[str] = Tally()
        self._lines = Buckets(LOG_LINES, len(Counter))

    def use(self, limits: ConnectionShares) -> None:
        """Let in and sign in so many from now on; whoever is there stays."""
        self._limits = limits
        self._strangers.resize(limits.strangers, limits.strangers_per_source)

    @property
    def strangers(self) -> int:
        """WebSockets that are not signed in."""
        return len(self._strangers)

    @property
    def signed_in(self) -> int:
        """WebSockets that are."""
        return self._by_user.total()

    def enter(self, host: str, give_way: Callable[[], object]) -> Place:
        """A place for a newcomer, who is a stranger; the oldest stranger makes room when there is none."""
        place = Place(source_of(host), give_way)
        oldest = self._strangers.enter(place.source, place)
        if oldest is not None:
            oldest.give_way()
        return place

    def sign_in(self, place: Place, user: str) -> bool:
        """Move a stranger to the users; False when user, source or gateway have enough, and it stays a stranger."""
        if place.user or not self._has_room(place.source, user) or not self._strangers.leave(place.source, place):
            return bool(place.user)
        place.user = user
        self._by_source[place.source] += 1
        self._by_user[user] += 1
        return True

    def leave(self, place: Place) -> None:
        """A WebSocket is gone."""
        self._strangers.leave(place.source, place)
        if place.user:
            for tally, name in ((self._by_source, place.source), (self._by_user, place.user)):
                tally[name] -= 1
                if not tally[name]:
                    del tally[name]

    def tell(self, why: Counter, words: str, *values: object) -> None:
        """Count something a stranger can cause, and log it unless he causes it all the time."""
        self._counters.add(why)
        if self._lines.take(why, self._clock()):
            log.info(words, *values)

    def _has_room(self, source: str, user: str) -> bool:
        limits = self._limits
        return (
            self.signed_in < limits.signed_in
            and self._by_source[source] < limits.signed_in_per_source
            and self._by_user[user] < limits.signed_in_per_user
        )
