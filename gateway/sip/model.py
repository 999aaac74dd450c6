"""The two kinds of SIP message with typed views on their header fields (RFC 3261 7).

A message is a value: it never changes, and each view is read once and kept. What `parse_message` returns has had every
view read, so none of them can raise, except `request_uri`: a request with a URI we cannot use has to be answered by the
transaction layer (RFC 3261 8.2.2.1). A message made from another one shares the fields it did not change, and with them
what they say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from gateway.base.errors import SipError
from gateway.sip.address import NameAddr
from gateway.sip.cseq import CSeq
from gateway.sip.grammar import DIGITS, LWS, VISIBLE, is_token, parse_uint
from gateway.sip.headers import Headers, Item, Reader, V, Value
from gateway.sip.uri import SipUri
from gateway.sip.via import Via

MAX_FORWARDS = 70
"""Hops a request of ours may take (RFC 3261 8.1.1.6)."""
MAX_MAX_FORWARDS = 255
MAX_EXPIRES = 2**32 - 1


class _Message(ABC):
    """Typed views common to requests and responses, and how a message is made from another."""

    headers: Headers
    body: bytes

    @abstractmethod
    def _with(self, headers: Headers, body: bytes) -> Self: ...

    def with_headers(self, headers: Headers) -> Self:
        """The message with other header fields."""
        return self._with(headers, self.body)

    def with_header(self, name: str, value: str | Value) -> Self:
        """The message in which one header field stands for all of that name, at the place of the first or else last."""
        return self._with(self.headers.with_(name, value), self.body)

    def with_added(self, items: Iterable[Item]) -> Self:
        """The message with these header fields behind all others."""
        return self._with(self.headers.plus(items), self.body)

    def without_header(self, *names: str) -> Self:
        """The message without the header fields of these names."""
        return self._with(self.headers.without(*names), self.body)

    def with_body(self, body: bytes) -> Self:
        """The message with another body; what it is, its Content-Type still says."""
        return self._with(self.headers, body)

    def with_to_tag(self, tag: str) -> Self:
        """The message with this tag in To, whose other octets stay as they are, unless it has one (RFC 3261 8.2.6.2).

        Raises:
            SipError: To cannot be read; 500, the tag cannot be written.
        """
        if self.to.tag is not None:
            return self
        if not is_token(tag):
            raise SipError("Bad tag", 500)
        return self._with(self.headers.lengthened("To", f";tag={tag}", self.to.with_tag(tag)), self.body)

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return self.vias[0]

    @cached_property
    def vias(self) -> tuple[Via, ...]:
        """All Via values from the top."""
        values = self.headers.read_list("Via", Via.parse)
        if not values:
            raise SipError("Missing Via")
        return values

    @cached_property
    def from_(self) -> NameAddr:
        """The From address."""
        return self._required("From", NameAddr.parse)

    @cached_property
    def to(self) -> NameAddr:
        """The To address."""
        return self._required("To", NameAddr.parse)

    @cached_property
    def call_id(self) -> str:
        """The Call-ID, compared byte for byte (RFC 3261 8.1.1.4)."""
        return self._required("Call-ID", _call_id)

    @cached_property
    def cseq(self) -> CSeq:
        """The sequence number and method."""
        return self._required("CSeq", CSeq.parse)

    @cached_property
    def contacts(self) -> tuple[NameAddr, ...]:
        """All Contact addresses; empty when there is none and for ``*``.

        Where the first one is all that is wanted, an unquoted comma in a name makes no difference: what can be read
        counts. A registration is read whole or not at all.
        """
        values = self.headers.read_list("Contact", _contact)
        if None in values:
            if len(values) > 1:
                raise SipError("Contact * stands alone")
            return ()
        read = tuple([value for value in values if isinstance(value, NameAddr)])
        refused = [value for value in values if isinstance(value, SipError)]
        if refused and (not read or self.cseq.method == "REGISTER"):
            raise refused[-1]
        return read

    @property
    def contact_star(self) -> bool:
        """True for ``Contact: *``, which removes all bindings (RFC 3261 10.2.2)."""
        return self.headers.get("Contact") == "*"

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact address."""
        return next(iter(self.contacts), None)

    @cached_property
    def route(self) -> tuple[NameAddr, ...]:
        """The Route set of the request."""
        return self.headers.read_list("Route", NameAddr.parse_route)

    @cached_property
    def record_route(self) -> tuple[NameAddr, ...]:
        """The Record-Route values, top first (RFC 3261 20.30)."""
        return self.headers.read_list("Record-Route", NameAddr.parse_route)

    @cached_property
    def max_forwards(self) -> int | None:
        """Hops left, None when the header field is absent (RFC 3261 20.22)."""
        return self._uint("Max-Forwards", MAX_MAX_FORWARDS)

    @cached_property
    def expires(self) -> int | None:
        """Seconds of the Expires header field, None when absent or malformed (RFC 3261 20.19)."""
        value = self.headers.get("Expires")
        if value is None or not value or not DIGITS.issuperset(value):
            return None
        return min(int(value.lstrip("0")[:12] or "0"), MAX_EXPIRES)

    @cached_property
    def content_type(self) -> str:
        """The media type in lower case without its parameters, "" when there is none."""
        value = (self.headers.get("Content-Type") or "").partition(";")[0].strip(LWS)
        if not value:
            return ""
        kind, slash, subtype = value.partition("/")
        kind, subtype = kind.rstrip(LWS), subtype.lstrip(LWS)
        if not slash or not is_token(kind) or not is_token(subtype):
            raise SipError("Bad Content-Type")
        return f"{kind}/{subtype}".lower()

    def tokens(self, name: str) -> set[str]:
        """The values of a list of tokens (Require, Supported, Allow) in lower case, without parameters."""
        values = ",".join(self.headers.get_all(name)).split(",")
        return {token.lower() for value in values if is_token(token := value.partition(";")[0].strip(LWS))}

    def _required(self, name: str, reader: Reader[V]) -> V:
        value = self.headers.read(name, reader)
        if value is None:
            raise SipError(f"Missing {name}")
        return value

    def _uint(self, name: str, maximum: int) -> int | None:
        value = self.headers.get(name)
        return None if value is None else parse_uint(value, name, maximum)

    def _serialise(self, start_line: str) -> bytes:
        lines = [start_line, *self.headers.lines(len(self.body)), "", ""]
        try:
            return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body
        except UnicodeEncodeError:
            raise SipError("Header value cannot be written", 500) from None


