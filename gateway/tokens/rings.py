"""The keys of every issuer, kept at hand: read at start, anew in time, and when a token names one nobody knows.

Keys rotate, and a stranger may name a new one in every token: so who names an unknown key may cause one question to
its issuer in half a minute. Keys that are no longer confirmed are used for an hour and then not at all: an issuer takes
keys back by leaving them out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from gateway.base.counters import Counter, Counters
from gateway.tokens.issuer import Issuer
from gateway.tokens.keys import Key, KeyRing, KeysError
from gateway.tokens.source import read_keys

log = logging.getLogger(__name__)

REFRESH_SECONDS = 300.0
"""After that the keys are read anew when one is needed: a key that was taken back is refused soon after."""
MAX_AGE_SECONDS = 3600.0
"""How old keys may be that could not be read anew since: an issuer that is down for a moment locks nobody out."""
ASK_AGAIN_SECONDS = 30.0
"""Between two readings, whatever tokens say."""

NO_KEYS = KeyRing()
Reader = Callable[[Issuer], Awaitable[KeyRing]]


@dataclass(slots=True)
class _Held:
    ring: KeyRing = NO_KEYS
    read_at: float = float("-inf")
    asked_at: float = float("-inf")
    reading: asyncio.Task[None] | None = field(default=None, repr=False)


class KeyRings:
    """The keys of the configured issuers.

    Args:
        clock: monotonic seconds.
    """

    def __init__(
        self, issuers: Sequence[Issuer], counters: Counters, clock: Callable[[], float], reader: Reader = read_keys
    ) -> None:
        self._counters, self._clock, self._reader = counters, clock, reader
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._held = {issuer.name: _Held() for issuer in issuers}

    def use(self, issuers: Sequence[Issuer]) -> None:
        """Keep the keys of these from now on. Those of one that was not changed stay; all others are read anew."""
        known, kept = self._issuers, self._held
        self._issuers = {issuer.name: issuer for issuer in issuers}
        same = {name for name, issuer in self._issuers.items() if known.get(name) == issuer}
        self._held = {name: kept[name] if name in same else _Held() for name in self._issuers}
        for name in kept.keys() - same:
            if (reading := kept[name].reading) is not None:
                reading.cancel()
        for name in self._issuers.keys() - same:
            self._read(name)

    def start(self) -> None:
        """Begin to read all keys; a token that comes meanwhile waits for them."""
        for name in self._issuers:
            self._read(name)

    async def stop(self) -> None:
        """Nothing is read any more."""
        tasks = [held.reading for held in self._held.values() if held.reading is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def find(self, issuer: str, kid: str | None, algorithm: str) -> Key | None:
        """The key, of those at hand; they are read anew beside it when they are not fresh."""
        held = self._held[issuer]
        age = self._clock() - held.read_at
        if age > REFRESH_SECONDS:
            self._read(issuer)
        return held.ring.find(kid, algorithm) if age <= MAX_AGE_SECONDS else None

    def has_keys(self, issuer: str) -> bool:
        """Whether any of this issuer's keys are at hand and not too old."""
        held = self._held[issuer]
        return bool(held.ring.keys) and self._clock() - held.read_at <= MAX_AGE_SECONDS

    def news(self, issuer: str) -> asyncio.Task[None] | None:
        """A reading that may bring a key nobody knows yet; None when one has just been done."""
        self._read(issuer)
        return self._held[issuer].reading

    def _read(self, issuer: str) -> None:
        held, now = self._held[issuer], self._clock()
        if held.reading is not None or now - held.asked_at < ASK_AGAIN_SECONDS:
            return
        held.asked_at = now
        held.reading = asyncio.get_running_loop().create_task(self._refresh(self._issuers[issuer], held))

    async def _refresh(self, issuer: Issuer, held: _Held) -> None:
        try:
            held.ring = await self._reader(issuer)
            held.read_at = self._clock()
            log.debug("issuer=%s keys=%d", issuer.name, len(held.ring.keys))
        except KeysError as error:
            self._counters.add(Counter.ISSUER_KEYS_FAILED)
            log.warning("issuer=%s keys cannot be had: %s", issuer.name, error)
        finally:
            held.reading = None
