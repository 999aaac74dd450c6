"""What a call has asked of its peers, by number: what comes of a request comes back with the number it left under."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.values import LegId
from gateway.call.machine.effects import Purpose

MAX_KNOWN = 64
"""Requests of one call that are remembered, those without a final response first of all: a 2xx to an INVITE may come
again for 32 s, and a call that asks more than this meanwhile talks to peers that have answered long ago."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of ours."""

    number: int
    leg: LegId
    purpose: Purpose


class Asks:
    """Numbers requests, and knows which of them wait for a final response."""

    def __init__(self) -> None:
        self._count = 0
        self._known: dict[int, Ask] = {}
        self._open: set[int] = set()
        self._credentials: dict[int, tuple[tuple[str, str], ...]] = {}

    def __bool__(self) -> bool:
        """Whether anything is awaited."""
        return bool(self._open)

    def new(self, leg: LegId, purpose: Purpose) -> Ask:
        """The number of a request that is about to leave; until `answered`, the call waits for what comes of it."""
        self._count += 1
        ask = self._known[self._count] = Ask(self._count, leg, purpose)
        self._open.add(ask.number)
        if len(self._known) > MAX_KNOWN:
            self._forget_one()
        return ask

    def find(self, number: int) -> Ask | None:
        """What was asked under this number, while anything can still come of it."""
        return self._known.get(number)

    def answered(self, number: int) -> None:
        """The request has its final response, or will never have one. Only the 2xx of an INVITE may come again."""
        self._open.discard(number)
        ask = self._known.get(number)
        if ask is not None and ask.purpose not in (Purpose.INVITE, Purpose.REINVITE):
            self._drop(number)

    def identified(self, number: int, credentials: tuple[tuple[str, str], ...]) -> None:
        """The request was sent once more with these, because its peer asked."""
        self._credentials[number] = credentials

    def credentials(self, number: int) -> tuple[tuple[str, str], ...]:
        """What a request was sent with: the ACK of its 2xx carries the same (RFC 3261 22.1)."""
        return self._credentials.get(number, ())

    def awaits(self, leg: LegId, purpose: Purpose) -> bool:
        """Whether a request of this kind is unanswered."""
        return any(self._known[n].leg == leg and self._known[n].purpose is purpose for n in self._open)

    def is_open(self, leg: LegId) -> bool:
        """Whether any request on this leg is unanswered."""
        return any(self._known[n].leg == leg for n in self._open if n in self._known)

    def _forget_one(self) -> None:
        oldest = next((n for n in self._known if n not in self._open), None)
        if oldest is not None:
            self._drop(oldest)

    def _drop(self, number: int) -> None:
        del self._known[number]
        self._credentials.pop(number, None)
