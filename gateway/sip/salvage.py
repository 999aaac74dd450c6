"""What can be told of a response that cannot be parsed: enough to end its transaction, never enough to believe it.

A response that is dropped leaves its sender in a call nobody else is in. So status, branch, CSeq and tag
are looked for; whatever else stood there counts as absent. The branch is a secret between us and whom we asked: who
knows it may end what it began, and no more than that.
"""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.sip.cseq import CSeq
from gateway.sip.grammar import LWS, TOKEN_CHARS, is_token, parse_uint, same_word, words
from gateway.sip.head import MAX_HEAD, MAX_HEADERS
from gateway.sip.headers import Headers, canonical
from gateway.sip.model import Request, Response
from gateway.sip.via import Via

MIN_STATUS, MAX_STATUS = 100, 699
MAX_TAG = 256
"""Characters of a tag worth sending back."""
UNKNOWN = "<sip:unreadable.invalid>"
"""Stands for an address until the request tells it."""


def salvage_response(data: bytes, error: SipError) -> Response | None:
    """The response as far as it could be read, `unreadable` saying why; None for requests and where that is too little.

    Its addresses are placeholders: `with_request` puts in those of the request it answers.
    """
    lines = _lines(data)
    try:
        status = _status(lines[0])
        found = _first_values(lines[1:])
        told = [("Via", _via(found["via"])), ("From", UNKNOWN), ("To", UNKNOWN + _tag(found.get("to", "")))]
        told += [("Call-ID", "unreadable"), ("CSeq", str(CSeq.parse(found["cseq"])))]
        for name in ("Contact", "Record-Route"):
            told += [(name, value) for value in found.get(name.lower(), "").splitlines()]
        return Response(status, "", Headers(told), unreadable=error.why or "malformed")
    except (SipError, KeyError):
        return None


def with_request(response: Response, request: Request) -> Response:
    """The response with the identity of its request, and with Contact and Record-Route if each can be read."""
    tag = response.to.tag
    headers = response.headers.with_("From", request.headers.get("From") or UNKNOWN)
    headers = headers.with_("To", request.to.with_tag(tag) if tag else request.headers.get("To") or UNKNOWN)
    whole = response.with_headers(headers.with_("Call-ID", request.call_id))
    for name in ("Contact", "Record-Route"):
        try:
            _ = whole.contacts if name == "Contact" else whole.record_route
        except SipError:
            whole = whole.without_header(name)
    return whole


def _lines(data: bytes) -> list[str]:
    """The head in lines, whatever their ends are; folded ones stay apart, for nothing looked at here is long."""
    text = data[:MAX_HEAD].replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\0", b"").lstrip(b"\n")
    head = text.partition(b"\n\n")[0]
    return [line.decode("utf-8", "surrogateescape") for line in head.split(b"\n")[: MAX_HEADERS + 1]]


def _status(line: str) -> int:
    parts = words(line)
    if len(parts) < 2 or not same_word(parts[0], "sip/2.0") or len(parts[1]) != 3:
        raise SipError("Not a response")
    status = parse_uint(parts[1], "status code", MAX_STATUS)
    if status < MIN_STATUS:
        raise SipError("Bad status code")
    return status


def _first_values(lines: list[str]) -> dict[str, str]:
    """The first value of each header field; of Contact and Record-Route all, one a line. Two Vias are not ours."""
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        key = canonical(name.rstrip(LWS))
        value = value.strip(LWS)
        if not colon or not is_token(key):
            continue
        if key == "via" and (key in found or "," in value):
            raise SipError("Not our response")
        if key in ("contact", "record-route") and key in found:
            found[key] += f"\n{value}"
        else:
            found.setdefault(key, value)
    return found


def _via(text: str) -> str:
    """The sender and the branch of a Via; its other parameters decide nothing."""
    protocol, _, params = text.partition(";")
    branch = _word_behind(f";{params}", "branch")
    if not branch:
        raise SipError("No branch")
    return str(Via.parse(f"{protocol};branch={branch}"))


def _tag(to: str) -> str:
    """The tag behind the address, wherever that ends; none when there is none or it cannot be sent back."""
    tag = _word_behind(to, "tag")
    return f";tag={tag}" if tag and len(tag) <= MAX_TAG else ""


def _word_behind(text: str, name: str) -> str:
    """The token behind the last ``;name=`` of a text."""
    for piece in reversed(text.split(";")[1:]):
        key, equals, value = piece.partition("=")
        if equals and same_word(key.strip(LWS), name):
            value = value.strip(LWS)
            return value if value and TOKEN_CHARS.issuperset(value) else ""
    return ""
