"""What a session tells the gateway about its media, each thing once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from gateway.base.values import HostPort
from gateway.media.relay_protocol import (
    Event,
    Leg,
    LegHeard,
    LegSilent,
    LegVerified,
    MediaMismatch,
    MediaStarted,
    MediaUnsent,
    RejectCode,
    SourceLearned,
    SourceRejected,
    UnsentCause,
)
from gateway.media.worker.latch import Address
from gateway.media.worker.proof import Finding

Emit = Callable[[Event], None]

_MISMATCHES = {Finding.PLAIN: RejectCode.PLAIN_ON_SECURE, Finding.OTHER_KEY: RejectCode.KEY_MISMATCH}

MAX_LEARNED = 64
"""`SourceLearned` events of one session: two sources that take turns for hours must not fill the audit log."""


MIN_UNSENT = 10
"""Packets of a cause before it is told: a few around a change of codec, or while a buffer was full, are no news."""


class Reports:
    """The events of one session that are bounded, most to one per kind, so that no peer can flood the control plane."""

    def __init__(self, session: int, emit: Emit) -> None:
        self.session = session
        self.emit = emit
        self._started: set[Leg] = set()
        self._rejected: set[tuple[Leg, RejectCode]] = set()
        self._learned = 0
        self._unsent: Counter[tuple[Leg, UnsentCause]] = Counter()
        self._heard: set[Leg] = set()
        """Legs that were heard since the last tick."""
        self._heard_at = 0.0
        self._expected = self._silent = False

    def expected(self, now: float) -> None:
        """From now on the trunk may send: it was described, perhaps again."""
        self._expected, self._heard_at = True, now

    def tick(self, now: float, silence_seconds: float) -> None:
        """Look whether the trunk has fallen silent, or speaks again; whole ticks are exact enough for that."""
        if "trunk" in self._heard:
            self._heard_at = now
            if self._silent:
                self._silent = False
                self.emit(LegHeard(self.session, "trunk"))
        elif self._expected and not self._silent and now - self._heard_at >= silence_seconds:
            self._silent = True
            self.emit(LegSilent(self.session, "trunk"))
        self._heard.clear()

    def started(self, leg: Leg) -> None:
        """A packet of a leg was accepted."""
        self._heard.add(leg)
        if leg not in self._started:
            self._started.add(leg)
            self.emit(MediaStarted(self.session, leg))

    def restarted(self, leg: Leg) -> None:
        """The protection of a leg changed: its next media is news again."""
        self._started.discard(leg)

    def found(self, leg: Leg, finding: Finding) -> None:
        """What the packets of a keyed leg prove; once for its keys."""
        if finding in _MISMATCHES:
            self.emit(MediaMismatch(self.session, leg, _MISMATCHES[finding].value))
        else:
            self.emit(LegVerified(self.session, leg, finding is Finding.CONFIRMED))

    def rejected(self, leg: Leg, source: Address, code: RejectCode) -> None:
        """Media of a leg was dropped because of its source or its protection."""
        if (leg, code) not in self._rejected:
            self._rejected.add((leg, code))
            self.emit(SourceRejected(self.session, leg, HostPort(*source), code.value))

    def unsent(self, leg: Leg, cause: UnsentCause) -> None:
        """A packet of media that should leave on a leg does not."""
        self._unsent[leg, cause] += 1
        if self._unsent[leg, cause] == MIN_UNSENT:
            self.emit(MediaUnsent(self.session, leg, cause.value))

    def learned(self, source: Address, expected: Address) -> None:
        """The trunk's media moved."""
        self._learned += 1
        if self._learned <= MAX_LEARNED:
            self.emit(SourceLearned(self.session, HostPort(*source), HostPort(*expected)))
