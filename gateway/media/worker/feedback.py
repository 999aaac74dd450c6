"""RTCP feedback (RFC 4585, RFC 5104) that asks something of who sends a stream: passed on to the source of that stream.

By rule: a generic NACK, a picture loss, a full intra request and a limit of the bit rate are asked of the source in its
own numbers. Everything else is between a peer and its gateway: what it says of bandwidth is about packets we do not
number, and what answers a request answers ours.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from gateway.media.worker.rtcp import PSFB, RTPFB, packet
from gateway.media.worker.stream import Stream

_NACK, _TMMBR = 1, 3
_PLI, _FIR = 1, 4
_HEADER = 12
_ENTRY = struct.Struct("!II")


class IntraRequests:
    """The numbers of full intra requests (RFC 5104 4.3.1.1): one that comes again has the same."""

    def __init__(self) -> None:
        self.ours = 0
        """Of the last one sent to the peer of the leg."""
        self._theirs = -1

    def is_new(self, number: int) -> bool:
        """Whether the peer has not sent this one just before."""
        is_new, self._theirs = number != self._theirs, number
        return is_new


def mapped(part: bytes, received: Stream, sender: int, asked: IntraRequests, asking: IntraRequests) -> bytes | None:
    """The same request of the source; None when it is none the source could do anything about.

    Args:
        part: what the peer of one leg wrote.
        received: our stream on that leg.
        sender: under which SSRC it leaves on the leg of the source.
        asked, asking: the requests of the peer, and ours on the leg of the source.
    """
    map_one = _RULES.get((part[1], part[0] & 0x1F))
    if map_one is None or received.source is None:
        return None
    found = map_one(part, received, asked, asking)
    if found is None:
        return None
    media, control = found
    return packet(part[0] & 0x1F, part[1], _ENTRY.pack(sender, media) + control)


_Found = tuple[int, bytes] | None


def _nack(part: bytes, received: Stream, _asked: IntraRequests, _asking: IntraRequests) -> _Found:
    """RFC 4585 6.2.1; the bit mask counts on from the number, so the number alone is mapped."""
    if _media(part) != received.ssrc:
        return None
    lost = []
    for at in range(_HEADER, len(part) - 3, 4):
        index = received.source_index(part[at] << 8 | part[at + 1])
        if index is not None:
            lost.append(struct.pack("!H", index & 0xFFFF) + part[at + 2 : at + 4])
    return (received.source or 0, b"".join(lost)) if lost else None


def _picture_loss(part: bytes, received: Stream, _asked: IntraRequests, _asking: IntraRequests) -> _Found:
    return (received.source or 0, b"") if _media(part) == received.ssrc else None


def _intra_request(part: bytes, received: Stream, asked: IntraRequests, asking: IntraRequests) -> _Found:
    """RFC 5104 4.3.1: the stream that is meant stands in the entry."""
    for ssrc, word in _entries(part):
        if ssrc == received.ssrc:
            asking.ours = (asking.ours + asked.is_new(word >> 24)) & 0xFF
            return 0, _ENTRY.pack(received.source or 0, asking.ours << 24)
    return None


def _bit_rate(part: bytes, received: Stream, _asked: IntraRequests, _asking: IntraRequests) -> _Found:
    """RFC 5104 4.2.1: as above, with the limit."""
    for ssrc, limit in _entries(part):
        if ssrc == received.ssrc:
            return 0, _ENTRY.pack(received.source or 0, limit)
    return None


def _media(part: bytes) -> int:
    return int.from_bytes(part[8:12])


def _entries(part: bytes) -> list[tuple[int, int]]:
    return [_ENTRY.unpack_from(part, at) for at in range(_HEADER, len(part) - _ENTRY.size + 1, _ENTRY.size)]


_RULES: dict[tuple[int, int], Callable[[bytes, Stream, IntraRequests, IntraRequests], _Found]] = {
    (RTPFB, _NACK): _nack,
    (RTPFB, _TMMBR): _bit_rate,
    (PSFB, _PLI): _picture_loss,
    (PSFB, _FIR): _intra_request,
}
