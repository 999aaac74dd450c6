"""The SRTP library against the vectors of the RFCs, by way of the formulas of the RFCs (`tests/rig/srtp_reference.py`).

The RFCs give key streams, derived keys and, for GCM, packets under session keys; a library only takes master keys. So
the formulas are held to the vectors, and the library to the formulas, for each suite in both directions.
"""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.base.crypto_suite import BY_NAME, EVERY_SUITE, CryptoSuite
from gateway.base.values import Secret
from gateway.media.worker import libsrtp
from gateway.media.worker.srtp import SrtpFailure, SrtpReceiver, SrtpSender
from tests.media import packets
from tests.rig.srtp_reference import Reference, counter_mode, derive, xor

SALT = "f0f1f2f3f4f5f6f7f8f9fafbfcfd"
COUNTERS = ("0000", "0001", "0002", "feff", "ff00", "ff01")

KEY_STREAMS = {
    "RFC 3711 B.2": (
        "2b7e151628aed2a6abf7158809cf4f3c",
        "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab 41e95b3bb0a2e8dd477901e4fca894c0 "
        "ec8cdf7398607cb0f2d21675ea9ea1e4 362b7c3c6773516318a077d7fc5073ae 6a2cc3787889374fbeb4c81b17ba6c44",
    ),
    "RFC 6188 7.1": (
        "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
        "92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac 63c4868b7096d88421b563b8c94c9a31 "
        "cea518c90fd91ced9cbb18c078a54711 3dbc4814f4da5f00a08772b63c6a046d 6eb246913062a16891433e97dd01a57f",
    ),
    "RFC 6188 7.3": (
        "eab234764e517b2d3d160d587d8c86219740f65f99b6bcf7",
        "35096cba4610028dc1b57503804ce37c 5de986291dcce161d5165ec4568f5c9a 474a40c77894bc17180202272a4c264d "
        "d108d1a31a00bad6367ec23eb044b415 c8f57129fdeb970b59f917b257662d4c a5dab625811034e8cebdfeb6dc158dd3",
    ),
}

DERIVED_KEYS = {
    "RFC 3711 B.3": (
        "e1f97a0d3e018be0d64fa32c06de4139",
        "0ec675ad498afeebb6960b3aabe6",
        "c61e7a93744f39ee10734afe3ff7a087",
        "30cbbc08863d8c85d49db34a9ae1",
        "cebe321f6ff7716b6fd4ab49af256a156d38baa4",
    ),
    "RFC 6188 7.2": (
        "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6",
        "3b04803de51ee7c96423ab5b78d2",
        "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
        "fa31791685ca444a9e07c6c64e93",
        "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
    ),
    "RFC 6188 7.4": (
        "73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1",
        "c8522f3acd4ce86d5add78edbb11",
        "31874736a8f1143870c26e4857d8a5b2c4a354407faadabb",
        "2372b82d639b6d8503a47adc0a6c",
        "355b10973cd95b9eacf4061c7e1a7151e7cfbfcb",
    ),
}

GCM_PLAIN = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573"
GCM_PACKETS = {
    "RFC 7714 16.1.1": (
        16,
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
    ),
    "RFC 7714 16.2.1": (
        32,
        "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
    ),
}

RTCP_PLAIN = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef"
RTCP_INDEX = bytes.fromhex("000005d4")
GCM_REPORTS = {
    "RFC 7714 17.1": (
        16,
        "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf872"
        "45d9eade",
    ),
    "RFC 7714 17.2": (
        32,
        "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6c"
        "b26ac3be",
    ),
}
"""Encrypted ones; 17.3 and 17.4 only authenticate, which no suite of the table does."""

PACKETS = {
    "AES_CM_128_HMAC_SHA1_80": (
        "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6",
        "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
    ),
    "AES_256_CM_HMAC_SHA1_80": (
        "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63b04803de51ee7c96423ab5b78d2",
        "800f1234decafbadcafebabef1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b",
    ),
}
"""What libsrtp's own test driver expects of 800f1234 decafbad cafebabe and sixteen octets ab."""


@pytest.mark.parametrize("name", KEY_STREAMS)
def test_the_key_stream_of_counter_mode_is_that_of_the_rfc(name: str) -> None:
    key, expected = KEY_STREAMS[name]
    blocks = [counter_mode(bytes.fromhex(key), bytes.fromhex(SALT + at), bytes(16)).hex() for at in COUNTERS]
    assert blocks == expected.split()


@pytest.mark.parametrize("name", DERIVED_KEYS)
def test_the_session_keys_are_those_of_the_rfc(name: str) -> None:
    key, salt, *expected = (bytes.fromhex(text) for text in DERIVED_KEYS[name])
    found = [derive(key, salt, label, len(known)) for label, known in zip((0, 2, 1), expected, strict=True)]
    assert found == expected


@pytest.mark.parametrize("name", GCM_PACKETS)
def test_a_packet_of_gcm_is_that_of_the_rfc(name: str) -> None:
    size, expected = GCM_PACKETS[name]
    packet = bytes.fromhex(GCM_PLAIN)
    iv = xor(b"\0\0" + packet[8:12] + bytes(4) + packet[2:4], b"Quid pro quo")
    assert AESGCM(bytes(range(size))).encrypt(iv, packet[12:], packet[:12]).hex() == expected


