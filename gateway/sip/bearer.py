"""Third-party tokens in SIP (RFC 8898): the Bearer scheme of Authorization, and its challenge. PURE."""

from __future__ import annotations

from gateway.base.values import Secret
from gateway.sip.grammar import LWS, quote, same_word
from gateway.sip.message import Request

MAX_FIELDS = 8
"""Authorization header fields of one request that are looked at."""
INVALID = "invalid_token"
"""RFC 6750 3.1: expired, for somebody else, or not what it says."""


def bearer_of(request: Request) -> Secret[str] | None:
    """The token of a request; None when it has none. A second one is not looked at."""
    for value in request.headers.get_all("Authorization")[:MAX_FIELDS]:
        token = read_bearer(value)
        if token is not None:
            return token
    return None


def read_bearer(value: str) -> Secret[str] | None:
    """The token of one header value; None for another scheme."""
    scheme, _, token = value.strip(LWS).replace("\t", " ").partition(" ")
    return Secret(token.strip(LWS)) if same_word(scheme, "bearer") else None


def challenge(realm: str, authorization_server: str, error: str = "") -> str:
    """The value of WWW-Authenticate that asks for a token (RFC 8898 4)."""
    why = f", error={quote(error)}" if error else ""
    return f"Bearer realm={quote(realm)}, authz_server={quote(authorization_server)}{why}"
