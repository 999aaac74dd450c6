"""A flow: the two addresses and the transport a SIP message came in on, and where its answer goes (RFC 5626 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.base.values import HostPort

TransportName = Literal["udp", "tcp", "tls", "ws", "wss"]

RELIABLE = frozenset(("tcp", "tls", "ws", "wss"))
SECURE = frozenset(("tls", "wss"))


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What the TLS handshake of a flow proved about the peer."""

    version: str
    """For example ``TLSv1.3``."""
    cipher: str
    peer_subject: str
    spki_sha256: str
    """Hex digest of the peer's public key, for pinning."""
    verified: bool
    """The chain is trusted AND the certificate names the SIP domain (RFC 5922 7)."""
    verified_name: str
    """The name that matched, "" when none did."""
    reason: str
    """Why `verified` is false, "" otherwise."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One UDP association, connection or WebSocket; a response always leaves on the flow of its request."""

    id: int
    transport: TransportName
    local: HostPort
    remote: HostPort
    trunk: str | None = None
    """Name of the configured trunk the remote end belongs to; None for browsers."""
    tls: TlsInfo | None = None
    initiated: bool = False
    """True when the gateway opened the connection."""

    @property
    def is_reliable(self) -> bool:
        """True when the transport retransmits by itself, so that the transaction layer does not (RFC 3261 17)."""
        return self.transport in RELIABLE

    @property
    def is_secure(self) -> bool:
        """True when the bytes of the flow are encrypted; says nothing about who the peer is."""
        return self.transport in SECURE

    def __str__(self) -> str:
        return f"{self.transport}:{self.remote}#{self.id}"
