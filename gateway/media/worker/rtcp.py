"""RTCP compound packets (RFC 3550 6, RFC 5506): checked by length, then written anew in the numbers of our streams.

A compound that a peer sends speaks of two streams: the one it sends, which leaves as ours on the other leg, and the one
it receives, which is ours on its own leg. So everything in it is mapped, or left out: a receiver must never read of an
SSRC or a sequence number it has not seen. Left out are also the names of the peer (SDES is written with our own), its
BYE (our stream goes on with the next source) and packet types that belong to one leg only.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias

from gateway.media.worker.stream import Stream

_VERSION = 0x80
_PADDING = 0x20
_HEADER = 8
"""Every type relayed has at least a header and one SSRC."""
MAX_PACKETS = 16
"""Packets in one compound; real ones have two to four."""

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = range(200, 208)
_NACK, _PLI = 1, 1
_CNAME = 1
_BLOCK = 24
_LAST_REPORT_TIME, _LAST_REPORT_DELAY, _SUMMARY, _VOIP = 4, 5, 6, 7
"""Block types of RFC 3611 that can be mapped: receiver time, its echo, statistics summary, VoIP metrics."""

_SHORTEST = {SR: 28, RR: 8, SDES: 4, RTPFB: 12, PSFB: 12, XR: 8}
"""Types that are read, with their shortest length."""

_LONG = struct.Struct("!I")
_REPORT = struct.Struct("!II")


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


def reports_on(parts: Sequence[bytes], ssrc: int) -> bool:
    """Whether a compound has a report block about this SSRC (RFC 3550 6.4): its sender has received such packets."""
    for part in parts:
        start = _SHORTEST.get(part[1], 0) if part[1] in (SR, RR) else len(part)
        for at in range(start, min(start + _BLOCK * (part[0] & 0x1F), len(part) - _BLOCK + 1), _BLOCK):
            if _LONG.unpack_from(part, at)[0] == ssrc:
                return True
    return False


class _Nobody:
    """In place of a stream of another leg: no report is about it."""

    ssrc = -1
    source = None

    def source_index(self, _sequence: int) -> None:
        return None


NOBODY = _Nobody()
Received: TypeAlias = Stream | _Nobody


def translate(
    parts: Sequence[bytes], sent: Stream, received: Received, now: float, *, heard: bool = True
) -> bytes | None:
    """The compound in our numbers; None when it is malformed or says nothing that concerns the other leg.

    Args:
        parts: what the peer of one leg sent, split.
        sent: our stream on the other leg.
        received: our stream on this leg, which this peer receives; `NOBODY` if it is not made of what the other leg
            sends, for then no report about it concerns that leg.
        now: monotonic seconds.
        heard: whether `sent` is made of what this peer sends.
    """
    kept = [part for part in parts if part[1] in _SHORTEST]
    if any(len(part) < _SHORTEST[part[1]] for part in kept):
        return None
    writers = _WRITERS if heard else _UNHEARD
    written = b"".join(writers[part[1]](part, sent, received, now) for part in kept)
    return written if len(written) >= _HEADER else None


def _packet(count: int, kind: int, body: bytes) -> bytes:
    return struct.pack("!BBH", _VERSION | count, kind, len(body) // 4) + body


def _sender_report(part: bytes, sent: Stream, received: Received, now: float) -> bytes:
    """An SR of the source that is passed on now; of any other one its report blocks remain, as an RR."""
    if _LONG.unpack_from(part, 4)[0] != sent.source:
        return _reports_only(part, sent, received, now)
    timestamp = sent.timestamp_of(_LONG.unpack_from(part, 16)[0], now)
    counts = struct.pack("!III", timestamp, sent.packets & 0xFFFFFFFF, sent.octets & 0xFFFFFFFF)
    blocks = _blocks(part, _SHORTEST[SR], received)
    return _packet(len(blocks), SR, _LONG.pack(sent.ssrc) + part[8:16] + counts + b"".join(blocks))


def _receiver_report(part: bytes, sent: Stream, received: Received, _now: float, start: int = _HEADER) -> bytes:
    blocks = _blocks(part, start, received)
    return _packet(len(blocks), RR, _LONG.pack(sent.ssrc) + b"".join(blocks))


def _blocks(part: bytes, start: int, received: Received) -> list[bytes]:
    """The report blocks about our stream, as blocks about its source; profile extensions stay out."""
    found = []
    for at in range(start, min(start + _BLOCK * (part[0] & 0x1F), len(part) - _BLOCK + 1), _BLOCK):
        ssrc, highest = _LONG.unpack_from(part, at)[0], _LONG.unpack_from(part, at + 8)[0]
        index = received.source_index(highest) if ssrc == received.ssrc else None
        if index is not None:
            numbers = _LONG.pack(received.source or 0) + part[at + 4 : at + 8] + _LONG.pack(index & 0xFFFFFFFF)
            found.append(numbers + part[at + 12 : at + _BLOCK])
    return found


def _description(_part: bytes, sent: Stream, _received: Received, _now: float) -> bytes:
    """One chunk with our SSRC and our own CNAME; the peer's items name people, places and programs."""
    items = bytes((_CNAME, len(sent.cname))) + sent.cname
    return _packet(1, SDES, _LONG.pack(sent.ssrc) + items + bytes(4 - len(items) % 4))


