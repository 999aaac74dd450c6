"""When certificates end, ours and those peers show, and when that is worth a word. No clock and no files."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

DAY = 86_400.0
WARN_DAYS = (30, 7, 1, 0)
"""Days before the end at which a certificate is told of, once each; 0: it has ended."""
MAX_TOLD = 1024
"""Certificates of which it is remembered what was told; the oldest gives way, and is told once more."""


class Owner(NamedTuple):
    """Whose certificate it is."""

    name: str
    """A configuration key for ours (`listen.web`), a trunk's name for a peer's."""
    is_peer: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """A certificate that ends soon, or has ended."""

    owner: Owner
    expires: float
    """Seconds since 1970."""
    days: int
    """Whole days until then; below 0 when it has ended."""
    label: str
    """Which one: a file, or the digest of what a peer showed."""


class ExpiryBook:
    """The certificates in use: of each owner the one seen last."""

    def __init__(self) -> None:
        self._shown: dict[Owner, tuple[str, float]] = {}
        self._told: OrderedDict[tuple[Owner, str, float], int] = OrderedDict()

    def note(self, owner: Owner, label: str, expires: float) -> None:
        """A certificate is in use from now on, in place of the one before it."""
        self._shown[owner] = (label, expires)

    def forget(self, owner: Owner) -> None:
        """It has none any more."""
        self._shown.pop(owner, None)

    def due(self, now: float) -> list[Notice]:
        """What there is to tell: each certificate once for each of `WARN_DAYS` it has come below."""
        found = (self._notice(owner, label, expires, now) for owner, (label, expires) in self._shown.items())
        return [notice for notice in found if notice is not None]

    def rows(self) -> Iterator[tuple[Owner, float]]:
        """Every owner with the end of its certificate, for metrics."""
        return ((owner, expires) for owner, (_, expires) in self._shown.items())

    def _notice(self, owner: Owner, label: str, expires: float, now: float) -> Notice | None:
        crossed = sum(now > expires - days * DAY for days in WARN_DAYS)
        key = (owner, label, expires)
        if not crossed or self._told.get(key, 0) >= crossed:
            return None
        self._told[key] = crossed
        self._told.move_to_end(key)
        if len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)
        return Notice(owner, expires, int((expires - now) // DAY), label)
