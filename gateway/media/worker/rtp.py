"""How an RTP packet of ours is written (RFC 3550 5.1); `packet` reads them."""

from __future__ import annotations

import struct

from gateway.media.worker.packet import EXTENSION, HEADER, MARKER, Packet
from gateway.media.worker.stream import Payload, Place

_EVENT = 4
"""Octets of a telephone-event (RFC 4733 2.3)."""
_head = struct.Struct("!BBHII").pack


def _rescale_event(data: bytes, start: int, payload: Payload) -> bytes:
    """An event with its duration in the other side's clock (RFC 4733 2.3.5), or the longest that can be written."""
    if len(data) < start + _EVENT:
        return data
    duration = data[start + 2] << 8 | data[start + 3]
    scaled = min(duration * payload.clock_rate_there // payload.clock_rate, 0xFFFF)
    return data[: start + 2] + scaled.to_bytes(2) + data[start + _EVENT :]


def rewrite(packet: Packet, payload: Payload, ssrc: int, place: Place) -> bytes:
    """A whole packet under our SSRC and numbers, with the other side's payload type and without header extension.

    Extensions were negotiated with one side only, and some (RFC 6464 audio level) tell what is said. CSRC and payload
    stay as they are.
    """
    sequence, timestamp, begins = place
    data, start = packet.data, packet.start
    second = data[1] & MARKER | payload.number | begins << 7
    head = _head(data[0] & ~EXTENSION, second, sequence, timestamp, ssrc)
    if payload.clock_rate_there not in (0, payload.clock_rate):
        data = _rescale_event(data, start, payload)
    return head + data[HEADER:] if start == HEADER else head + data[HEADER : packet.end] + data[start:]
