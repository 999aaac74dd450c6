"""The paths to a browser: validated, nominated, consented to. Pure: time is an argument.

A path is one of our sockets and the browser's address as seen there. Being ICE-lite we only answer checks, so an
authenticated check is what validates a path (RFC 8445 7.3.2) and what renews consent (RFC 7675 5.1).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

MAX_PATHS = 16
"""Validated paths of one browser; it has a few interfaces and relays."""

P = TypeVar("P", bound=Hashable)


class BrowserPaths(Generic[P]):
    """The validated paths of one leg."""

    def __init__(self, consent_seconds: float) -> None:
        self.nominated: P | None = None
        self.lost = False
        self._consent = consent_seconds
        self._checked: dict[P, float] = {}
        self._latest: float | None = None

    @property
    def known(self) -> bool:
        """True once there was an authenticated check."""
        return self._latest is not None

    def __contains__(self, path: object) -> bool:
        """Whether it passed an authenticated check that still counts."""
        return path in self._checked

    @property
    def for_dtls(self) -> P | None:
        """Where the handshake goes: before nomination to the path validated first, so that it need not wait."""
        return self.nominated or next(iter(self._checked), None)

    def confirm(self, path: P, nominates: bool, now: float) -> P | None:
        """Note an authenticated check; returns the path that had to make room, if any."""
        self._checked[path] = self._latest = now
        if nominates:
            self.nominated = path
        if len(self._checked) <= MAX_PATHS:
            return None
        oldest = min((p for p in self._checked if p != self.nominated), key=self._checked.__getitem__)
        del self._checked[oldest]
        return oldest

    def checked_since(self, path: P, then: float) -> bool:
        """True if the path was checked at that time or later."""
        return self._checked.get(path, float("-inf")) >= then

    def drop(self, path: P) -> None:
        """Forget a path, because another leg proved to own it now."""
        self._checked.pop(path, None)
        if self.nominated == path:
            self.nominated = None

    def expire(self, now: float) -> list[P]:
        """Drop the paths whose consent ran out and say which; `lost` turns true with the last consent."""
        stale = [path for path, checked in self._checked.items() if now - checked >= self._consent]
        for path in stale:
            self.drop(path)
        if self._latest is not None and now - self._latest >= self._consent:
            self.lost = True
        return stale

    def revive(self) -> list[P]:
        """ICE begins anew: consent may be had again by checks that are still to come. Says which paths went."""
        self.lost, self._latest = False, None
        return self.clear()

    def clear(self) -> list[P]:
        """Drop every path and say which."""
        dropped = list(self._checked)
        self._checked.clear()
        self.nominated = None
        return dropped
