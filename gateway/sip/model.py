"""The two kinds of SIP message with typed views on their header fields (RFC 3261 7).

What `parse_message` returns has had every typed view read once, so none of them can raise, except `request_uri`:
a request with a URI we cannot use has to be answered by the transaction layer (RFC 3261 8.2.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.base.errors import SipError
from gateway.sip.address import NameAddr
from gateway.sip.grammar import DIGITS, LWS, VISIBLE, is_token, parse_uint, words
from gateway.sip.headers import Headers, canonical, parse_list
from gateway.sip.uri import SipUri
from gateway.sip.via import Via

MAX_CSEQ = 2**31 - 1
MAX_FORWARDS = 70
"""Hops a request of ours may take (RFC 3261 8.1.1.6)."""
MAX_MAX_FORWARDS = 255
MAX_EXPIRES = 2**32 - 1


@dataclass(frozen=True, slots=True)
class CSeq:
    """The sequence number and method of a CSeq header field (RFC 3261 20.16)."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Read a CSeq value; the number is below 2**31 (RFC 3261 8.1.1.5)."""
        parts = words(text)
        if len(parts) != 2 or not is_token(parts[1]):
            raise SipError("Bad CSeq")
        return cls(parse_uint(parts[0], "CSeq", MAX_CSEQ), parts[1])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


class _Message:
    """Typed views common to requests and responses."""

    headers: Headers
    body: bytes

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return self.vias[0]

    @property
    def vias(self) -> list[Via]:
        """All Via values from the top."""
        values = parse_list(self.headers.get_all("Via"))
        if not values:
            raise SipError("Missing Via")
        return [Via.parse(value) for value in values]

    @property
    def from_(self) -> NameAddr:
        """The From address."""
        return NameAddr.parse(self._required("From"))

    @property
    def to(self) -> NameAddr:
        """The To address."""
        return NameAddr.parse(self._required("To"))

    @property
    def call_id(self) -> str:
        """The Call-ID, compared byte for byte (RFC 3261 8.1.1.4)."""
        value = self._required("Call-ID")
        if not value or not VISIBLE.issuperset(value):
            raise SipError("Bad Call-ID")
        return value

    @property
    def cseq(self) -> CSeq:
        """The sequence number and method."""
        return CSeq.parse(self._required("CSeq"))

    @property
    def contacts(self) -> list[NameAddr]:
        """All Contact addresses; empty when there is none and for ``*``.

        Where the first one is all that is wanted, an unquoted comma in a name makes no difference: what can be read
        counts. A registration is read whole or not at all.
        """
        values = parse_list(self.headers.get_all("Contact"))
        if "*" not in values:
            return _addresses(values, all_of_them=self.cseq.method == "REGISTER")
        if len(values) > 1:
            raise SipError("Contact * stands alone")
        return []

    @property
    def contact_star(self) -> bool:
        """True for ``Contact: *``, which removes all bindings (RFC 3261 10.2.2)."""
        return self.headers.get("Contact") == "*"

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact address."""
        return next(iter(self.contacts), None)

    @property
    def route(self) -> list[NameAddr]:
        """The Route set of the request."""
        return [NameAddr.parse_route(value) for value in parse_list(self.headers.get_all("Route"))]

    @property
    def record_route(self) -> list[str]:
        """The Record-Route values as sent, top first (RFC 3261 20.30); brackets are added where they are missing."""
        values = parse_list(self.headers.get_all("Record-Route"))
        return [value if "<" in value else f"<{value}>" for value in values]

    @property
    def record_route_uris(self) -> list[NameAddr]:
        """The Record-Route values as addresses."""
        return [NameAddr.parse_route(value) for value in self.record_route]

    @property
    def max_forwards(self) -> int | None:
        """Hops left, None when the header field is absent (RFC 3261 20.22)."""
        return self._uint("Max-Forwards", MAX_MAX_FORWARDS)

    @property
    def expires(self) -> int | None:
        """Seconds of the Expires header field, None when absent or malformed (RFC 3261 20.19)."""
        value = self.headers.get("Expires")
        if value is None or not value or not DIGITS.issuperset(value):
            return None
        return min(int(value.lstrip("0")[:12] or "0"), MAX_EXPIRES)

    @property
    def content_type(self) -> str:
        """The media type in lower case without its parameters, "" when there is none."""
        value = (self.headers.get("Content-Type") or "").partition(";")[0]
        kind, slash, subtype = (part.strip(LWS) for part in value.partition("/"))
        if not value.strip(LWS):
            return ""
        if not slash or not is_token(kind) or not is_token(subtype):
            raise SipError("Bad Content-Type")
        return f"{kind}/{subtype}".lower()

    def tokens(self, name: str) -> set[str]:
        """The values of a list of tokens (Require, Supported, Allow) in lower case, without parameters."""
        values = ",".join(self.headers.get_all(name)).split(",")
        return {token.lower() for value in values if is_token(token := value.partition(";")[0].strip(LWS))}

    def _required(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            raise SipError(f"Missing {name}")
        return value

    def _uint(self, name: str, maximum: int) -> int | None:
        value = self.headers.get(name)
        return None if value is None else parse_uint(value, name, maximum)

    def _serialise(self, start_line: str) -> bytes:
        lines = [start_line, *_header_lines(self.headers, len(self.body)), "", ""]
        try:
            return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body
        except UnicodeEncodeError:
            raise SipError("Header value cannot be written", 500) from None


@dataclass(slots=True)
class Request(_Message):
    """A SIP request (RFC 3261 7.1)."""

    method: str
    uri: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def request_uri(self) -> SipUri:
        """The request URI, read when it is asked for: 416 for an unknown scheme, 400 when malformed."""
        uri = SipUri.parse(self.uri)
        if uri.headers:
            raise SipError("Headers in request URI")
        return uri

    def __bytes__(self) -> bytes:
        if not is_token(self.method) or not self.uri or not VISIBLE.issuperset(self.uri):
            raise SipError("Request line cannot be written", 500)
        return self._serialise(f"{self.method} {self.uri} SIP/2.0")


@dataclass(slots=True)
class Response(_Message):
    """A SIP response (RFC 3261 7.2)."""

    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    unreadable: str = ""
    """Why the response could not be parsed; then only what ends its transaction was kept (see `salvage`)."""

    def __bytes__(self) -> bytes:
        if not 100 <= self.status <= 699 or any(char in self.reason for char in "\r\n\0"):
            raise SipError("Status line cannot be written", 500)
        return self._serialise(f"SIP/2.0 {self.status} {self.reason}")


Message = Request | Response


def _addresses(values: list[str], *, all_of_them: bool) -> list[NameAddr]:
    read: list[NameAddr] = []
    refused: SipError | None = None
    for value in values:
        try:
            read.append(NameAddr.parse(value))
        except SipError as error:
            refused = error
    if refused is not None and (all_of_them or not read):
        raise refused
    return read


def _header_lines(headers: Headers, length: int) -> list[str]:
    """The header fields with one Content-Length that is true, at its old place or at the end (RFC 3261 20.14)."""
    lines: list[str] = []
    written = False
    for name, value in headers.items():
        if canonical(name) != "content-length":
            lines.append(f"{name}: {value}")
        elif not written:
            lines.append(f"{name}: {length}")
            written = True
    return lines if written else [*lines, f"Content-Length: {length}"]
