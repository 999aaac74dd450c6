"""What is known of a connection that carries signalling: its transport, and what TLS proved about the peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TransportName = Literal["udp", "tcp", "tls", "ws", "wss"]

ENCRYPTED: frozenset[TransportName] = frozenset(("tls", "wss"))
"""Transports whose bytes are encrypted."""


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
    """The chain is trusted AND the certificate names the SIP domain (RFC 5922 7), or it is a pinned certificate."""
    verified_name: str
    """The name that matched, "" when none did."""
    reason: str
    """Why `verified` is false, "" otherwise."""
    certificate_sha256: str = ""
    """Hex digest of the peer's certificate, the other thing that can be pinned."""
    pinned: bool = False
    """The certificate is one that was pinned; then `verified_name` is the name that was configured for it."""
    expires: float = 0.0
    """When the certificate ends, in seconds since 1970; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Signalling:
    """What counts of it when a leg is graded: two connections that are equal here protect a description equally."""

    transport: TransportName
    tls_version: str = ""
    """As the TLS library names it, for example TLSv1.3."""
    verified: bool = False
    """The peer's identity was verified. On wss the browser verified ours, which is as good."""

    @property
    def is_encrypted(self) -> bool:
        """True when its bytes are encrypted; says nothing about who the peer is."""
        return self.transport in ENCRYPTED

    @classmethod
    def of(cls, transport: TransportName, tls: TlsInfo | None) -> Signalling:
        """The facts of one connection."""
        return cls(transport, tls.version if tls else "", transport == "wss" or bool(tls and tls.verified))
