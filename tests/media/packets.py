"""RTP, RTCP and DTLS-looking bytes for the media tests."""

from __future__ import annotations

import struct

CLIENT_HELLO = bytes.fromhex("16feff0000000000000000") + b"\x00\x38\x01" + bytes(55)
"""The first octets of a DTLS ClientHello; all the relay looks at is the first."""


def rtp(
    sequence: int,
    *,
    payload_type: int = 0,
    ssrc: int = 0x1111,
    marker: bool = False,
    payload: bytes | None = None,
    csrc: tuple[int, ...] = (),
    extension: bytes | None = None,
    padding: bytes = b"",
    timestamp: int | None = None,
) -> bytes:
    """An RTP packet (RFC 3550 5.1); its payload tells its sequence number unless one is given."""
    if payload is None:
        payload = b"\xd5" * 156 + struct.pack("!I", sequence)
    first = 0x80 | len(csrc) | (0x10 if extension is not None else 0) | (0x20 if padding else 0)
    moment = sequence * 160 if timestamp is None else timestamp
    head = struct.pack("!BBHII", first, marker << 7 | payload_type, sequence & 0xFFFF, moment, ssrc)
    head += b"".join(struct.pack("!I", source) for source in csrc)
    if extension is not None:
        head += struct.pack("!HH", 0xBEDE, len(extension) // 4) + extension
    return head + payload + padding


class Relayed(bytes):
    """What the relay sent: equal to a packet that says the same, for the numbers it goes by are the relay's own."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes) and _said(self) == _said(other)

    __hash__ = None  # type: ignore[assignment]


def _said(packet: bytes) -> bytes:
    """The packet without SSRC, sequence number, timestamp and marker; RTCP without the SSRC of its sender."""
    if len(packet) < 8 or packet[0] >> 6 != 2:
        return bytes(packet)
    if 192 <= packet[1] <= 223:
        return packet[:4] + packet[8:]
    return bytes((packet[0], packet[1] & 0x7F)) + packet[12:]


def payload_type(packet: bytes) -> int:
    return packet[1] & 0x7F


def block(
    ssrc: int, highest: int = 0, *, lost: int = 0, fraction: int = 0, jitter: int = 0, last: int = 0, delay: int = 0
) -> bytes:
    """A report block (RFC 3550 6.4.1)."""
    return struct.pack("!IIIIII", ssrc, fraction << 24 | lost & 0xFFFFFF, highest, jitter, last, delay)


def receiver_report(ssrc: int = 0x1111, *blocks: bytes) -> bytes:
    return struct.pack("!BBHI", 0x80 | len(blocks), 201, 1 + 6 * len(blocks), ssrc) + b"".join(blocks)


def sender_report(ssrc: int = 0x1111, *blocks: bytes, ntp: int = 0, timestamp: int = 0) -> bytes:
    head = struct.pack("!BBHI", 0x80 | len(blocks), 200, 6 + 6 * len(blocks), ssrc)
    return head + struct.pack("!QIII", ntp, timestamp, 0, 0) + b"".join(blocks)


def feedback(kind: int, form: int, media: int, control: bytes = b"", *, ssrc: int = 0x1111) -> bytes:
    """RTCP feedback (RFC 4585 6.1)."""
    return struct.pack("!BBHII", 0x80 | form, kind, 2 + len(control) // 4, ssrc, media) + control


def extended(*blocks: bytes, ssrc: int = 0x1111) -> bytes:
    """An extended report (RFC 3611 2)."""
    body = b"".join(blocks)
    return struct.pack("!BBHI", 0x80, 207, 1 + len(body) // 4, ssrc) + body


def bye(ssrc: int = 0x1111) -> bytes:
    return struct.pack("!BBHI", 0x81, 203, 1, ssrc)


def app(ssrc: int = 0x1111) -> bytes:
    return struct.pack("!BBHI4s", 0x80, 204, 2, ssrc, b"test")
