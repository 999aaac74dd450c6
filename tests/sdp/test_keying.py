"""a=crypto (RFC 4568), a=fingerprint (RFC 8122), a=setup (RFC 4145)."""

from __future__ import annotations

import base64
import pickle

import pytest

from gateway.base.codes import Code
from gateway.base.crypto_suite import SUITES
from gateway.base.errors import SdpError
from gateway.base.values import Secret
from gateway.sdp.keying import (
    MAX_CRYPTO_LINES,
    MAX_FINGERPRINTS,
    CryptoAttribute,
    CryptoError,
    Fingerprint,
    canonical_suite,
    read_crypto_lines,
    read_fingerprints,
)
from tests.sdp.helpers import CM_80, GCM_128, GCM_256, crypto, key_bytes, key_text

KEY = key_text(CM_80, 1)
UNKNOWN, NULL, WEAK = Code.MEDIA_KEYING_UNKNOWN, Code.SUITE_NULL, Code.SUITE_WEAK_TAG
MKI, PARAMETER = Code.KEY_MKI, Code.KEY_PARAMETER_UNKNOWN


@pytest.mark.parametrize("suite", [s.name for s in SUITES])
@pytest.mark.parametrize("padded", [True, False])
def test_each_suite_takes_a_key_of_exactly_its_length_padded_or_not(suite: str, padded: bool) -> None:
    text = key_text(suite, 7)
    line = CryptoAttribute.parse(f"4 {suite} inline:{text if padded else text.rstrip('=')}")
    assert (line.tag, line.suite, line.key.reveal()) == (4, suite, key_bytes(suite, 7))


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
@pytest.mark.parametrize("wrong", [16, 28, 29, 30, 31, 32, 38, 44, 46, 60])
def test_a_key_of_any_other_length_is_refused(suite: object, wrong: int) -> None:
    name, right = suite.name, suite.master_length  # type: ignore[attr-defined]
    if wrong == right:
        return
    with pytest.raises(CryptoError, match="wrong length"):
        CryptoAttribute.parse(f"1 {name} inline:{base64.b64encode(bytes(wrong)).decode()}")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", UNKNOWN),
        ("1", UNKNOWN),
        (f"1 {CM_80}", UNKNOWN),
        (f"x {CM_80} inline:{KEY}", UNKNOWN),
        (f"-1 {CM_80} inline:{KEY}", UNKNOWN),
        (f"1234567890 {CM_80} inline:{KEY}", UNKNOWN),
        (f"\u0661 {CM_80} inline:{KEY}", UNKNOWN),
        (f"1 {CM_80} {KEY}", UNKNOWN),
        (f"1 {CM_80} uri:{KEY}", UNKNOWN),
        (f"1 {CM_80} inline:", UNKNOWN),
        (f"1 {CM_80} inline:{KEY[:-1]}*", UNKNOWN),
        (f"1 {CM_80} inline:{KEY[:-1]}\u00e9", UNKNOWN),
        (f"1 {CM_80} inline:{KEY[:20]}={KEY[20:]}", UNKNOWN),
        (f"1 {CM_80} inline:{KEY}=", UNKNOWN),
        (f"1 {CM_80} inline:{KEY}====", UNKNOWN),
        (f"1 {CM_80} inline:{KEY.replace('A', '-', 1)}", UNKNOWN),
        (f"1 {CM_80} inline:{KEY * 40}", UNKNOWN),
        (f"1 {CM_80} inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4", MKI),
        (f"1 {CM_80} inline:{KEY};inline:{KEY}", MKI),
        (f"1 {CM_80} inline:{KEY}|2^20|1:0", MKI),
        (f"1 {CM_80} inline:{KEY}|2^20|1:129", MKI),
        (f"1 {CM_80} inline:{KEY}|2^20|256:1", MKI),
        (f"1 {CM_80} inline:{KEY}|2^20|-1:4", MKI),
        (f"1 {CM_80} inline:{KEY}|2^20|:4", MKI),
        (f"1 {CM_80} inline:{KEY}|2^20|1:", MKI),
        (f"1 {CM_80} inline:{KEY}|2^20|1:4:4", MKI),
        (f"1 {CM_80} inline:{KEY}|1:4|2^20", UNKNOWN),
        (f"1 {CM_80} inline:{KEY}|2^20|2^20|1:4", UNKNOWN),
        (f"1 {CM_80} inline:{KEY}|2^20|{'9' * 5000}:4", MKI),
        (f"1 {CM_80} inline:{KEY}|2^0", Code.KEY_LIFETIME),
        (f"1 {CM_80} inline:{KEY}|4095", Code.KEY_LIFETIME),
        (f"1 {CM_80} inline:{KEY}|2^11|1:4", Code.KEY_LIFETIME),
        (f"1 {CM_80} inline:{KEY}|", UNKNOWN),
        (f"1 {CM_80} inline:{KEY}|2^49", UNKNOWN),
        (f"1 {CM_80} inline:{KEY}|3^20", UNKNOWN),
        (f"1 {CM_80} inline:{KEY}|0", UNKNOWN),
        (f"1 {CM_80} inline:{KEY}|281474976710657", UNKNOWN),
        (f"1 {CM_80} inline:{KEY} KDR=0", PARAMETER),
        (f"1 {CM_80} inline:{KEY} FEC_ORDER=FEC_SRTP", PARAMETER),
        (f"1 {CM_80} inline:{KEY} FEC_KEY=inline:{KEY}", PARAMETER),
        (f"1 {CM_80} inline:{KEY} WSH=63", PARAMETER),
        (f"1 {CM_80} inline:{KEY} WSH", PARAMETER),
        (f"1 {CM_80} inline:{KEY} WSH=65536", PARAMETER),
        (f"1 {CM_80} inline:{KEY} X-VENDOR=1", PARAMETER),
        (f"1 {CM_80} inline:{KEY} -X-OPTIONAL", PARAMETER),
        (f"1 {CM_80} inline:{KEY} UNENCRYPTED_SRTP", Code.SUITE_UNENCRYPTED_SRTP),
        (f"1 {CM_80} inline:{KEY} WSH=128 UNENCRYPTED_SRTCP", Code.SUITE_UNENCRYPTED_SRTCP),
        (f"1 {CM_80} inline:{KEY} UNAUTHENTICATED_SRTP", Code.SUITE_UNAUTHENTICATED_SRTP),
        (f"1 {CM_80} inline:{KEY} UNAUTHENTICATED_SRTCP", Code.SUITE_UNAUTHENTICATED_SRTP),
        (f"1 {CM_80} inline:{KEY} unencrypted_srtp", Code.SUITE_UNENCRYPTED_SRTP),
        (f"1 {CM_80} inline:{KEY} -UNENCRYPTED_SRTCP", Code.SUITE_UNENCRYPTED_SRTCP),
        (f"1 {CM_80} inline:{KEY} UNENCRYPTED_SRTP=0", Code.SUITE_UNENCRYPTED_SRTP),
        (f"1 AES_192_CM_HMAC_SHA1_32 inline:{KEY}", WEAK),
        (f"1 AES_256_CM_HMAC_SHA1_32 inline:{KEY}", UNKNOWN),
        (f"1 NULL_HMAC_SHA1_80 inline:{KEY}", NULL),
        (f"1 F8_128_HMAC_SHA1_80 inline:{KEY}", NULL),
        (f"1 AES_192_CM_HMAC_SHA1_80 inline:{KEY}", Code.SUITE_UNKNOWN),
        (f"1 aes_cm_128_hmac_sha1_80 inline:{KEY}", Code.SUITE_UNKNOWN),
        (f"1 AEAD_AES_128_GCM_8 inline:{KEY}", Code.SUITE_UNKNOWN),
    ],
)
def test_a_line_that_is_not_fully_understood_is_unusable(value: str, code: Code) -> None:
    with pytest.raises(CryptoError) as caught:
        CryptoAttribute.parse(value)
    assert Code(caught.value.code) is code
    assert read_crypto_lines([value]).usable == ()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("tail", "why"),
    [
        ("|1:0", "malformed key identifier"),
        (f";inline:{KEY}", "more keys than one"),
        ("|1", "too short for a call"),
        ("|2^20 KDR=1", "unsupported session parameter"),
        (" UNENCRYPTED_SRTP", "switches protection off"),
    ],
)
def test_the_reason_for_refusing_a_line_is_told(tail: str, why: str) -> None:
    with pytest.raises(CryptoError, match=why):
        CryptoAttribute.parse(f"1 {CM_80} inline:{KEY}{tail}")


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [("", None), ("|2^20", 1 << 20), ("|2^48", 1 << 48), ("|1048576", 1 << 20), ("|4096", 4096), ("|2^12", 4096)],
)
def test_a_lifetime_is_kept_as_a_number_of_packets(text: str, lifetime: int | None) -> None:
    assert CryptoAttribute.parse(f"1 {CM_80} inline:{KEY}{text}").lifetime == lifetime


