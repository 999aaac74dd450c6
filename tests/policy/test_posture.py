from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.codes import Code
from gateway.base.crypto_suite import SUITES, CryptoSuite
from gateway.base.grades import Grade
from gateway.base.keying import Keying, Proto
from gateway.base.signalling import Signalling
from gateway.base.values import CALLER, LegId, LegKind
from gateway.policy import posture
from gateway.policy.catalogue import CAPS
from gateway.policy.posture import CallPosture, SecurityVector, tls_number
from tests.policy.vectors import SHORT_KEY, SHORT_TAG, VECTORS, browser, trunk

GRADES = [
    (trunk("plain", "udp"), Grade.CLEARTEXT, {Code.MEDIA_PLAIN_RTP}),
    (trunk("plain", "tls"), Grade.CLEARTEXT, {Code.MEDIA_PLAIN_RTP}),
    (trunk("ignored", "tls"), Grade.CLEARTEXT, {Code.MEDIA_PLAIN_RTP, Code.MEDIA_CRYPTO_IGNORED}),
    (trunk("sdes", "udp"), Grade.KEY_EXPOSED, {Code.KEY_SDES_CLEARTEXT}),
    (trunk("sdes", "tcp"), Grade.KEY_EXPOSED, {Code.KEY_SDES_CLEARTEXT}),
    (trunk("sdes", "tls-old"), Grade.KEY_EXPOSED, {Code.KEY_SDES_CLEARTEXT, Code.TLS_OLD}),
    (trunk("sdes", "tls-unverified"), Grade.UNAUTHENTICATED, {Code.KEY_SDES_UNVERIFIED_TLS}),
    (trunk("sdes", "tls"), Grade.HOP_BY_HOP, set()),
    (trunk("osrtp", "tls"), Grade.HOP_BY_HOP, {Code.MEDIA_AVP_WITH_CRYPTO}),
    (trunk("osrtp", "udp"), Grade.KEY_EXPOSED, {Code.MEDIA_AVP_WITH_CRYPTO, Code.KEY_SDES_CLEARTEXT}),
    (replace(trunk("sdes"), srtcp_encrypted=False), Grade.PARTIAL, {Code.SUITE_UNENCRYPTED_SRTCP}),
    (trunk("sdes", suite=SHORT_TAG), Grade.PARTIAL, {Code.SUITE_WEAK_TAG}),
    (trunk("sdes", suite=SHORT_KEY), Grade.PARTIAL, {Code.SUITE_SMALL_KEY}),
    (trunk("sdes", suite=None), Grade.CLEARTEXT, {Code.SUITE_UNKNOWN}),
    (
        replace(trunk("sdes"), signalling=Signalling("tls", "", True)),
        Grade.UNAUTHENTICATED,
        {Code.KEY_SDES_UNVERIFIED_TLS},
    ),
    (browser("wss"), Grade.HOP_BY_HOP, set()),
    (browser("wss", keying=Keying.PENDING), Grade.HOP_BY_HOP, set()),
    (browser("ws"), Grade.UNAUTHENTICATED, {Code.KEY_DTLS_FP_UNAUTH, Code.BRW_WS_INSECURE}),
    (browser("ws", keying=Keying.PENDING), Grade.UNAUTHENTICATED, {Code.KEY_DTLS_FP_UNAUTH, Code.BRW_WS_INSECURE}),
    (browser("wss", match=False), Grade.UNAUTHENTICATED, {Code.DTLS_FP_MISMATCH}),
    (browser("wss", match=None), Grade.UNAUTHENTICATED, {Code.KEY_DTLS_FP_UNAUTH}),
    (replace(browser(), fingerprint_algorithm="sha-1"), Grade.UNAUTHENTICATED, {Code.DTLS_FP_WEAK}),
    (replace(browser(), dtls_version="DTLSv1"), Grade.KEY_EXPOSED, {Code.DTLS_OLD}),
    (replace(browser(), dtls_version="nonsense"), Grade.KEY_EXPOSED, {Code.DTLS_OLD}),
    (
        replace(browser(), signalling=Signalling("wss", "TLSv1", True)),
        Grade.UNAUTHENTICATED,
        {Code.KEY_DTLS_FP_UNAUTH, Code.TLS_OLD},
    ),
    (replace(browser(), keying=Keying.SDES), Grade.HOP_BY_HOP, {Code.BRW_SDES_OR_AVP}),
    (
        replace(browser(), keying=Keying.NONE, proto=Proto.AVP),
        Grade.CLEARTEXT,
        {Code.MEDIA_PLAIN_RTP, Code.BRW_SDES_OR_AVP},
    ),
    (replace(trunk("sdes", "udp"), keying=Keying.PENDING), Grade.KEY_EXPOSED, {Code.KEY_SDES_CLEARTEXT}),
    (replace(trunk("sdes", "tls"), keying=Keying.PENDING, suite=None), Grade.HOP_BY_HOP, set()),
]


