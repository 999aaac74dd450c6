"""RTCP compound packets (RFC 3550 6.1, RFC 5506): length checks before anything else looks at them."""

from __future__ import annotations

_VERSION = 0x80
_PADDING = 0x20
_HEADER = 8
"""Every type relayed has at least a header and one SSRC."""
MAX_PACKETS = 16
"""Packets in one compound; real ones have two to four."""

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = range(200, 208)

_SHORTEST = {SR: 28, RR: 8, SDES: 4, BYE: 4, RTPFB: 12, PSFB: 12, XR: 8}
"""Types that are relayed, with their shortest length. APP is private to an implementation and stays on its leg."""


def split(packet: bytes) -> list[bytes] | None:
    """The packets of a compound; None unless the lengths add up to the datagram exactly."""
    parts: list[bytes] = []
    at, size = 0, len(packet)
    while at < size:
        if size - at < 4 or packet[at] & 0xC0 != _VERSION or len(parts) == MAX_PACKETS:
            return None
        end = at + 4 * ((packet[at + 2] << 8 | packet[at + 3]) + 1)
        # Only the last packet of a compound may be padded.
        if end > size or (packet[at] & _PADDING and end != size):
            return None
        parts.append(packet[at:end])
        at = end
    return parts if size >= _HEADER else None


def relayable(packet: bytes) -> bytes | None:
    """The compound without the types that are not relayed; None when it is malformed or nothing is left."""
    parts = split(packet)
    if parts is None:
        return None
    kept = [part for part in parts if part[1] in _SHORTEST]
    if any(len(part) < _SHORTEST[part[1]] for part in kept):
        return None
    result = b"".join(kept)
    return result if len(result) >= _HEADER else None
