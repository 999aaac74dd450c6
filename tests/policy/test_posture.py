from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.codes import Code
from gateway.base.crypto_suite import SUITES
from gateway.base.grades import Grade
from gateway.policy.posture import CAPS, CallPosture, SecurityVector, codes, grade, tls_number
from tests.policy.vectors import VECTORS, browser, trunk

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
    (replace(trunk("sdes"), tag_bits=32), Grade.PARTIAL, {Code.SUITE_WEAK_TAG}),
    (replace(trunk("sdes"), key_bits=64), Grade.PARTIAL, {Code.SUITE_SMALL_KEY}),
    (trunk("sdes", suite="AES_CM_128_HMAC_SHA1_32"), Grade.PARTIAL, {Code.SUITE_WEAK_TAG}),
    (trunk("sdes", suite="F8_128_HMAC_SHA1_80"), Grade.CLEARTEXT, {Code.SUITE_NULL}),
    (trunk("sdes", suite="NULL_HMAC_SHA1_80"), Grade.CLEARTEXT, {Code.SUITE_NULL}),
    (trunk("sdes", suite="AES_CM_4096_HMAC_SHA9_80"), Grade.CLEARTEXT, {Code.SUITE_UNKNOWN}),
    (trunk("sdes", suite=""), Grade.CLEARTEXT, {Code.SUITE_UNKNOWN}),
    (replace(trunk("sdes"), keying="zrtp"), Grade.CLEARTEXT, {Code.MEDIA_KEYING_UNKNOWN}),
    (replace(trunk("sdes"), keying=""), Grade.CLEARTEXT, {Code.MEDIA_KEYING_UNKNOWN}),
    (replace(trunk("sdes"), sig_transport="carrier-pigeon"), Grade.KEY_EXPOSED, {Code.KEY_SDES_CLEARTEXT}),
    (replace(trunk("sdes"), sig_tls_version=""), Grade.UNAUTHENTICATED, {Code.KEY_SDES_UNVERIFIED_TLS}),
    (browser("wss"), Grade.HOP_BY_HOP, set()),
    (browser("wss", keying="pending"), Grade.HOP_BY_HOP, set()),
    (browser("ws"), Grade.UNAUTHENTICATED, {Code.KEY_DTLS_FP_UNAUTH, Code.BRW_WS_INSECURE}),
    (browser("ws", keying="pending"), Grade.UNAUTHENTICATED, {Code.KEY_DTLS_FP_UNAUTH, Code.BRW_WS_INSECURE}),
    (browser("wss", match=False), Grade.UNAUTHENTICATED, {Code.DTLS_FP_MISMATCH}),
    (browser("wss", match=None), Grade.UNAUTHENTICATED, {Code.KEY_DTLS_FP_UNAUTH}),
    (replace(browser(), fingerprint_algorithm="sha-1"), Grade.UNAUTHENTICATED, {Code.DTLS_FP_WEAK}),
    (replace(browser(), dtls_version="DTLSv1"), Grade.KEY_EXPOSED, {Code.DTLS_OLD}),
    (replace(browser(), dtls_version="nonsense"), Grade.KEY_EXPOSED, {Code.DTLS_OLD}),
    (replace(browser(), sig_tls_version="TLSv1"), Grade.UNAUTHENTICATED, {Code.KEY_DTLS_FP_UNAUTH, Code.TLS_OLD}),
    (replace(browser(), keying="sdes"), Grade.HOP_BY_HOP, {Code.BRW_SDES_OR_AVP}),
    (
        replace(browser(), keying="plain", proto="RTP/AVP"),
        Grade.CLEARTEXT,
        {Code.MEDIA_PLAIN_RTP, Code.BRW_SDES_OR_AVP},
    ),
    (replace(trunk("sdes", "udp"), keying="pending"), Grade.KEY_EXPOSED, {Code.KEY_SDES_CLEARTEXT}),
    (replace(trunk("sdes", "tls"), keying="pending", suite=""), Grade.HOP_BY_HOP, set()),
]


@pytest.mark.parametrize(("vector", "expected", "found"), GRADES)
def test_a_leg_has_the_grade_its_weaknesses_allow(vector: SecurityVector, expected: Grade, found: set[Code]) -> None:
    assert grade(vector) is expected
    assert codes(vector) == found


@pytest.mark.parametrize("suite", [s.name for s in SUITES])
def test_every_suite_the_gateway_carries_reaches_hop_by_hop_over_verified_tls(suite: str) -> None:
    assert grade(trunk("sdes", suite=suite)) is Grade.HOP_BY_HOP


def test_a_suite_claimed_stronger_than_the_table_is_not_believed() -> None:
    boast = replace(trunk("sdes"), key_bits=256, tag_bits=256)
    assert boast.strength == (128, 80)


def test_a_skipped_crypto_line_says_nothing_about_the_agreed_suite() -> None:
    vector = replace(trunk("sdes"), noted=frozenset({Code.SUITE_NULL, Code.SUITE_UNENCRYPTED_SRTCP}))
    assert grade(vector) is Grade.HOP_BY_HOP
    assert codes(vector) == {Code.SUITE_NULL, Code.SUITE_UNENCRYPTED_SRTCP}


