"""Extended reports (RFC 3611), as far as they are about a call with sound."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from gateway.media.relay_quality import VoipMetrics
from gateway.media.worker import rtcp

_REFERENCE_TIME, _SINCE, _VOIP = 4, 5, 7
"""Block types: receiver reference time, the delay since it (DLRR), VoIP metrics."""
_HEADER = 8
_UNAVAILABLE = 127
_voip = struct.Struct("!I4B4H8B2xHHH").unpack_from


def reference_time(part: bytes) -> int | None:
    """The middle 32 bits of the NTP time a receiver wants to have echoed; None when it does not ask."""
    for kind, block in _blocks(part):
        if kind == _REFERENCE_TIME and len(block) == 12:
            return int.from_bytes(block[6:10])
    return None


def voip_metrics(part: bytes, ssrc: int) -> VoipMetrics | None:
    """What the writer says of how this stream arrives, and sounds; None when it does not."""
    for kind, block in _blocks(part):
        if kind == _VOIP and len(block) == 36 and int.from_bytes(block[4:8]) == ssrc:
            return _metrics(block)
    return None


def since_reference_time(writer: int, asker: int, asked_at: int, delay: float) -> bytes:
    """An XR packet with what somebody needs that only receives, to know the round trip (RFC 3611 4.5)."""
    echo = struct.pack("!BBHIII", _SINCE, 0, 3, asker, asked_at, min(round(delay * 65536), 0xFFFFFFFF))
    return rtcp.packet(0, rtcp.XR, struct.pack("!I", writer) + echo)


def _blocks(part: bytes) -> Iterator[tuple[int, bytes]]:
    at = _HEADER
    while at + 4 <= len(part):
        end = at + 4 * ((part[at + 2] << 8 | part[at + 3]) + 1)
        if end > len(part):
            return
        yield part[at], part[at:end]
        at = end


def _metrics(block: bytes) -> VoipMetrics:
    """RFC 3611 4.7; ratios are of 256, times in milliseconds, MOS in tenths."""
    _, *ratios, burst, gap, _, delay, _, _, _, _, r, _, listening, talking, buffer, largest, _ = _voip(block, 4)
    loss, discard, in_bursts, in_gaps = (ratio / 256 for ratio in ratios)
    return VoipMetrics(
        loss,
        discard,
        in_bursts,
        in_gaps,
        burst / 1000,
        gap / 1000,
        delay / 1000,
        None if r == _UNAVAILABLE else r,
        None if listening == _UNAVAILABLE else listening / 10,
        None if talking == _UNAVAILABLE else talking / 10,
        buffer / 1000,
        largest / 1000,
    )
