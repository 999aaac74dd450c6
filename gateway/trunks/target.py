"""Where a trunk is reached (RFC 3261 19.1.1, RFC 3263 4.1): its `target` read into host, port and transport, and the
places that the name of the host leads to."""

from __future__ import annotations

import ipaddress
from typing import Literal, NamedTuple

from gateway.base.signalling import TransportName
from gateway.base.values import HostPort
from gateway.sip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT, SipUri

TrunkTransport = Literal["udp", "tcp", "tls"]

STRENGTH: dict[TransportName, int] = {"udp": 0, "tcp": 0, "ws": 0, "tls": 1, "wss": 1}
"""Of two ways to one trunk the one with the smaller number never takes the place of the other."""

DEFAULT_PORTS: dict[TrunkTransport, int] = {"udp": DEFAULT_PORT, "tcp": DEFAULT_PORT, "tls": DEFAULT_TLS_PORT}


class TrunkTarget(NamedTuple):
    """Host, port and transport of a trunk."""

    host: str
    """Name or IP literal, without brackets."""
    port: int
    transport: TrunkTransport
    """What is used where DNS says nothing else."""
    has_port: bool = True
    """It was written there: then the host's addresses are asked for and nothing else (RFC 3263 4.2)."""
    has_transport: bool = True
    """It was written there: then DNS has no say in it (RFC 3263 4.1)."""

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
        port = uri.port or DEFAULT_PORTS[transport]
        return cls(uri.host, port, transport, uri.port is not None, "transport" in uri.params)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sip:{host}:{self.port};transport={self.transport}"


class TargetChoice(NamedTuple):
    """One of the targets of a trunk."""

    target: TrunkTarget
    priority: int = 0
    """The lowest is tried first."""
    weight: int = 1
    """How often it is the first of its priority, in proportion to the others (RFC 2782)."""


class NextHop(NamedTuple):
    """One place a trunk can be reached at: what RFC 3263 makes of a target."""

    transport: TrunkTransport
    address: HostPort
    target: TrunkTarget
    """What it was found for: over TLS the peer must prove that name and no other (RFC 5922 4)."""

    @property
    def spot(self) -> Spot:
        """The place alone."""
        return Spot(self.transport, self.address)

    def __str__(self) -> str:
        return str(self.spot)


class Spot(NamedTuple):
    """Where something was tried."""

    transport: TransportName
    address: HostPort

    def __str__(self) -> str:
        return f"{self.transport}:{self.address}"


class Reached(NamedTuple):
    """What is known of the place at the other end of a flow."""

    more: bool = False
    """The trunk has other places, that are left to try."""
    is_doubtful: bool = False
    """It did not answer when it was tried last."""
    found_for: TrunkTarget | None = None
    """The target that led there; None: nobody was looked for."""


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
