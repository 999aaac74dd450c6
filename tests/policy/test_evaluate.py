from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.codes import Code
from gateway.base.crypto_suite import AEAD_AES_256_GCM
from gateway.base.grades import Grade
from gateway.base.keying import Keying, Proto
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.policy.catalogue import ABSOLUTE, CAPS, NEVER_TOLERABLE, REFUSED_WHERE_REQUIRED
from gateway.policy.evaluate import Verdict, judge, judge_change
from gateway.policy.model import EffectivePolicy, effective_policy
from gateway.policy.offering import OfferPlan, Refusal, accept_offer, plan_offer, plan_retry
from gateway.policy.posture import SecurityVector
from tests.policy.vectors import SIGNALLING, VECTORS, browser, trunk


def policy(name: str) -> EffectivePolicy:
    """`strict`, or `strict!` for an emergency call under strict."""
    return effective_policy(Profile(name.rstrip("!")), "pbx", emergency=name.endswith("!"))


POLICIES = st.builds(effective_policy, st.sampled_from(list(Profile)), st.just("pbx"), emergency=st.booleans())


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize(
    ("measure", "code"), [("min_key_bits", Code.SUITE_SMALL_KEY), ("min_tag_bits", Code.SUITE_WEAK_TAG)]
)
def test_a_suite_below_the_measure_of_the_policy_is_refused(measure: str, code: Code, profile: Profile) -> None:
    """suite.small_key and suite.weak_tag (minimum): a violation, and the grade does not depend on it."""
    agreed = trunk("sdes")
    assert agreed.suite is not None
    bits = agreed.suite.key_bits if code is Code.SUITE_SMALL_KEY else agreed.suite.tag_bits
    usual = policy(profile)
    for least, allowed in ((bits, True), (bits + 1, False)):
        verdict = judge(replace(usual, rules=replace(usual.rules, **{measure: least})), agreed)  # type: ignore[arg-type]
        assert (verdict.allowed, verdict.grade) == (allowed, Grade.HOP_BY_HOP)
        assert (code in verdict.codes) != allowed


@pytest.mark.parametrize("exposed", ["udp", "tls-unverified"])
@pytest.mark.parametrize("require", list(Grade)[:5])
def test_no_key_is_sent_or_taken_where_its_exposure_is_less_than_what_is_required(exposed: str, require: Grade) -> None:
    usual = policy("prefer")
    rules = replace(usual.rules, require=require)
    asked = replace(usual, rules=rules)
    code = Code.KEY_SDES_CLEARTEXT if exposed == "udp" else Code.KEY_SDES_UNVERIFIED_TLS
    safe = CAPS[code] >= require
    plan = plan_offer(asked, SIGNALLING[exposed])
    assert isinstance(plan, OfferPlan) == safe
    refusal = accept_offer(asked, SIGNALLING[exposed], keyed=True, by=Keying.SDES)
    assert (refusal is None) == safe
    assert (plan_retry(asked, SIGNALLING["tls"], 488) is None) == (require > Grade.CLEARTEXT)


@pytest.mark.parametrize("code", [Code.MEDIA_SAVP_RETRY, Code.MEDIA_PLAIN_RTP])
def test_what_is_denied_is_not_even_offered(code: Code) -> None:
    usual = policy("prefer")
    denying = replace(usual, rules=replace(usual.rules, deny=frozenset({code})))
    assert plan_retry(usual, SIGNALLING["tls"], 488) is not None
    assert plan_retry(denying, SIGNALLING["tls"], 488) is None
    legacy = policy("legacy")
    plain = replace(legacy, rules=replace(legacy.rules, deny=frozenset({Code.MEDIA_PLAIN_RTP})))
    assert isinstance(plan_offer(plain, SIGNALLING["tls"]), Refusal)
    assert accept_offer(plain, SIGNALLING["tls"], keyed=False, by=Keying.NONE) is not None


COLUMNS = ("udp", "tcp", "tls-old", "tls-unverified", "tls")


def cells(table: str) -> list[tuple[str, ...]]:
    """A table as rows of (first columns..., signalling, cell)."""
    rows = [line.split() for line in table.strip().splitlines()]
    fixed = len(rows[0]) - len(COLUMNS)
    return [(*row[:fixed], *cell) for row in rows for cell in zip(COLUMNS, row[fixed:], strict=True)]


