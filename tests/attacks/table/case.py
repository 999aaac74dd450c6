"""One row of the table: what is sent, and what the gateway does with it on each transport."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.attacks.target import CALLED_IN, NUMBERS
from tests.attacks.wires import AttackWire
from tests.rig.gateway import REALM

STREAMS = ("tcp", "tls")
WEBSOCKETS = ("wss", "open")
TRANSPORTS = ("udp", *STREAMS, *WEBSOCKETS)

MALFORMED, OVERSIZE, REJECTED = "sip_malformed", "sip_oversize", "sip_rejected"
UNMATCHED, ENDINGS, AUTH_FAILED = "sip_unmatched_response", "call_endings", "auth_failed"

NOBODY = "404404"
"""A number no dialplan rule knows: a request for it that is otherwise good gets 404."""


@dataclass(frozen=True)
class Expect:
    """A final status, or 0 for none; and whether the connection is closed then."""

    status: int = 0
    closes: bool = False

    def __str__(self) -> str:
        return f"{self.status or 'silence'}{' and closed' if self.closes else ''}"


SILENT = Expect()
CLOSED = Expect(closes=True)


def closed(status: int) -> Expect:
    return Expect(status, closes=True)


Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Case:
    """`on` names the transports that differ from `expect`; one that is in `without` is left out."""

    name: str
    data: bytes
    expect: Expect
    on: Mapping[str, Expect] = field(default_factory=dict)
    counter: str = ""
    without: tuple[str, ...] = ()

    def expected(self, transport: str) -> Expect:
        return self.on.get(transport, self.expect)

    def fill(self, wire: AttackWire, *, signed_in: str = "alice") -> bytes:
        """The octets with everything put in that depends on the connection or must be new each time."""
        trunk = wire.transport != "wss"
        values = {
            b"{via}": wire.via.encode(),
            b"{transport}": wire.transport.upper().encode(),
            b"{user}": b"4930123" if trunk else signed_in.encode(),
            b"{callee}": (CALLED_IN if trunk else NUMBERS["udp"]).encode(),
            b"{branch}": b"z9hG4bK" + secrets.token_hex(8).encode(),
            b"{id}": secrets.token_hex(8).encode(),
        }
        data = self.data
        for key, value in values.items():
            data = data.replace(key, value)
        return data


def message(
    method: str = "INVITE",
    *,
    uri: str = f"sip:{NOBODY}@{REALM}",
    start: str = "",
    change: Mapping[str, str | None] | None = None,
    extra: tuple[str, ...] = (),
    body: bytes = b"",
    length: str | None = "",
    **named: str | None,
) -> bytes:
    """A good request with parts of it changed; a header changed to None is left out."""
    fields: dict[str, str | None] = {
        "Via": "{via};branch={branch};rport",
        "Max-Forwards": "70",
        "From": f"<sip:{{user}}@{REALM}>;tag=f1",
        "To": f"<{uri if uri.startswith('sip') and '>' not in uri else f'sip:{NOBODY}@{REALM}'}>",
        "Call-ID": "{id}",
        "CSeq": f"1 {method}",
        "Contact": "<sip:{user}@attacker.invalid>",
    }
    fields |= change or {}
    fields |= {name.replace("_", "-"): value for name, value in named.items()}
    lines = [start or f"{method} {uri} SIP/2.0"]
    lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
    lines += extra
    if length is not None:
        lines.append(f"Content-Length: {length or len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body


def refused(name: str, data: bytes, status: int, counter: str = "", **on: Expect) -> Case:
    """A request that is well-formed and gets this status; without signing in it gets 401."""
    return Case(name, data, Expect(status), {"open": Expect(401)} | on, counter)


def good(name: str, data: bytes, **on: Expect) -> Case:
    """Odd but legal: as good as any other call to a number nobody has."""
    return refused(name, data, 404, ENDINGS, **on)


def malformed(name: str, data: bytes, status: int = 400, counter: str = "", **on: Expect) -> Case:
    """Broken within its frame: refused alike everywhere, and the connection stays."""
    return Case(name, data, Expect(status), on, counter or (OVERSIZE if status in (413, 513) else MALFORMED))


def unanswerable(name: str, data: bytes, counter: str = MALFORMED, **on: Expect) -> Case:
    """Broken so that no answer could reach its sender: dropped; the connection stays."""
    return Case(name, data, SILENT, on, counter)


def lost(name: str, data: bytes, status: int = 0, counter: str = "", **rest: Expect) -> Case:
    """Broken so that nobody knows where the next message begins: a stream is closed, a datagram or frame is not."""
    on = dict.fromkeys(STREAMS, closed(status)) | rest
    return Case(name, data, Expect(status), on, counter or (OVERSIZE if status in (413, 513) else MALFORMED))
