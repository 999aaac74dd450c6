"""The one builder of SIP requests for tests; each floor has a thin function of its own that knows who sends there.

Header fields are lines, so that a test may write what no parser takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.sip.message import Headers, Request


def fields(
    method: str,
    *,
    via: str,
    from_: str,
    to: str,
    call_id: str,
    cseq: int = 1,
    contact: str = "",
    max_forwards: int | None = 70,
    extra: Iterable[str] = (),
) -> list[str]:
    """The header fields every request has (RFC 3261 8.1.1), and what else is wanted.

    Args:
        via: the whole value, for example ``SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1``.
        from_: an address with brackets and tag.
        contact: an address with brackets; "" for none.
    """
    return [
        f"Via: {via}",
        *([] if max_forwards is None else [f"Max-Forwards: {max_forwards}"]),
        f"From: {from_}",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *([f"Contact: {contact}"] if contact else []),
        *extra,
    ]


def request(method: str, uri: str, lines: Sequence[str], body: bytes = b"", kind: str = "application/sdp") -> Request:
    """A request as the gateway has it once it is parsed; a body is one of `kind`."""
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, _, value = line.partition(": ")
        headers.append((name, value))
    if body:
        headers.append(("Content-Type", kind))
    return Request(method, uri, Headers(headers), body)


def octets(method: str, uri: str, lines: Sequence[str], body: bytes = b"", length: int | None = None) -> bytes:
    """A request as it is on the wire, whatever the lines hold; `length` where Content-Length shall not be the truth."""
    counted = f"Content-Length: {len(body) if length is None else length}"
    return "\r\n".join([f"{method} {uri} SIP/2.0", *lines, counted, "", ""]).encode() + body
