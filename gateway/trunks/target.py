"""Where a trunk is reached (RFC 3261 19.1.1, RFC 3263 4.1): its `target` read into host, port and transport."""

from __future__ import annotations

import ipaddress
from typing import Literal, NamedTuple

from gateway.sip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT, SipUri

TrunkTransport = Literal["udp", "tcp", "tls"]

DEFAULT_PORTS: dict[TrunkTransport, int] = {"udp": DEFAULT_PORT, "tcp": DEFAULT_PORT, "tls": DEFAULT_TLS_PORT}


class TrunkTarget(NamedTuple):
    """Host, port and transport of a trunk."""

    host: str
    """Name or IP literal, without brackets."""
    port: int
    transport: TrunkTransport

    @classmethod
    def parse(cls, target: str) -> TrunkTarget:
        """Read `sip:host[:port][;transport=udp|tcp|tls]` or `sips:host[:port]`.

        Raises:
            ValueError: anything else; a parameter not understood is refused too, because ignoring a mistyped
                `;transport=tls` would send the calls in the clear.
        """
        uri = SipUri.parse(target.strip())
        if uri.scheme not in ("sip", "sips") or uri.user is not None or uri.headers:
            raise ValueError("a trunk target is written sip:host[:port][;transport=udp|tcp|tls]")
        if str(uri.params.without("transport")):
            raise ValueError("a trunk target knows no parameter but transport")
        transport = _transport(uri)
        return cls(uri.host, uri.port or DEFAULT_PORTS[transport], transport)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sip:{host}:{self.port};transport={self.transport}"


def is_ip_literal(host: str) -> bool:
    """Whether `host` is an IP address, with or without brackets, and no name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _transport(uri: SipUri) -> TrunkTransport:
    default = "tls" if uri.scheme == "sips" else "udp"
    named = default if "transport" not in uri.params else uri.transport
    if named not in DEFAULT_PORTS:
        raise ValueError("the transport of a trunk target is udp, tcp or tls")
    if uri.scheme == "sips" and named == "udp":
        raise ValueError("sips: is never carried over udp")
    # RFC 5630 3.1.3: sips with transport=tcp means TLS over TCP.
    return "tls" if uri.scheme == "sips" else named