def _nack(part: bytes, sent: Stream, received: Received, _now: float) -> bytes:
    """Generic NACK (RFC 4585 6.2.1); the bit mask counts on from the number, so the number alone is mapped."""
    if part[0] & 0x1F != _NACK or _LONG.unpack_from(part, 8)[0] != received.ssrc:
        return b""
    lost = []
    for at in range(12, len(part) - 3, 4):
        index = received.source_index(part[at] << 8 | part[at + 1])
        if index is not None:
            lost.append(struct.pack("!H", index & 0xFFFF) + part[at + 2 : at + 4])
    return _feedback(RTPFB, _NACK, sent, received, b"".join(lost)) if lost else b""


def _picture_loss(part: bytes, sent: Stream, received: Received, _now: float) -> bytes:
    if part[0] & 0x1F != _PLI or _LONG.unpack_from(part, 8)[0] != received.ssrc or received.source is None:
        return b""
    return _feedback(PSFB, _PLI, sent, received, b"")


def _feedback(kind: int, form: int, sent: Stream, received: Received, control: bytes) -> bytes:
    return _packet(form, kind, _REPORT.pack(sent.ssrc, received.source or 0) + control)


def _extended_report(part: bytes, sent: Stream, received: Received, _now: float) -> bytes:
    """RFC 3611: the blocks that can be mapped, under our SSRC."""
    blocks, at = [], _HEADER
    while at + 4 <= len(part):
        end = at + 4 * ((part[at + 2] << 8 | part[at + 3]) + 1)
        if end > len(part):
            break
        blocks.append(_extended_block(part[at:end], received))
        at = end
    body = b"".join(blocks)
    return _packet(0, XR, _LONG.pack(sent.ssrc) + body) if body else b""


def _extended_block(block: bytes, received: Received) -> bytes:
    kind = block[0]
    if kind == _LAST_REPORT_TIME and len(block) == 12:
        return block
    if received.source is None:
        return b""
    source = _LONG.pack(received.source)
    if kind == _LAST_REPORT_DELAY:
        ours = [block[at : at + 12] for at in range(4, len(block) - 11, 12)]
        echoed = b"".join(source + one[4:] for one in ours if _LONG.unpack_from(one)[0] == received.ssrc)
        return struct.pack("!BBH", kind, 0, len(echoed) // 4) + echoed if echoed else b""
    if len(block) < _HEADER or _LONG.unpack_from(block, 4)[0] != received.ssrc:
        return b""
    if kind == _VOIP and len(block) == 36:
        return block[:4] + source + block[8:]
    return _summary(block, source, received) if kind == _SUMMARY and len(block) == 40 else b""


def _summary(block: bytes, source: bytes, received: Received) -> bytes:
    """Statistics summary: its first and last number, the latter being one too far (RFC 3611 4.6)."""
    begin, end = struct.unpack_from("!HH", block, 8)
    first, last = received.source_index(begin), received.source_index(end - 1)
    if first is None or last is None:
        return b""
    return block[:4] + source + struct.pack("!HH", first & 0xFFFF, (last + 1) & 0xFFFF) + block[12:]


def _reports_only(part: bytes, sent: Stream, received: Received, now: float) -> bytes:
    return _receiver_report(part, sent, received, now, _SHORTEST[SR])


_WRITERS: dict[int, Callable[[bytes, Stream, Received, float], bytes]] = {
    SR: _sender_report,
    RR: _receiver_report,
    SDES: _description,
    RTPFB: _nack,
    PSFB: _picture_loss,
    XR: _extended_report,
}
_UNHEARD = {**_WRITERS, SR: _reports_only}
"""For a leg that hears somebody else: what its peer receives is not this sender's stream."""