@pytest.mark.parametrize("lifetime", ["", "|2^20", "|1048576"])
@pytest.mark.parametrize(
    ("text", "octets"),
    [("1:4", b"\0\0\0\x01"), ("1:1", b"\x01"), ("255:1", b"\xff"), ("0:2", b"\0\0"), ("1:128", bytes(127) + b"\x01")],
)
def test_a_key_identifier_is_a_number_in_so_many_octets_with_or_without_a_lifetime(
    lifetime: str, text: str, octets: bytes
) -> None:
    line = CryptoAttribute.parse(f"1 {CM_80} inline:{KEY}{lifetime}|{text}")
    assert line.mki is not None
    assert line.mki.octets == octets
    assert line.lifetime == (1 << 20 if lifetime else None)


def test_who_names_its_key_has_it_named_back_in_as_many_octets() -> None:
    named = CryptoAttribute.parse(f"7 {CM_80} inline:{KEY}|2^20|5:4")
    ours = named.with_key(Secret(key_bytes(CM_80, 9)))
    assert ours.to_line() == f"7 {CM_80} inline:{key_text(CM_80, 9)}|1:4"
    assert CryptoAttribute.parse(ours.to_line()) == ours
    assert CryptoAttribute.parse(f"7 {CM_80} inline:{KEY}|2^20").with_key(Secret(key_bytes(CM_80, 9))).mki is None


