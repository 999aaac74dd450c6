"""RTCP of our own on one leg (RFC 3550 6): what we send and receive there is reported to its peer, as long as it lasts.

Reports go on while media is held (RFC 3264 8.4 holds media, not the session) and while nobody hears the peer: they keep
the way open and tell both sides that the other one is there.
"""

from __future__ import annotations

import datetime
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from secrets import SystemRandom
from typing import TYPE_CHECKING

from gateway.media.relay_protocol import REPORT_SECONDS
from gateway.media.worker import extended, rtcp
from gateway.media.worker.agenda import NEVER, Agenda
from gateway.media.worker.peer_view import PeerView

if TYPE_CHECKING:
    from gateway.media.worker.leg import Leg

_COMPENSATION = 2.71828 - 1.5
"""RFC 3550 6.3.1: by which the interval is divided."""
_NTP_EPOCH = 2_208_988_800
"""Seconds from 1900 to 1970."""
_AHEAD = datetime.datetime.now(datetime.UTC).timestamp() - time.monotonic() + _NTP_EPOCH
"""NTP time at moment 0 of our clock: fixed, so that no step of the system's time upsets a round trip."""

chance: Callable[[], float] = SystemRandom().random


class Reporter:
    """The reports of one leg."""

    def __init__(self, leg: Leg) -> None:
        self.agenda = Agenda()
        self.due = NEVER
        self.view = PeerView(leg.stream)
        """What the peer reports."""
        self._leg: Leg = weakref.proxy(leg)
        """Its own leg, without a circle: what is closed is gone at once."""
        self._seconds = REPORT_SECONDS
        self._sent: deque[tuple[int, int]] = deque([(leg.stream.ssrc, 0)], maxlen=2)
        """At the last two reports: our SSRC, and how many packets had left under it."""
        self._asked: tuple[int, int, float] | None = None
        """Who wants its reference time echoed, that time, and when it came."""

    def move_to(self, agenda: Agenda, seconds: float) -> None:
        """Be woken by this agenda from now on, and report about this often."""
        due, self.due = self.due, NEVER
        self.agenda, self._seconds = agenda, seconds
        agenda.set(self, due)

    def tick(self, now: float) -> None:
        """Begin as soon as there is somebody to report to: the first report comes after half the time."""
        if self.due == NEVER and self._leg.can_report:
            self.agenda.set(self, now + _interval(self._seconds / 2))

    def wake(self, now: float) -> None:
        """Report, and again after some time; whoever can be reached no more is looked for again at each tick."""
        if self._leg.can_report:
            self._report(now)
            self.agenda.set(self, now + _interval(self._seconds))

    def leave(self, now: float) -> None:
        """The leg ends: say so, with the last numbers, if we ever said anything (RFC 3550 6.3.7)."""
        leg = self._leg
        if leg.can_report and (leg.tally.rtp_tx or leg.tally.rtcp_tx):
            self._report(now, rtcp.goodbye(leg.stream.ssrc))
        self.agenda.set(self, NEVER)

    def read(self, parts: Sequence[bytes], now: float) -> None:
        """Read a compound of the peer. Its BYE ends nothing: sources come and go, a call ends by its signalling."""
        for part in parts:
            if part[1] == rtcp.SR:
                self._leg.meter.sender_report(rtcp.sender_of(part), rtcp.sent_at(part), now)
            elif part[1] == rtcp.XR:
                reference = extended.reference_time(part)
                if reference is not None:
                    self._asked = rtcp.sender_of(part), reference, now
        self.view.read(parts, now)

    def ask(self, control: bytes) -> bool:
        """Send a request in a compound of its own (RFC 4585 3.1); whether it left."""
        stream = self._leg.stream
        head = rtcp.receiver_report(stream.ssrc, ()) + rtcp.description(stream.ssrc, stream.cname)
        return self._leg.can_report and self._leg.send(head + control, True)

    def _report(self, now: float, last: bytes = b"") -> None:
        stream = self._leg.stream
        found = self._leg.meter.report_blocks(now)
        written = self._sender_report(found, now) if self._is_sender() else rtcp.receiver_report(stream.ssrc, found)
        written += rtcp.description(stream.ssrc, stream.cname)
        if self._asked is not None:
            asker, reference, at = self._asked
            written += extended.since_reference_time(stream.ssrc, asker, reference, now - at)
            self._asked = None
        self._sent.append((stream.ssrc, stream.packets))
        self._leg.send(written + last, True)

    def _is_sender(self) -> bool:
        """Whether media has left since the report before the last one (RFC 3550 6.4)."""
        stream = self._leg.stream
        ssrc, packets = self._sent[0]
        return stream.packets > (packets if ssrc == stream.ssrc else 0)

    def _sender_report(self, found: Sequence[rtcp.Block], now: float) -> bytes:
        stream, ntp = self._leg.stream, round((now + _AHEAD) * (1 << 32))
        self.view.reported(ntp >> 16 & 0xFFFFFFFF, now)
        timestamp = stream.timestamp_at(now)
        return rtcp.sender_report(stream.ssrc, ntp, timestamp, stream.packets, stream.octets, found)


def _interval(seconds: float) -> float:
    """RFC 3550 6.3.1: between half of it and half as much again, so that no two report in step."""
    return seconds * (0.5 + chance()) / _COMPENSATION
