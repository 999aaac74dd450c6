"""Forty-odd pairs of our offer and a trunk's answer, and what they agree on (RFC 4568 5.1.3, RFC 8643 3)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.base.codes import Code
from gateway.base.errors import SdpError
from gateway.base.keying import Keying, Proto
from gateway.sdp.keying import CryptoAttribute
from gateway.sdp.media import LocalAudio, read_audio
from gateway.sdp.negotiation import check_trunk_answer
from tests.sdp.helpers import (
    ALL_SUITES,
    CM_80,
    GCM_128,
    GCM_256,
    browser_audio,
    capture,
    crypto,
    describe,
    key_text,
    remote,
    trunk_audio,
)

IGNORED, MIXED = Code.MEDIA_CRYPTO_IGNORED, Code.MEDIA_MIXED_KEYING
FALLBACK, REUSE = Code.MEDIA_OSRTP_FALLBACK, Code.KEY_REUSE

SAVP, OSRTP, PLAIN = trunk_audio(Proto.SAVP, ALL_SUITES), trunk_audio(Proto.AVP, ALL_SUITES), trunk_audio()
ONE = trunk_audio(Proto.SAVP, (crypto(3, CM_80, 9),))
SAVPF, AVPF = trunk_audio(Proto.SAVPF, ALL_SUITES), trunk_audio(Proto.AVPF)
FP = "fingerprint:sha-256 " + ":".join(["AB"] * 32)


def line(tag: int, suite: str = CM_80, fill: int = 77, tail: str = "") -> str:
    """An a=crypto of the trunk's own making."""
    return f"crypto:{tag} {suite} inline:{key_text(suite, fill)}{tail}"


@dataclass(frozen=True)
class Pair:
    name: str
    offer: LocalAudio
    proto: str
    lines: tuple[str, ...]
    problem: Code | None = None
    keying: Keying = Keying.NONE
    suite: str = ""


def sdes(name: str, offer: LocalAudio, proto: str, attribute: str, suite: str) -> Pair:
    return Pair(name, offer, proto, (attribute,), keying=Keying.SDES, suite=suite)