def test_a_window_size_hint_needs_nothing_of_us() -> None:
    assert CryptoAttribute.parse(f"1 {CM_80} inline:{KEY} WSH=64").parameters == ("WSH=64",)


def test_the_older_spelling_of_aes_256_is_the_same_suite() -> None:
    assert canonical_suite("AES_CM_256_HMAC_SHA1_80") == "AES_256_CM_HMAC_SHA1_80"
    assert canonical_suite("AES_CM_192_HMAC_SHA1_32") == "AES_192_CM_HMAC_SHA1_32"
    assert canonical_suite(CM_80) == CM_80


def test_a_bad_line_does_not_spoil_its_neighbours() -> None:
    lines = read_crypto_lines([f"1 NULL_HMAC_SHA1_80 inline:{KEY}", f"2 {CM_80} inline:{KEY}", "nonsense"])
    assert [line.tag for line in lines.usable] == [2]
    assert lines.problems == (NULL, UNKNOWN)
    assert lines.count == 3


def test_a_tag_used_twice_counts_for_its_first_line_only() -> None:
    lines = read_crypto_lines([f"1 {CM_80} inline:{KEY}", f"1 {GCM_256} inline:{key_text(GCM_256, 3)}"])
    assert [line.suite for line in lines.usable] == [CM_80]
    assert lines.problems == (UNKNOWN,)


def test_crypto_lines_beyond_the_limit_are_ignored() -> None:
    values = [f"{tag} {CM_80} inline:{KEY}" for tag in range(1, MAX_CRYPTO_LINES + 5)]
    lines = read_crypto_lines(values)
    assert [line.tag for line in lines.usable] == list(range(1, MAX_CRYPTO_LINES + 1))
    assert lines.count == len(values)


