"""What of a JWKS may check signatures, and what may not."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.tokens.keys import MAX_KEYS, KeyRing, KeysError
from tests.rig.issuing import ec_jwk, ec_key, jwks, rsa_jwk


def other_curve() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(
        jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key())
    )
    return {**made, "kid": "x"}


def short() -> dict[str, Any]:
    return rsa_jwk("x", n=base64.urlsafe_b64encode((2**1023 + 7).to_bytes(128)).rstrip(b"=").decode())


def test_both_kinds_of_keys_are_found_by_their_name_and_for_their_algorithm_only() -> None:
    ring = KeyRing.parse(jwks(rsa_jwk("a"), ec_jwk("b")))
    rs, es = ring.find("a", "RS256"), ring.find("b", "ES256")
    assert rs is not None
    assert es is not None
    assert es.public.public_numbers() == ec_key().public_key().public_numbers()
    assert ring.find("a", "ES256") is None
    assert ring.find("b", "RS256") is None
    assert ring.find("c", "RS256") is None


def test_a_token_that_names_no_key_means_the_only_one_there_is() -> None:
    assert KeyRing.parse(jwks(ec_jwk("b"))).find(None, "ES256") is not None
    assert KeyRing.parse(jwks(ec_jwk("b"))).find(None, "RS256") is None
    assert KeyRing.parse(jwks(ec_jwk("b"), ec_jwk("c", 1))).find(None, "ES256") is None


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "x", "alg": "HS256"},
        rsa_jwk("x", use="enc"),
        rsa_jwk("x", alg="RS512"),
        rsa_jwk("x", alg="PS256"),
        ec_jwk("x", alg="ES384"),
        ec_jwk("x", key_ops=["sign"]),
        ec_jwk("x", key_ops="verify"),
        ec_jwk("x" * 300),
        {**ec_jwk("x"), "kid": 7},
        {**ec_jwk("x"), "x": "AA"},
        {**ec_jwk("x"), "crv": "secp256k1"},
        {"kty": "RSA", "kid": "x"},
        {"kty": "RSA", "kid": "x", "n": 7, "e": None},
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "x"},
        {},
        "text",
        None,
        other_curve(),
        short(),
    ],
    ids=lambda key: str(key.get("kty")) if isinstance(key, dict) else str(key),
)
def test_what_may_not_check_a_signature_here_is_passed_over(key: Any) -> None:
    with pytest.raises(KeysError):
        KeyRing.parse(jwks(key))
    assert [k.kid for k in KeyRing.parse(jwks(key, ec_jwk("good"))).keys] == ["good"]


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "7", "null", '{"keys": {}}', '{"keys": null}', '{"keys": "text"}', "[" * 100_000, "\udcff", "NaN"],
    ids=lambda text: text[:12],
)
def test_what_is_no_jwks_is_an_error_with_words_and_nothing_else(text: str) -> None:
    with pytest.raises(KeysError, match=r"JWKS"):
        KeyRing.parse(text.encode("utf-8", "surrogateescape"))


def test_of_a_private_key_only_the_public_part_is_kept() -> None:
    private = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec_key()))
    ring = KeyRing.parse(jwks({**private, "kid": "p", "key_ops": ["verify"]}))
    (key,) = ring.keys
    assert not hasattr(key.public, "private_numbers")


def test_no_more_keys_are_read_than_a_limit() -> None:
    ring = KeyRing.parse(jwks(*[ec_jwk(f"k{n}") for n in range(MAX_KEYS + 10)]))
    assert len(ring.keys) == MAX_KEYS
