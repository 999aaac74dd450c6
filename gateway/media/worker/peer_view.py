"""What the peer of a leg says of the stream it receives from us. Pure: time is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.media.relay_quality import Reception, VoipMetrics
from gateway.media.worker import extended, rtcp
from gateway.media.worker.stream import Stream

MAX_OWN = 8
"""Reports of ours that are remembered for the peer's to refer to: about half a minute."""
MAX_JITTER = 10.0
"""Seconds a peer is believed: no call is left of more."""
_UNITS = 65536
"""Of a short NTP time, in a second."""


class PeerView:
    """The reports of one peer.

    Args:
        stream: what it receives.
    """

    def __init__(self, stream: Stream) -> None:
        self.rtt: float | None = None
        """Round trip as of its last report, seconds."""
        self.metrics: VoipMetrics | None = None
        """What it said last of how our stream sounds, if it says that."""
        self._stream = stream
        self._ours: deque[tuple[int, float]] = deque(maxlen=MAX_OWN)
        """Our sender reports: the middle of their NTP time, and when they were sent."""
        self._ssrc: int | None = None
        """Our SSRC as it was reported on last."""
        self._before = (0, 0)
        """Packets expected and lost of those it was before."""
        self._present = (0, 0)
        self._jitter = self._worst = 0.0

    @property
    def sent(self) -> Reception | None:
        """Our stream as the peer receives it."""
        if self._ssrc is None:
            return None
        expected, lost = (before + now for before, now in zip(self._before, self._present, strict=True))
        return Reception(expected, lost, self._jitter, self._worst)

    def reported(self, middle: int, now: float) -> None:
        """We send a sender report, with this in the middle of its NTP time."""
        self._ours.append((middle, now))

    def read(self, parts: Sequence[bytes], now: float) -> None:
        """Read what is about our stream in a compound of the peer."""
        stream = self._stream
        if not stream.packets:
            return
        for part in parts:
            for block in rtcp.blocks(part):
                if block.ssrc == stream.ssrc:
                    self._take(block, now)
            if part[1] == rtcp.XR:
                self.metrics = extended.voip_metrics(part, stream.ssrc) or self.metrics

    def _take(self, block: rtcp.Block, now: float) -> None:
        stream = self._stream
        if stream.ssrc != self._ssrc:
            self._before = self._before[0] + self._present[0], self._before[1] + self._present[1]
            self._ssrc = stream.ssrc
        # Numbers that never left are missing to the peer too, and were lost on another way or by nobody.
        missing = max(stream.span - stream.packets, 0)
        expected = max(stream.place_of(block.highest) - missing, 0)
        self._present = expected, min(max(block.lost - missing, 0), expected)
        self._jitter = min(block.jitter / stream.rate, MAX_JITTER)
        self._worst = max(self._worst, self._jitter)
        self._measure(block, now)

    def _measure(self, block: rtcp.Block, now: float) -> None:
        """The round trip (RFC 3550 6.4.1), since one of the reports we sent: a peer that refers to another is wrong."""
        for middle, at in self._ours:
            if middle == block.last_report:
                passed = now - at - block.delay / _UNITS
                if passed >= -1 / _UNITS:
                    self.rtt = max(passed, 0.0)
