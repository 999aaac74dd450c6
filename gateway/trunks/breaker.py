"""Which places of a trunk answer: a circuit breaker for each. No clock, no sockets, no randomness.

A place that did not answer, or could not be connected to, is tried last for a while that grows each time; then one call
tries it again, and the others only when that went well. A place that asks to be left alone (503 with Retry-After, RFC
3261 21.5.4) is left alone for so long, but never for longer than `MAX_RETRY_AFTER`, and not by a call for help.
Whether the trunk as a whole is there is another question, see `health`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from gateway.trunks.health import JITTER
from gateway.trunks.target import Spot

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 120.0
"""Seconds a place that failed is tried last for; doubled each time it fails again."""
MAX_RETRY_AFTER = 60.0
"""Seconds a Retry-After is heeded. One call a minute costs nothing; an hour without telephones does, and that is what
some write when they mean "not this one"."""
MAX_PLACES = 1024
"""Places remembered; the one that was heard of longest ago gives way, and counts as one that answers."""


class Key(NamedTuple):
    """A place of a trunk: two trunks at one address may fare differently."""

    trunk: str
    spot: Spot


@dataclass(slots=True)
class _Known:
    failures: int = 0
    """In a row; 0: it answers."""
    heard_at: float = float("-inf")
    rests_until: float = float("-inf")
    """It is tried last until then."""
    shut_until: float = float("-inf")
    """It asked not to be called until then."""


K = TypeVar("K")


class Breaker:
    """What is known of places."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, _Known] = OrderedDict()

    def forget(self, trunks: Collection[str]) -> None:
        """These trunks have other places now, or none."""
        for key in [key for key in self._known if key.trunk in trunks]:
            del self._known[key]

    def heard(self, key: Key, now: float) -> bool:
        """It said something, or took a connection; True when it had failed before."""
        known = self._of(key)
        had_failed, known.failures, known.heard_at = known.failures > 0, 0, now
        known.rests_until = float("-inf")
        return had_failed

    def failed(self, key: Key, asked_at: float, now: float, lot: float) -> bool:
        """What was asked of it at `asked_at` had no answer; True when it had answered until then.

        One that was heard meanwhile answers, whatever it thinks of the question.

        Args:
            lot: drawn from 0 to 1, so that gateways do not all come back at the same moment.
        """
        known = self._of(key)
        if known.heard_at >= asked_at and known.heard_at > float("-inf"):
            return False
        known.failures += 1
        known.rests_until = now + _pause(known.failures, lot)
        return known.failures == 1

    def shut(self, key: Key, seconds: float, now: float) -> None:
        """It wants no calls for so long."""
        self._of(key).shut_until = now + min(max(seconds, 0.0), MAX_RETRY_AFTER)

    def trying(self, key: Key, now: float, lot: float) -> None:
        """A call tries it now: while it does, no other does that has a better choice."""
        known = self._known.get(key)
        if known is not None and known.failures:
            known.rests_until = max(known.rests_until, now + _pause(known.failures, lot))

    def is_doubtful(self, key: Key) -> bool:
        """Whether it failed when it was tried last."""
        known = self._known.get(key)
        return known is not None and known.failures > 0

    def is_shut(self, key: Key, now: float) -> bool:
        """Whether it asked to be left alone."""
        known = self._known.get(key)
        return known is not None and now < known.shut_until

    def order(self, choices: Iterable[tuple[Key, K]], now: float, *, urgent: bool = False) -> list[K]:
        """What may be tried, in the order it should be: as it came, but places that rest last, those first that have
        rested longest. Places that are shut are left out, or come last of all for a call for help."""
        kept = list(choices)
        open_ = [(key, choice) for key, choice in kept if not self.is_shut(key, now)]
        shut = [choice for key, choice in kept if self.is_shut(key, now)] if urgent else []
        fresh = [choice for key, choice in open_ if not self._rests(key, now)]
        resting = sorted(
            ((self._known[key].rests_until, index) for index, (key, _) in enumerate(open_) if self._rests(key, now))
        )
        return [*fresh, *(open_[index][1] for _, index in resting), *shut]

    def _rests(self, key: Key, now: float) -> bool:
        known = self._known.get(key)
        return known is not None and now < known.rests_until

    def _of(self, key: Key) -> _Known:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known()
            if len(self._known) > MAX_PLACES:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return known


def _pause(failures: int, lot: float) -> float:
    doubled = FIRST_PAUSE * float(1 << min(failures - 1, 16))
    return min(doubled, LONGEST_PAUSE) * (1 - JITTER + 2 * JITTER * lot)
