"""Which suites a policy lets a leg use: the list is the order, and what is left of nothing is nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.codes import Code
from gateway.base.crypto_suite import (
    AEAD_AES_128_GCM,
    AEAD_AES_256_GCM,
    AES_256_CM_HMAC_SHA1_32,
    AES_256_CM_HMAC_SHA1_80,
    AES_CM_128_HMAC_SHA1_32,
    AES_CM_128_HMAC_SHA1_80,
    EVERY_SUITE,
    SUITES,
    CryptoSuite,
)
from gateway.base.grades import Grade
from gateway.base.keying import Keying, Proto
from gateway.base.profiles import Profile
from gateway.base.signalling import Signalling
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.policy.evaluate import judge
from gateway.policy.model import BUILT_IN, NO_SUITE, EffectivePolicy, ProfileRules, at_least, effective_policy
from gateway.policy.offering import OfferPlan, Refusal, offer_by_handshake, plan_offer
from gateway.policy.posture import SecurityVector
from gateway.policy.suites import allowed_suites, offered_suites, suite_shortfall
from tests.effort import examples

WEAK, SMALL, UNKNOWN = Code.SUITE_WEAK_TAG, Code.SUITE_SMALL_KEY, Code.SUITE_UNKNOWN
TLS = Signalling("tls", "TLSv1.3", verified=True)
TOLERANT = BUILT_IN[Profile.PREFER]


def policy(rules: ProfileRules = TOLERANT, *, emergency: bool = False, **changes: Any) -> EffectivePolicy:
    return effective_policy(replace(rules, **changes), "pbx", emergency=emergency)


def names(*suites: CryptoSuite) -> tuple[str, ...]:
    return tuple(suite.name for suite in suites)


@pytest.mark.parametrize("profile", list(Profile))
def test_a_policy_that_lists_nothing_has_the_built_in_set_and_not_whatever_there_is(profile: Profile) -> None:
    assert allowed_suites(policy(BUILT_IN[profile])) == allowed_suites(None) == SUITES
    assert suite_shortfall(policy(BUILT_IN[profile]), AES_CM_128_HMAC_SHA1_32) is WEAK


def test_the_order_of_the_list_is_the_order_of_preference() -> None:
    listed = (AES_CM_128_HMAC_SHA1_80, AES_256_CM_HMAC_SHA1_32, AEAD_AES_256_GCM)
    assert allowed_suites(policy(suites=names(*listed))) == listed


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"min_key_bits": 256}, (AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80)),
        ({"min_tag_bits": 81}, (AEAD_AES_256_GCM, AEAD_AES_128_GCM)),
        ({"min_key_bits": 256, "min_tag_bits": 128}, (AEAD_AES_256_GCM,)),
        ({"min_key_bits": 257}, ()),
        ({"min_tag_bits": 129}, ()),
        ({"suites": (NO_SUITE,)}, ()),
        ({"suites": ("NULL_HMAC_SHA1_80", "AES_192_CM_HMAC_SHA1_80")}, ()),
        ({"suites": names(*EVERY_SUITE), "deny": frozenset({WEAK})}, EVERY_SUITE[:4]),
        ({"suites": names(*EVERY_SUITE), "require": Grade.UNAUTHENTICATED}, EVERY_SUITE[:4]),
        ({"suites": names(*EVERY_SUITE), "require": Grade.PARTIAL}, EVERY_SUITE),
        ({"suites": names(AES_CM_128_HMAC_SHA1_32), "deny": frozenset({WEAK})}, ()),
    ],
)
def test_lengths_and_denials_take_away_from_the_list_and_add_nothing(
    changes: dict[str, Any], left: tuple[CryptoSuite, ...]
) -> None:
    assert allowed_suites(policy(**changes)) == left


@pytest.mark.parametrize(
    ("changes", "suite", "code"),
    [
        ({"min_key_bits": 256}, AEAD_AES_128_GCM, SMALL),
        ({"min_tag_bits": 128}, AES_256_CM_HMAC_SHA1_80, WEAK),
        ({}, AES_256_CM_HMAC_SHA1_32, WEAK),
        ({"suites": names(AEAD_AES_256_GCM)}, AEAD_AES_128_GCM, UNKNOWN),
        ({"suites": names(AEAD_AES_256_GCM)}, AEAD_AES_256_GCM, None),
        ({"suites": (NO_SUITE,)}, AEAD_AES_256_GCM, UNKNOWN),
    ],
)
def test_the_code_says_what_a_suite_lacks(changes: dict[str, Any], suite: CryptoSuite, code: Code | None) -> None:
    assert suite_shortfall(policy(**changes), suite) is code


@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.PREFER, Profile.OSRTP])
def test_with_no_suite_left_nothing_is_offered_under_any_profile_that_offers_keys(profile: Profile) -> None:
    refusal = plan_offer(policy(BUILT_IN[profile], suites=(NO_SUITE,)), TLS)
    assert refusal == Refusal(UNKNOWN, Termination.SUITE_DENIED)
    assert isinstance(plan_offer(policy(BUILT_IN[Profile.LEGACY], suites=(NO_SUITE,)), TLS), OfferPlan)


def test_a_handshake_needs_a_suite_that_dtls_knows() -> None:
    denied = Refusal(UNKNOWN, Termination.SUITE_DENIED)
    assert offer_by_handshake(policy(suites=names(AES_256_CM_HMAC_SHA1_80))) == denied
    assert offer_by_handshake(policy(suites=(NO_SUITE,))) == denied
    assert offer_by_handshake(policy(suites=names(AES_256_CM_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_80))) is None


def test_an_emergency_call_may_use_whatever_is_better_than_nothing_the_good_ones_first() -> None:
    held = policy(emergency=True, suites=(NO_SUITE,), min_key_bits=512, deny=frozenset({WEAK, SMALL}))
    found = allowed_suites(held)
    assert offered_suites(held) == SUITES
    assert found[: len(SUITES)] == SUITES
    assert set(found) == set(EVERY_SUITE)


def vector(suite: CryptoSuite, keying: Keying = Keying.SDES) -> SecurityVector:
    return SecurityVector(leg=LegKind.TRUNK, signalling=TLS, keying=keying, proto=Proto.SAVP, suite=suite)


def test_a_leg_below_the_policys_own_minimum_is_a_violation_and_keeps_its_grade() -> None:
    strict = BUILT_IN[Profile.STRICT]
    verdict = judge(policy(strict, min_key_bits=256), vector(AES_CM_128_HMAC_SHA1_80))
    assert (verdict.allowed, verdict.grade, verdict.codes, verdict.kind) == (False, Grade.HOP_BY_HOP, (SMALL,), "D1")
    assert judge(policy(strict, min_key_bits=128), vector(AES_CM_128_HMAC_SHA1_80)).allowed
    assert judge(policy(emergency=True, min_key_bits=256), vector(AES_CM_128_HMAC_SHA1_80)).allowed


def test_a_floor_that_shares_no_suite_with_the_rule_leaves_none() -> None:
    both = at_least(policy(suites=names(AEAD_AES_256_GCM)), policy(suites=names(AES_CM_128_HMAC_SHA1_80)))
    assert allowed_suites(both) == ()


LISTS = st.lists(st.sampled_from([*names(*EVERY_SUITE), NO_SUITE, "NULL_HMAC_SHA1_80"]), max_size=8).map(tuple)
BITS = st.sampled_from([0, 32, 80, 128, 192, 256, 512])
DENIED = st.frozensets(st.sampled_from([WEAK, SMALL, UNKNOWN, Code.SUITE_NULL]))


@settings(max_examples=examples(200), deadline=None)
@given(LISTS, BITS, BITS, DENIED, st.sampled_from([Grade.CLEARTEXT, Grade.PARTIAL, Grade.HOP_BY_HOP]))
def test_what_may_be_used_is_listed_long_enough_and_never_below_what_is_required(
    listed: tuple[str, ...], key_bits: int, tag_bits: int, deny: frozenset[Code], require: Grade
) -> None:
    held = policy(suites=listed, min_key_bits=key_bits, min_tag_bits=tag_bits, deny=deny, require=require)
    found = allowed_suites(held)
    assert len(set(found)) == len(found)
    for suite in EVERY_SUITE:
        assert (suite_shortfall(held, suite) is None) is (suite in found)
    for suite in found:
        assert suite.name in (listed or names(*SUITES))
        assert suite.key_bits >= key_bits
        assert suite.tag_bits >= tag_bits
        assert judge(held, vector(suite)).allowed
