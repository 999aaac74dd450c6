"""Our side of ICE-lite (RFC 8445 2.5): the credentials a browser must prove before anything it sends is heard."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.base.values import TokenSource

UFRAG_LENGTH = 8
"""Characters of `ice-ufrag`: 41 bits from the token alphabet, RFC 8445 5.3 asks for at least 24."""
PWD_LENGTH = 32
"""Characters of `ice-pwd`: 165 bits from the token alphabet, RFC 8445 5.3 asks for at least 128."""


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """Username fragment and password of one ICE session (RFC 8445 5.3); a restart takes new ones."""

    ufrag: str
    pwd: str = field(repr=False)
    """Signs every connectivity check, so it is not printed."""

    @classmethod
    def generate(cls, tokens: TokenSource) -> IceCredentials:
        """Fresh credentials, longer than the RFC's minimum because guessing them opens the media port."""
        return cls(tokens(UFRAG_LENGTH), tokens(PWD_LENGTH))
