"""What a token must say to be believed: each way of being wrong has a name."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.values import Secret
from gateway.tokens.issuer import Issuer
from gateway.tokens.keys import KeyRing
from gateway.tokens.token import MAX_TOKEN, Fault, Header, Proof, read_header, verify
from tests.effort import examples
from tests.rig.issuing import (
    AUDIENCE,
    ISSUER,
    claims,
    confused,
    ec_jwk,
    ec_key,
    issue,
    jwks,
    rsa_jwk,
    rsa_key,
    unsigned,
)

WHO = Issuer(ISSUER, AUDIENCE, Path("keys.json"), ISSUER)
RING = KeyRing.parse(jwks(rsa_jwk("r1"), ec_jwk("e1"), rsa_jwk("r2", 2), ec_jwk("e2", 2)))


def judged(token: str, issuer: Issuer = WHO) -> Proof | Fault:
    """What becomes of a token at a gateway that has these keys."""
    header = read_header(Secret(token))
    if isinstance(header, Fault):
        return header
    if header.issuer != issuer.name:
        return Fault.ISSUER
    key = RING.find(header.kid, header.algorithm)
    return verify(Secret(token), key, issuer) if key is not None else Fault.KEY


@pytest.mark.parametrize("kid", ["r1", "e1"])
def test_a_good_token_proves_its_user_until_it_expires(kid: str) -> None:
    exp = claims()["exp"]
    found = judged(issue(kid, exp=exp))
    assert found == Proof("alice", float(exp))


@pytest.mark.parametrize(
    ("token", "fault"),
    [
        (lambda: unsigned(), Fault.ALGORITHM),
        (lambda: unsigned(alg="NONE"), Fault.ALGORITHM),
        (lambda: unsigned(alg="ES256"), Fault.SIGNATURE),
        (lambda: unsigned(alg=["ES256"]), Fault.ALGORITHM),
        (lambda: confused(), Fault.ALGORITHM),
        (lambda: issue("h1", key=b"k" * 64, algorithm="HS256"), Fault.ALGORITHM),
        (lambda: issue("r1", algorithm="RS512"), Fault.ALGORITHM),
        (lambda: issue("r1", algorithm="PS256"), Fault.ALGORITHM),
        (lambda: issue("r1", key=rsa_key(9)), Fault.SIGNATURE),
        (lambda: issue("e1", key=ec_key(9)), Fault.SIGNATURE),
        (lambda: issue("e2"), Fault.SIGNATURE),
        (lambda: issue("e1", key=rsa_key(), algorithm="RS256"), Fault.KEY),
        (lambda: issue("e7"), Fault.KEY),
        (lambda: issue(None), Fault.KEY),
        (lambda: issue(exp=1000), Fault.EXPIRED),
        (lambda: issue(exp=claims()["exp"] - 300 - 31), Fault.EXPIRED),
        (lambda: issue(nbf=claims()["exp"]), Fault.EARLY),
        (lambda: issue(iat=claims()["exp"]), Fault.EARLY),
        (lambda: issue(aud="another"), Fault.AUDIENCE),
        (lambda: issue(aud=["another", "third"]), Fault.AUDIENCE),
        (lambda: issue(aud=f"{AUDIENCE}x"), Fault.AUDIENCE),
        (lambda: issue(aud=None), Fault.CLAIMS),
        (lambda: issue(exp=None), Fault.CLAIMS),
        (lambda: issue(sub=None), Fault.CLAIMS),
        (lambda: issue(iss=None), Fault.MALFORMED),
        (lambda: issue(iss="https://evil.example/"), Fault.ISSUER),
        (lambda: issue(iss=ISSUER.rstrip("/")), Fault.ISSUER),
        (lambda: issue(sub=""), Fault.USER),
        (lambda: issue(sub="a b"), Fault.USER),
        (lambda: issue(sub="alice@evil"), Fault.USER),
        (lambda: issue(sub="ali\u0441e"), Fault.USER),
        (lambda: issue(sub="a" * 65), Fault.USER),
        (lambda: issue(sub='alice";tag=x'), Fault.USER),
        (lambda: issue(header={"crit": ["exp"]}), Fault.MALFORMED),
        (lambda: issue(header={"typ": "logout+jwt"}), Fault.MALFORMED),
        (lambda: issue(pad="x" * MAX_TOKEN), Fault.MALFORMED),
    ],
)
def test_what_is_wrong_with_a_token_has_a_name(token: Any, fault: Fault) -> None:
    assert judged(token()) is fault


def test_other_claims_may_hold_the_user_and_other_kinds_of_access_tokens_are_read() -> None:
    named = replace(WHO, claim="preferred_username")
    assert isinstance(judged(issue(preferred_username="bob", header={"typ": "at+jwt"}), named), Proof)
    assert judged(issue(), named) is Fault.CLAIMS
    assert judged(issue(sub=7)) in (Fault.USER, Fault.MALFORMED)


def test_clocks_may_differ_by_what_is_configured_and_no_more() -> None:
    late = issue(exp=claims()["exp"] - 300 - 20)
    assert isinstance(judged(late), Proof)
    assert judged(late, replace(WHO, leeway=5.0)) is Fault.EXPIRED


def test_names_of_users_nobody_listed_are_in_lower_case() -> None:
    anyone = replace(WHO, anyone=True)
    assert isinstance(judged(issue(sub="carol.7"), anyone), Proof)
    assert judged(issue(sub="Carol"), anyone) is Fault.USER


def test_nothing_of_a_token_can_be_printed() -> None:
    token = Secret(issue())
    header = read_header(token)
    assert token.reveal() not in repr((token, header))
    assert isinstance(header, Header)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
@settings(max_examples=examples(200), deadline=None)
def test_whatever_text_is_sent_it_is_a_token_or_a_fault(text: str) -> None:
    assert isinstance(judged(text), Fault)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alg", "kid", "iss", "aud", "exp"]), inner)
        ),
        max_leaves=10,
    ),
    st.sampled_from(["header", "payload"]),
)
@settings(max_examples=examples(200), deadline=None)
def test_whatever_json_a_token_is_made_of_it_is_a_fault(value: Any, part: str) -> None:
    parts = {"header": {"alg": "ES256", "kid": "e1"}, "payload": claims(), part: value}
    text = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts.values())
    assert isinstance(judged(f"{text}.AAAA"), Fault)


@pytest.mark.parametrize("depth", [2000, 4000])
def test_a_token_that_is_deeply_nested_is_malformed(depth: int) -> None:
    deep = base64.urlsafe_b64encode(("[" * depth).encode()).rstrip(b"=").decode()
    assert judged(f"{deep}.{deep[:100]}.AAAA") is Fault.MALFORMED
    assert judged(f"e30.{deep}.AAAA") is Fault.MALFORMED
