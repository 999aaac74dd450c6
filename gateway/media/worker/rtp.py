"""How an RTP packet of ours is written (RFC 3550 5.1); `packet` reads them."""

from __future__ import annotations

import struct

from gateway.media.worker.packet import EXTENSION, HEADER, MARKER, Packet
from gateway.media.worker.stream import Payload, Place

_head = struct.Struct("!BBHII").pack


def rewrite(packet: Packet, payload: Payload, ssrc: int, place: Place, extension: bytes = b"") -> bytes:
    """A whole packet under our SSRC and numbers, with the other side's payload type. CSRC and payload stay as they are.

    Args:
        extension: what stands in the place of its header extension.
    """
    sequence, timestamp, begins = place
    data, start = packet.data, packet.start
    second = data[1] & MARKER | payload.number | begins << 7
    if extension:
        head = _head(data[0] | EXTENSION, second, sequence, timestamp, ssrc)
        return head + data[HEADER : packet.end] + extension + data[start:]
    head = _head(data[0] & ~EXTENSION, second, sequence, timestamp, ssrc)
    return head + data[HEADER:] if start == HEADER else head + data[HEADER : packet.end] + data[start:]
