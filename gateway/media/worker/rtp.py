"""RTP packets (RFC 3550 5.1): what the relay checks, and the two things it changes."""

from __future__ import annotations

from collections.abc import Mapping

HEADER = 12
_VERSION = 0x80
_PADDING = 0x20
_EXTENSION = 0x10
_MARKER = 0x80


def is_rtcp(packet: bytes) -> bool:
    """True when the second octet is in the range of RTCP on a muxed port (RFC 5761 4); needs two octets."""
    return 64 <= packet[1] & 0x7F <= 95


def payload_type(packet: bytes) -> int:
    return packet[1] & 0x7F


def ssrc(packet: bytes) -> bytes:
    return packet[8:12]


def sequence(packet: bytes) -> int:
    return packet[2] << 8 | packet[3]


def header_ends(packet: bytes) -> tuple[int, int] | None:
    """Where the header with its CSRC list ends, and where the payload starts; None for what is not RTP.

    Between the two is the header extension. Padding must leave the payload a length of zero or more.
    """
    size = len(packet)
    if size < HEADER or packet[0] & 0xC0 != _VERSION:
        return None
    end = start = HEADER + 4 * (packet[0] & 0x0F)
    if packet[0] & _EXTENSION:
        if end + 4 > size:
            return None
        start = end + 4 + 4 * (packet[end + 2] << 8 | packet[end + 3])
    if start > size or not _padding_fits(packet, size - start):
        return None
    return end, start


def _padding_fits(packet: bytes, room: int) -> bool:
    return not packet[0] & _PADDING or 0 < packet[-1] <= room


def rewrite(packet: bytes, payloads: Mapping[int, int], ends: tuple[int, int]) -> bytes | None:
    """The packet with the other side's payload type and without header extension; None if the type is not mapped.

    Extensions were negotiated with one side only, and some (RFC 6464 audio level) tell what is said. Marker, sequence,
    timestamp, SSRC and CSRC stay as they are, so RTCP reports of both sides stay true.
    """
    kind = packet[1] & 0x7F
    mapped = payloads.get(kind)
    if mapped is None:
        return None
    end, start = ends
    if mapped == kind and end == start and not packet[0] & _EXTENSION:
        return packet
    head = bytes((packet[0] & ~_EXTENSION, packet[1] & _MARKER | mapped))
    return head + packet[2:end] + packet[start:]
