"""Messages for the SIP tests: files of tests/vectors/sip and a minimal request to vary."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.base.errors import SipError
from gateway.sip.message import Message, Request, Response, parse_message
from tests.sip.torture import TORTURE

VECTORS = Path(__file__).parent.parent / "vectors" / "sip"


def torture(name: str) -> bytes:
    """A message of RFC 4475 section 3."""
    return TORTURE[name].data


def jssip_capture() -> list[bytes]:
    """What JsSIP 3.13.8 in Chromium and its server said to each other: registration, call, hang-up."""
    data = (VECTORS / "jssip_chromium.txt").read_bytes()
    messages: list[bytes] = []
    for mark in (b"\r\n<<< ", b"\r\n>>> "):
        data = data.replace(mark, b"\r\n=== ")
    for part in data.split(b"\r\n=== ")[1:]:
        title, _, rest = part.partition(b"\r\n")
        messages.append(rest[: int(title.rpartition(b"len=")[2])])
    return messages


BASE: dict[str, str] = {
    "Via": "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa1;rport",
    "From": '"Alice" <sip:alice@example.com>;tag=a1',
    "To": "<sip:bob@example.com>",
    "Call-ID": "c1@192.0.2.1",
    "CSeq": "1 INVITE",
    "Max-Forwards": "70",
    "Contact": "<sip:alice@192.0.2.1>",
}


def raw(
    start: str = "INVITE sip:bob@example.com SIP/2.0",
    body: bytes = b"",
    extra: str = "",
    without: str = "",
    **changes: str,
) -> bytes:
    """A request as bytes; keyword arguments replace header values ("_" for "-"), `extra` is further lines."""
    fields = BASE | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [start, *(f"{name}: {value}" for name, value in fields.items() if name != without)]
    if extra:
        lines.append(extra)
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def status_of(data: bytes, *, stream: bool = False) -> int:
    """The status the parser refuses a message with."""
    with pytest.raises(SipError) as caught:
        parse_message(data, stream=stream)
    return caught.value.status


def datagram(data: bytes) -> Message:
    return parse_message(data, stream=False)


def request(data: bytes) -> Request:
    message = datagram(data)
    assert isinstance(message, Request)
    return message


def response(data: bytes) -> Response:
    message = datagram(data)
    assert isinstance(message, Response)
    return message
