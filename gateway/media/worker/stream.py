"""One outgoing stream: the SSRC, sequence numbers and timestamps that the gateway itself sends. Pure but for chance.

What a peer sends is passed on under numbers of our own, so whatever a PBX does with its own (a new SSRC at every
announcement, music under the SSRC of the phone, timestamps that start again) the receiver sees one unbroken stream, and
the SRTP index under it only grows (RFC 3711 3.3.1). A *run* is a stretch of one source whose numbers are continuous
in the sense of RFC 3550 A.1 and of the clock. Inside a run every packet keeps its place: gaps stay gaps, so the
receiver's loss reports are true, and late packets are late. A discontinuity begins a new run: the sequence number goes
on by one, the timestamp by the time that passed, and the marker bit is set.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import NamedTuple, TypeAlias

from gateway.base.short import Short

MAX_DROPOUT = 3000
"""Sequence numbers a source may skip and still be the same run (RFC 3550 A.1)."""
MAX_MISORDER = 100
"""Sequence numbers a packet may be late by (RFC 3550 A.1); the SRTP library remembers the last 128."""
SHORTEST_PACKET = 0.0025
"""Seconds: the shortest packets in use (Opus). More losses than fit into the time that passed are no losses."""
LONGEST_PACKET = 0.12
"""Seconds: the longest packets in use (Opus). A late packet is not older than its place allows."""
MAX_LEAD = 0.1
"""Seconds a timestamp may run ahead of the clock: a receiver waits that long, which is heard as a gap."""
MAX_LAG = 1.0
"""Seconds a timestamp may fall behind the clock: above what networks delay, below what receivers catch up with."""
MAX_DRIFT = 0.0005
"""How far two clocks may go apart: far above the 100 ppm of real ones, so that no long call looks like a lag."""
RESTART_PACKETS = 3
"""Old packets in a row, nothing newer between them, that are no latecomers: the source counts from there again."""
LATE_SECONDS = 1.0
"""How long after the end of a run its packets may still arrive."""
MAX_FORMER_RUNS = 8
"""Ended runs remembered for their latecomers; with changes in quick succession the oldest lasts shorter."""
FRAME = 0.02
"""Seconds a run begins after the last packet of the one before, if no more time has passed."""
MAX_AHEAD = 0.1
"""Seconds our timestamps may run ahead of the clock because runs begin faster than that."""
MAX_JITTER = 0.05
"""Seconds a packet may come late without being a matter of concern, beside those it may have waited for the worker."""
LATE_FOR = 0.06
"""Seconds packets may come later than that, one after the other: then their source lost time, and the run ends."""
MAX_REMEMBERED = 1024
"""SSRCs of a call that are not used again; there is one more with each change of a key we send with."""

_WORD, _LONG, _FORWARD = 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF


class Payload(NamedTuple):
    """How packets of one payload type leave."""

    number: int
    """Payload type on the other side."""
    clock_rate: int = 8000
    """Timestamp units a second."""
    is_event: bool = False
    """telephone-event (RFC 4733), which is heard and not passed on."""


Place: TypeAlias = tuple[int, int, bool]
"""Where a packet goes: sequence number, timestamp, and whether a run begins, which the marker bit tells."""


class Stream:
    """What we send on one leg.

    Args:
        used: SSRCs of this call, so that none is used twice; shared by its streams.
    """

    def __init__(self, used: deque[int] | None = None) -> None:
        self._used: deque[int] = deque(maxlen=MAX_REMEMBERED) if used is None else used
        self.cname = secrets.token_urlsafe(12).encode()
        """Our name in SDES (RFC 7022 4.1: 96 random bits for each stream)."""
        self.source: int | None = None
        """SSRC of the source that is passed on now; None before there is one."""
        self._former: Short[tuple[int, int, float]] = Short(MAX_FORMER_RUNS)
        self._renumbered: Short[tuple[int, int]] = Short()
        """Where packets of our own were put in, or some left out: up to which number of the source which shift held."""
        self._run_of_old = (0, 0, 0, 0)
        self.renew()

    def renew(self) -> None:
        """Take a new SSRC and new numbers: what a new key begins with (RFC 3711 8.1; a fresh roll-over counter)."""
        self.ssrc = secrets.randbits(32)
        while self.ssrc in self._used:
            self.ssrc = secrets.randbits(32)
        self._used.append(self.ssrc)
        self.packets = self.octets = 0
        self.source = None
        self._former.clear()
        self._renumbered.clear()
        self.is_cut = self._has_begun = False
        # Below 2^15, so that a receiver that misses the first packets still guesses the roll-over counter right.
        self._next = self._begins = secrets.randbits(15)
        self._first = self.high = self.shift = self.seen = 0
        self.line = 0
        self.timestamp, self._first_timestamp, self.timestamp_shift = 0, 0, secrets.randbits(32)
        self.rate, self.at, self.lag, self.late_from = 8000, 0.0, 0.0, 0.0
        # In seconds: where our timestamps stood when the run began, when that was, and where they stand at time 0.
        self._reached = self._began = self._line_up = 0.0

    def move_to(self, used: deque[int]) -> None:
        """Go on as it is, among the streams of another call."""
        self._used = used
        used.append(self.ssrc)

    def cut(self) -> None:
        """The next packet begins a run: what was held back meanwhile is no loss."""
        self.is_cut = True

    def hand_over(self) -> None:
        """What comes next is of another leg: nothing it says of its source is about this one, whatever SSRC it has."""
        self.source = None
        self._former.clear()

    def place(
        self, sequence: int, timestamp: int, ssrc: int, payload: Payload, now: float, away: float = 0.0
    ) -> Place | None:
        """Where a packet of a source goes, or None for one that is too late to have a place.

        Args:
            away: seconds it may have waited here before it was looked at, which is no lateness of its source.
        """
        if ssrc != self.source or self.is_cut:
            return self._switch(sequence, timestamp, ssrc, payload, now)
        step = (sequence - self.high) & _WORD
        if 0 < step <= MAX_DROPOUT:
            if not self._follows(step, timestamp, payload, now, away):
                return self._switch(sequence, timestamp, ssrc, payload, now)
            self.high = high = self.high + step
            self.seen = (self.seen << step | 1) & SEEN_MASK
            self.line = high
            return (high + self.shift) & _WORD, (timestamp + self.timestamp_shift) & _LONG, False
        behind = -step & _WORD
        if behind < MAX_MISORDER and self._is_of_run(behind, timestamp, payload, now):
            return self._late(behind, sequence, timestamp, ssrc, payload, now)
        return self._switch(sequence, timestamp, ssrc, payload, now)

    @property
    def clock_rate(self) -> int:
        """Our timestamp units a second, as things stand."""
        return self.rate

    def open(self, clock_rate: int, now: float) -> None:
        """Begin with a packet of our own, if nothing has left yet."""
        if not self._has_begun:
            self._has_begun, self.rate = True, clock_rate
            self.at, self._began, self._line_up = now, now, -now
            self.shift = self._next - 1

    def insert(self) -> int:
        """The sequence number of a packet of our own in an open stream; what is relayed counts on from there."""
        self._renumber(1)
        return (self.high + self.shift) & _WORD

    def withdraw(self, place: Place) -> None:
        """The packet that was placed last does not leave: its number is for the next one. A late one leaves its gap."""
        if place[0] == (self.high + self.shift) & _WORD:
            self._renumber(-1)

    def absorb(self, sequence: int, ssrc: int, now: float) -> None:
        """A packet of the source is not to leave, whatever its timestamp means: its number is for the next one."""
        if ssrc != self.source or self.is_cut:
            return
        step = (sequence - self.high) & _WORD
        behind = -step & _WORD
        if 0 < step <= MAX_DROPOUT and self._is_lost(step, now - self.at):
            self.high += step
            self.seen = (self.seen << step | 1) & SEEN_MASK
            self._renumber(-1)
        elif behind < MAX_MISORDER:
            self.seen |= 1 << behind

    def timestamp_at(self, now: float) -> int:
        """Our timestamp of this moment."""
        passed = int(max(now - self.at, 0.0) * self.rate)
        return (self.timestamp + self.timestamp_shift + passed) & _LONG

    @property
    def span(self) -> int:
        """Sequence numbers given out so far, those of packets included that never came and so never left."""
        return self.high + self.shift + 1 - self._begins if self._has_begun else 0

    def place_of(self, number: int) -> int:
        """How many there were up to this one of ours (16 bits or more), as seen from the present one."""
        return self.span - ((self.high + self.shift - number) & _WORD)

    def source_index(self, sequence: int) -> int | None:
        """The source's extended sequence number behind one of ours (16 bits or more); None outside its present run."""
        if self.source is None:
            return None
        number = self.high + self.shift - ((self.high + self.shift - sequence) & _WORD)
        index = number - self.shift
        for last, shift in reversed(self._renumbered):
            if index > last:
                break
            index = min(number - shift, last)
        return index if index >= self._first else None

    def _renumber(self, step: int) -> None:
        """From the next packet of the source on the shift is another one; a latecomer keeps the one of its time."""
        seen = self._renumbered
        if not seen or seen[-1][0] != self.high:
            seen.append((self.high, self.shift))
        while seen[0][0] < self.high - MAX_MISORDER:
            seen.popleft()
        self.shift += step

    def _shift_of(self, index: int) -> int:
        """The shift of an older packet of the run."""
        return next((shift for last, shift in self._renumbered if index <= last), self.shift)

    def _follows(self, step: int, timestamp: int, payload: Payload, now: float, away: float) -> bool:
        """Whether a packet with a higher number goes on with the run; the clock of the run goes on with it."""
        passed, elapsed = (timestamp - self.timestamp) & _LONG, now - self.at
        if passed > _FORWARD or payload.clock_rate != self.rate:
            return False
        seconds = passed / self.rate
        lag = self.lag + (elapsed - seconds)
        if not -MAX_LEAD <= lag <= MAX_LAG or (step > 1 and not self._is_lost(step, max(seconds, elapsed))):
            return False
        is_late = lag > MAX_JITTER + away
        if is_late and self._has_lost_time(now):
            return False
        if not is_late:
            self.late_from = 0.0
        self.lag = lag - MAX_DRIFT * elapsed if lag > 0 else 0.0
        self.timestamp, self.at = timestamp, now
        return True

    def _has_lost_time(self, now: float) -> bool:
        """Whether its packets have been late for so long that they will not catch up."""
        if not self.late_from:
            self.late_from = now
        return now - self.late_from > LATE_FOR

    @staticmethod
    def _is_lost(step: int, seconds: float) -> bool:
        """Whether the packets between may have been lost, rather than never sent: there was time for them."""
        return (step - 1) * SHORTEST_PACKET <= seconds

    def _is_of_run(self, behind: int, timestamp: int, payload: Payload, now: float) -> bool:
        """Whether timestamp and number of an older packet fit each other as those of the run do."""
        passed = signed(timestamp - self.timestamp) / self.rate
        if self.high - behind > self.line:  # overtaken by an event that came after it
            return 0 <= passed <= now - self.at + MAX_LEAD
        return payload.clock_rate == self.rate and -behind * self._pace() - MAX_LEAD <= passed <= 0

    def _pace(self) -> float:
        """Seconds a packet of the run may have lasted: half as much again as the usual one."""
        packets = self.high - self._first
        if not packets:
            return LONGEST_PACKET
        usual = ((self.timestamp - self._first_timestamp) & _LONG) / self.rate / packets
        return min(1.5 * usual, LONGEST_PACKET)

    def _late(
        self, behind: int, sequence: int, timestamp: int, ssrc: int, payload: Payload, now: float
    ) -> Place | None:
        index = self.high - behind
        if index >= self._first and not self.seen >> behind & 1:
            self.seen |= 1 << behind
            return (index + self._shift_of(index)) & _WORD, (timestamp + self.timestamp_shift) & _LONG, False
        if self._restarts(sequence, ssrc):
            return self._begin(sequence, timestamp, ssrc, payload, now)
        return None

    def _restarts(self, sequence: int, ssrc: int) -> bool:
        """Whether enough old packets came in a row, with nothing new between them."""
        wanted, of, high, count = self._run_of_old
        goes_on = (wanted, of, high) == (sequence, ssrc, self.high)
        count = count + 1 if goes_on else 1
        self._run_of_old = ((sequence + 1) & _WORD, ssrc, self.high, count)
        return count >= RESTART_PACKETS

    def _switch(self, sequence: int, timestamp: int, ssrc: int, payload: Payload, now: float) -> Place | None:
        """Begin a run, unless the packet is a latecomer of one that ended."""
        if self._is_of_former_run(sequence, ssrc, now) and not self._restarts(sequence, ssrc):
            return None
        return self._begin(sequence, timestamp, ssrc, payload, now)

    def _begin(self, sequence: int, timestamp: int, ssrc: int, payload: Payload, now: float) -> Place:
        if self.source is not None:
            self._former.append((self.source, self.high & _WORD, now))
        if self._has_begun:
            self._next = self.high + self.shift + 1
            self.timestamp_shift = (self._go_on(payload.clock_rate, now) - timestamp) & _LONG
        else:
            self._line_up = -now
        self.source, self.is_cut, self._has_begun = ssrc, False, True
        self.rate, self.lag = payload.clock_rate, 0.0
        self.timestamp, self._first_timestamp, self.at, self._began = timestamp, timestamp, now, now
        self.late_from = 0.0
        self._first = self.high = self.line = sequence
        self._renumbered.clear()
        self.shift, self.seen = self._next - sequence, 1
        return self._next & _WORD, (timestamp + self.timestamp_shift) & _LONG, True

    def _is_of_former_run(self, sequence: int, ssrc: int, now: float) -> bool:
        return any(
            ssrc == of and (high - sequence) & _WORD < MAX_MISORDER and now - ended < LATE_SECONDS
            for of, high, ended in self._former
        )

    def _go_on(self, rate: int, now: float) -> int:
        """Our timestamp for a run that begins now: on by the time that passed, and by one at least.

        Held against one line for the whole stream, else the jitter of every first packet would add up over many runs.
        The line follows a run no faster than clocks may drift.
        """
        reached = self._reached + ((self.timestamp - self._first_timestamp) & _LONG) / self.rate
        drift = MAX_DRIFT * (self.at - self._began)
        self._line_up += min(max(reached + self.lag - self.at - self._line_up, -drift), drift)
        due = now + self._line_up - reached
        ticks = max(round(max(due, FRAME if due > -MAX_AHEAD else 0.0) * rate), 1)
        self._reached = reached + ticks / rate
        return (self.timestamp + self.timestamp_shift + ticks) & _LONG


SEEN_MASK = (1 << MAX_MISORDER + 1) - 1


def signed(difference: int) -> int:
    """A difference of timestamps modulo 2^32 as the shorter way round."""
    difference &= _LONG
    return difference - 0x100000000 if difference & 0x80000000 else difference