OFFERS = """
    strict   key.sdes_cleartext key.sdes_cleartext key.sdes_cleartext key.sdes_unverified_tls SAVP+crypto
    prefer   SAVP+crypto        SAVP+crypto        SAVP+crypto        SAVP+crypto             SAVP+crypto
    osrtp    AVP+crypto         AVP+crypto         AVP+crypto         AVP+crypto              AVP+crypto
    legacy   AVP                AVP                AVP                AVP                     AVP
    strict!  SAVP+crypto        SAVP+crypto        SAVP+crypto        SAVP+crypto             SAVP+crypto
    prefer!  SAVP+crypto        SAVP+crypto        SAVP+crypto        SAVP+crypto             SAVP+crypto
    osrtp!   AVP+crypto         AVP+crypto         AVP+crypto         AVP+crypto              AVP+crypto
    legacy!  AVP                AVP                AVP                AVP                     AVP
"""


@pytest.mark.parametrize(("name", "signalling", "expected"), cells(OFFERS))
def test_the_first_offer_to_a_trunk_is_that_of_its_profile(name: str, signalling: str, expected: str) -> None:
    plan = plan_offer(policy(name), SIGNALLING[signalling])
    if isinstance(plan, Refusal):
        assert (plan.code, plan.termination) == (expected, Termination.ENCRYPTION_IMPOSSIBLE)
        return
    assert plan.proto.removeprefix("RTP/") + ("+crypto" if plan.has_keys else "") == expected
    assert not plan.codes


INBOUND = """
    strict   plain  media.plain_rtp    media.plain_rtp    media.plain_rtp    media.plain_rtp         media.plain_rtp
    strict   sdes   key.sdes_cleartext key.sdes_cleartext key.sdes_cleartext key.sdes_unverified_tls accepted
    strict   osrtp  key.sdes_cleartext key.sdes_cleartext key.sdes_cleartext key.sdes_unverified_tls accepted
    prefer   plain  accepted           accepted           accepted           accepted                accepted
    prefer   sdes   accepted           accepted           accepted           accepted                accepted
    prefer   osrtp  accepted           accepted           accepted           accepted                accepted
    osrtp    plain  accepted           accepted           accepted           accepted                accepted
    osrtp    sdes   accepted           accepted           accepted           accepted                accepted
    legacy   plain  accepted           accepted           accepted           accepted                accepted
    legacy   sdes   accepted           accepted           accepted           accepted                accepted
    legacy   osrtp  accepted           accepted           accepted           accepted                accepted
    strict!  plain  accepted           accepted           accepted           accepted                accepted
    strict!  sdes   accepted           accepted           accepted           accepted                accepted
"""


@pytest.mark.parametrize(("name", "offer", "signalling", "expected"), cells(INBOUND))
def test_an_inbound_offer_is_accepted_or_refused_by_its_profile(
    name: str, offer: str, signalling: str, expected: str
) -> None:
    refusal = accept_offer(
        policy(name),
        SIGNALLING[signalling],
        keyed=offer == "sdes",
        by=Keying.NONE if offer == "plain" else Keying.SDES,
        codes=(),
    )
    assert (refusal.code if refusal else "accepted") == expected
    assert refusal is None or refusal.termination.status == 488
    assert refusal is None or refusal.termination.warning == 302


@pytest.mark.parametrize("name", ["strict", "prefer", "osrtp", "legacy"])
def test_a_savp_offer_without_a_usable_key_is_refused_by_every_profile(name: str) -> None:
    refusal = accept_offer(policy(name), SIGNALLING["tls"], keyed=True, by=Keying.NONE)
    assert refusal == Refusal(Code.MEDIA_CRYPTO_IGNORED, Termination.ENCRYPTION_IGNORED)


def test_the_refusal_of_an_unusable_offer_names_what_was_wrong_with_its_crypto_lines() -> None:
    problems = (Code.SUITE_UNENCRYPTED_SRTP, Code.KEY_MKI)
    refusal = accept_offer(policy("prefer"), SIGNALLING["tls"], keyed=True, by=Keying.NONE, codes=problems)
    assert refusal is not None
    assert refusal.codes == (Code.KEY_MKI, Code.SUITE_UNENCRYPTED_SRTP)
    assert refusal.termination is Termination.ENCRYPTION_UNUSABLE


def test_the_refusal_of_a_plain_offer_names_what_was_wrong_with_its_crypto_lines_too() -> None:
    refusal = accept_offer(
        policy("strict"), SIGNALLING["tls"], keyed=False, by=Keying.NONE, codes=(Code.SUITE_WEAK_TAG,)
    )
    assert refusal is not None
    assert refusal.codes == (Code.MEDIA_PLAIN_RTP, Code.SUITE_WEAK_TAG)