@pytest.mark.parametrize("suite", [CM_80, GCM_128, GCM_256])
def test_what_goes_on_the_wire_comes_back_the_same(suite: str) -> None:
    line = CryptoAttribute(9, suite, Secret(key_bytes(suite, 50)), 1 << 31)
    assert CryptoAttribute.parse(line.to_line()) == line


def test_the_answering_line_has_the_tag_and_suite_and_nothing_else_of_the_offer() -> None:
    offered = CryptoAttribute.parse(f"3 {CM_80} inline:{KEY}|2^20 WSH=128")
    ours = offered.with_key(crypto(1, CM_80, 99).key)
    assert ours.to_line() == f"3 {CM_80} inline:{key_text(CM_80, 99)}"


def test_a_key_is_in_no_printed_or_pickled_form() -> None:
    line = CryptoAttribute.parse(f"1 {CM_80} inline:{KEY}")
    for shown in (str(line), repr(line), f"{line}", repr([line])):
        assert KEY not in shown
        assert "***" in shown
    with pytest.raises(TypeError):
        pickle.dumps(line)


def test_one_master_key_under_two_salts_is_one_key_used_twice() -> None:
    mine = crypto(1, CM_80, 1)
    salted = CryptoAttribute(2, CM_80, Secret(key_bytes(CM_80, 1)[:16] + b"another salt!!"))
    assert mine.same_master_key(salted)
    assert not mine.same_master_key(crypto(1, CM_80, 2))


def test_a_suite_made_by_hand_must_be_in_the_table() -> None:
    with pytest.raises(SdpError):
        _ = CryptoAttribute(1, "NULL_HMAC_SHA1_80", Secret(bytes(30))).crypto_suite


HEX = ":".join(["AB"] * 32)


@pytest.mark.parametrize(
    "text",
    [f"sha-256 {HEX}", f"SHA-256 {HEX.lower()}", f" Sha-256  {HEX} "],
)
def test_a_fingerprint_is_read_in_any_case_and_written_in_one(text: str) -> None:
    parsed = Fingerprint.parse(text)
    assert parsed == Fingerprint("sha-256", b"\xab" * 32)
    assert str(parsed) == f"sha-256 {HEX}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha-256",
        f" {HEX}",
        f"sha-256 {HEX[:-3]}",
        f"sha-256 {HEX}:AB",
        f"sha-512 {HEX}",
        f"sha-256 {HEX.replace(':', '')}",
        f"sha-256 {HEX[:-2]}XY",
        f"sha-256 {HEX[:-2]}+1",
        f"sha-256 {HEX[:-2]}\u0661\u0662",
        f"sha-256 {HEX}:",
    ],
)
def test_a_malformed_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(SdpError):
        Fingerprint.parse(text)
    assert read_fingerprints([text]) == ()


@pytest.mark.parametrize(
    ("algorithm", "octets", "usable"),
    [
        ("sha-256", 32, True), ("sha-384", 48, True), ("sha-512", 64, True),
        ("sha-1", 20, False), ("md5", 16, False), ("md2", 16, False), ("sha-224", 28, False),
    ],
)  # fmt: skip
def test_only_strong_hash_functions_are_believed(algorithm: str, octets: int, usable: bool) -> None:
    (found,) = read_fingerprints([f"{algorithm} {':'.join(['0a'] * octets)}"])
    assert found.algorithm == algorithm
    assert found.usable is usable


def test_a_fingerprint_made_by_hand_with_a_short_digest_is_not_usable() -> None:
    assert not Fingerprint("sha-256", b"short").usable


def test_fingerprints_are_kept_once_each_and_up_to_the_limit() -> None:
    values = [f"sha-256 {':'.join([f'{n:02x}'] * 32)}" for n in range(MAX_FINGERPRINTS + 4)]
    assert len(read_fingerprints(values)) == MAX_FINGERPRINTS
    assert len(read_fingerprints([values[0]] * 3)) == 1
