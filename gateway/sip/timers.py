"""The timers of the SIP transactions as data, and the queue that says which one is due next (RFC 3261 table 4).

The queue holds no clock: whoever owns it passes `now` in and asks `next_deadline` when to come back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from heapq import heapify, heappop, heappush

T1 = 0.5
"""Estimate of the round-trip time, seconds (RFC 3261 17.1.1.1)."""
T2 = 4.0
"""Longest pause between two transmissions of a non-INVITE request or an INVITE response (RFC 3261 17.1.2.2)."""
T4 = 5.0
"""Longest time a message stays in the network (RFC 3261 17.1.2.2)."""
TRANSACTION_TIMEOUT = 64 * T1
"""How long one side waits for the other before it gives up (RFC 3261 17.1.1.2)."""
PROCEEDING_LIMIT = 600.0
"""Longest silence after a provisional response; RFC 3261 16.6 wants more than 180 s, so that a long ring survives."""
COMPACTION_SLACK = 64
"""Stopped timers the heap may hold beyond the running ones before it is rebuilt: keeps memory in proportion."""


class Timer(Enum):
    """Names of the timers; single letters are those of RFC 3261 and RFC 6026."""

    A = "A"
    """Retransmits an INVITE request."""
    B = "B"
    """Gives up on an INVITE that nobody answers; runs in Calling only, so a phone may ring as long as it likes."""
    C = "C"
    """Ends an INVITE that stays provisional in silence, on either side."""
    D = "D"
    """Absorbs retransmitted INVITE failures at the client."""
    E = "E"
    """Retransmits a non-INVITE request."""
    F = "F"
    """Gives up on a non-INVITE request."""
    G = "G"
    """Retransmits an INVITE failure."""
    H = "H"
    """Stops waiting for the ACK of a failure."""
    I = "I"  # noqa: E741 - the letter of RFC 3261
    """Absorbs retransmitted ACKs."""
    J = "J"
    """Absorbs retransmitted non-INVITE requests."""
    K = "K"
    """Absorbs retransmitted non-INVITE responses."""
    L = "L"
    """Ends Accepted at the server (RFC 6026 7.1)."""
    M = "M"
    """Ends Accepted at the client (RFC 6026 7.2)."""
    ANSWER = "answer"
    """Retransmits a 2xx to INVITE until it is acknowledged, on every transport (RFC 3261 13.3.1.4)."""
    CANCELLED = "cancelled"
    """Gives up on an INVITE whose CANCEL brought no final response (RFC 3261 9.1)."""
    TRYING = "trying"
    """Answers a slow non-INVITE request with 100, when the client's Timer E has reached T2 (RFC 4320 4.1)."""
    UNANSWERED = "unanswered"
    """Forgets a non-INVITE request nobody answered: the client gave up by Timer F (RFC 4320 4.2)."""


@dataclass(frozen=True, slots=True)
class TimerSpec:
    """How long one timer runs, and whether it repeats."""

    unreliable: float
    """Seconds over datagrams."""
    reliable: float | None
    """Seconds over a stream; 0 ends the state at once, None: not needed at all."""
    cap: float | None = None
    """A repeating timer doubles up to this many seconds; None: fires once."""

    def delay(self, reliable: bool) -> float | None:
        """First interval over that kind of transport."""
        return self.reliable if reliable else self.unreliable

    def next_interval(self, interval: float) -> float | None:
        """Interval after one of that length, None when the timer does not repeat."""
        return None if self.cap is None else min(2 * interval, self.cap)


TIMERS: dict[Timer, TimerSpec] = {
    Timer.A: TimerSpec(T1, None, cap=math.inf),
    Timer.B: TimerSpec(TRANSACTION_TIMEOUT, TRANSACTION_TIMEOUT),
    Timer.C: TimerSpec(PROCEEDING_LIMIT, PROCEEDING_LIMIT),
    Timer.D: TimerSpec(TRANSACTION_TIMEOUT, 0),
    Timer.E: TimerSpec(T1, None, cap=T2),
    Timer.F: TimerSpec(TRANSACTION_TIMEOUT, TRANSACTION_TIMEOUT),
    Timer.G: TimerSpec(T1, None, cap=T2),
    Timer.H: TimerSpec(TRANSACTION_TIMEOUT, TRANSACTION_TIMEOUT),
    Timer.I: TimerSpec(T4, 0),
    Timer.J: TimerSpec(TRANSACTION_TIMEOUT, 0),
    Timer.K: TimerSpec(T4, 0),
    Timer.L: TimerSpec(TRANSACTION_TIMEOUT, TRANSACTION_TIMEOUT),
    Timer.M: TimerSpec(TRANSACTION_TIMEOUT, TRANSACTION_TIMEOUT),
    Timer.ANSWER: TimerSpec(T1, T1, cap=T2),
    Timer.CANCELLED: TimerSpec(TRANSACTION_TIMEOUT, TRANSACTION_TIMEOUT),
    Timer.TRYING: TimerSpec(7 * T1, 7 * T1),  # Timer E fires after T1, 2*T1 and 4*T1; the next pause is T2
    Timer.UNANSWERED: TimerSpec(TRANSACTION_TIMEOUT, TRANSACTION_TIMEOUT),
}
"""Every timer with its length (RFC 3261 table 4, RFC 6026 7)."""


class TimerQueue:
    """Running timers ordered by deadline; starting and stopping one costs O(log n)."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._running: dict[int, tuple[str, Timer]] = {}
        self._last_ticket = 0

    def __len__(self) -> int:
        return len(self._running)

    def start(self, key: str, timer: Timer, deadline: float) -> int:
        """Start a timer of transaction `key`; the ticket stops it."""
        self._last_ticket += 1
        self._running[self._last_ticket] = (key, timer)
        heappush(self._heap, (deadline, self._last_ticket))
        return self._last_ticket

    def stop(self, ticket: int) -> None:
        """Stop a timer; one that already fired is no error."""
        self._running.pop(ticket, None)
        if len(self._heap) > 2 * len(self._running) + COMPACTION_SLACK:
            self._heap = [entry for entry in self._heap if entry[1] in self._running]
            heapify(self._heap)

    def next_deadline(self) -> float | None:
        """When the next timer fires, None when none runs."""
        while self._heap and self._heap[0][1] not in self._running:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[tuple[str, Timer]]:
        """Take the timers whose deadline has come, earliest first, those started meanwhile included."""
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, ticket = heappop(self._heap)
            yield self._running.pop(ticket)