def test_what_was_only_noted_refuses_nothing() -> None:
    for name in ("strict", "prefer", "osrtp", "legacy"):
        verdict = judge(policy(name), replace(trunk("sdes"), noted=frozenset(Code)))
        assert verdict.allowed
        assert verdict.record == "leg.secured"
        assert set(verdict.codes) == set(Code)


def test_a_skipped_crypto_line_beside_a_good_one_does_not_refuse_the_offer() -> None:
    codes = (Code.SUITE_NULL,)
    assert accept_offer(policy("strict"), SIGNALLING["tls"], keyed=True, by=Keying.SDES, codes=codes) is None


ANSWERS = """
    strict   plain    violation  violation  violation violation  violation
    strict   sdes     violation  violation  violation violation  secured
    strict   osrtp    violation  violation  violation violation  secured
    strict   ignored  violation  violation  violation violation  violation
    prefer   plain    downgraded downgraded violation downgraded downgraded
    prefer   sdes     downgraded downgraded violation downgraded secured
    prefer   osrtp    downgraded downgraded violation downgraded secured
    prefer   ignored  violation  violation  violation violation  violation
    osrtp    plain    downgraded downgraded violation downgraded downgraded
    osrtp    sdes     downgraded downgraded violation downgraded secured
    osrtp    osrtp    downgraded downgraded violation downgraded secured
    osrtp    ignored  violation  violation  violation violation  violation
    legacy   plain    downgraded downgraded violation downgraded downgraded
    legacy   sdes     downgraded downgraded violation downgraded secured
    legacy   osrtp    downgraded downgraded violation downgraded secured
    legacy   ignored  violation  violation  violation violation  violation
    strict!  plain    downgraded downgraded downgraded downgraded downgraded
    strict!  sdes     downgraded downgraded downgraded downgraded secured
    strict!  ignored  downgraded downgraded downgraded downgraded downgraded
    legacy!  plain    downgraded downgraded downgraded downgraded downgraded
"""

GRADES = {
    "plain": (Grade.CLEARTEXT,) * 5,
    "ignored": (Grade.CLEARTEXT,) * 5,
    "sdes": (
        Grade.KEY_EXPOSED,
        Grade.KEY_EXPOSED,
        Grade.KEY_EXPOSED,
        Grade.UNAUTHENTICATED,
        Grade.HOP_BY_HOP,
    ),
}
GRADES["osrtp"] = GRADES["sdes"]


@pytest.mark.parametrize(("name", "answer", "signalling", "expected"), cells(ANSWERS))
def test_a_trunk_leg_is_secured_downgraded_or_a_violation_by_its_profile(
    name: str, answer: str, signalling: str, expected: str
) -> None:
    verdict = judge(policy(name), trunk(answer, signalling))
    assert verdict.record == f"leg.{expected}"
    assert verdict.grade is GRADES[answer][COLUMNS.index(signalling)]
    assert verdict.allowed == (expected != "violation")
    assert verdict.kind == ("" if expected == "secured" else "D1")
    assert (verdict.termination is None) == verdict.allowed


BROWSER = [
    ("strict", browser("wss"), "leg.secured", None),
    ("legacy", browser("wss"), "leg.secured", None),
    ("strict", browser("ws"), "leg.violation", Termination.ENCRYPTION_IMPOSSIBLE),
    ("prefer", browser("ws"), "leg.downgraded", None),
    ("strict", browser(match=False), "leg.violation", Termination.FINGERPRINT_MISMATCH),
    ("legacy", browser(match=False), "leg.violation", Termination.FINGERPRINT_MISMATCH),
    ("legacy!", browser(match=False), "leg.violation", Termination.FINGERPRINT_MISMATCH),
    ("legacy", replace(browser(), keying=Keying.SDES), "leg.violation", Termination.BROWSER_OFFER_INSECURE),
    ("legacy", replace(browser(), keying=Keying.NONE), "leg.violation", Termination.BROWSER_OFFER_INSECURE),
    ("legacy", replace(browser(), dtls_version="DTLSv1"), "leg.violation", Termination.DTLS_FAILED),
    ("strict", browser(keying=Keying.PENDING), "leg.pending", None),
    ("prefer", browser("ws", keying=Keying.PENDING), "leg.pending", None),
    ("strict", browser("ws", keying=Keying.PENDING), "leg.violation", Termination.ENCRYPTION_IMPOSSIBLE),
]


@pytest.mark.parametrize(("name", "vector", "record", "termination"), BROWSER)
def test_a_browser_leg_is_judged_by_the_same_policy(
    name: str, vector: SecurityVector, record: str, termination: Termination | None
) -> None:
    verdict = judge(policy(name), vector)
    assert (verdict.record, verdict.termination) == (record, termination)
    assert verdict.kind == ("D4" if Code.DTLS_FP_MISMATCH in verdict.codes else verdict.kind)


