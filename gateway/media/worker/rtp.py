"""How an RTP packet of ours is written (RFC 3550 5.1); `packet` reads them."""

from __future__ import annotations

import struct

from gateway.media.worker.packet import EXTENSION, HEADER, MARKER, Packet
from gateway.media.worker.stream import Payload, Place

_head = struct.Struct("!BBHII").pack


def rewrite(packet: Packet, payload: Payload, ssrc: int, place: Place) -> bytes:
    """A whole packet under our SSRC and numbers, with the other side's payload type and without header extension.

    Extensions were negotiated with one side only, and some (RFC 6464 audio level) tell what is said. CSRC and payload
    stay as they are.
    """
    sequence, timestamp, begins = place
    data, start = packet.data, packet.start
    second = data[1] & MARKER | payload.number | begins << 7
    head = _head(data[0] & ~EXTENSION, second, sequence, timestamp, ssrc)
    return head + data[HEADER:] if start == HEADER else head + data[HEADER : packet.end] + data[start:]