def test_what_negotiation_found_lowers_the_grade_even_if_the_vector_does_not_show_it() -> None:
    assert grade(replace(trunk("sdes"), extra_codes=frozenset({Code.EARLY_PLAIN}))) is Grade.PARTIAL
    assert grade(replace(trunk("sdes"), extra_codes=frozenset({Code.FORK_MIXED}))) is Grade.PARTIAL


@pytest.mark.parametrize("code", [Code.MEDIA_OSRTP_FALLBACK, Code.MEDIA_SAVP_RETRY, Code.MID_CRYPTO_REMOVED])
def test_a_leg_that_was_clear_once_and_is_keyed_now_has_the_grade_of_now_and_the_code_of_then(code: Code) -> None:
    vector = replace(trunk("sdes"), extra_codes=frozenset({code}))
    assert grade(vector) is Grade.HOP_BY_HOP
    assert codes(vector) == {code}


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
        (replace(trunk("sdes"), sig_tls_version="TLSv1.3"), "sdes,AES_CM_128_HMAC_SHA1_80,tls1.3,verified"),
        (trunk("sdes", "tls-unverified"), "sdes,AES_CM_128_HMAC_SHA1_80,tls1.3,unverified"),
        (trunk("sdes", "udp"), "sdes,AES_CM_128_HMAC_SHA1_80,udp"),
        (trunk("plain", "tcp"), "plain,none,tcp"),
        (trunk("sdes", "udp", suite="x inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"), "sdes,unknown,udp"),
        (browser(), "dtls,AEAD_AES_256_GCM,wss"),
        (browser(keying="pending"), "dtls,pending,wss"),
        (replace(trunk("sdes", "udp"), keying="pending"), "sdes,pending,udp"),
    ],
)
def test_the_summary_names_keying_suite_and_signalling_in_fixed_places(vector: SecurityVector, words: str) -> None:
    assert vector.summary() == words


def test_the_grade_of_a_call_is_that_of_its_weaker_leg() -> None:
    posture = CallPosture()
    posture.update("browser", browser())
    posture.update("trunk", trunk("plain", "udp"))
    assert posture.current is Grade.CLEARTEXT
    assert posture.legs() == {"browser": Grade.HOP_BY_HOP, "trunk": Grade.CLEARTEXT}
    assert posture.codes_seen == {Code.MEDIA_PLAIN_RTP}


def test_a_clear_interval_stays_visible_after_the_call_became_secure() -> None:
    posture = CallPosture()
    posture.update("trunk", trunk("plain", "tls"))
    posture.mark_answered()
    posture.update("trunk", trunk("sdes", "tls"))
    posture.mark_answered()
    assert (posture.current, posture.worst, posture.at_answer) == (Grade.HOP_BY_HOP, Grade.CLEARTEXT, Grade.CLEARTEXT)
    assert posture.vector("trunk") == trunk("sdes", "tls")


def test_a_call_nothing_is_known_of_counts_as_clear() -> None:
    posture = CallPosture()
    assert (posture.current, posture.worst, posture.at_answer) == (Grade.CLEARTEXT, Grade.CLEARTEXT, None)


@given(VECTORS)
def test_a_leg_below_hop_by_hop_always_carries_a_code_that_says_why(vector: SecurityVector) -> None:
    found = codes(vector)
    assert grade(vector) is Grade.HOP_BY_HOP or any(CAPS.get(code) == grade(vector) for code in found)


@given(VECTORS)
def test_end_to_end_is_never_claimed(vector: SecurityVector) -> None:
    assert grade(vector) < Grade.END_TO_END


@given(VECTORS)
def test_hop_by_hop_needs_a_known_keying_a_known_suite_and_a_verified_peer(vector: SecurityVector) -> None:
    if grade(vector) < Grade.HOP_BY_HOP:
        return
    assert vector.keying in ("sdes", "dtls", "pending")
    assert vector.keying == "pending" or vector.suite in {s.name for s in SUITES}
    assert vector.keying != "dtls" or vector.fingerprint_match is True
    if vector.leg == "browser":
        assert vector.sig_transport == "wss"
    else:
        assert (vector.sig_verified, vector.sig_transport) == (True, "tls")
        assert tls_number(vector.sig_tls_version) in ("1.2", "1.3")


@given(VECTORS, st.sampled_from(list(Code)))
def test_one_more_weakness_never_raises_the_grade(vector: SecurityVector, code: Code) -> None:
    assert grade(replace(vector, extra_codes=vector.extra_codes | {code})) <= grade(vector)


@given(VECTORS)
def test_what_was_not_verified_is_never_better_than_what_was(vector: SecurityVector) -> None:
    assert grade(replace(vector, sig_verified=False)) <= grade(replace(vector, sig_verified=True))


@given(st.lists(st.tuples(st.sampled_from(["browser", "trunk"]), VECTORS), min_size=1, max_size=12))
def test_the_worst_grade_of_a_call_never_rises(updates: list[tuple[str, SecurityVector]]) -> None:
    posture = CallPosture()
    history: list[Grade] = []
    for leg, vector in updates:
        posture.update(leg, vector)
        history.append(posture.worst)
        assert posture.worst <= posture.current
        assert posture.worst <= grade(vector)
    assert history == sorted(history, reverse=True)