@dataclass(frozen=True)
class Request(_Message):
    """A SIP request (RFC 3261 7.1)."""

    method: str
    uri: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @cached_property
    def request_uri(self) -> SipUri:
        """The request URI, read when it is asked for: 416 for an unknown scheme, 400 when malformed."""
        uri = SipUri.parse(self.uri)
        if uri.headers:
            raise SipError("Headers in request URI")
        return uri

    def _with(self, headers: Headers, body: bytes) -> Self:
        made = type(self)(self.method, self.uri, headers, body)
        if "request_uri" in vars(self):
            vars(made)["request_uri"] = self.request_uri
        return made

    def __bytes__(self) -> bytes:
        if not is_token(self.method) or not self.uri or not VISIBLE.issuperset(self.uri):
            raise SipError("Request line cannot be written", 500)
        return self._serialise(f"{self.method} {self.uri} SIP/2.0")


@dataclass(frozen=True)
class Response(_Message):
    """A SIP response (RFC 3261 7.2)."""

    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    unreadable: str = ""
    """Why the response could not be parsed; then only what ends its transaction was kept (see `salvage`)."""

    def _with(self, headers: Headers, body: bytes) -> Self:
        return type(self)(self.status, self.reason, headers, body, self.unreadable)

    def __bytes__(self) -> bytes:
        if not 100 <= self.status <= 699 or any(char in self.reason for char in "\r\n\0"):
            raise SipError("Status line cannot be written", 500)
        return self._serialise(f"SIP/2.0 {self.status} {self.reason}")


Message = Request | Response


def _call_id(text: str) -> str:
    if not text or not VISIBLE.issuperset(text):
        raise SipError("Bad Call-ID")
    return text


def _contact(text: str) -> NameAddr | SipError | None:
    """A Contact address; None for the star; what is wrong, if it cannot be read: others beside it may count."""
    if text == "*":
        return None
    try:
        return NameAddr.parse(text)
    except SipError as error:
        return error.with_traceback(None)
