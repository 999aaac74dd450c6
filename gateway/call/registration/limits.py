"""How many REGISTERs reach the registrar: a flood of strangers costs it little, and users nothing. PURE."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.base.buckets import Bucket, Buckets, Rate
from gateway.base.sources import source_of
from gateway.sip.flow import Flow

STRANGERS = Rate(per_second=50, burst=300)
"""REGISTERs of all connections that are not signed in: 25 sign-ins a second, each with its challenge."""
SOURCE = Rate(per_second=10, burst=200)
"""Those of one source among them: an office of a hundred browsers that start at nine."""
USER = Rate(per_second=1, burst=20)
"""REGISTERs of one connection that is signed in; one that refreshes every minute sends two then."""
MAX_SOURCES = 4096
"""Sources and connections counted apart at one time."""
MAX_OPEN = 512
"""REGISTERs that wait for the registrar at one time."""
MAX_OPEN_STRANGERS = 256
"""Of these, those of connections that are not signed in."""
MAX_OPEN_SOURCE = 64
"""And those of one source."""


class Limits:
    """Lets REGISTERs through, or not."""

    def __init__(self) -> None:
        self._strangers = Bucket(STRANGERS)
        self._sources = Buckets(SOURCE, MAX_SOURCES)
        self._users = Buckets(USER, MAX_SOURCES)
        self._open = 0
        self._open_strangers = 0
        self._by_source: Tally[str] = Tally()

    @property
    def open(self) -> int:
        """REGISTERs that wait for the registrar."""
        return self._open

    def admits(self, flow: Flow, now: float, *, signed_in: bool) -> bool:
        """Whether one more REGISTER may go to the registrar now."""
        if self._open >= MAX_OPEN:
            return False
        if signed_in:
            return self._users.take(str(flow.id), now)
        source = source_of(flow.remote.host)
        full = self._open_strangers >= MAX_OPEN_STRANGERS or self._by_source[source] >= MAX_OPEN_SOURCE
        return not full and self._sources.take(source, now) and self._strangers.take(now)

    @contextmanager
    def waiting(self, flow: Flow, *, signed_in: bool) -> Iterator[None]:
        """While one waits for the registrar."""
        source, stranger = source_of(flow.remote.host), not signed_in
        self._count(source, 1, stranger)
        try:
            yield
        finally:
            self._count(source, -1, stranger)

    def _count(self, source: str, step: int, stranger: bool) -> None:
        self._open += step
        if not stranger:
            return
        self._open_strangers += step
        self._by_source[source] += step
        if not self._by_source[source]:
            del self._by_source[source]
