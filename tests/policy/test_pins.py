"""Capability pins as values: who is held to encryption, until when, and what proves that somebody can."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest

from gateway.base.codes import Code
from gateway.base.crypto_suite import AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_32
from gateway.base.keying import Keying, Proto
from gateway.base.profiles import Profile
from gateway.base.signalling import Signalling
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.policy.book import PolicyBook
from gateway.policy.evaluate import judge
from gateway.policy.facts import Direction, Facts
from gateway.policy.model import EffectivePolicy, at_least, effective_policy
from gateway.policy.offering import (
    OfferPlan,
    Refusal,
    accept_offer,
    plan_after_proof,
    plan_late_offer,
    plan_offer,
    plan_retry,
)
from gateway.policy.pins import NO_PINS, Pinning, Pins, of_user, proves
from gateway.policy.posture import SecurityVector

NOON = datetime(2030, 1, 2, 12, tzinfo=UTC)
TLS = Signalling("tls", "TLSv1.3", verified=True)
UDP = Signalling("udp")
KEYED = SecurityVector(leg=LegKind.TRUNK, signalling=TLS, keying=Keying.SDES, proto=Proto.SAVP, suite=AEAD_AES_256_GCM)
BARE = replace(KEYED, keying=Keying.NONE, proto=Proto.AVP, suite=None)
STRIPPED = replace(BARE, extra_codes=frozenset({Code.PIN_BID_DOWN}))
CHOOSING = (Profile.PREFER, Profile.OSRTP)


def pinned(profile: Profile, *, emergency: bool = False) -> EffectivePolicy:
    return effective_policy(profile, "pbx", pinned=True, emergency=emergency)


def pins(days: int = 90, off: frozenset[str] = frozenset()) -> Pins:
    return Pins(MappingProxyType({"pbx": NOON}), Pinning(days, off))


@pytest.mark.parametrize(
    ("days", "held"),
    [(0.0, True), (90.0, True), (90.1, False), (-1.0, True)],
    ids=["at once", "to the last day", "after it", "a clock that went back"],
)
def test_a_pin_holds_so_many_days_after_its_peer_was_seen_the_last_time(days: float, held: bool) -> None:
    assert pins().hold("pbx", NOON + timedelta(days=days)) is held


def test_nobody_is_held_who_was_never_seen_or_is_configured_to_be_let_off() -> None:
    assert not pins().hold("other", NOON)
    assert not pins(off=frozenset({"pbx"})).hold("pbx", NOON)
    assert not NO_PINS.hold("pbx", NOON)


def test_a_user_is_one_whatever_the_case_of_her_name_and_is_no_trunk() -> None:
    assert of_user("Alice") == of_user("alice") != "alice"


@pytest.mark.parametrize(
    ("vector", "proved"),
    [
        (KEYED, True),
        (replace(KEYED, signalling=UDP), False),
        (replace(KEYED, signalling=Signalling("tls", "TLSv1.3", verified=False)), False),
        (replace(KEYED, signalling=Signalling("tls", "TLSv1.1", verified=True)), False),
        (replace(KEYED, suite=AES_CM_128_HMAC_SHA1_32), False),
        (replace(KEYED, extra_codes=frozenset({Code.MEDIA_KEY_MISMATCH})), False),
        (replace(KEYED, keying=Keying.PENDING, suite=None), False),
        (BARE, False),
    ],
)
def test_only_a_leg_that_nothing_lowers_proves_anything(vector: SecurityVector, proved: bool) -> None:
    assert proves(vector) is proved


def test_a_book_decides_by_the_pins_of_the_moment_and_the_hash_says_so() -> None:
    book = PolicyBook.of({"pbx": "prefer"})
    facts = Facts(direction=Direction.OUT, at=NOON, trunk="pbx")
    free, held = book.decide(facts), book.decide(replace(facts, pins=pins()))
    assert (free.pinned, held.pinned) == (False, True)
    assert free.sha256 != held.sha256
    assert held.as_dict()["pinned"] is True
    assert book.decide(facts) is free
    assert not book.decide(replace(facts, pins=pins(), at=NOON + timedelta(days=91))).pinned


def test_a_call_handed_over_to_another_trunk_takes_no_pin_along() -> None:
    other = effective_policy(Profile.PREFER, "other")
    assert not at_least(other, pinned(Profile.STRICT)).pinned
    assert at_least(pinned(Profile.PREFER), effective_policy(Profile.STRICT, "other")).pinned


@pytest.mark.parametrize("profile", [Profile.STRICT, *CHOOSING])
def test_a_pinned_trunk_is_offered_nothing_it_may_answer_in_the_clear(profile: Profile) -> None:
    assert plan_offer(pinned(profile), TLS) == OfferPlan.demanding(Keying.SDES)
    assert plan_late_offer(pinned(profile), TLS) == OfferPlan.demanding(Keying.SDES)


@pytest.mark.parametrize("profile", CHOOSING)
def test_a_call_for_help_is_offered_keys_in_a_form_that_leaves_the_choice_where_no_second_offer_can_follow(
    profile: Profile,
) -> None:
    assert plan_late_offer(pinned(profile, emergency=True), TLS) == OfferPlan(Proto.AVP, (Keying.SDES,))


def test_a_trunk_that_is_never_asked_for_keys_is_not_asked_for_any_because_of_a_pin() -> None:
    assert plan_offer(pinned(Profile.LEGACY), TLS) == OfferPlan(Proto.AVP)


@pytest.mark.parametrize("profile", CHOOSING)
@pytest.mark.parametrize("status", [488, 415, 606])
def test_a_pinned_trunk_that_refuses_is_bidding_down(profile: Profile, status: int) -> None:
    policy = pinned(profile)
    offered = plan_offer(policy, TLS)
    assert isinstance(offered, OfferPlan)
    retry = plan_retry(policy, TLS, status, offered)
    assert retry is not None
    refusal = plan_after_proof(policy, retry)
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.PIN_BID_DOWN


@pytest.mark.parametrize("profile", CHOOSING)
def test_an_offer_without_keys_of_a_pinned_trunk_is_refused(profile: Profile) -> None:
    refusal = accept_offer(pinned(profile), UDP, keyed=False, by=Keying.NONE)
    assert refusal == Refusal(Code.PIN_BID_DOWN, Termination.ENCRYPTION_WITHDRAWN, frozenset({Code.MEDIA_PLAIN_RTP}))
    assert accept_offer(pinned(profile), UDP, keyed=True, by=Keying.SDES) is None


@pytest.mark.parametrize("profile", [Profile.LEGACY, *CHOOSING])
def test_an_emergency_call_and_a_legacy_trunk_go_on(profile: Profile) -> None:
    policy = pinned(profile, emergency=profile is not Profile.LEGACY)
    assert accept_offer(policy, UDP, keyed=False, by=Keying.NONE) is None
    verdict = judge(policy, STRIPPED)
    assert (verdict.allowed, verdict.kind, verdict.record) == (True, "D3", "leg.downgraded")
    assert Code.PIN_BID_DOWN in verdict.codes


@pytest.mark.parametrize("profile", CHOOSING)
def test_a_leg_without_keys_of_a_pinned_trunk_is_a_violation(profile: Profile) -> None:
    verdict = judge(pinned(profile), STRIPPED)
    assert (verdict.allowed, verdict.kind, verdict.termination) == (False, "D3", Termination.ENCRYPTION_WITHDRAWN)
    assert judge(pinned(profile), KEYED).record == "leg.secured"
