"""Whether a trunk answers: what is known of each, and when it is asked again (RFC 3261 11). No clock and no sockets.

A trunk is down when it was asked and said nothing, or when no connection to it could be had. Any word of it, be it an
error, means that it is up again. While it is down it is asked with growing pauses; calls to it are still tried, for a
short time each, so that the first one after its return goes through.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

SILENT_SECONDS = 4.0
"""After an INVITE without any response, not even 100, the trunk is asked: over UDP it has then been sent four times."""
PROBE_SECONDS = 3.0
"""How long a trunk may take to answer the question, a connection included; over UDP it is put three times."""
KEEPALIVE_TRIES = 2
"""Questions in a row that a trunk leaves unanswered before a keepalive takes it down: over UDP one may be lost with all
its repetitions, and a trunk that goes up and down is worse than one that goes down a few seconds later. A call that
hears nothing is a question by itself, so that one more is enough."""
TRY_SECONDS = 1.5
"""How long a call waits for a trunk that is down before it is over, or goes on to the next trunk."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
"""Seconds between two questions to a trunk that is down; doubled each time."""
JITTER = 0.2
"""By how much of itself a pause is longer or shorter, so that gateways do not all ask a PBX at the same moment."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one trunk, with the seconds of the gateway's clock at which it came about."""

    word: str
    """`up`, `down`, or `unheard`: nothing came from it yet, and nothing was asked in vain."""
    since: float | None
    heard_at: float | None
    """When the last message came from it, whatever it said."""


@dataclass(slots=True)
class _Known:
    failures: int = 0
    """Questions without an answer since the trunk was heard last; 0: up."""
    heard_at: float = float("-inf")
    since: float | None = None
    """When it came up or went down last; None: neither yet."""


class TrunkHealth:
    """What is known of the trunks, by name; as many as the configuration has."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def is_down(self, trunk: str) -> bool:
        known = self._known.get(trunk)
        return known is not None and known.failures > 0

    @property
    def down(self) -> int:
        """How many trunks are down."""
        return sum(known.failures > 0 for known in self._known.values())

    def forget(self, trunks: Collection[str]) -> None:
        """Nothing is known of these any more."""
        for name in trunks:
            self._known.pop(name, None)

    def heard(self, trunk: str, now: float) -> bool:
        """Something came from the trunk; True when it was down before."""
        known = self._of(trunk)
        was_down, known.failures, known.heard_at = known.failures > 0, 0, now
        if was_down or known.since is None:
            known.since = now
        return was_down

    def was_heard(self, trunk: str, since: float) -> bool:
        """Whether anything came from the trunk after `since`."""
        return self._of(trunk).heard_at > since

    def silent(self, trunk: str, asked_at: float) -> bool:
        """A question put at `asked_at` had no answer; True when that takes the trunk down.

        One that was heard meanwhile is up, whatever it thinks of the question.
        """
        known = self._of(trunk)
        if known.heard_at >= asked_at:
            return False
        known.failures += 1
        if known.failures == 1:
            known.since = asked_at
        return known.failures == 1

    def standing(self, trunk: str) -> Standing:
        """How it is with a trunk now."""
        known = self._known.get(trunk, _Known())
        word = "down" if known.failures else "unheard" if known.since is None else "up"
        return Standing(word, known.since, known.heard_at if known.heard_at > float("-inf") else None)

    def pause(self, trunk: str, lot: float) -> float:
        """Seconds until the trunk is asked again; `lot` is drawn from 0 to 1."""
        doubled = FIRST_PAUSE * float(1 << min(max(self._of(trunk).failures - 1, 0), 16))
        return min(doubled, LONGEST_PAUSE) * (1 - JITTER + 2 * JITTER * lot)

    def _of(self, trunk: str) -> _Known:
        return self._known.setdefault(trunk, _Known())