PAIRS = [
    # agreed
    sdes("GCM-256", SAVP, "RTP/SAVP", line(1, GCM_256), GCM_256),
    sdes("GCM-128", SAVP, "RTP/SAVP", line(2, GCM_128), GCM_128),
    sdes("CM-80", SAVP, "RTP/SAVP", line(3), CM_80),
    sdes("key without padding", SAVP, "RTP/SAVP", line(2, GCM_128).rstrip("="), GCM_128),
    sdes("lifetime as power", SAVP, "RTP/SAVP", line(3, tail="|2^20"), CM_80),
    sdes("lifetime as number", SAVP, "RTP/SAVP", line(3, tail="|1048576"), CM_80),
    sdes("MKI", SAVP, "RTP/SAVP", line(3, tail="|2^20|1:4"), CM_80),
    sdes("MKI without lifetime", SAVP, "RTP/SAVP", line(3, tail="|1:4"), CM_80),
    sdes("window hint", SAVP, "RTP/SAVP", line(3, tail=" WSH=128"), CM_80),
    sdes("SAVPF for SAVP", SAVP, "RTP/SAVPF", line(3), CM_80),
    sdes("SAVP for SAVPF", SAVPF, "RTP/SAVP", line(3), CM_80),
    sdes("lower-case transport", SAVP, "rtp/savp", line(3), CM_80),
    sdes("tag with zeros", SAVP, "RTP/SAVP", line(3).replace("crypto:3", "crypto:003"), CM_80),
    sdes("one suite offered", ONE, "RTP/SAVP", line(3), CM_80),
    sdes("OSRTP taken up", OSRTP, "RTP/AVP", line(3), CM_80),
    sdes("OSRTP taken up with AVPF", OSRTP, "RTP/AVPF", line(1, GCM_256), GCM_256),
    # plain
    Pair("plain to plain", PLAIN, "RTP/AVP", ()),
    Pair("AVPF for AVP", PLAIN, "RTP/AVPF", ()),
    Pair("AVP for AVPF", AVPF, "RTP/AVP", ()),
    Pair("OSRTP not taken up", OSRTP, "RTP/AVP", (), FALLBACK),
    Pair("OSRTP, and only a fingerprint", OSRTP, "RTP/AVP", (FP,), FALLBACK),
    Pair("crypto that was not asked for", PLAIN, "RTP/AVP", (line(1),)),
    Pair("junk crypto that was not asked for", PLAIN, "RTP/AVP", ("crypto:junk",)),
    # protection asked for and not given
    Pair("SAVP without crypto", SAVP, "RTP/SAVP", (), IGNORED),
    Pair("SAVP with only a fingerprint", SAVP, "RTP/SAVP", (FP,), IGNORED),
    Pair("AVP for SAVP", SAVP, "RTP/AVP", (), IGNORED),
    Pair("AVP for SAVP, with a good key", SAVP, "RTP/AVP", (line(3),), IGNORED),
    Pair("DTLS for SAVP", SAVP, "UDP/TLS/RTP/SAVP", (FP,), IGNORED),
    Pair("SAVP for OSRTP", OSRTP, "RTP/SAVP", (line(3),), IGNORED),
    Pair("SAVP for plain", PLAIN, "RTP/SAVP", (line(3),), IGNORED),
    Pair("tag never offered", SAVP, "RTP/SAVP", (line(4),), IGNORED),
    Pair("tag zero", SAVP, "RTP/SAVP", (line(0),), IGNORED),
    Pair("suite of another tag", SAVP, "RTP/SAVP", (line(1, GCM_128),), IGNORED),
    Pair("suite never offered", ONE, "RTP/SAVP", (line(3, GCM_256),), IGNORED),
    Pair("short tag", SAVP, "RTP/SAVP", (line(3).replace("SHA1_80", "SHA1_32"),), IGNORED),
    Pair("NULL cipher", SAVP, "RTP/SAVP", (line(3).replace("AES_CM_128", "NULL"),), IGNORED),
    Pair("AES-256-CM", SAVP, "RTP/SAVP", (line(3).replace("AES_CM_128", "AES_256_CM"),), IGNORED),
    Pair("another suite's key", SAVP, "RTP/SAVP", (f"crypto:3 {CM_80} inline:{key_text(GCM_256, 5)}",), IGNORED),
    Pair("key cut short", SAVP, "RTP/SAVP", (line(3)[:-4],), IGNORED),
    Pair("no key", SAVP, "RTP/SAVP", (f"crypto:3 {CM_80}",), IGNORED),
    Pair("two named keys", SAVP, "RTP/SAVP", (line(3, tail=f"|1:4;inline:{key_text(CM_80, 9)}|2:4"),), IGNORED),
    Pair("MKI of no octets", SAVP, "RTP/SAVP", (line(3, tail="|1:0"),), IGNORED),
    Pair("lifetime too short", SAVP, "RTP/SAVP", (line(3, tail="|2^11"),), IGNORED),
    Pair("two keys", SAVP, "RTP/SAVP", (line(3, tail=f";inline:{key_text(CM_80, 8)}"),), IGNORED),
    Pair("unencrypted SRTP", SAVP, "RTP/SAVP", (line(3, tail=" UNENCRYPTED_SRTP"),), IGNORED),
    Pair("unencrypted SRTCP", SAVP, "RTP/SAVP", (line(3, tail=" UNENCRYPTED_SRTCP"),), IGNORED),
    Pair("unauthenticated SRTP", SAVP, "RTP/SAVP", (line(3, tail=" UNAUTHENTICATED_SRTP"),), IGNORED),
    Pair("key derivation rate", SAVP, "RTP/SAVP", (line(3, tail=" KDR=24"),), IGNORED),
    Pair("unknown parameter", SAVP, "RTP/SAVP", (line(3, tail=" X=1"),), IGNORED),
    Pair("two crypto lines", SAVP, "RTP/SAVP", (line(1, GCM_256), line(3)), IGNORED),
    Pair("a good line and a bad one", SAVP, "RTP/SAVP", (line(3), line(1, GCM_256, tail="|1:4")), IGNORED),
    Pair("the same line twice", SAVP, "RTP/SAVP", (line(3), line(3)), IGNORED),
    Pair("OSRTP with an unusable line is no fallback", OSRTP, "RTP/AVP", (line(3, tail=" UNENCRYPTED_SRTP"),), IGNORED),
    Pair("OSRTP with a tag never offered", OSRTP, "RTP/AVP", (line(9),), IGNORED),
    # two methods, one key
    Pair("crypto and fingerprint", SAVP, "RTP/SAVP", (line(3), FP), MIXED),
    Pair("unusable crypto and fingerprint", SAVP, "RTP/SAVP", ("crypto:junk", FP), MIXED),
    Pair("OSRTP, crypto and fingerprint", OSRTP, "RTP/AVP", (line(3), FP), MIXED),
    Pair("our key echoed", SAVP, "RTP/SAVP", (line(3, fill=201),), REUSE),
    Pair("our key of another line echoed", trunk_audio(Proto.SAVP, (crypto(1, GCM_128, 5), crypto(2, CM_80, 200))),
         "RTP/SAVP", (line(2, fill=5),), REUSE),
    Pair("OSRTP, our key echoed", OSRTP, "RTP/AVP", (line(1, GCM_256, fill=1),), REUSE),
]  # fmt: skip


