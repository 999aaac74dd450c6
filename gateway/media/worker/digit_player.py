"""Plays digits into the outgoing stream of a leg as telephone-events (RFC 4733 2.5.1), one after the other.

Whether a digit came as events of the other side or by a command, it leaves as ours: a marker on its first packet, an
update every 20 ms, three end packets, all under one timestamp and within the numbers of the stream. Meanwhile what else
is relayed to the leg is left out: the receiver hears the digit once.
"""

from __future__ import annotations

import struct
import weakref
from typing import TYPE_CHECKING

from gateway.base.dtmf import SIGNALS, Once, Way, in_limits
from gateway.base.short import Short
from gateway.media.relay_commands import EventFormat
from gateway.media.worker.agenda import NEVER, Agenda
from gateway.media.worker.digit import EVENT, SEGMENT, Digit
from gateway.media.worker.packet import VERSION

if TYPE_CHECKING:
    from gateway.media.worker.leg import Leg

UPDATE_SECONDS = 0.02
"""Between two packets of a digit: the pace of the audio beside it (RFC 4733 2.5.1.2)."""
ENDS = 3
"""How often the last packet of a digit is sent (RFC 4733 2.5.1.4)."""
GAP_SECONDS = 0.04
"""Silence between two digits: at least 30 ms (RFC 7874 3), and room for the repeated ends."""
MAX_WAITING = 64
"""Digits that wait for their turn: a whole card number with its code; more is no person."""
WAIT_SECONDS = 5.0
"""A digit waits this long for a leg that cannot send yet: its keys come after the answer."""
MARGIN = 0.001
"""Seconds a packet may leave early, so that the clock of the loop costs no extra one."""

_packet = struct.Struct("!BBHIIBBH").pack
_LONG = 0xFFFFFFFF


