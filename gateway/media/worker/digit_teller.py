"""Tells the gateway of digits that were heard on a leg, where nobody takes them as telephone-events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.base.values import Secret
from gateway.media.relay_events import DigitHeard
from gateway.media.worker.agenda import NEVER
from gateway.media.worker.counters import RateLimit
from gateway.media.worker.digit import LOST_SECONDS, Digit

if TYPE_CHECKING:
    from gateway.media.worker.leg import Leg

MAX_TOLD_PER_SECOND = 20
"""Digits of one leg: with 40 ms each and 30 ms between them there are 14."""


class DigitTeller:
    """The digits of one source.

    Args:
        leg: whose peer presses them.
    """

    def __init__(self, leg: Leg) -> None:
        self.due = NEVER
        self._leg = leg
        self._digit: Digit | None = None
        self._rate = RateLimit(MAX_TOLD_PER_SECOND)

    def begun(self, digit: Digit, now: float) -> None:
        """A digit begins: it is told when it has ended, for INFO says how long it was."""
        self._digit = digit
        self.wake(now)

    def over(self, digit: Digit, now: float) -> None:
        """Its end was heard."""
        if digit is self._digit:
            self.wake(now)

    def wake(self, now: float) -> None:
        """Look whether the digit has ended."""
        digit = self._digit
        if digit is None:
            return
        digit.look(now)
        if digit.ended:
            self._tell(digit, now)
        else:
            self._leg.digits.agenda.set(self, now + LOST_SECONDS)

    def stop(self) -> None:
        """Nobody is to be told any more."""
        self._digit, self.due = None, NEVER

    def _tell(self, digit: Digit, now: float) -> None:
        self._digit = None
        if digit.signal and self._rate.allows(now):
            self._leg.reports.emit(DigitHeard(self._leg.id, Secret(digit.signal), round(digit.length * 1000)))
        else:
            self._leg.tally.digits_dropped += 1