def test_the_table_has_at_least_forty_pairs() -> None:
    assert len({pair.name for pair in PAIRS}) == len(PAIRS) >= 40


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p.name)
def test_an_answer_agrees_on_exactly_what_was_offered(pair: Pair) -> None:
    answer = remote(*(f"a={text}" for text in pair.lines), proto=pair.proto)
    agreed = check_trunk_answer(pair.offer, answer)
    assert agreed.problem == pair.problem
    assert agreed.keying is pair.keying
    assert (agreed.suite.name if agreed.suite else "") == pair.suite
    if agreed.keying is Keying.SDES:
        assert agreed.local in pair.offer.cryptos
        assert agreed.remote == answer.cryptos[0]
        assert isinstance(agreed.local, CryptoAttribute)
        assert agreed.local.tag == agreed.remote.tag if agreed.remote else False


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p.name)
def test_an_answer_with_a_problem_gives_no_keys(pair: Pair) -> None:
    agreed = check_trunk_answer(pair.offer, remote(*(f"a={text}" for text in pair.lines), proto=pair.proto))
    if agreed.problem:
        assert (agreed.keying, agreed.suite, agreed.local, agreed.remote) == (Keying.NONE, None, None, None)


@pytest.mark.parametrize("offer", [SAVP, OSRTP, PLAIN])
def test_an_answer_that_refuses_audio_is_an_error(offer: LocalAudio) -> None:
    refused = read_audio(describe(proto=offer.proto.value, port=0), index=0)
    with pytest.raises(SdpError) as caught:
        check_trunk_answer(offer, refused)
    assert caught.value.status == 488


def test_an_offer_that_demands_srtp_without_a_key_agrees_on_nothing() -> None:
    assert check_trunk_answer(trunk_audio(Proto.SAVP), remote(f"a={line(1)}", proto="RTP/SAVP")).problem == IGNORED


@pytest.mark.parametrize("capture_name", ["pjsua2_answer_tls_sec", "baresip_answer_echo", "baresip_answer_mand"])
def test_real_phones_accept_what_they_were_offered(capture_name: str) -> None:
    answer = read_audio(capture(capture_name))
    tag = answer.cryptos[0].tag
    agreed = check_trunk_answer(trunk_audio(Proto.SAVP, (crypto(tag, CM_80, 3),)), answer)
    assert (agreed.keying, agreed.problem) == (Keying.SDES, None)


def test_a_real_phone_that_took_another_suite_is_refused() -> None:
    agreed = check_trunk_answer(SAVP, read_audio(capture("pjsua2_answer_sdes_m")))
    assert agreed.problem == IGNORED


@pytest.mark.parametrize(
    ("lines", "keying", "problem"),
    [
        ((f"a={FP}", "a=setup:active"), Keying.DTLS, None),
        (("a=setup:active",), Keying.NONE, IGNORED),
        (("a=fingerprint:sha-1 " + ":".join(["AB"] * 20),), Keying.NONE, Code.DTLS_FP_WEAK),
        ((f"a={FP}", f"a={line(1)}"), Keying.NONE, MIXED),
    ],
)
def test_a_dtls_answer_promises_a_fingerprint_and_nothing_else(
    lines: tuple[str, ...], keying: Keying, problem: Code | None
) -> None:
    agreed = check_trunk_answer(browser_audio(), remote(*lines, proto="UDP/TLS/RTP/SAVPF"))
    assert (agreed.keying, agreed.problem) == (keying, problem)
