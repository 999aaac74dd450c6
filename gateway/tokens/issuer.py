"""Who may say who a user is: an issuer of tokens, as the configuration trusts it. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer and what its tokens must say."""

    name: str
    """What `iss` must be, to the letter."""
    audience: str
    """What `aud` must hold: tokens for other services are none for this one."""
    keys: Path | str
    """Its JWKS (RFC 7517 5): a file, or an https URL. Nothing in a token leads to another place."""
    authorization_server: str
    """Where a challenge sends whoever has no token (RFC 8898 4)."""
    claim: str = "sub"
    """The claim that is the user name."""
    anyone: bool = False
    """Users need not be in the users file."""
    leeway: float = 30.0
    """Seconds the clocks of issuer and gateway may differ."""
    cookie: str = ""
    """Cookie of the WebSocket handshake that may hold a token; "" for none."""

    ca: Path | None = None
    """CA file for the server the keys are fetched from; None: the system's."""
