"""The head of a message as unfolded lines (RFC 3261 7.3.1), shared by the parser and the stream framing.

Both must see the same header fields in the same bytes: two readings of one head are how requests get smuggled.
"""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.sip.grammar import LWS, is_token

MAX_MESSAGE = 65536
"""Octets of a whole message; a larger one is 413."""
MAX_HEAD = 32768
"""Octets up to the empty line; a larger head is 513."""
MAX_LINE = 8192
"""Characters of one header field after unfolding."""
MAX_HEADERS = 200
END_OF_HEAD = b"\r\n\r\n"


def read_lines(head: bytes) -> list[str]:
    """Start line and unfolded header lines within the limits; octets that are not UTF-8 are kept."""
    if len(head) > MAX_HEAD:
        raise SipError("Message head too large", 513)
    lines = unfold(head)
    if len(lines) > MAX_HEADERS + 1:
        raise SipError("Too many header fields", 513)
    if max(map(len, lines)) > MAX_LINE:
        raise SipError("Header line too long", 513)
    return lines


def unfold(head: bytes) -> list[str]:
    """The lines of a head of any size, folded ones joined; bare CR, LF and NUL are refused."""
    text = head.decode("utf-8", "surrogateescape")
    rest = text.replace("\r\n", "")
    if "\r" in rest or "\n" in rest:
        raise SipError("Bare CR or LF")
    # NUL is legal behind a backslash in a quoted string (RFC 4475 3.1.1.2) and nowhere else.
    if "\0" in rest.replace("\\\0", ""):
        raise SipError("NUL in message head")
    return _join(text.split("\r\n"))


def _join(lines: list[str]) -> list[str]:
    """Join continuation lines by one space (RFC 3261 7.3.1); they are never written again."""
    groups: list[list[str]] = []
    for line in lines:
        if line[:1] not in (" ", "\t"):
            groups.append([line])
        elif len(groups) < 2:
            raise SipError("Folded start line")
        else:
            groups[-1].append(line.strip(LWS))
    return [" ".join(group) for group in groups]


def split_header(line: str) -> tuple[str, str]:
    """Name and value of an unfolded header line; white space before the colon is legal (RFC 3261 25.1, HCOLON)."""
    name, colon, value = line.partition(":")
    name = name.rstrip(LWS)
    if not colon or not is_token(name):
        raise SipError("Bad header line")
    return name, value.strip(LWS)
