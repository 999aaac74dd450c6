"""The session description in a message body, alone or among other parts (RFC 2046 5.1, RFC 3261 7.4, RFC 5621).

Carriers put ISUP, locations and identity beside the description. Of all that only the description is taken; nothing of
the rest is understood here, and nothing of it reaches the other side of a call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.base.errors import SipError
from gateway.sip.grammar import LWS, is_token, split_top_level, unquote
from gateway.sip.head import read_lines, split_header
from gateway.sip.headers import Headers
from gateway.sip.model import Request, Response

SDP = "application/sdp"
MULTIPART = "multipart/"
SDP_BEGIN = b"v=0"
"""What a description begins with: a body without a type that begins so is taken for one."""
MAX_PARTS = 16
"""Parts of one body, those of a body within counted too; three are usual."""
MAX_DEPTH = 2
"""Bodies within bodies: an alternative inside of a mixed one exists, deeper ones are made to be costly."""
MAX_BOUNDARY = 70
"""Characters of a boundary (RFC 2046 5.1.1)."""
READABLE = frozenset(("7bit", "8bit", "binary", ""))
"""Content-Transfer-Encodings that leave the octets as they are; SIP needs no other one (RFC 3261 27.5)."""

M = TypeVar("M", Request, Response)


class BodyError(SipError):
    """415: what a body insists on is not understood."""

    def __init__(self, why: str) -> None:
        super().__init__(why, 415)


@dataclass(frozen=True, slots=True)
class Value:
    """A header value and its parameters, names in lower case; of a repeated parameter the first counts."""

    word: str
    """In lower case."""
    params: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Value:
        """Read ``word *(";" name "=" value)``; parameters nobody asks for may look as they like."""
        word, *rest = split_top_level(text, ";")
        params: dict[str, str] = {}
        for part in rest:
            name, _, value = part.partition("=")
            params.setdefault(name.strip(LWS).lower(), unquote(value.strip(LWS)))
        return cls("".join(word.split(" ")).strip(LWS).lower(), params)


@dataclass(frozen=True, slots=True)
class Part:
    """A body, or one part of it."""

    headers: Headers
    data: bytes

    @property
    def type(self) -> Value:
        """The media type; a description without one is known by its first line (RFC 3261 7.4.1 wants one)."""
        value = Value.parse(self.headers.get("Content-Type") or "")
        kind, slash, subtype = value.word.partition("/")
        if slash and is_token(kind) and is_token(subtype):
            return value
        return Value(SDP if self.data.startswith(SDP_BEGIN) else "")

    @property
    def disposition(self) -> Value:
        return Value.parse(self.headers.get("Content-Disposition") or "")

    @property
    def is_session(self) -> bool:
        """A description that describes this session, in octets we can read (RFC 3261 20.11, RFC 3959)."""
        encoding = (self.headers.get("Content-Transfer-Encoding") or "").lower()
        return self.type.word == SDP and self.disposition.word in ("", "session", "render") and encoding in READABLE

    @property
    def handling(self) -> str:
        """``required``, ``optional``, or "" where the sender says neither."""
        return self.disposition.params.get("handling", "").lower()


def session_description(headers: Headers, body: bytes) -> bytes:
    """The description of the session in a body, b"" when there is none.

    A lone body of another type is refused unless it is optional. Beside others, a part is refused only when it says
    that it is required: RFC 3261 20.11 takes silence for that too, but locations of emergency calls come without a
    word (RFC 6442), and the call matters more.

    Raises:
        BodyError: 415, something required is not understood, or the parts cannot be told apart.
    """
    if not body:
        return b""
    whole = Part(headers, body)
    if whole.type.word.startswith(MULTIPART):
        return _of_parts(whole, iter(range(MAX_PARTS)), MAX_DEPTH)
    if whole.is_session:
        return body
    if whole.handling == "optional":
        return b""
    raise BodyError("unknown body")


def with_session_only(message: M) -> M:
    """The message as the call shall see it: its body is the session description or nothing.

    Raises:
        BodyError: see `session_description`.
    """
    found = session_description(message.headers, message.body)
    return message if found is message.body or found == message.body else message.with_body(found)


def _of_parts(whole: Part, budget: Iterator[int], depth: int) -> bytes:
    """The description among parts: the first, of alternatives the last one that is understood (RFC 2046 5.1.4)."""
    if depth == 0:
        raise BodyError("bodies within bodies")
    found: list[bytes] = []
    for part in split_parts(whole):
        if next(budget, None) is None:
            raise BodyError("too many parts")
        if part.type.word.startswith(MULTIPART):
            found.append(_of_parts(part, budget, depth - 1))
        elif part.is_session:
            found.append(part.data)
        elif part.handling == "required" and whole.type.word != "multipart/alternative":
            raise BodyError("a required part is not understood")
    found = [data for data in found if data]
    if not found:
        return b""
    return found[-1] if whole.type.word == "multipart/alternative" else found[0]


def split_parts(whole: Part) -> Iterator[Part]:
    """The parts between the boundaries of a multipart body; preamble and epilogue are nobody's (RFC 2046 5.1.1).

    A last boundary that is missing is forgiven: Content-Length told where the body ends.
    """
    boundary = whole.type.params.get("boundary", "")
    if not 0 < len(boundary) <= MAX_BOUNDARY:
        raise BodyError("no boundary")
    mark = b"--" + boundary.encode("utf-8", "surrogateescape")
    begin = -1
    for start, end in _lines(whole.data):
        line = whole.data[start:end].rstrip(b" \t\r\n")
        if line not in (mark, mark + b"--"):
            continue
        if begin >= 0:
            yield _part(whole.data[begin:start].removesuffix(b"\n").removesuffix(b"\r"))
        if line != mark:
            return
        begin = end
    if begin < 0:
        raise BodyError("boundary not found")
    yield _part(whole.data[begin:])


def _lines(data: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of each line, its line end included; that of the last line before a boundary belongs to this."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield start, end
        start = end


def _part(data: bytes) -> Part:
    """One part: header fields, if any, an empty line, and the rest."""
    for line_end in (b"\r\n", b"\n"):
        if data.startswith(line_end):
            return Part(Headers(), data.removeprefix(line_end))
    head, gap, rest = data.partition(b"\r\n\r\n")
    if not gap:
        head, _, rest = data.partition(b"\n\n")
    return Part(_headers(head), rest)


def _headers(head: bytes) -> Headers:
    """Header fields of a part; lines that are none are passed over, since only three of them are looked at."""
    found: list[tuple[str, str]] = []
    for line in read_lines(head.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")):
        try:
            found.append(split_header(line))
        except SipError:
            continue
    return Headers.received(found)
