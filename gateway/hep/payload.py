"""A SIP message as it is exported: redacted, and still a message that others can read (RFC 3261 7). PURE.

Its lines are those of a trace (`audit.redaction`); Content-Length says how much of the body is left. What does not fit
goes from the end of the body, then from the end of the head, which keeps what every message must have.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.audit.nameless import Called, impersonal, without_people
from gateway.audit.redaction import body_lines, head_lines
from gateway.sip.grammar import LWS
from gateway.sip.headers import canonical
from gateway.sip.message import Message

VITAL = ("via", "from", "to", "call-id", "cseq")
"""Header fields without which nobody knows what the message is; of each the first."""
CONTENT_LENGTH = "Content-Length: {}"
LENGTH_ROOM = len(CONTENT_LENGTH) + 4
"""Octets of that line: its number has up to four digits, and it ends."""


def sip_payload(message: Message, room: int, called: Called | None = None) -> bytes:
    """The message within so many octets.

    Args:
        called: what people are called; None: what the message calls them.
    """
    head = head_lines(message if called is None else without_people(message, called))
    body = body_lines(message)
    if called is not None:
        body = [impersonal(line) for line in body]
    return _written([_octets(line) for line in head], [_octets(line) for line in body], room)


def _octets(line: str) -> bytes:
    return line.encode("utf-8", "replace") + b"\r\n"


def _written(head: Sequence[bytes], body: Sequence[bytes], room: int) -> bytes:
    lines = [line for line in head if _name(line) != "content-length"]
    left = room - LENGTH_ROOM - len(b"\r\n")
    kept = _fitting(lines, left)
    left -= sum(map(len, kept))
    shown = []
    for line in body:
        left -= len(line)
        if left < 0:
            break
        shown.append(line)
    length = CONTENT_LENGTH.format(sum(map(len, shown))).encode("ascii") + b"\r\n"
    return b"".join((*kept, length, b"\r\n", *shown))


def _fitting(lines: Sequence[bytes], room: int) -> list[bytes]:
    """The start line, what is vital, and of the others those that fit, all in their order."""
    vital = {0}
    for name in VITAL:
        vital |= {next((place for place, line in enumerate(lines) if place and _name(line) == name), 0)}
    room -= sum(len(lines[place]) for place in vital)
    kept = []
    for place, line in enumerate(lines):
        if place in vital:
            kept.append(line)
        elif room >= len(line):
            room -= len(line)
            kept.append(line)
    return kept


def _name(line: bytes) -> str:
    """The name of the header field a line is, in its long form."""
    return canonical(line.partition(b":")[0].decode("utf-8", "replace").rstrip(LWS))
