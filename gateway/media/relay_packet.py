"""Messages of the relay protocol as they travel: several in one packet (see `relay_protocol`).

A call begins and ends with half a dozen of them at once, and each packet is a system call and a wake-up of its own, on
both sides.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from gateway.base.errors import MediaError
from gateway.media.relay_protocol import MAX_CONTROL_PACKET, MAX_MESSAGE, MAX_TOGETHER

_LENGTH = struct.Struct("!I")


def together(messages: Iterable[bytes]) -> tuple[bytes, int]:
    """The first of these messages in one packet, and how many they are."""
    parts: list[bytes] = []
    size = 0
    for message in messages:
        size += _LENGTH.size + len(message)
        if parts and (size > MAX_CONTROL_PACKET or len(parts) == 2 * MAX_TOGETHER):
            break
        parts += (_LENGTH.pack(len(message)), message)
    return b"".join(parts), len(parts) // 2


def apart(packet: bytes) -> list[bytes]:
    """The messages in a packet; raises MediaError when it is not made of such."""
    found: list[bytes] = []
    at = 0
    while at < len(packet):
        if at + _LENGTH.size > len(packet):
            raise MediaError("malformed control packet")
        (length,) = _LENGTH.unpack_from(packet, at)
        at += _LENGTH.size + length
        if length > MAX_MESSAGE or at > len(packet) or len(found) == MAX_TOGETHER:
            raise MediaError("malformed control packet")
        found.append(packet[at - length : at])
    return found
