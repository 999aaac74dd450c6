from __future__ import annotations

import pytest

from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.policy.model import BUILT_IN, Fallback, OfferMode, effective_policy

TABLE = [
    # profile, offer, accepts plain, fallback, require, SDES only over verified TLS
    (Profile.STRICT, OfferMode.SAVP_ONLY, False, Fallback.NEVER, Grade.HOP_BY_HOP, True),
    (Profile.PREFER, OfferMode.SAVP_FIRST, True, Fallback.RETRY, Grade.CLEARTEXT, False),
    (Profile.OSRTP, OfferMode.AVP_WITH_CRYPTO, True, Fallback.ANSWER, Grade.CLEARTEXT, False),
    (Profile.LEGACY, OfferMode.AVP, True, Fallback.NONE_NEEDED, Grade.CLEARTEXT, False),
]


@pytest.mark.parametrize(("profile", "offer", "plain", "fallback", "require", "verified"), TABLE)
def test_the_built_in_profiles_are_those_of_the_table(
    profile: Profile, offer: OfferMode, plain: bool, fallback: Fallback, require: Grade, verified: bool
) -> None:
    rules = BUILT_IN[profile]
    assert (rules.name, rules.offer, rules.accepts_plain, rules.fallback) == (profile, offer, plain, fallback)
    assert (rules.require, rules.prefer, rules.sdes_needs_verified_tls) == (require, Grade.HOP_BY_HOP, verified)


def test_every_profile_of_the_configuration_has_rules() -> None:
    assert set(BUILT_IN) == set(Profile)


def test_only_strict_demands_protection() -> None:
    assert [p for p in Profile if effective_policy(p, "pbx").demands_protection] == [Profile.STRICT]


@pytest.mark.parametrize("profile", list(Profile))
def test_an_emergency_call_tries_the_same_first_offer_and_is_never_blocked(profile: Profile) -> None:
    rules = effective_policy(profile, "pbx", emergency=True).rules
    first = OfferMode.SAVP_FIRST if profile is Profile.STRICT else BUILT_IN[profile].offer
    assert (rules.offer, rules.require, rules.accepts_plain) == (first, Grade.CLEARTEXT, True)
    assert not rules.sdes_needs_verified_tls
    assert rules.prefer is Grade.HOP_BY_HOP


def test_the_hash_tells_policies_apart_and_nothing_else() -> None:
    made = [effective_policy(p, t, emergency=e) for p in Profile for t in ("a", "b") for e in (False, True)]
    assert len({policy.sha256 for policy in made}) == len(made)
    assert effective_policy(Profile.STRICT, "a").sha256 == effective_policy(Profile.STRICT, "a").sha256


def test_the_label_is_the_profile_and_the_start_of_the_hash() -> None:
    policy = effective_policy(Profile.STRICT, "a")
    assert policy.label == f"strict/{policy.sha256[:4]}"
