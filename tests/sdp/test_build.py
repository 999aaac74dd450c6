"""What we send: golden descriptions for each profile, and what must never be in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.base.errors import SdpError
from gateway.base.keying import Proto, Setup
from gateway.sdp.build import build_answer, build_offer
from gateway.sdp.codecs import Codec
from gateway.sdp.description import SessionDescription
from gateway.sdp.direction import Direction
from gateway.sdp.media import LocalAudio, read_audio
from tests.sdp.helpers import (
    ALL_SUITES,
    BROWSER_OFFERS,
    CM_80,
    DTMF_8,
    FINGERPRINT,
    GCM_256,
    OPUS,
    PCMU,
    VECTORS,
    browser_audio,
    capture,
    crypto,
    describe,
    key_text,
    parse_lines,
    trunk_audio,
)

KEY_LINE = f"a=crypto:3 {CM_80} inline:{key_text(CM_80, 1)}"
DTLS_TRUNK = replace(trunk_audio(Proto.DTLS_SAVPF), fingerprint=FINGERPRINT, setup=Setup.ACTPASS)


def answer_to(name: str, audio: LocalAudio, index: int = 0) -> bytes:
    return build_answer(audio, capture(name), audio_index=index, session_id=7001, version=1)


def offer(audio: LocalAudio) -> bytes:
    return build_offer(audio, session_id=7000, version=1)


GOLDEN: dict[str, Callable[[], bytes]] = {
    "offer_strict_savp": lambda: offer(trunk_audio(Proto.SAVP, ALL_SUITES)),
    "offer_prefer_retry_avp": lambda: build_offer(trunk_audio(), session_id=7000, version=2),
    "offer_osrtp_avp_with_crypto": lambda: offer(trunk_audio(Proto.AVP, ALL_SUITES)),
    "offer_legacy_avp_with_mux_and_hold": lambda: offer(
        replace(trunk_audio(mux=True), direction=Direction.SENDONLY, ptime=20)
    ),
    "offer_trunk_ipv6": lambda: offer(replace(trunk_audio(), address="2001:db8::7")),
    "offer_trunk_dtls": lambda: offer(DTLS_TRUNK),
    "offer_browser": lambda: offer(browser_audio(Setup.ACTPASS)),
    "answer_strict_to_pjsua2_savp": lambda: answer_to(
        "pjsua2_offer_tls_sec", replace(trunk_audio(Proto.SAVP, (crypto(1, CM_80, 9),)), codecs=(PCMU, DTMF_8))
    ),
    "answer_osrtp_to_pjsua2_avp_with_crypto": lambda: answer_to(
        "pjsua2_offer_opt_opt", replace(trunk_audio(Proto.AVP, (crypto(3, CM_80, 9),)), codecs=(PCMU, DTMF_8))
    ),
    "answer_legacy_to_baresip": lambda: answer_to("baresip_offer_srtp", replace(trunk_audio(), codecs=(PCMU,))),
    "answer_to_chromium": lambda: answer_to("chromium_offer", browser_audio()),
    "answer_to_firefox": lambda: answer_to("firefox_offer", replace(browser_audio(), codecs=(PCMU,))),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_description_of_each_kind_is_byte_for_byte_as_agreed(name: str) -> None:
    assert GOLDEN[name]().decode() == (VECTORS / "golden" / f"{name}.sdp").read_bytes().decode()


def test_every_golden_file_is_tested() -> None:
    assert {p.stem for p in (VECTORS / "golden").glob("*.sdp")} == set(GOLDEN)


BROWSER_ONLY = (
    "candidate", "ice-", "fingerprint", "setup", "msid", "ssrc", "extmap", "mid:", "group", "rtcp-fb", "rtcp-xr",
    "rtcp-rsize", "cname", "end-of-candidates", "192.0.2.2", "fd00::2", ".local", "mozilla",
)  # fmt: skip


@pytest.mark.parametrize("name", BROWSER_OFFERS)
@pytest.mark.parametrize("cryptos", [(), ALL_SUITES])
def test_a_trunk_offer_made_of_a_browsers_codecs_has_nothing_else_of_the_browser(name: str, cryptos: tuple[()]) -> None:
    codecs = tuple(c for c in read_audio(capture(name)).codecs if c.name != "red")
    text = offer(replace(trunk_audio(Proto.SAVP if cryptos else Proto.AVP, cryptos), codecs=codecs)).decode()
    assert not [word for word in BROWSER_ONLY if word in text]
    assert "o=- 7000 1 IN IP4 198.51.100.7\r\n" in text


def test_a_trunk_answer_to_an_offer_full_of_browser_attributes_repeats_none() -> None:
    text = answer_to("rtpengine_offer_sdes", trunk_audio(Proto.SAVP, (crypto(7, CM_80, 9),))).decode()
    assert not [word for word in BROWSER_ONLY if word in text]


def test_sdes_keys_never_go_to_a_browser() -> None:
    for audio in (browser_audio(), browser_audio(Setup.ACTPASS)):
        with pytest.raises(SdpError, match="never sent to a browser") as caught:
            offer(replace(audio, cryptos=ALL_SUITES))
        assert caught.value.status == 500
        with pytest.raises(SdpError):
            answer_to("chromium_offer", replace(audio, cryptos=ALL_SUITES[:1]))


@pytest.mark.parametrize(
    "audio",
    [
        replace(browser_audio(), proto=Proto.AVP),
        replace(browser_audio(), fingerprint=None),
        replace(browser_audio(), rtcp_mux=False),
        replace(browser_audio(), ice_pwd=""),
        replace(browser_audio(), setup=None),
        replace(browser_audio(), ice_ufrag="x\r\na=crypto:1"),
        replace(trunk_audio(), proto=Proto.SAVP),
        replace(trunk_audio(), proto=Proto.DTLS_SAVPF),
        replace(DTLS_TRUNK, cryptos=ALL_SUITES),
        replace(trunk_audio(), codecs=()),
        replace(trunk_audio(), codecs=(Codec(72, "PCMU", 8000),)),
        replace(trunk_audio(), codecs=(Codec(96, "x\r\na=crypto:1 y", 8000),)),
        replace(trunk_audio(), codecs=(Codec(96, "gr\u00fcn", 8000),)),
        replace(trunk_audio(), address=""),
        replace(trunk_audio(), address="192.0.2.1\r\na=inactive"),
    ],
)
def test_contradicting_facts_are_never_sent(audio: LocalAudio) -> None:
    with pytest.raises(SdpError) as caught:
        offer(audio)
    assert caught.value.status == 500


MIXED = (
    "v=0", "c=IN IP4 192.0.2.9", "a=group:BUNDLE a v d", "m=video 5000 UDP/TLS/RTP/SAVPF 96 97", "a=mid:v",
    "m=audio 4000 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", "a=rtcp-mux", "a=mid:a", "a=setup:actpass",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:d", "m=image 4002 udptl t38", "m=audio 0 RTP/AVP",
)  # fmt: skip


def test_all_lines_but_one_are_refused_in_their_places() -> None:
    """RFC 3264 6."""
    data = build_answer(browser_audio(), parse_lines(*MIXED), audio_index=1, session_id=1, version=1)
    media = SessionDescription.parse(data).media
    assert [(m.media, m.port, m.proto) for m in media] == [
        ("video", 0, "UDP/TLS/RTP/SAVPF"),
        ("audio", 10000, "UDP/TLS/RTP/SAVPF"),
        ("application", 0, "UDP/DTLS/SCTP"),
        ("image", 0, "udptl"),
        ("audio", 0, "RTP/AVP"),
    ]
    assert [m.formats[0] for m in media] == ["96", "111", "webrtc-datachannel", "t38", "0"]


def test_the_bundle_group_keeps_only_the_accepted_mid() -> None:
    """RFC 8843 7.3."""
    data = build_answer(browser_audio(), parse_lines(*MIXED), audio_index=1, session_id=1, version=1)
    answer = SessionDescription.parse(data)
    assert answer.attrs("group") == ["BUNDLE a"]
    assert [m.attr("mid") for m in answer.media] == ["v", "a", "d", None, None]


def test_no_bundle_group_is_invented() -> None:
    lines = [line for line in MIXED if not line.startswith("a=group")]
    data = build_answer(browser_audio(), parse_lines(*lines), audio_index=1, session_id=1, version=1)
    assert SessionDescription.parse(data).attrs("group") == []


def test_the_answer_repeats_the_offers_transport_as_it_was_written() -> None:
    data = build_answer(trunk_audio(), describe(proto="rtp/avp"), audio_index=0, session_id=1, version=1)
    assert b"m=audio 20000 rtp/avp " in data


def test_rtcp_mux_is_said_only_when_it_was_offered() -> None:
    """RFC 5761 5.1.1."""
    with_mux = build_answer(trunk_audio(mux=True), describe("a=rtcp-mux"), audio_index=0, session_id=1, version=1)
    without = build_answer(trunk_audio(mux=True), describe(), audio_index=0, session_id=1, version=1)
    declined = build_answer(trunk_audio(), describe("a=rtcp-mux"), audio_index=0, session_id=1, version=1)
    assert b"a=rtcp-mux" in with_mux
    assert b"a=rtcp:" not in with_mux
    for data in (without, declined):
        assert b"a=rtcp-mux" not in data
        assert b"a=rtcp:20001\r\n" in data


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a=sendrecv", Direction.SENDRECV),
        ("a=sendonly", Direction.RECVONLY),
        ("a=recvonly", Direction.SENDONLY),
        ("a=inactive", Direction.INACTIVE),
        ("c=IN IP4 0.0.0.0", Direction.RECVONLY),
    ],
)
def test_an_answer_to_hold_is_the_mirror_of_the_offer(line: str, said: Direction) -> None:
    data = build_answer(trunk_audio(), describe(line), audio_index=0, session_id=1, version=1)
    assert read_audio(SessionDescription.parse(data)).direction is said


def test_one_offered_key_is_answered_with_its_tag_and_suite() -> None:
    """RFC 4568 5.1.2."""
    desc = describe(KEY_LINE, proto="RTP/SAVP")
    ours = crypto(3, CM_80, 99)
    data = build_answer(trunk_audio(Proto.SAVP, (ours,)), desc, audio_index=0, session_id=1, version=1)
    assert SessionDescription.parse(data).media[0].attrs("crypto") == [f"3 {CM_80} inline:{key_text(CM_80, 99)}"]


@pytest.mark.parametrize(
    "audio",
    [
        trunk_audio(Proto.SAVP, (crypto(1, CM_80, 9),)),
        trunk_audio(Proto.SAVP, (crypto(3, GCM_256, 9),)),
        trunk_audio(Proto.SAVP, (crypto(3, CM_80, 9), crypto(4, CM_80, 50))),
        trunk_audio(Proto.SAVPF, (crypto(3, CM_80, 9),)),
        trunk_audio(),
        DTLS_TRUNK,
    ],
)
def test_an_answer_that_does_not_fit_the_offer_is_never_sent(audio: LocalAudio) -> None:
    with pytest.raises(SdpError):
        build_answer(audio, describe(KEY_LINE, proto="RTP/SAVP"), audio_index=0, session_id=1, version=1)


def test_only_one_of_several_offered_keys_is_answered() -> None:
    second = f"a=crypto:4 {CM_80} inline:{key_text(CM_80, 60)}"
    both = trunk_audio(Proto.SAVP, (crypto(3, CM_80, 9), crypto(4, CM_80, 90)))
    with pytest.raises(SdpError, match="exactly one"):
        build_answer(both, describe(KEY_LINE, second, proto="RTP/SAVP"), audio_index=0, session_id=1, version=1)


def test_a_trunk_is_not_told_the_mids_of_refused_lines_either() -> None:
    desc = parse_lines(
        "v=0", "c=IN IP4 192.0.2.9", "m=audio 4000 RTP/AVP 0", "a=mid:a", "m=video 4002 RTP/AVP 96", "a=mid:v"
    )
    assert b"mid" not in build_answer(trunk_audio(), desc, audio_index=0, session_id=1, version=1)


@pytest.mark.parametrize("index", [-1, 1, 99])
def test_an_answer_names_an_audio_line_of_the_offer(index: int) -> None:
    desc = parse_lines("v=0", "c=IN IP4 192.0.2.9", "m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 96")
    with pytest.raises(SdpError):
        build_answer(trunk_audio(), desc, audio_index=index, session_id=1, version=1)


def test_a_browser_that_offers_no_mux_gets_no_answer() -> None:
    desc = describe("a=setup:actpass", proto="UDP/TLS/RTP/SAVPF")
    with pytest.raises(SdpError) as caught:
        build_answer(browser_audio(), desc, audio_index=0, session_id=1, version=1)
    assert caught.value.status == 488


@pytest.mark.parametrize(
    ("offered", "ours", "fits"),
    [
        ("actpass", Setup.PASSIVE, True), ("actpass", Setup.ACTIVE, True), ("actpass", Setup.ACTPASS, False),
        ("active", Setup.PASSIVE, True), ("active", Setup.ACTIVE, False), ("passive", Setup.ACTIVE, True),
        ("passive", Setup.PASSIVE, False), ("holdconn", Setup.PASSIVE, False),
    ],
)  # fmt: skip
def test_dtls_roles_of_offer_and_answer_fit_together(offered: str, ours: Setup, fits: bool) -> None:
    """RFC 4145 4.1, RFC 5763 5."""
    desc = describe(f"a=setup:{offered}", "a=rtcp-mux", proto="UDP/TLS/RTP/SAVPF")
    if fits:
        data = build_answer(browser_audio(ours), desc, audio_index=0, session_id=1, version=1)
        assert f"a=setup:{ours}\r\n".encode() in data
        return
    with pytest.raises(SdpError):
        build_answer(browser_audio(ours), desc, audio_index=0, session_id=1, version=1)


def test_candidates_fall_in_priority_and_differ_in_foundation() -> None:
    values = SessionDescription.parse(offer(browser_audio())).media[0].attrs("candidate")
    assert values == [
        "1 1 udp 2130706431 203.0.113.10 10000 typ host",
        "2 1 udp 2130706175 2001:db8::10 10000 typ host",
    ]


def test_an_unsafe_codec_parameter_is_dropped_and_events_are_always_ours() -> None:
    codecs = (replace(OPUS, fmtp="x-user=alice;useinbandfec=1"), replace(DTMF_8, fmtp="0-15,66,70"))
    section = SessionDescription.parse(offer(replace(trunk_audio(), codecs=codecs))).media[0]
    assert section.attrs("fmtp") == ["111 useinbandfec=1", "101 0-16"]


def test_a_local_description_does_not_print_its_secrets() -> None:
    shown = repr(browser_audio()) + repr(trunk_audio(Proto.SAVP, ALL_SUITES))
    assert "gatewaypassword" not in shown
    assert key_text(CM_80, 201) not in shown