def test_a_leg_without_keys_is_never_recorded_as_secured() -> None:
    verdict = judge(policy("strict"), browser(keying=Keying.PENDING))
    assert (verdict.allowed, verdict.record, verdict.kind) == (True, "leg.pending", "")


@pytest.mark.parametrize(
    ("code", "refused_by"),
    [(Code.KEY_REUSE, {"strict"}), (Code.MEDIA_AVP_WITH_CRYPTO, set())]
    + [(code, {"strict", "prefer", "osrtp", "legacy"}) for code in sorted(NEVER_TOLERABLE - {Code.SUITE_NULL})],
)
def test_some_codes_are_refused_whatever_the_grade(code: Code, refused_by: set[str]) -> None:
    vector = replace(trunk("sdes"), extra_codes=frozenset({code}))
    refusing = {name.value for name in Profile if not judge(policy(name.value), vector).allowed}
    assert refusing == refused_by


@pytest.mark.parametrize("status", [488, 415, 606])
def test_only_prefer_retries_in_the_clear_and_the_retry_has_its_code(status: int) -> None:
    retry = OfferPlan(Proto.AVP, codes=frozenset({Code.MEDIA_SAVP_RETRY}))
    assert plan_retry(policy("prefer"), SIGNALLING["tls"], status) == retry
    assert plan_retry(policy("strict!"), SIGNALLING["tls"], status) == retry
    for name in ("strict", "osrtp", "legacy"):
        assert plan_retry(policy(name), SIGNALLING["tls"], status) is None


@pytest.mark.parametrize("status", [0, 200, 302, 403, 404, 480, 486, 487, 500, 503, 600, 603])
def test_no_other_answer_makes_an_offer_weaker(status: int) -> None:
    for name in ("strict", "prefer", "osrtp", "legacy", "strict!"):
        assert plan_retry(policy(name), SIGNALLING["tls"], status) is None


def test_an_offer_that_was_plain_already_is_not_repeated() -> None:
    first = plan_retry(policy("prefer"), SIGNALLING["tls"], 488, OfferPlan.demanding(Keying.SDES))
    assert first is not None
    assert plan_retry(policy("prefer"), SIGNALLING["tls"], 488, first) is None


CHANGES = [
    ("strict", trunk("sdes"), trunk("plain"), False, "leg.violation", "D2", Termination.ENCRYPTION_REMOVED),
    ("prefer", trunk("sdes"), trunk("plain"), True, "leg.downgraded", "D2", None),
    ("osrtp", trunk("osrtp"), trunk("plain"), True, "leg.downgraded", "D2", None),
    ("legacy", trunk("sdes"), trunk("plain"), True, "leg.downgraded", "D2", None),
    ("strict!", trunk("sdes"), trunk("plain"), True, "leg.downgraded", "D2", None),
    ("prefer", trunk("sdes", "udp"), trunk("plain", "udp"), True, "leg.downgraded", "D2", None),
    ("legacy", trunk("sdes"), trunk("ignored"), False, "leg.violation", "D2", Termination.ENCRYPTION_REMOVED),
    ("strict", trunk("sdes"), trunk("sdes", "udp"), False, "leg.violation", "D2", Termination.ENCRYPTION_IMPOSSIBLE),
    ("prefer", trunk("sdes"), trunk("sdes", "udp"), True, "leg.downgraded", "D2", None),
    ("strict", trunk("sdes"), trunk("sdes"), True, "leg.secured", "", None),
    ("strict", trunk("sdes"), trunk("osrtp"), True, "leg.secured", "", None),
    ("strict", trunk("sdes", suite=AEAD_AES_256_GCM), trunk("sdes"), True, "leg.secured", "D2", None),
    ("strict", trunk("sdes"), trunk("sdes", suite=AEAD_AES_256_GCM), True, "leg.secured", "", None),
    ("prefer", trunk("plain"), trunk("sdes"), True, "leg.secured", "", None),
    ("prefer", trunk("plain"), trunk("plain"), True, "leg.downgraded", "D1", None),
    ("strict", browser(), browser(keying=Keying.PENDING), True, "leg.pending", "", None),
    ("strict", browser(), browser(match=False), False, "leg.violation", "D2", Termination.FINGERPRINT_MISMATCH),
    (
        "legacy",
        browser(),
        replace(browser(), keying=Keying.NONE, proto=Proto.AVP),
        False,
        "leg.violation",
        "D2",
        Termination.ENCRYPTION_REMOVED,
    ),
]


