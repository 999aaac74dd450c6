"""Answers to requests (RFC 3261 8.2.6), also to those that cannot be parsed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from gateway.base.errors import SipError
from gateway.sip.grammar import LWS, is_token, same_word
from gateway.sip.head import END_OF_HEAD, MAX_HEAD, unfold
from gateway.sip.headers import Headers, Item, canonical
from gateway.sip.model import Request, Response

REASONS: dict[int, str] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    428: "Use Identity Header",
    429: "Provide Referrer Identity",
    430: "Flow Failed",
    433: "Anonymity Disallowed",
    436: "Bad Identity Info",
    437: "Unsupported Credential",
    438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded",
    469: "Bad Info Package",
    470: "Consent Needed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    555: "Push Notification Service Not Supported",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}
"""Standard reason phrases of the IANA registry "SIP response codes"."""

DIALOG_METHODS = frozenset(("INVITE", "SUBSCRIBE", "NOTIFY", "REFER"))
"""Requests whose 101-299 responses carry the Record-Route back (RFC 3261 12.1.1)."""

IDENTITY = ("From", "To", "Call-ID", "CSeq")
"""What every answer copies once from its request."""


_COPIED_ONCE = frozenset(map(canonical, IDENTITY))


def create_response(
    request: Request,
    status: int,
    reason: str = "",
    *,
    to_tag: str = "",
    headers: Iterable[Item] = (),
    body: bytes = b"",
    content_type: str = "",
) -> Response:
    """Build the answer to a request: Via, From, To, Call-ID and CSeq go back byte for byte (RFC 3261 8.2.6.2).

    Args:
        to_tag: added to To when the request has none there; leave it out for 100.
        headers: further header fields, behind the copied ones.
        content_type: of `body`; required when there is a body.
    """
    routed = 100 < status < 300 and request.method in DIALOG_METHODS
    copied = ("Via", "Record-Route", *IDENTITY) if routed else ("Via", *IDENTITY)
    answer = request.headers.only(*copied).plus(headers)
    if content_type:
        answer = answer.with_("Content-Type", content_type)
    response = Response(status, reason or REASONS.get(status, "Unknown"), answer, body)
    return response.with_to_tag(to_tag) if to_tag else response


def salvage_error_response(data: bytes, error: SipError) -> bytes | None:
    """Answer a request that cannot be parsed, if enough of it can be copied safely (RFC 3261 8.2.6).

    None for responses, for ACK, without a Via, and when a header field to copy holds control characters. They may be
    malformed: the sender is to recognise its own words (RFC 4475 3.1.2). One that is missing is missing in the answer
    too, and of a repeated one the first goes back (RFC 4475 3.3.1 and 3.3.8).
    """
    try:
        request = _salvage(data)
        return None if request is None else bytes(create_response(request, error.status, to_tag=_salvage_tag(request)))
    except SipError:
        return None


def _salvage(data: bytes) -> Request | None:
    lines = unfold(_salvage_head(data.lstrip(b"\r\n")))
    method, _, rest = lines[0].rstrip(LWS).partition(" ")
    if not is_token(method) or method == "ACK" or not same_word(rest.rpartition(" ")[2][:4], "sip/"):
        return None
    headers = Headers.received(_salvage_headers(lines[1:]))
    if "Via" not in headers:
        return None
    if any(_has_controls(value) for _, value in headers):
        return None
    return Request(method, "sip:invalid", headers)


def _salvage_head(data: bytes) -> bytes:
    """The head, or the whole lines of it that keep the limit: one that is too large is answered all the same."""
    head, end, _ = data[: MAX_HEAD + len(END_OF_HEAD)].partition(END_OF_HEAD)
    return head if end else head[:MAX_HEAD].rpartition(b"\r\n")[0]


def _salvage_headers(lines: list[str]) -> list[tuple[str, str]]:
    """The header fields a response copies, all Vias and the first of each other; other lines are passed over."""
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.rstrip(LWS)
        key = canonical(name)
        if not colon or not is_token(name) or key in seen:
            continue
        if key in _COPIED_ONCE:
            seen.add(key)
        elif key != "via":
            continue
        found.append((name, value.strip(LWS)))
    return found


def _has_controls(value: str) -> bool:
    return any((char < " " and char != "\t") or char == "\x7f" for char in value)


def _salvage_tag(request: Request) -> str:
    """The same tag for every retransmission of the request (RFC 3261 8.2.7); none behind a To we cannot read."""
    try:
        _ = request.to
    except SipError:
        return ""
    own = "\0".join(value for _, value in request.headers)
    return hashlib.sha256(own.encode("utf-8", "surrogateescape")).hexdigest()[:16]
