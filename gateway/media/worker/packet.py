"""One datagram of media with its RTP header read once (RFC 3550 5.1): every step after that looks here."""

from __future__ import annotations

import struct

HEADER = 12
VERSION = 0x80
PADDING = 0x20
EXTENSION = 0x10
MARKER = 0x80
SHORTEST = 8
"""Octets: an RTCP packet with an SSRC (RFC 3550 6.4.2); nothing shorter is looked at."""
_numbers = struct.Struct("!HII").unpack_from


class Packet:
    """A datagram of `SHORTEST` octets or more.

    SRTP leaves the header in clear and authenticates it, so what was read here still holds when `data` has been
    replaced by the opened packet; only `is_whole` looks at octets that may have been encrypted.
    """

    __slots__ = ("data", "end", "is_odd", "is_rtcp", "payload_type", "sequence", "ssrc", "start", "timestamp")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.payload_type = kind = data[1] & 0x7F
        self.is_rtcp = 64 <= kind <= 95
        """The second octet is in the range of RTCP on a muxed port (RFC 5761 4)."""
        self.end = self.start = HEADER
        """Where the header with its CSRC list ends, and where the payload starts: the extension lies between."""
        self.is_odd = data[0] != VERSION or len(data) < HEADER
        """It is no RTP, or has CSRC, extension or padding, so that `is_whole` must be asked; nearly all have none."""
        if self.is_rtcp or len(data) < HEADER:
            return
        self.sequence, self.timestamp, self.ssrc = _numbers(data, 2)
        if self.is_odd:
            self._find_payload()

    def _find_payload(self) -> None:
        data, first = self.data, self.data[0]
        self.end = self.start = end = HEADER + 4 * (first & 0x0F)
        if first & EXTENSION and end + 4 <= len(data):
            self.start = end + 4 + 4 * (data[end + 2] << 8 | data[end + 3])
        elif first & EXTENSION:
            self.start = len(data) + 1

    def is_whole(self) -> bool:
        """Whether it is RTP that fits its own header, in clear; padding must leave the payload no less than nothing."""
        data = self.data
        if self.is_rtcp or len(data) < HEADER or data[0] & 0xC0 != VERSION or self.start > len(data):
            return False
        return not data[0] & PADDING or 0 < data[-1] <= len(data) - self.start
