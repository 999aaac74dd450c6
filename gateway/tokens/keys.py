"""The public keys of an issuer: a JWKS (RFC 7517), of which only what may sign tokens here is kept. PURE."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.base.errors import GatewayError

PublicKey = RSAPublicKey | EllipticCurvePublicKey
MAX_OCTETS = 128 * 1024
"""Of one JWKS: dozens of keys with their certificates; what is longer is not read."""
MAX_KEYS = 64
"""Keys of one JWKS that are looked at; an issuer that rotates has two or three."""
MAX_KID = 256
"""Characters of a key's name."""
MIN_RSA_BITS = 2048
"""RFC 7518 3.3."""
MAX_RSA_BITS = 8192
"""One check of a signature under a longer key takes too long."""
_ALGORITHM_OF = {"RSA": "RS256", "EC": "ES256"}


class KeysError(GatewayError):
    """The keys of an issuer cannot be had, or are none."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key, and the only algorithm it is used with: no token chooses how it is checked (RFC 8725 3.1)."""

    kid: str
    algorithm: str
    public: PublicKey


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one issuer, by name."""

    keys: tuple[Key, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> KeyRing:
        """Read a JWKS. Keys of other kinds and for other uses are passed over, secret ones among them.

        Raises:
            KeysError: it is none, or has no key that could be used.
        """
        try:
            found = tuple(_usable(json.loads(data)))
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            raise KeysError("this is no JWKS (RFC 7517)") from None
        if not found:
            raise KeysError("no RSA key for RS256 (2048 bits or more) and no P-256 key for ES256 in the JWKS")
        return cls(found)

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The key a token names; a token that names none means the only key there is."""
        if kid is None:
            return self.keys[0] if len(self.keys) == 1 and self.keys[0].algorithm == algorithm else None
        return next((key for key in self.keys if key.kid == kid and key.algorithm == algorithm), None)


def _usable(document: Mapping[str, Any]) -> Iterator[Key]:
    for entry in document["keys"][:MAX_KEYS]:
        key = _read(entry) if isinstance(entry, dict) else None
        if key is not None:
            yield key


def _read(entry: dict[str, Any]) -> Key | None:
    """One key; None for what is not meant for signatures we check, or cannot be used."""
    algorithm = _ALGORITHM_OF.get(str(entry.get("kty")))
    kid = entry.get("kid", "")
    meant = entry.get("use", "sig") == "sig" and entry.get("alg", algorithm) == algorithm and _may_verify(entry)
    if algorithm is None or not meant or not isinstance(kid, str) or len(kid) > MAX_KID:
        return None
    try:
        public = jwt.PyJWK(_public_part(entry), algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    return Key(kid, algorithm, public) if _is_strong(public) else None


def _public_part(entry: dict[str, Any]) -> dict[str, Any]:
    """Without what makes a private key of it: that is nothing a gateway should have, and it needs none."""
    return {name: entry[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in entry}


def _may_verify(entry: dict[str, Any]) -> bool:
    operations = entry.get("key_ops")
    return operations is None or (isinstance(operations, list) and "verify" in operations)


def _is_strong(public: object) -> bool:
    if isinstance(public, RSAPublicKey):
        return MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS
    return isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1)