@pytest.mark.parametrize(("name", "before", "after", "allowed", "record", "kind", "termination"), CHANGES)
def test_a_change_during_the_call_is_judged_against_what_the_leg_was(
    name: str,
    before: SecurityVector,
    after: SecurityVector,
    allowed: bool,
    record: str,
    kind: str,
    termination: Termination | None,
) -> None:
    verdict = judge_change(policy(name), before, after)
    assert (verdict.allowed, verdict.record, verdict.kind) == (allowed, record, kind)
    assert verdict.termination is termination


def test_dropped_crypto_has_its_own_code_and_a_leg_that_had_none_does_not_get_it() -> None:
    assert Code.MID_CRYPTO_REMOVED in judge_change(policy("prefer"), trunk("sdes"), trunk("plain")).codes
    assert Code.MID_CRYPTO_REMOVED not in judge_change(policy("prefer"), trunk("plain"), trunk("plain")).codes


@pytest.mark.parametrize("require", [Grade.KEY_EXPOSED, Grade.PARTIAL, Grade.UNAUTHENTICATED])
def test_dropped_crypto_is_refused_whenever_the_policy_requires_more_than_cleartext(require: Grade) -> None:
    base = policy("prefer")
    raised = replace(base, rules=replace(base.rules, require=require))
    verdict = judge_change(raised, trunk("sdes"), trunk("plain"))
    assert (verdict.allowed, verdict.termination) == (False, Termination.ENCRYPTION_REMOVED)


def refused(verdict: Verdict) -> bool:
    return not verdict.allowed and verdict.record == "leg.violation" and verdict.termination is not None


@given(POLICIES, VECTORS)
def test_a_leg_below_what_is_required_is_never_allowed_unless_it_is_an_emergency(
    used: EffectivePolicy, vector: SecurityVector
) -> None:
    verdict = judge(used, vector)
    strict_floor = Grade.HOP_BY_HOP if used.profile is Profile.STRICT and not used.emergency else Grade.CLEARTEXT
    assert verdict.grade >= strict_floor or refused(verdict)
    assert verdict.grade is vector.grade


@given(POLICIES, VECTORS)
def test_an_emergency_call_is_blocked_by_nothing_but_a_foreign_fingerprint(
    used: EffectivePolicy, vector: SecurityVector
) -> None:
    verdict = judge(used, vector)
    if used.emergency and not set(verdict.codes) & ABSOLUTE:
        assert verdict.allowed
    if set(verdict.codes) & ABSOLUTE:
        assert refused(verdict)


@given(POLICIES, VECTORS)
def test_secured_means_allowed_keyed_and_at_least_hop_by_hop(used: EffectivePolicy, vector: SecurityVector) -> None:
    verdict = judge(used, vector)
    proved = verdict.allowed and verdict.grade >= Grade.HOP_BY_HOP and vector.keying is not Keying.PENDING
    assert (verdict.record == "leg.secured") == proved
    assert (verdict.termination is None) == verdict.allowed
    assert (verdict.record == "leg.violation") == (not verdict.allowed)


@given(POLICIES, VECTORS)
def test_keys_without_a_suite_we_know_fail_closed(used: EffectivePolicy, vector: SecurityVector) -> None:
    for keying in (Keying.SDES, Keying.DTLS):
        verdict = judge(used, replace(vector, keying=keying, suite=None))
        assert verdict.grade is Grade.CLEARTEXT
        assert used.emergency or refused(verdict)


@given(POLICIES, VECTORS, VECTORS)
def test_a_change_is_never_judged_milder_than_the_leg_it_leads_to(
    used: EffectivePolicy, before: SecurityVector, after: SecurityVector
) -> None:
    change, fresh = judge_change(used, before, after), judge(used, after)
    assert change.allowed == fresh.allowed
    assert change.grade <= fresh.grade
    assert set(change.codes) >= set(fresh.codes)


@given(st.sampled_from(list(Profile)), VECTORS)
def test_what_strict_allows_is_secured_under_every_profile(profile: Profile, vector: SecurityVector) -> None:
    if judge(effective_policy(Profile.STRICT, "pbx"), vector).allowed:
        assert judge(effective_policy(profile, "pbx"), vector).record in ("leg.secured", "leg.pending")


def test_what_is_absolute_is_never_tolerable_either() -> None:
    assert ABSOLUTE < NEVER_TOLERABLE
    assert not NEVER_TOLERABLE & REFUSED_WHERE_REQUIRED
    assert Code.DTLS_FP_MISMATCH in ABSOLUTE
