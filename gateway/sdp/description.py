"""The lines of a session description (RFC 8866), kept byte exact.

A description is split into a session part and media sections and is otherwise left alone: what is not understood is
kept, `bytes()` gives back what came in. Meaning is read from it by `codecs`, `keying` and `media`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.base.errors import SdpError

MAX_BYTES = 65536
"""A SIP message is no larger, so its body cannot be."""
MAX_LINES = 1000
"""Twice the attributes: bounds the lines that are no attributes (b=, i=, r=, ...)."""
MAX_MEDIA = 8
"""Browsers send at most audio, video, screen and data; more is a probe."""
MAX_FORMATS = 64
"""Half of the RTP payload type space, on one m-line."""
MAX_ATTRIBUTES = 500
"""Chromium's largest offer (audio, video, data) has about 250."""
MAX_TOKEN = 64
"""Longest media type, transport or mid echoed in an answer."""

LINE_TYPES = frozenset("vosiuepcbtrzkam")
SECRET_ATTRIBUTES = ("crypto", "ice-pwd", "key-mgmt", "identity")
"""Attributes whose value is never shown in a log or an error."""

TOKEN_CHARACTERS = frozenset("!#$%&'*+-.^_`{|}~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def is_token(text: str) -> bool:
    """True for a `token` of sensible length (RFC 8866 9)."""
    return 0 < len(text) <= MAX_TOKEN and TOKEN_CHARACTERS.issuperset(text)


def parse_uint(text: str, maximum: int) -> int:
    """A decimal number without sign, blank or separator.

    Raises:
        SdpError: not digits (ASCII), or above `maximum`.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(maximum)) or int(text) > maximum:
        raise SdpError("number expected", 400)
    return int(text)


def optional_uint(text: str, maximum: int) -> int | None:
    """`parse_uint`, or None where a bad number only loses a hint."""
    try:
        return parse_uint(text, maximum)
    except SdpError:
        return None


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """One `type=value` line with the ending it came with."""

    type: str
    value: str
    ending: str = "\r\n"

    @property
    def name(self) -> str:
        """Attribute name of an `a=` line; "" for other lines."""
        return self.value.partition(":")[0] if self.type == "a" else ""

    @property
    def attribute_value(self) -> str:
        """What follows the attribute name; "" for a flag."""
        return self.value.partition(":")[2]

    @property
    def raw(self) -> str:
        """The line as it came, keys included: for the wire, never for a log."""
        return f"{self.type}={self.value}{self.ending}"

    def __repr__(self) -> str:
        return f"{self.type}={self.name}:***" if self._is_secret else f"{self.type}={self.value}"

    @property
    def _is_secret(self) -> bool:
        """Judged by the content too: a misspelt attribute name must not let a key through."""
        return self.name.strip(" ").lower() in SECRET_ATTRIBUTES or "inline:" in self.value.lower()


def _attribute(lines: Sequence[Line], name: str) -> str | None:
    return next(_attributes(lines, name), None)


def _attributes(lines: Sequence[Line], name: str) -> Iterator[str]:
    return (line.attribute_value for line in lines if line.name == name)


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One `m=` line and what follows it (RFC 8866 5.14)."""

    index: int
    media: str
    port: int
    port_count: int
    proto: str
    """Exactly as sent: an answer repeats it."""
    formats: tuple[str, ...]
    lines: tuple[Line, ...]
    """All lines, the m-line first."""

    def attr(self, name: str) -> str | None:
        """Value of the first such attribute, "" for a flag, None when absent."""
        return _attribute(self.lines, name)

    def attrs(self, name: str) -> list[str]:
        """Values of all such attributes, in order."""
        return list(_attributes(self.lines, name))

    @classmethod
    def from_lines(cls, index: int, lines: tuple[Line, ...]) -> MediaSection:
        """Read the m-line, which is the first.

        Raises:
            SdpError: fewer than three fields, a bad port, or too many formats.
        """
        fields = [f for f in lines[0].value.split(" ") if f]
        if len(fields) < 3:
            raise SdpError("m-line has fewer than three fields", 400)
        media, port_text, proto, *formats = fields
        if not is_token(media) or not all(map(is_token, proto.split("/"))) or len(proto) > MAX_TOKEN:
            raise SdpError("m-line has a bad media type or transport", 400)
        if len(formats) > MAX_FORMATS:
            raise SdpError("m-line has too many formats", 400)
        port, slash, count = port_text.partition("/")
        number = parse_uint(count, 65535) if slash else 1
        return cls(index, media, parse_uint(port, 65535), number, proto, tuple(formats), lines)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A parsed description: session lines, then media sections."""

    lines: tuple[Line, ...]
    """The session part only."""
    media: tuple[MediaSection, ...]
    trailer: str = ""
    """Blank lines after the last line; some peers send one."""

    @classmethod
    def parse(cls, data: bytes) -> SessionDescription:
        """Read a description with CRLF or bare LF line endings (RFC 8866 5).

        Raises:
            SdpError: 400 when it breaks the grammar or a limit, 488 when it has a `k=` line (RFC 8866 5.12).
        """
        if len(data) > MAX_BYTES:
            raise SdpError("description is too long", 400)
        lines, trailer = _split(data.decode("utf-8", "surrogateescape"))
        _check(lines)
        starts = [i for i, line in enumerate(lines) if line.type == "m"]
        if len(starts) > MAX_MEDIA:
            raise SdpError("description has too many m-lines", 400)
        bounds = [*starts, len(lines)]
        media = tuple(MediaSection.from_lines(i, lines[a:b]) for i, (a, b) in enumerate(pairwise(bounds)))
        return cls(lines[: bounds[0]], media, trailer)

    def __bytes__(self) -> bytes:
        return ("".join(line.raw for line in self._all_lines()) + self.trailer).encode("utf-8", "surrogateescape")

    def _all_lines(self) -> Iterator[Line]:
        yield from self.lines
        for section in self.media:
            yield from section.lines

    def attr(self, name: str) -> str | None:
        """Value of the first such session-level attribute, "" for a flag, None when absent."""
        return _attribute(self.lines, name)

    def attrs(self, name: str) -> list[str]:
        """Values of all such session-level attributes, in order."""
        return list(_attributes(self.lines, name))

    def effective_attr(self, section: MediaSection, name: str) -> str | None:
        """The media-level attribute, else the session-level one, which is its default (RFC 8866 5.13)."""
        own = section.attr(name)
        return self.attr(name) if own is None else own

    def effective_attrs(self, section: MediaSection, name: str) -> list[str]:
        """All media-level attributes of that name, else all session-level ones (RFC 8122 5)."""
        return section.attrs(name) or self.attrs(name)

    def connection(self, section: MediaSection) -> str | None:
        """Address of the section's `c=` line, else the session's: a literal or a name, unjudged (RFC 8866 5.7).

        Raises:
            SdpError: the line is malformed.
        """
        for lines in (section.lines, self.lines):
            for line in lines:
                if line.type == "c":
                    return parse_connection(line.value)
        return None


def parse_connection(value: str) -> str:
    """Address in `IN IP4 192.0.2.1[/ttl]` (RFC 8866 5.7).

    Raises:
        SdpError: not three fields, or not something that could be an address or a name.
    """
    fields = [f for f in value.split(" ") if f]
    if len(fields) != 3 or fields[0].upper() != "IN" or fields[1].upper() not in ("IP4", "IP6"):
        raise SdpError("connection line is malformed", 400)
    address = fields[2].partition("/")[0]
    if not is_address(address):
        raise SdpError("connection address is malformed", 400)
    return _of_its_type(address, 4 if fields[1].upper() == "IP4" else 6)


def _of_its_type(text: str, version: int) -> str:
    """The address, which must be what its type says; a name may be either.

    `IP6 ::ffff:192.0.2.1` is how hosts with one socket for both protocols write an IPv4 address (RFC 4291 2.5.5.2). A
    packet to it is an IPv4 packet, so it is read as the IPv4 address it maps.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if address.version != version:
        raise SdpError("connection address is not of its type", 400)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped) if mapped is not None else text


