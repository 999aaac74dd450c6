"""One token: what it says of itself, and whether it is what it says (RFC 7519, RFC 8725); by the clock of PyJWT."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import jwt

from gateway.base.values import Secret
from gateway.tokens.issuer import Issuer
from gateway.tokens.keys import MAX_KID, Key

MAX_TOKEN = 6 * 1024
"""Characters of a token; directories put groups and pictures into theirs, and a header line has 8 KB."""
MAX_USER = 64
"""Characters of a user name."""
ALGORITHMS = ("RS256", "ES256")
TYPES = frozenset(("jwt", "at+jwt", "application/at+jwt"))
"""What `typ` may say: other kinds of signed objects of one issuer are no proof of who somebody is (RFC 8725 3.11)."""
REQUIRED = ("exp", "iss", "aud")
NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "._-")
"""Those of a user name, as in the users file."""
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class Fault(Enum):
    """Why a token proves nothing, in the words of counters and records."""

    MALFORMED = "malformed token"
    ALGORITHM = "algorithm of the token is not allowed"
    ISSUER = "unknown issuer"
    KEY = "unknown key of the issuer"
    SIGNATURE = "signature of the token is wrong"
    EXPIRED = "token expired"
    EARLY = "token not valid yet"
    AUDIENCE = "token is for another audience"
    CLAIMS = "token without a claim that is needed"
    USER = "token names no user of this gateway"
    TRANSPORT = "token over a connection without TLS"
    KEYS = "keys of the issuer cannot be had"


@dataclass(frozen=True, slots=True)
class Header:
    """What an unverified token says of itself: enough to find the key, and worth nothing else."""

    algorithm: str
    kid: str | None
    issuer: str


@dataclass(frozen=True, slots=True)
class Proof:
    """A token that is what it says."""

    user: str
    expires: float
    """Seconds since 1970."""


_FAULTS: tuple[tuple[type[Exception], Fault], ...] = (
    (jwt.ExpiredSignatureError, Fault.EXPIRED),
    (jwt.ImmatureSignatureError, Fault.EARLY),
    (jwt.InvalidAudienceError, Fault.AUDIENCE),
    (jwt.InvalidIssuerError, Fault.ISSUER),
    (jwt.MissingRequiredClaimError, Fault.CLAIMS),
    (jwt.InvalidSignatureError, Fault.SIGNATURE),
    (jwt.InvalidAlgorithmError, Fault.ALGORITHM),
)


def read_header(token: Secret[str]) -> Header | Fault:
    """What a token says of its algorithm, key and issuer."""
    text = token.reveal()
    if not text.isascii() or len(text) > MAX_TOKEN or text.count(".") != 2:
        return Fault.MALFORMED
    try:
        found = jwt.decode_complete(text, options={"verify_signature": False})
        return _header(found["header"], found["payload"])
    except _UNREADABLE:
        return Fault.MALFORMED


def _header(header: Mapping[str, Any], payload: Mapping[str, Any]) -> Header | Fault:
    kid, issuer = header.get("kid"), payload.get("iss")
    if header.get("alg") not in ALGORITHMS:
        return Fault.ALGORITHM
    if "crit" in header or "b64" in header or str(header.get("typ", "jwt")).lower() not in TYPES:
        return Fault.MALFORMED  # it insists on what we do not know (RFC 7515 4.1.11), or is something else
    if not isinstance(issuer, str) or not (kid is None or (isinstance(kid, str) and len(kid) <= MAX_KID)):
        return Fault.MALFORMED
    return Header(header["alg"], kid, issuer)


def verify(token: Secret[str], key: Key, issuer: Issuer) -> Proof | Fault:
    """Whether this key of this issuer signed the token, and who it is for."""
    try:
        claims = jwt.decode(
            token.reveal(),
            key.public,
            algorithms=[key.algorithm],
            audience=issuer.audience,
            issuer=issuer.name,
            leeway=issuer.leeway,
            options={"require": [*REQUIRED, issuer.claim]},
        )
        return _proof(claims, issuer)
    except _UNREADABLE as error:
        return next((fault for kind, fault in _FAULTS if isinstance(error, kind)), Fault.MALFORMED)


def _proof(claims: Mapping[str, Any], issuer: Issuer) -> Proof | Fault:
    user = claims[issuer.claim]
    if not isinstance(user, str) or not 0 < len(user) <= MAX_USER or not NAME_CHARACTERS.issuperset(user):
        return Fault.USER
    if issuer.anyone and user != user.lower():
        return Fault.USER  # names are told apart by case in some places and not in others: nobody gets the other's
    return Proof(user, float(int(claims["exp"])))