@pytest.mark.parametrize(("vector", "expected", "found"), GRADES)
def test_a_leg_has_the_grade_its_weaknesses_allow(vector: SecurityVector, expected: Grade, found: set[Code]) -> None:
    assert vector.grade is expected
    assert vector.codes == found


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_every_suite_the_gateway_carries_reaches_hop_by_hop_over_verified_tls(suite: CryptoSuite) -> None:
    assert trunk("sdes", suite=suite).grade is Grade.HOP_BY_HOP


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_the_strength_of_a_leg_is_that_of_its_suite_and_a_leg_without_one_has_none(suite: CryptoSuite) -> None:
    assert trunk("sdes", suite=suite).strength == (suite.key_bits, suite.tag_bits)
    assert trunk("plain").strength == (0, 0)


def test_an_audit_record_has_the_vector_in_plain_words() -> None:
    written = replace(trunk("sdes"), extra_codes=frozenset({Code.EARLY_PLAIN}), noted=frozenset({Code.KEY_MKI}))
    assert json.dumps(written.as_dict()) == (
        '{"leg": "trunk", "sig_transport": "tls", "sig_tls_version": "TLSv1.2", "sig_verified": true, "keying": "sdes",'
        ' "proto": "RTP/SAVP", "suite": "AES_CM_128_HMAC_SHA1_80", "key_bits": 128, "tag_bits": 80,'
        ' "srtcp_encrypted": true, "dtls_version": "", "fingerprint_algorithm": "", "fingerprint_match": null,'
        ' "extra_codes": ["early.plain"], "noted": ["key.mki"]}'
    )
    assert json.dumps(browser(keying=Keying.PENDING).as_dict()) == (
        '{"leg": "browser", "sig_transport": "wss", "sig_tls_version": "", "sig_verified": true, "keying": "pending",'
        ' "proto": "UDP/TLS/RTP/SAVPF", "suite": "", "key_bits": 0, "tag_bits": 0, "srtcp_encrypted": true,'
        ' "dtls_version": "", "fingerprint_algorithm": "", "fingerprint_match": null, "extra_codes": [], "noted": []}'
    )
    bare = SecurityVector(leg=LegKind.TRUNK, signalling=Signalling("udp"), keying=Keying.NONE)
    assert [type(value) for value in bare.as_dict().values()] == [
        *(str, str, str, bool, str, str, str, int, int, bool, str, str, type(None), list, list)
    ]
    assert (bare.as_dict()["proto"], bare.as_dict()["suite"]) == ("", "")


def test_a_vector_is_graded_once_and_equal_vectors_stay_equal_whoever_was_graded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gradings: list[SecurityVector] = []
    observed = posture._keying_codes

    def counted(vector: SecurityVector) -> Iterable[Code]:
        gradings.append(vector)
        return observed(vector)

    monkeypatch.setattr(posture, "_keying_codes", counted)
    vector, other = trunk("osrtp", "udp"), trunk("osrtp", "udp")
    for _ in range(3):
        assert (vector.grade, bool(vector.codes), bool(vector.weaknesses)) == (Grade.KEY_EXPOSED, True, True)
    assert gradings == [vector]
    assert (vector, hash(vector), repr(vector)) == (other, hash(other), repr(other))
    assert replace(vector, signalling=Signalling("tls", "TLSv1.3", True)).grade is Grade.HOP_BY_HOP


def test_a_skipped_crypto_line_says_nothing_about_the_agreed_suite() -> None:
    vector = replace(trunk("sdes"), noted=frozenset({Code.SUITE_NULL, Code.SUITE_UNENCRYPTED_SRTCP}))
    assert vector.grade is Grade.HOP_BY_HOP
    assert vector.codes == {Code.SUITE_NULL, Code.SUITE_UNENCRYPTED_SRTCP}


def test_what_negotiation_found_lowers_the_grade_even_if_the_vector_does_not_show_it() -> None:
    assert replace(trunk("sdes"), extra_codes=frozenset({Code.EARLY_PLAIN})).grade is Grade.PARTIAL
    assert replace(trunk("sdes"), extra_codes=frozenset({Code.FORK_MIXED})).grade is Grade.PARTIAL


