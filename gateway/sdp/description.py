"""The lines of a session description (RFC 8866), kept byte exact.

A description is split into a session part and media sections and is otherwise left alone: what is not understood is
kept, `bytes()` gives back what came in. Meaning is read from it by `codecs`, `keying` and `media`. Blanks at line ends,
empty lines and what a C program leaves behind the text belong to line endings, so that nobody else meets them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from gateway.base.errors import SdpError

MAX_BYTES = 65536
"""A SIP message is no larger, so its body cannot be."""
MAX_LINES = 6000
"""Above the attributes: bounds the lines that are no attributes (b=, i=, r=, ...). Reading this many takes a few ms."""
MAX_MEDIA = 64
"""Room systems send nine (each stream twice, secure and plain), a browser in a conference one for each face it saw."""
MAX_FORMATS = 128
"""The RTP payload type space, on one m-line."""
MAX_ATTRIBUTES = 4000
"""Browsers send 290 for each video they could send: two videos are 570, ten are a grid in a conference."""
MAX_TOKEN = 64
"""Longest media type, transport or mid echoed in an answer."""

LINE_TYPES = frozenset("vosiuepcbtrzkam")
BLANKS = " \t\r"
"""What may stand between the text of a line and its line feed, or be the whole of a line."""
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
    """Without blanks at its end."""
    ending: str = "\r\n"
    """With the blanks before it and the empty lines behind it."""

    @property
    def name(self) -> str:
        """Attribute name of an `a=` line; "" for other lines."""
        return self.value.partition(":")[0].strip(BLANKS) if self.type == "a" else ""

    @property
    def attribute_value(self) -> str:
        """What follows the attribute name, without blanks around it; "" for a flag."""
        return self.value.partition(":")[2].strip(BLANKS)

    @property
    def raw(self) -> str:
        """The line as it came, keys included: for the wire, never for a log."""
        return f"{self.type}={self.value}{self.ending}"

    def __repr__(self) -> str:
        if self.type == "k":
            return "k=***"
        return f"{self.type}={self.name}:***" if self._is_secret else f"{self.type}={self.value}"

    @property
    def _is_secret(self) -> bool:
        """Judged by the content too: a misspelt attribute name must not let a key through."""
        return self.name.strip(" ").lower() in SECRET_ATTRIBUTES or "inline:" in self.value.lower()


Attributes = dict[str, list[str]]
"""Values of attributes by name, names and values in the order they came."""


_CONNECTION = ":c"
"""Where the values of `c=` lines are found among the attributes, none of which can have a colon in its name."""


def _attributes(lines: Iterable[Line]) -> Attributes:
    """Looked up once: a long description is asked for the same few names again and again."""
    found: Attributes = {}
    for line in lines:
        if line.type == "a":
            found.setdefault(line.name, []).append(line.attribute_value)
        elif line.type == "c":
            found.setdefault(_CONNECTION, []).append(line.value)
    return found


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
    attributes: Attributes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", _attributes(self.lines))

    def attr(self, name: str) -> str | None:
        """Value of the first such attribute, "" for a flag, None when absent."""
        return next(iter(self.attributes.get(name, ())), None)

    def attrs(self, name: str) -> list[str]:
        """Values of all such attributes, in order."""
        return list(self.attributes.get(name, ()))

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
    head: str = ""
    """Empty lines before the first line."""
    trailer: str = ""
    """What follows the last line and means nothing: empty lines, the NUL of a C string and the junk behind it."""
    attributes: Attributes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", _attributes(self.lines))

    @classmethod
    def parse(cls, data: bytes) -> SessionDescription:
        """Read a description with CRLF or bare LF line endings (RFC 8866 5).

        Raises:
            SdpError: 400 when it breaks the grammar or a limit.
        """
        if len(data) > MAX_BYTES:
            raise SdpError("description is too long", 400)
        head, lines, trailer = _split(data.decode("utf-8", "surrogateescape"))
        _check(lines)
        starts = [i for i, line in enumerate(lines) if line.type == "m"]
        if len(starts) > MAX_MEDIA:
            raise SdpError("description has too many m-lines", 400)
        bounds = [*starts, len(lines)]
        media = tuple(MediaSection.from_lines(i, lines[a:b]) for i, (a, b) in enumerate(pairwise(bounds)))
        return cls(lines[: bounds[0]], media, head, trailer)

    def __bytes__(self) -> bytes:
        text = "".join((self.head, *(line.raw for line in self._all_lines()), self.trailer))
        return text.encode("utf-8", "surrogateescape")

    def _all_lines(self) -> Iterator[Line]:
        yield from self.lines
        for section in self.media:
            yield from section.lines

    def attr(self, name: str) -> str | None:
        """Value of the first such session-level attribute, "" for a flag, None when absent."""
        return next(iter(self.attributes.get(name, ())), None)

    def attrs(self, name: str) -> list[str]:
        """Values of all such session-level attributes, in order."""
        return list(self.attributes.get(name, ()))

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
        value = self.effective_attr(section, _CONNECTION)
        return None if value is None else parse_connection(value)


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


_HIDDEN_LINE = re.compile(r"[\r\n\0][a-z]=")


def _split(text: str) -> tuple[str, tuple[Line, ...], str]:
    """What stands before the first line, the lines with their endings, and what is behind the last."""
    text, junk = _without_junk(text)
    if text.count("\n") > MAX_LINES:
        raise SdpError("description has too many lines", 400)
    head, pieces = "", list[tuple[str, str]]()
    for piece in _pieces(text):
        content = piece.rstrip(BLANKS + "\n")
        ending = piece[len(content) :]
        if content:
            pieces.append((content, ending))
        elif pieces:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + ending)
        else:
            head += ending
    return head, tuple(_line(*piece) for piece in pieces), junk


def _pieces(text: str) -> Iterator[str]:
    """Split at line feeds and keep them; `splitlines` knows line ends that SDP does not."""
    *whole, rest = text.split("\n")
    yield from (piece + "\n" for piece in whole)
    if rest:
        yield rest


def _without_junk(text: str) -> tuple[str, str]:
    """The text, and the junk from its first NUL on: what a C program sends of its buffer behind the string.

    Only whole lines may stand before it, and none behind it: else nobody could say which of two descriptions is meant.
    """
    end = text.find("\0")
    if end < 0:
        return text, ""
    before, junk = text[:end], text[end:]
    if (junk.strip("\0\n" + BLANKS) and not before.endswith("\n")) or _HIDDEN_LINE.search(junk):
        raise SdpError("description has a NUL", 400)
    return before, junk


def _line(content: str, ending: str) -> Line:
    if len(content) < 2 or content[1] != "=" or content[0] not in LINE_TYPES:
        raise SdpError("line is not type=value", 400)
    if "\r" in content:
        raise SdpError("line has a control character", 400)
    return Line(content[0], content[2:], ending)


def _check(lines: Sequence[Line]) -> None:
    """Rules that hold for the whole description."""
    if not lines or (lines[0].type, lines[0].value) != ("v", "0"):
        raise SdpError("description does not start with v=0", 400)
    if any(line.type == "v" for line in lines[1:]):
        raise SdpError("more than one description", 400)
    if sum(line.type == "a" for line in lines) > MAX_ATTRIBUTES:
        raise SdpError("description has too many attributes", 400)
