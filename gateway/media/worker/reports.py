"""What a leg tells the gateway about its media, each thing once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from gateway.base.values import HostPort, LegId
from gateway.media.relay_events import (
    Event,
    KeysWorn,
    LegHeard,
    LegSilent,
    LegVerified,
    MediaMismatch,
    MediaStarted,
    MediaUnsent,
    RejectCode,
    RtcpTold,
    SourceLearned,
    SourceRejected,
    UnsentCause,
)
from gateway.media.worker.latch import Address
from gateway.media.worker.proof import Finding
from gateway.media.worker.wear import Worn

Emit = Callable[[Event], None]

_MISMATCHES = {
    Finding.PLAIN: RejectCode.PLAIN_ON_SECURE,
    Finding.OTHER_KEY: RejectCode.KEY_MISMATCH,
    Finding.NO_SRTCP: RejectCode.NO_SRTCP,
}

MAX_LEARNED = 64
"""`SourceLearned` events of one leg: two sources that take turns for hours must not fill the audit log."""
MIN_UNSENT = 10
"""Packets of a cause before it is told: a few around a change of codec, or while a buffer was full, are no news."""
MAX_RTCP_TOLD = 4
"""`RtcpTold` events of one leg a second: reports come every few seconds each way, and feedback is nobody's news."""


class Reports:
    """The events of one leg that are bounded, most to one per kind, so that no peer can flood the control plane."""

    def __init__(self, leg: LegId, emit: Emit) -> None:
        self.leg = leg
        self.emit = emit
        self.has_started = False
        """`MediaStarted` has been told."""
        self.heard = False
        """A packet was accepted since the last tick."""
        self._rejected: set[RejectCode] = set()
        self._flooded = self._leaked = False
        self._learned = 0
        self._unsent: Counter[UnsentCause] = Counter()
        self._heard_at = 0.0
        self._expected = self._silent = False
        self.tells_rtcp = False
        """Whether somebody wants to know of its RTCP."""
        self._rtcp_told = 0

    def move_to(self, leg: LegId, emit: Emit) -> None:
        """Tell somebody else from now on; what was told once is not told again."""
        self.leg, self.emit = leg, emit

    def expected(self, now: float) -> None:
        """From now on the peer may send: it was described, perhaps again."""
        self._expected, self._heard_at = True, now

    def tick(self, now: float, silence_seconds: float) -> None:
        """Look whether the peer has fallen silent, or speaks again; whole ticks are exact enough for that."""
        self._rtcp_told = 0
        if self.heard:
            self.heard, self._heard_at = False, now
            if self._silent:
                self._silent = False
                self.emit(LegHeard(self.leg))
        elif self._expected and not self._silent and now - self._heard_at >= silence_seconds:
            self._silent = True
            self.emit(LegSilent(self.leg))

    def started(self) -> None:
        """A packet was accepted, the first one that is news."""
        self.has_started = True
        self.emit(MediaStarted(self.leg))

    def restarted(self) -> None:
        """The protection of the leg changed: its next media is news again."""
        self.has_started = False

    def found(self, finding: Finding) -> None:
        """What the packets of a keyed leg prove; once for its keys."""
        if finding in _MISMATCHES:
            self.emit(MediaMismatch(self.leg, _MISMATCHES[finding].value))
        else:
            self.emit(LegVerified(self.leg, finding is Finding.CONFIRMED))

    def worn(self, worn: Worn) -> None:
        """A key of the leg has used up its lifetime, or nearly; each once for a key."""
        self.emit(KeysWorn(self.leg, worn is Worn.SPENT))

    def rejected(self, source: Address, code: RejectCode) -> None:
        """Media was dropped because of its source or its protection."""
        if code not in self._rejected:
            self._rejected.add(code)
            self.emit(SourceRejected(self.leg, HostPort(*source[:2]), code.value))

    def flooded(self, source: Address) -> None:
        """More packets fail to authenticate than accidents explain."""
        if not self._flooded:
            self._flooded = True
            self.emit(SourceRejected(self.leg, HostPort(*source[:2]), RejectCode.PLAIN_ON_SECURE.value, flood=True))

    def leaked(self) -> None:
        """Something stands in clear beside encrypted media, and is not passed on."""
        if not self._leaked:
            self._leaked = True
            self.emit(MediaMismatch(self.leg, RejectCode.EXTENSION.value))

    def unsent(self, cause: UnsentCause) -> None:
        """A packet of media that should leave on the leg does not."""
        self._unsent[cause] += 1
        if self._unsent[cause] == MIN_UNSENT:
            self.emit(MediaUnsent(self.leg, cause.value))

    def rtcp(self, peer: Address, compound: bytes, *, muxed: bool, sent: bool) -> None:
        """A compound packet came or left."""
        self._rtcp_told += 1
        if self._rtcp_told <= MAX_RTCP_TOLD:
            self.emit(RtcpTold(self.leg, HostPort(*peer[:2]), muxed, sent, compound))

    def learned(self, source: Address, expected: Address) -> None:
        """The peer's media moved."""
        self._learned += 1
        if self._learned <= MAX_LEARNED:
            self.emit(SourceLearned(self.leg, HostPort(*source), HostPort(*expected)))
