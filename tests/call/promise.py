"""What every policy is promised, whatever it says and whatever happens: no leg is weaker than it requires.

The promise is said here in the words of the policy (a grade, codes, bits), and not by asking the code that judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import strategies as st

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.call.legs.leg import Leg
from gateway.call.machine.state import CallState
from gateway.policy.catalogue import CONTRADICTED, UNUSED
from gateway.policy.model import BUILT_IN, EffectivePolicy, Fallback, OfferMode, ProfileRules, raised
from gateway.policy.posture import SecurityVector

BITS = st.sampled_from([0, 0, 0, 80, 128, 256])
COMMON = (
    Code.MEDIA_PLAIN_RTP,
    Code.MEDIA_AVP_WITH_CRYPTO,
    Code.MEDIA_OSRTP_FALLBACK,
    Code.MEDIA_SAVP_RETRY,
    Code.MEDIA_MIXED_KEYING,
    Code.KEY_SDES_CLEARTEXT,
    Code.KEY_SDES_UNVERIFIED_TLS,
    Code.KEY_DTLS_FP_UNAUTH,
    Code.KEY_REUSE,
    Code.MID_CRYPTO_REMOVED,
    Code.MID_HOLD_REKEY,
    Code.MID_STREAM_ADDED_PLAIN,
    Code.EARLY_PLAIN,
    Code.BRW_WS_INSECURE,
)
"""Codes that calls come to carry often."""
CODES = st.frozensets(st.sampled_from(COMMON) | st.sampled_from(list(Code)), max_size=3)
GRADES = st.sampled_from([*list(Grade)[:5], Grade.CLEARTEXT, Grade.CLEARTEXT, Grade.HOP_BY_HOP])


def _denying(profile: Profile, code: Code) -> ProfileRules:
    """A profile that tolerates much, and one thing not."""
    return replace(BUILT_IN[profile], deny=frozenset({code}))


MADE = st.builds(
    ProfileRules,
    name=st.just("made"),
    offer=st.sampled_from(OfferMode),
    accepts_plain=st.booleans(),
    fallback=st.sampled_from(Fallback),
    require=GRADES,
    prefer=GRADES,
    sdes_needs_verified_tls=st.booleans(),
    deny=CODES,
    min_key_bits=BITS,
    min_tag_bits=BITS,
    srtcp_required=st.booleans(),
)
"""Rules as no file could bring them: what they say need not fit together."""
RULES = st.one_of(
    st.builds(raised, st.sampled_from([BUILT_IN[profile] for profile in Profile]), GRADES),
    st.builds(_denying, st.sampled_from([Profile.PREFER, Profile.OSRTP, Profile.LEGACY]), st.sampled_from(COMMON)),
    MADE,
)


def is_kept(call: CallState) -> None:
    """Look at a call between two events."""
    if not call.live:
        return
    assert set(call.posture.legs()) <= {leg.id for leg in call.pair}
    for leg in call.pair:
        found = call.posture.vector(leg.id)
        assert found is None or found == leg.vector, "each leg has one posture, the latest"
        if call.answered_at is not None or leg.recorded is not None:
            _holds(leg.policy or call.policy, leg)


def _holds(policy: EffectivePolicy, leg: Leg) -> None:
    vector = leg.vector
    if policy.emergency or vector.extra_codes & CONTRADICTED:
        return  # an emergency call is never blocked, and what packets say is dropped and ends no call
    assert vector.grade >= policy.rules.require, (vector.codes, policy.rules)
    assert not _counted(vector) & policy.rules.deny, (vector.codes, policy.rules)
    if vector.suite is not None:
        assert vector.suite.key_bits >= policy.rules.min_key_bits
        assert vector.suite.tag_bits >= policy.rules.min_tag_bits


def _counted(vector: SecurityVector) -> frozenset[Code]:
    return vector.weaknesses | (vector.noted - UNUSED)


def was_recorded(record: Mapping[str, object], policy: EffectivePolicy) -> None:
    """Look at a record: what it says was allowed is nothing the policy refuses."""
    if policy.emergency or record.get("kind") == "D4" or record["type"] not in ("leg.secured", "leg.downgraded"):
        return
    assert Grade[str(record["grade_after"])] >= policy.rules.require
    assert record["type"] == "leg.secured" or record["grade_after"] != Grade.HOP_BY_HOP.name
