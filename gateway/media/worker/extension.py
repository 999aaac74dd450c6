"""The header extension of an RTP packet (RFC 8285): what both sides agreed on goes on, in the numbers of the other one.

What nobody asked for is left out, for it may tell what is said (RFC 6464 audio level) or who speaks, in clear beside
encrypted media. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

from gateway.media.worker.packet import Packet

ONE_BYTE, TWO_BYTE = 0xBEDE, 0x1000
"""What the two forms begin with; the last four bits of the other one mean nothing to us (RFC 8285 4.3)."""
MAX_SHORT_NUMBER, MAX_SHORT = 14, 16
"""Largest number and length the form of one byte has room for; it has none for what is empty."""
STOP = 15
"""The number in the form of one byte after which nothing is to be read (RFC 8285 4.2)."""
HEAD = 4

Element: TypeAlias = tuple[int, bytes]
"""Number and content."""


def elements(packet: Packet) -> Iterator[Element] | None:
    """What the extension of a packet holds; None when it has none of these forms. One that does not fit ends it."""
    data, at, end = packet.data, packet.end + HEAD, packet.start
    form = data[packet.end] << 8 | data[packet.end + 1]
    if form == ONE_BYTE:
        return _short_ones(data, at, end)
    return _long_ones(data, at, end) if form & 0xFFF0 == TWO_BYTE else None


def tells_more(packet: Packet, agreed: Collection[int]) -> bool:
    """Whether a packet with an extension says something that was not agreed on."""
    found = elements(packet) if agreed else None
    return found is None or any(number not in agreed for number, _ in found)


def passed_on(packet: Packet, numbers: Mapping[int, int]) -> bytes:
    """The extension as it leaves: what has a number there; empty when nothing has.

    Args:
        numbers: those of the other side by those of this one.
    """
    found = elements(packet)
    if found is None:
        return b""
    kept = [(numbers[number], content) for number, content in found if number in numbers]
    if not kept:
        return b""
    short = all(0 < number <= MAX_SHORT_NUMBER and 0 < len(content) <= MAX_SHORT for number, content in kept)
    body = b"".join(map(_short if short else _long, kept))
    words = (len(body) + 3) // 4
    return (ONE_BYTE if short else TWO_BYTE).to_bytes(2) + words.to_bytes(2) + body.ljust(4 * words, b"\0")


def _short_ones(data: bytes, at: int, end: int) -> Iterator[Element]:
    while at < end:
        number, length = data[at] >> 4, (data[at] & 0x0F) + 1
        if number == STOP:
            return
        if number == 0:  # one octet of padding; a length beside it is a mistake, and is not believed
            at += 1
            continue
        at += 1
        if at + length > end:
            return
        yield number, data[at : at + length]
        at += length


def _long_ones(data: bytes, at: int, end: int) -> Iterator[Element]:
    while at < end:
        number = data[at]
        if number == 0:
            at += 1
            continue
        if at + 2 > end or at + 2 + data[at + 1] > end:
            return
        length = data[at + 1]
        yield number, data[at + 2 : at + 2 + length]
        at += 2 + length


def _short(element: Element) -> bytes:
    number, content = element
    return bytes((number << 4 | len(content) - 1,)) + content


def _long(element: Element) -> bytes:
    number, content = element
    return bytes((number, len(content))) + content
