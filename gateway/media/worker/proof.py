"""What the packets of a keyed leg prove since its keys were set. Pure: time is an argument.

Signalling says that a leg is encrypted; only packets show it. Either something authenticates, and then it is seen too
whether the peer receives us, or packets come and none of them does: plain RTP, or SRTP under another key.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from gateway.media.worker import rtcp as rtcp_packets
from gateway.media.worker.packet import HEADER

MISMATCH_SECONDS = 10.0
"""From the first packet that failed: by then one should have authenticated (checkpoint P4 waits as long)."""
MIN_FAILED = 8
"""Packets of the peer that must have failed: fewer are stragglers of an old key, or accidents."""
CONFIRM_SECONDS = 20.0
"""From the first authenticated packet: a peer that sends RTCP has reported by then (RFC 3550 6.2: every 5 s or so)."""
SRTCP_SECONDS = 60.0
"""From the first authenticated packet: a peer that sends RTCP at all has done so a dozen times by then."""
MIN_MEDIA = 1000
"""Packets of media that must have come meanwhile: who was on hold, or silent, proves nothing."""
MAX_SAMPLES = 64
"""Packets looked at to tell plain RTP from SRTP."""
_FRAMED = frozenset({0, 8, 9})
"""Static types of PCMU, PCMA and G.722 (RFC 3551): 80 octets for 10 ms, so that a tag shows in the length."""
_FRAME_OCTETS = 80


class Finding(Enum):
    """What is told, each once for the keys of a leg."""

    CONFIRMED = "packets authenticated, and the peer reports that it receives ours"
    UNCONFIRMED = "packets authenticated; the peer does not say whether it receives ours"
    PLAIN = "packets come, none authenticates, and they are readable: plain RTP or RTCP"
    OTHER_KEY = "packets come and none authenticates, as under another key"
    NO_SRTCP = "packets authenticated, but RTCP is in clear or there is none"


@dataclass(slots=True)
class _Samples:
    """Octets of failed packets: what is encrypted looks like chance, what is not does not."""

    framed: int = 0
    whole: int = 0
    others: int = 0
    first_octets: Counter[int] | None = None

    def add(self, packet: bytes, rtcp: bool) -> None:
        if self.framed + self.others >= MAX_SAMPLES:
            return
        if rtcp:
            self.framed += 1
            self.whole += rtcp_packets.split(packet) is not None
            return
        payload = _payload(packet)
        if not payload:
            return
        if packet[1] & 0x7F in _FRAMED:
            self.framed += 1
            self.whole += len(payload) % _FRAME_OCTETS == 0
            return
        self.others += 1
        self.first_octets = self.first_octets or Counter()
        self.first_octets[payload[0]] += 1

    @property
    def readable(self) -> bool:
        """Whether most of it is plain: whole frames, or one first octet over and over (Opus names its mode there)."""
        if self.framed:
            return 2 * self.whole > self.framed
        common = self.first_octets.most_common(1)[0][1] if self.first_octets else 0
        return 2 * common > self.others


class Proof:
    """The state of one leg."""

    def __init__(self) -> None:
        self.stop()

    def stop(self) -> None:
        """The leg has no keys (any more): its packets prove nothing."""
        self._watching = False
        self.is_awaited = True
        """No packet has authenticated yet: the first one is news."""
        self._opened_at: float | None = None
        self._failed_at: float | None = None
        self._failed = 0
        self._samples = _Samples()
        self._told = False
        self.has_srtcp = False
        """A report of the peer has authenticated."""
        self._srtcp_told = False
        self._media_before: int | None = None

    def begin(self) -> None:
        """Keys were set: everything is to be proved anew."""
        self.stop()
        self._watching = True

    def opened(self, now: float) -> None:
        """A packet authenticated under these keys; only the first one counts, also when a mismatch has been told."""
        if self.is_awaited:
            self.is_awaited, self._opened_at, self._watching = False, now, True

    def failed(self, packet: bytes, rtcp: bool, now: float) -> None:
        """A packet from where the peer's media comes from did not authenticate."""
        if self._opened_at is not None or not self._watching:
            return
        if self._failed_at is None:
            self._failed_at = now
        self._failed += 1
        self._samples.add(packet, rtcp)

    def is_srtcp_news(self) -> bool:
        """Whether it was not told yet that RTCP is in clear or missing; from now on it was."""
        is_news, self._srtcp_told = not self._srtcp_told, True
        return is_news

    def lacks_srtcp(self, now: float, media: int) -> Finding | None:
        """Whether the peer sends media and nothing beside it; `media` counts the packets of it."""
        if self._opened_at is None or self.has_srtcp or self._srtcp_told:
            return None
        if self._media_before is None:
            self._media_before = media
        if now - self._opened_at < SRTCP_SECONDS or media - self._media_before < MIN_MEDIA:
            return None
        return Finding.NO_SRTCP if self.is_srtcp_news() else None

    @property
    def wants_report(self) -> bool:
        """Whether a report of the peer about our stream would be news."""
        return self._watching and self._opened_at is not None and not self._told

    def reported(self) -> Finding:
        """An authenticated RTCP packet of the peer reports about our stream: it opens what we seal."""
        self._told = True
        return Finding.CONFIRMED

    def tick(self, now: float) -> Finding | None:
        """What there is to tell at this time."""
        if not self._watching or self._told:
            return None
        if self._opened_at is not None:
            self._told = now - self._opened_at >= CONFIRM_SECONDS
            return Finding.UNCONFIRMED if self._told else None
        if self._failed_at is None or self._failed < MIN_FAILED or now - self._failed_at < MISMATCH_SECONDS:
            return None
        self._watching = False
        return Finding.PLAIN if self._samples.readable else Finding.OTHER_KEY


def _payload(packet: bytes) -> bytes:
    """What stands behind the header, which SRTP leaves in clear; the end is not looked for, it may be encrypted."""
    start = HEADER + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10 and len(packet) >= start + 4:
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4])
    return packet[start:]