def is_address(text: str) -> bool:
    """True when the text has only the characters of an IP literal or a host name."""
    return 0 < len(text) <= 255 and text.isascii() and all(c.isalnum() or c in ".-_:%" for c in text)


def _split(text: str) -> tuple[tuple[Line, ...], str]:
    """Lines with their endings, and the blank rest. The last line may lack its ending."""
    end = len(text.rstrip("\r\n"))
    ending = next((e for e in ("\r\n", "\n") if text.startswith(e, end)), "")
    end += len(ending)
    pieces = text[:end].split("\n")
    if len(pieces) > MAX_LINES:
        raise SdpError("description has too many lines", 400)
    return tuple(_lines(pieces)), text[end:]


def _lines(pieces: list[str]) -> Iterator[Line]:
    for number, piece in enumerate(pieces):
        is_last = number == len(pieces) - 1
        if is_last and not piece:
            return
        content = piece if is_last else piece.removesuffix("\r")
        ending = "" if is_last else ("\r\n" if content != piece else "\n")
        yield _line(content, ending)


def _line(content: str, ending: str) -> Line:
    if len(content) < 2 or content[1] != "=" or content[0] not in LINE_TYPES:
        raise SdpError("line is not type=value", 400)
    if "\r" in content or "\0" in content:
        raise SdpError("line has a control character", 400)
    return Line(content[0], content[2:], ending)


def _check(lines: Sequence[Line]) -> None:
    """Rules that hold for the whole description."""
    if not lines or (lines[0].type, lines[0].value) != ("v", "0"):
        raise SdpError("description does not start with v=0", 400)
    if any(line.type == "v" for line in lines[1:]):
        raise SdpError("more than one description", 400)
    if any(line.type == "k" for line in lines):
        raise SdpError("k= lines are not accepted", 488)
    if sum(line.type == "a" for line in lines) > MAX_ATTRIBUTES:
        raise SdpError("description has too many attributes", 400)
