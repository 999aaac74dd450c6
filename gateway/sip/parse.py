"""Bytes to messages (RFC 3261 7 and 18.3): whatever comes in gives a message or a `SipError`, in linear time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gateway.base.errors import SipError
from gateway.sip.grammar import VISIBLE, is_token, parse_uint, same_word
from gateway.sip.head import END_OF_HEAD, MAX_HEAD, MAX_MESSAGE, read_lines, split_header
from gateway.sip.headers import NEVER_TWICE, Headers
from gateway.sip.model import Message, Request, Response

MIN_STATUS, MAX_STATUS = 100, 699
WITH_TARGET = frozenset(("INVITE", "NOTIFY", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE"))
"""Requests whose Contact is where we send later ones."""
WITH_OFFER = frozenset(("INVITE", "UPDATE"))
"""Requests whose body is looked at."""


def parse_message(data: bytes, *, stream: bool) -> Message:
    """Read one message that fills `data`; `stream` makes Content-Length mandatory and exact (RFC 3261 18.3).

    Raises:
        SipError: 400 malformed, 413 too large, 505 version, 513 head too large. Nothing else leaves this function.
    """
    if len(data) > MAX_MESSAGE:
        raise SipError("Message too large", 413)
    head, body = _split(data)
    lines = read_lines(head)
    begin = _start_line(lines[0])
    headers = _headers(lines[1:])
    return _checked(begin(headers, _body(headers, body, stream=stream)))


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Head and the rest; empty lines before the start line are skipped (RFC 3261 7.5)."""
    start = 0
    while data.startswith(b"\r\n", start):
        start += 2
    end = data.find(END_OF_HEAD, start)
    if end < 0:
        raise SipError("No end of head", 513 if len(data) - start > MAX_HEAD else 400)
    return data[start:end], data[end + len(END_OF_HEAD) :]


def _start_line(line: str) -> Callable[[Headers, bytes], Message]:
    """What makes the message, once the rest of it is known."""
    if "\0" in line:
        raise SipError("NUL in start line")
    parts = line.split(" ", 2)
    if same_word(parts[0], "sip/2.0"):
        return _status_line(parts)
    if len(parts) != 3 or not is_token(parts[0]) or not parts[1] or not VISIBLE.issuperset(parts[1]):
        raise SipError("Bad request line")
    if not same_word(parts[2], "sip/2.0"):
        foreign = same_word(parts[2][:4], "sip/") and VISIBLE.issuperset(parts[2])
        raise SipError("Version Not Supported", 505) if foreign else SipError("Bad request line")
    return partial(Request, parts[0], parts[1])


def _status_line(parts: list[str]) -> Callable[[Headers, bytes], Response]:
    code = parts[1] if len(parts) > 1 else ""
    status = parse_uint(code, "status code", MAX_STATUS)
    if len(code) != 3 or status < MIN_STATUS:
        raise SipError("Bad status code")
    return partial(Response, status, parts[2] if len(parts) > 2 else "")


def _headers(lines: list[str]) -> Headers:
    headers = Headers.received(map(split_header, lines))
    if headers.repeats(NEVER_TWICE):
        raise SipError("Repeated header field")
    return headers


def _body(headers: Headers, body: bytes, *, stream: bool) -> bytes:
    """The body as Content-Length delimits it: what a datagram has beyond is dropped (RFC 3261 18.3)."""
    text = headers.get("Content-Length")
    if text is None:
        if stream:
            raise SipError("Missing Content-Length")
        return body
    length = parse_uint(text, "Content-Length", MAX_MESSAGE)
    if length > len(body) or (stream and length < len(body)):
        raise SipError("Content-Length does not match the body")
    return body[:length]


def _checked(message: Message) -> Message:
    """Read every typed view, so that none of them raises later.

    What identifies the message must be right. Of the rest, a header field nobody can read is refused where something
    hangs on it in this message, and left out where nothing does.
    """
    _ = (message.vias, message.from_, message.to, message.call_id)
    cseq = message.cseq
    if isinstance(message, Request) and cseq.method != message.method:
        raise SipError("CSeq does not match the method")
    unreadable: list[str] = []
    for name, read, decides in _OPTIONAL:
        try:
            read(message)
        except SipError:
            if decides(message):
                raise
            unreadable.append(name)
    return message.without_header(*unreadable) if unreadable else message


def _read_record_route(message: Message) -> None:
    _ = message.record_route
    if any("\0" in line for line in message.headers.get_all("Record-Route")):
        raise SipError("NUL in Record-Route")


def _asks_with_contact(message: Message) -> bool:
    """A response without a Contact that can be read goes on where its request went."""
    return isinstance(message, Request) and message.method in WITH_TARGET


def _asks_by_route(message: Message) -> bool:
    return isinstance(message, Request)


def _makes_route_set(message: Message) -> bool:
    """The INVITE, and its 2xx, say by which way all later requests go (RFC 3261 12.1)."""
    if isinstance(message, Request):
        return message.method == "INVITE" and message.to.tag is None
    return message.cseq.method == "INVITE" and 200 <= message.status < 300


def _goes_on(message: Message) -> bool:
    """Requests that may be sent on to somebody; in all others hops need not be counted."""
    return isinstance(message, Request) and message.to.tag is None and message.method == "INVITE"


def _offers(message: Message) -> bool:
    return isinstance(message, Request) and bool(message.body) and message.method in WITH_OFFER


_OPTIONAL: tuple[tuple[str, Callable[[Message], object], Callable[[Message], bool]], ...] = (
    ("Contact", lambda message: message.contacts, _asks_with_contact),
    ("Route", lambda message: message.route, _asks_by_route),
    ("Record-Route", _read_record_route, _makes_route_set),
    ("Max-Forwards", lambda message: message.max_forwards, _goes_on),
    ("Content-Type", lambda message: message.content_type, _offers),
)
"""Header field, its view, and whether something hangs on it in this message."""