@pytest.mark.parametrize("code", [Code.MEDIA_OSRTP_FALLBACK, Code.MEDIA_SAVP_RETRY, Code.MID_CRYPTO_REMOVED])
def test_a_leg_that_was_clear_once_and_is_keyed_now_has_the_grade_of_now_and_the_code_of_then(code: Code) -> None:
    vector = replace(trunk("sdes"), extra_codes=frozenset({code}))
    assert vector.grade is Grade.HOP_BY_HOP
    assert vector.codes == {code}


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("TLSv1.3", "1.3"),
        ("tls1.2", "1.2"),
        ("1.2", "1.2"),
        ("DTLSv1.2", "1.2"),
        ("TLSv1", "1"),
        ("SSLv3", ""),
        ("", ""),
    ],
)
def test_a_tls_version_is_read_however_the_library_writes_it(version: str, number: str) -> None:
    assert tls_number(version) == number


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        (
            replace(trunk("sdes"), signalling=Signalling("tls", "TLSv1.3", True)),
            "sdes,AES_CM_128_HMAC_SHA1_80,tls1.3,verified",
        ),
        (trunk("sdes", "tls-unverified"), "sdes,AES_CM_128_HMAC_SHA1_80,tls1.3,unverified"),
        (trunk("sdes", "udp"), "sdes,AES_CM_128_HMAC_SHA1_80,udp"),
        (trunk("plain", "tcp"), "plain,none,tcp"),
        (browser(), "dtls,AEAD_AES_256_GCM,wss"),
        (browser(keying=Keying.PENDING), "dtls,pending,wss"),
        (replace(trunk("sdes", "udp"), keying=Keying.PENDING), "sdes,pending,udp"),
    ],
)
def test_the_summary_names_keying_suite_and_signalling_in_fixed_places(vector: SecurityVector, words: str) -> None:
    assert vector.summary() == words


def test_the_grade_of_a_call_is_that_of_its_weaker_leg() -> None:
    posture = CallPosture()
    posture.update(CALLER, browser())
    posture.update(LegId(2), trunk("plain", "udp"))
    assert posture.current is Grade.CLEARTEXT
    assert posture.legs() == {1: Grade.HOP_BY_HOP, 2: Grade.CLEARTEXT}
    assert posture.codes_seen == {Code.MEDIA_PLAIN_RTP}


def test_a_clear_interval_stays_visible_after_the_call_became_secure() -> None:
    posture = CallPosture()
    posture.update(LegId(2), trunk("plain", "tls"))
    posture.mark_answered()
    posture.update(LegId(2), trunk("sdes", "tls"))
    posture.mark_answered()
    assert (posture.current, posture.worst, posture.at_answer) == (Grade.HOP_BY_HOP, Grade.CLEARTEXT, Grade.CLEARTEXT)
    assert posture.vector(LegId(2)) == trunk("sdes", "tls")


def test_a_call_nothing_is_known_of_counts_as_clear() -> None:
    posture = CallPosture()
    assert (posture.current, posture.worst, posture.at_answer) == (Grade.CLEARTEXT, Grade.CLEARTEXT, None)


@given(VECTORS)
def test_a_leg_below_hop_by_hop_always_carries_a_code_that_says_why(vector: SecurityVector) -> None:
    found = vector.codes
    assert vector.grade is Grade.HOP_BY_HOP or any(CAPS.get(code) == vector.grade for code in found)


@given(VECTORS)
def test_end_to_end_is_never_claimed(vector: SecurityVector) -> None:
    assert vector.grade < Grade.END_TO_END


@given(VECTORS)
def test_hop_by_hop_needs_a_known_keying_a_known_suite_and_a_verified_peer(vector: SecurityVector) -> None:
    if vector.grade < Grade.HOP_BY_HOP:
        return
    assert vector.keying is not Keying.NONE
    assert vector.keying is Keying.PENDING or vector.suite in SUITES
    assert vector.keying is not Keying.DTLS or vector.fingerprint_match is True
    if vector.leg is LegKind.BROWSER:
        assert vector.signalling.transport == "wss"
    else:
        assert (vector.signalling.verified, vector.signalling.transport) == (True, "tls")
        assert tls_number(vector.signalling.tls_version) in ("1.2", "1.3")


@given(VECTORS, st.sampled_from(list(Code)))
def test_one_more_weakness_never_raises_the_grade(vector: SecurityVector, code: Code) -> None:
    assert replace(vector, extra_codes=vector.extra_codes | {code}).grade <= vector.grade


@given(VECTORS)
def test_what_was_not_verified_is_never_better_than_what_was(vector: SecurityVector) -> None:
    seen = vector.signalling
    unverified, verified = replace(seen, verified=False), replace(seen, verified=True)
    assert replace(vector, signalling=unverified).grade <= replace(vector, signalling=verified).grade


@given(st.lists(st.tuples(st.sampled_from([CALLER, LegId(2)]), VECTORS), min_size=1, max_size=12))
def test_the_worst_grade_of_a_call_never_rises(updates: list[tuple[LegId, SecurityVector]]) -> None:
    posture = CallPosture()
    history: list[Grade] = []
    for leg, vector in updates:
        posture.update(leg, vector)
        history.append(posture.worst)
        assert posture.worst <= posture.current
        assert posture.worst <= vector.grade
    assert history == sorted(history, reverse=True)