class DigitPlayer:
    """The digits of one leg's peer.

    Args:
        leg: whose stream they are played into.
    """

    def __init__(self, leg: Leg) -> None:
        self.agenda = Agenda()
        self.due = NEVER
        self.is_speaking = False
        """A digit is being played: nothing else leaves on the leg."""
        self.formats: tuple[EventFormat, ...] = ()
        """What the peer takes; none: no digits can be played."""
        self._leg: Leg = weakref.proxy(leg)
        """Its own leg: a leg that is closed must not wait for somebody to look for circles."""
        self._waiting: Short[Digit] = Short()
        self._once = Once()
        self._digit: Digit | None = None
        self._played_as = EventFormat(0)
        self._began = self._said = self._free_at = 0.0
        self._timestamp = self._ssrc = self._base = self._ends = 0

    def play(self, signal: str, seconds: float, now: float) -> None:
        """Play a digit that was told without media, after those that wait."""
        if signal not in SIGNALS or len(signal) != 1 or not self.formats:
            self._leg.tally.digits_dropped += 1
        elif self._once.is_news(signal, Way.INFO, now):
            digit = Digit(SIGNALS.index(signal), now, in_limits(seconds), ended=True)
            digit.heard_at = now
            self._take(digit, now)

    def begun(self, digit: Digit, now: float) -> None:
        """A digit was heard of in the media of the leg's source; it grows while it is played."""
        if not digit.signal or self._once.is_news(digit.signal, Way.EVENT, now):
            self._take(digit, now)

    def over(self, digit: Digit, now: float) -> None:
        """Its end was heard."""
        if digit is self._digit and self.is_speaking:
            self._plan(digit, now)

    def hush(self) -> None:
        """Whoever pressed the digits is not heard any more: what is played ends soon, what waits is forgotten."""
        self._waiting.clear()
        if self._digit is not None:
            self._digit.end()
            self._digit.length = 0.0

    def stop(self) -> None:
        """The leg is gone."""
        self._waiting.clear()
        self._digit, self.is_speaking = None, False
        self.agenda.set(self, NEVER)

    def move_to(self, agenda: Agenda) -> None:
        """Be woken by this agenda from now on."""
        due, self.due = self.due, NEVER
        self.agenda = agenda
        agenda.set(self, due)

    def wake(self, now: float) -> None:
        """Send what is due."""
        if self._digit is None:
            self._next(now)
        elif self._leg.stream.ssrc != self._ssrc:  # under another SSRC it would be another digit
            self._finished(now)
        elif self.is_speaking:
            self._speak(self._digit, now)
        else:
            self._say_end(self._digit, now)

    def _take(self, digit: Digit, now: float) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._leg.tally.digits_dropped += 1
            return
        self._waiting.append(digit)
        if self._digit is None:
            self.agenda.set(self, NEVER)
            self._next(now)

    def _next(self, now: float) -> None:
        """Begin the digit whose turn it is, if it may begin now."""
        if not self._waiting:
            return
        digit = self._waiting[0]
        if now < self._free_at - MARGIN:
            self.agenda.set(self, self._free_at)
        elif self.formats and self._leg.is_ready:
            self._waiting.popleft()
            self._begin(digit, self._format(), now)
        elif now - digit.heard_at < WAIT_SECONDS:
            digit.began = NEVER  # that is: when it can
            self.agenda.set(self, now + UPDATE_SECONDS)
        else:
            self._waiting.popleft()
            self._leg.tally.digits_dropped += 1
            self._next(now)

    def _format(self) -> EventFormat:
        """An event in the clock of the audio beside it (RFC 4733 2.1), if the peer takes one."""
        rate = self._leg.stream.clock_rate
        return next((form for form in self.formats if form.clock_rate == rate), self.formats[0])

    def _begin(self, digit: Digit, played_as: EventFormat, now: float) -> None:
        """Its timestamp is that of its beginning, which is past where it was heard in media."""
        self._leg.unsettle()
        stream = self._leg.stream
        stream.open(played_as.clock_rate, now)
        self._digit, self._played_as, self._ssrc, self.is_speaking = digit, played_as, stream.ssrc, True
        self._began, self._said, self._base, self._ends = min(max(digit.began, self._free_at), now), 0.0, 0, 0
        self._timestamp = stream.timestamp_at(now) - round((now - self._began) * stream.clock_rate)
        self._say(digit, now, marker=True)

    def _speak(self, digit: Digit, now: float) -> None:
        digit.look(now)
        if digit.ended and now - self._began >= digit.length - MARGIN:
            self.is_speaking, self._free_at = False, now + GAP_SECONDS
            self._say_end(digit, now)
        else:
            self._say(digit, now)

    def _say(self, digit: Digit, now: float, *, marker: bool = False) -> None:
        """How long it has lasted by now, as far as it was heard; the first packet speaks of the time until the next."""
        self._put(digit, min(max(now - self._began, UPDATE_SECONDS), digit.length), marker=marker)
        self._plan(digit, now)

    def _plan(self, digit: Digit, now: float) -> None:
        """When the next packet is due: soon, or at the end of the digit."""
        end = self._began + digit.length if digit.ended else NEVER
        self.agenda.set(self, max(min(now + UPDATE_SECONDS, end), now))

    def _say_end(self, digit: Digit, now: float) -> None:
        self._put(digit, digit.length, end=True)
        self._ends += 1
        if self._ends < ENDS:
            self.agenda.set(self, now + UPDATE_SECONDS)
        else:
            self._finished(now)

    def _finished(self, now: float) -> None:
        self._digit, self.is_speaking = None, False
        self._next(now)

    def _put(self, digit: Digit, seconds: float, *, marker: bool = False, end: bool = False) -> None:
        """Send how long the digit has lasted; too long for one event, it goes on in a segment (RFC 4733 2.5.1.3)."""
        rate, ours = self._played_as.clock_rate, self._leg.stream.clock_rate
        self._said = max(self._said, seconds)
        units = max(round(self._said * rate), 1)
        while units - self._base > SEGMENT:
            for _ in range(ENDS):
                self._write(digit, SEGMENT, marker=marker)
                marker = False
            self._base += SEGMENT
            self._timestamp += SEGMENT * ours // rate
        self._write(digit, units - self._base, marker=marker, end=end)

    def _write(self, digit: Digit, duration: int, *, marker: bool = False, end: bool = False) -> None:
        self._leg.unsettle()  # those that are relayed leave under other numbers from now on
        stream = self._leg.stream
        head = (VERSION, marker << 7 | self._played_as.payload_type, stream.insert(), self._timestamp & _LONG)
        packet = _packet(*head, stream.ssrc, digit.code, end << 7 | digit.volume, duration)
        if self._leg.send(packet, False):
            stream.packets += 1
            stream.octets += EVENT
