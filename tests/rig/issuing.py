"""An issuer of tokens for tests: its keys, its JWKS, and tokens that are right or wrong in one respect."""

from __future__ import annotations

import base64
import datetime
import hmac
import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://login.example.test/"
AUDIENCE = "sip-gateway"


@cache
def _rsa(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def _ec(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """One of a few keys that are made once."""
    return _rsa(number)


def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """The same on the curve P-256."""
    return _ec(number)


def rsa_jwk(kid: str = "r1", number: int = 0, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(number).public_key()))
    return {**_plain(made), "kid": kid, **more}


def ec_jwk(kid: str = "e1", number: int = 0, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec_key(number).public_key()))
    return {**_plain(made), "kid": kid, **more}


def _plain(made: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made.items() if name != "key_ops"}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """What a good token of alice says; None takes a claim away."""
    now = int(datetime.datetime.now(datetime.UTC).timestamp())
    made = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now - 5, "exp": now + 300, **changes}
    return {name: value for name, value in made.items() if value is not None}


def issue(
    kid: str | None = "e1",
    *,
    key: Any = None,
    algorithm: str = "",
    header: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """A token, signed by the key of that name unless another is given."""
    rs = kid is not None and kid.startswith("r")
    named = {} if kid is None else {"kid": kid}
    private = key if key is not None else (rsa_key() if rs else ec_key())
    return jwt.encode(
        claims(**changes),
        private,
        algorithm=algorithm or ("RS256" if rs else "ES256"),
        headers={**named, **(header or {})},
    )


def unsigned(**header: Any) -> str:
    """A token of algorithm `none`, or whatever the header says, with nothing for a signature."""
    parts = ({"alg": "none", "kid": "e1", **header}, claims())
    return ".".join(_encoded(json.dumps(part).encode()) for part in parts) + "."


def confused() -> str:
    """HS256 with the public key as its secret: whoever takes the algorithm from the token is deceived by it."""
    public = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "r1"}, claims()))
    return f"{signed}.{_encoded(hmac.digest(public, signed.encode(), 'sha256'))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
