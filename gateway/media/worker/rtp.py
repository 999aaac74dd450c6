"""RTP packets (RFC 3550 5.1): what the relay checks, and how one of ours is written."""

from __future__ import annotations

import struct
from typing import TypeAlias

from gateway.media.worker.stream import Payload, Place

HEADER = 12
_EVENT = 4
"""Octets of a telephone-event (RFC 4733 2.3)."""
_VERSION = 0x80
_PADDING = 0x20
_EXTENSION = 0x10
_MARKER = 0x80
_NUMBERS = struct.Struct("!HII")
_HEAD = struct.Struct("!BBHII")

Ends: TypeAlias = tuple[int, int]
"""Where the header with its CSRC list ends, and where the payload starts: between them is the header extension."""


def is_rtcp(packet: bytes) -> bool:
    """True when the second octet is in the range of RTCP on a muxed port (RFC 5761 4); needs two octets."""
    return 64 <= packet[1] & 0x7F <= 95


def payload_type(packet: bytes) -> int:
    return packet[1] & 0x7F


def ssrc(packet: bytes) -> bytes:
    return packet[8:12]


def sequence(packet: bytes) -> int:
    return packet[2] << 8 | packet[3]


def numbers(packet: bytes) -> tuple[int, int, int]:
    """Sequence number, timestamp and SSRC of a packet that has a header."""
    found: tuple[int, int, int] = _NUMBERS.unpack_from(packet, 2)
    return found


def header_ends(packet: bytes) -> Ends | None:
    """Where the header ends and the payload starts; None for what is not RTP.

    Padding must leave the payload a length of zero or more.
    """
    size = len(packet)
    if size < HEADER or packet[0] & 0xC0 != _VERSION:
        return None
    if packet[0] == _VERSION:  # nearly all: no CSRC, no extension, no padding
        return HEADER, HEADER
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


def _rescale_event(packet: bytes, start: int, payload: Payload) -> bytes:
    """An event with its duration in the other side's clock (RFC 4733 2.3.5), or the longest that can be written."""
    if len(packet) < start + _EVENT:
        return packet
    duration = packet[start + 2] << 8 | packet[start + 3]
    scaled = min(duration * payload.clock_rate_there // payload.clock_rate, 0xFFFF)
    return packet[: start + 2] + scaled.to_bytes(2) + packet[start + _EVENT :]


def rewrite(packet: bytes, ends: Ends, payload: Payload, ssrc: int, place: Place) -> bytes:
    """The packet under our SSRC and numbers, with the other side's payload type and without header extension.

    Extensions were negotiated with one side only, and some (RFC 6464 audio level) tell what is said. CSRC and payload
    stay as they are.
    """
    sequence, timestamp, begins = place
    second = packet[1] & _MARKER | payload.number | begins << 7
    head = _HEAD.pack(packet[0] & ~_EXTENSION, second, sequence, timestamp, ssrc)
    end, start = ends
    if payload.clock_rate_there not in (0, payload.clock_rate):
        packet = _rescale_event(packet, start, payload)
    return head + packet[HEADER:] if start == HEADER else head + packet[HEADER:end] + packet[start:]
