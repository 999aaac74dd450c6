"""RTCP compound packets (RFC 3550 6, RFC 5506): read by length, and written.

RTCP ends at the leg it comes to: a peer reads of our stream and of what we receive from it, in the words of the
gateway, and what it says is read here and nowhere else (RFC 8079). Nothing of what a peer writes leaves on another leg,
but for feedback that asks something of the other side (`feedback`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_VERSION = 0x80
_PADDING = 0x20
_HEADER = 8
"""Every type that is read has at least a header and one SSRC."""
MAX_PACKETS = 16
"""Packets in one compound; real ones have two to four."""
MAX_BLOCKS = 31
"""Report blocks in one packet: five bits count them."""

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = range(200, 208)
_CNAME = 1
_SHORTEST = {SR: 28, RR: 8, SDES: 4, BYE: 4, RTPFB: 12, PSFB: 12, XR: 8}
"""Types that are read, with their shortest length."""

_LONG = struct.Struct("!I")
_BLOCK = struct.Struct("!IIIIII")
_SENDER = struct.Struct("!IQIII")
_WORDS = 0xFFFFFFFF


class Block(NamedTuple):
    """A report block (RFC 3550 6.4.1)."""

    ssrc: int
    fraction: int
    """Lost since the report before, of 256."""
    lost: int
    """Lost in all; negative where more came twice than were lost."""
    highest: int
    """Sequence number with its cycles, 32 bits."""
    jitter: int
    """Timestamp units."""
    last_report: int
    """Middle of the NTP time of the last SR received; 0 for none."""
    delay: int
    """Since then, in 1/65536 seconds."""


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


def read(packet: bytes) -> list[bytes] | None:
    """The packets of a compound that mean something here; None when it is malformed or has none."""
    parts = [part for part in split(packet) or () if part[1] in _SHORTEST]
    if not parts or any(len(part) < _SHORTEST[part[1]] for part in parts):
        return None
    return parts


def blocks(part: bytes) -> Iterator[Block]:
    """The report blocks of an SR or RR; of any other packet there are none. Profile extensions stay out."""
    start = _SHORTEST[part[1]] if part[1] in (SR, RR) else len(part)
    for at in range(start, min(start + _BLOCK.size * (part[0] & 0x1F), len(part) - _BLOCK.size + 1), _BLOCK.size):
        ssrc, losses, *rest = _BLOCK.unpack_from(part, at)
        lost = losses & 0xFFFFFF
        yield Block(ssrc, losses >> 24, lost - 0x1000000 if lost & 0x800000 else lost, *rest)


def reports_on(parts: Sequence[bytes], ssrc: int) -> bool:
    """Whether a compound has a report block about this SSRC (RFC 3550 6.4): its sender has received such packets."""
    return any(block.ssrc == ssrc for part in parts for block in blocks(part))


def sender_of(part: bytes) -> int:
    """The SSRC of who wrote a packet; not for SDES and BYE."""
    return int(_LONG.unpack_from(part, 4)[0])


def sent_at(part: bytes) -> int:
    """The middle 32 bits of the NTP time of an SR (RFC 3550 4)."""
    return int(_LONG.unpack_from(part, 10)[0])


def sender_report(ssrc: int, ntp: int, timestamp: int, packets: int, octets: int, found: Sequence[Block]) -> bytes:
    """An SR (RFC 3550 6.4.1)."""
    head = _SENDER.pack(ssrc, ntp, timestamp, packets & _WORDS, octets & _WORDS)
    return packet(len(found), SR, head + _written(found))


def receiver_report(ssrc: int, found: Sequence[Block]) -> bytes:
    """An RR (RFC 3550 6.4.2)."""
    return packet(len(found), RR, _LONG.pack(ssrc) + _written(found))


def description(ssrc: int, cname: bytes) -> bytes:
    """SDES with the canonical name and nothing else (RFC 3550 6.5)."""
    items = bytes((_CNAME, len(cname))) + cname
    return packet(1, SDES, _LONG.pack(ssrc) + items + bytes(4 - len(items) % 4))


def goodbye(ssrc: int) -> bytes:
    """BYE (RFC 3550 6.6)."""
    return packet(1, BYE, _LONG.pack(ssrc))


def packet(count: int, kind: int, body: bytes) -> bytes:
    """One packet; `count` is what stands beside the version."""
    return struct.pack("!BBH", _VERSION | count, kind, len(body) // 4) + body


def _written(found: Sequence[Block]) -> bytes:
    return b"".join(_BLOCK.pack(b.ssrc, b.fraction << 24 | b.lost & 0xFFFFFF, *b[3:]) for b in found)