@pytest.mark.parametrize("name", GCM_REPORTS)
def test_a_report_of_gcm_is_that_of_the_rfc(name: str) -> None:
    size, expected = GCM_REPORTS[name]
    report, marked = bytes.fromhex(RTCP_PLAIN), (int.from_bytes(RTCP_INDEX) | 1 << 31).to_bytes(4)
    iv = xor(bytes(2) + report[4:8] + bytes(2) + RTCP_INDEX, b"Quid pro quo")
    assert AESGCM(bytes(range(size))).encrypt(iv, report[8:], report[:8] + marked).hex() == expected


@pytest.mark.parametrize("name", PACKETS)
def test_a_packet_of_the_library_is_that_of_its_own_vectors(name: str) -> None:
    key, expected = PACKETS[name]
    sender = SrtpSender(BY_NAME[name], Secret(bytes.fromhex(key)))
    plain = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16
    assert sender.protect(plain, False) == bytes.fromhex(expected)


def _reference(suite: CryptoSuite, key: bytes, mki: bytes) -> Reference:
    size = suite.key_length
    cipher = "gcm" if suite.name.startswith("AEAD") else "cm"
    return Reference("gcm" if cipher == "gcm" else "cm", key[:size], key[size:], suite.tag_bits // 8, mki)


@pytest.mark.parametrize("mki", [b"", b"\x01", b"\0\0\0\x01", bytes(range(128))], ids=lambda mki: f"mki{len(mki)}")
@pytest.mark.parametrize("suite", EVERY_SUITE, ids=lambda s: s.name)
def test_every_suite_protects_as_the_formulas_say_and_opens_what_they_protect(suite: CryptoSuite, mki: bytes) -> None:
    key = os.urandom(suite.master_length)
    written = _reference(suite, key, mki)
    sender, receiver = SrtpSender(suite, Secret(key), mki), SrtpReceiver(suite, Secret(key), mki)
    report = packets.receiver_report()
    for n in (1, 2, 700):
        assert sender.protect(packets.rtp(n), False) == written.rtp(packets.rtp(n))
        assert receiver.unprotect(written.rtp(packets.rtp(n)), False) == packets.rtp(n)
    assert sender.protect(report, True) == written.rtcp(report, 1)
    assert receiver.unprotect(written.rtcp(report, 1), True) == report


def test_the_authentication_covers_the_roll_over_counter() -> None:
    suite = BY_NAME["AES_256_CM_HMAC_SHA1_80"]
    key = os.urandom(suite.master_length)
    written, receiver = _reference(suite, key, b""), SrtpReceiver(suite, Secret(key))
    ssrc = packets.rtp(5)[8:12]
    receiver.expect(ssrc, 7)
    assert receiver.unprotect(written.rtp(packets.rtp(5), 6), False) is SrtpFailure.FORGED
    assert receiver.unprotect(written.rtp(packets.rtp(5), 7), False) == packets.rtp(5)
    assert receiver.rollover(ssrc) == 7


@pytest.mark.parametrize("suite", EVERY_SUITE, ids=lambda s: s.name)
def test_a_packet_that_names_another_key_is_a_forgery(suite: CryptoSuite) -> None:
    key = Secret(os.urandom(suite.master_length))
    receiver = SrtpReceiver(suite, key, b"\0\x01")
    for other in (SrtpSender(suite, key), SrtpSender(suite, key, b"\0\x02"), SrtpSender(suite, key, b"\x01")):
        sealed, report = other.protect(packets.rtp(1), False), other.protect(packets.receiver_report(), True)
        assert isinstance(sealed, bytes)
        assert isinstance(report, bytes)
        assert receiver.unprotect(sealed, False) is SrtpFailure.FORGED
        assert receiver.unprotect(report, True) is SrtpFailure.FORGED


def test_each_name_the_adapter_uses_is_one_of_the_library() -> None:
    """Contract: a wheel that lacks one of them must be noticed here, and not in a call."""
    used = [name for pair in libsrtp._SETTERS.values() for name in pair]
    for name in (*(f"srtp_crypto_policy_set_{n}" for n in used), "srtp_set_stream_roc", "srtp_unprotect_rtcp_mki"):
        assert callable(getattr(libsrtp._lib, name))
    assert libsrtp._SETTERS.keys() == BY_NAME.keys()
    libsrtp._check_layout()


def test_aes_192_of_the_library_is_not_that_of_the_rfc_so_the_table_leaves_it_out() -> None:
    """libsrtp 2.7 derives session keys of AES-192 by the PRF of AES-256; when this fails, the suite can come in."""
    stands_in = CryptoSuite("AES_192_CM_HMAC_SHA1_80", "", 24, 14, 80)
    key = os.urandom(stands_in.master_length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(libsrtp._SETTERS, stands_in.name, ("aes_cm_192_hmac_sha1_80", "aes_cm_192_hmac_sha1_80"))
        sealed = SrtpSender(stands_in, Secret(key)).protect(packets.rtp(1), False)
    assert sealed != _reference(stands_in, key, b"").rtp(packets.rtp(1))
    assert not any(suite.key_length == 24 for suite in EVERY_SUITE)
