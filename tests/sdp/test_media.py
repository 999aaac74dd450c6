"""What a remote description says about its audio (RFC 3264, RFC 3605, RFC 5761, RFC 8839)."""

from __future__ import annotations

import pytest

from gateway.base.codes import Code
from gateway.base.crypto_suite import SUITES, CryptoSuite
from gateway.base.errors import SdpError
from gateway.base.keying import Proto, Setup
from gateway.base.values import HostPort
from gateway.sdp.description import SessionDescription
from gateway.sdp.direction import Direction
from gateway.sdp.media import MAX_CANDIDATES, audio_lines, bundle_tag, read_audio, restricted, strongest
from tests.sdp.helpers import BROWSER_OFFERS, CM_80, VECTORS, capture, describe, key_text, parse_lines, remote

KEY_LINE = f"a=crypto:1 {CM_80} inline:{key_text(CM_80, 1)}"
BAD_KEY_LINE = f"a=crypto:1 {CM_80} inline:{key_text(CM_80, 1)} UNENCRYPTED_SRTP"
SHA1 = "a=fingerprint:sha-1 " + ":".join(["AB"] * 20)
SHA256 = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
SEND_RECV, SEND, RECV, NONE = Direction.SENDRECV, Direction.SENDONLY, Direction.RECVONLY, Direction.INACTIVE


@pytest.mark.parametrize("name", BROWSER_OFFERS)
def test_a_browser_offer_is_dtls_with_ice_and_mux_and_is_not_on_hold(name: str) -> None:
    """The mDNS offer has c=0.0.0.0, which with ICE is no hold."""
    audio = read_audio(capture(name))
    assert audio.proto is Proto.DTLS_SAVPF
    assert audio.rtcp_mux
    assert audio.direction is SEND_RECV
    assert audio.setup is Setup.ACTPASS
    assert audio.mid == "0"
    assert audio.ice is not None
    assert audio.ice.candidates > 0
    assert audio.has_keys
    assert not audio.cryptos


def test_firefox_names_its_fingerprint_at_session_level() -> None:
    audio = read_audio(capture("firefox_offer"))
    assert [f.algorithm for f in audio.fingerprints] == ["sha-256"]
    assert audio.rtcp == HostPort("192.0.2.2", 45086)


def test_baresip_offers_dtls_without_ice_or_mux_and_all_at_session_level() -> None:
    audio = read_audio(capture("baresip_offer_dtls_srtp"))
    assert audio.proto is Proto.DTLS_SAVPF
    assert audio.setup is Setup.ACTPASS
    assert str(audio.fingerprints[0]).startswith("sha-256 DD:ED:FD")
    assert audio.ice is None
    assert not audio.rtcp_mux


def shortfall(suite: CryptoSuite) -> Code | None:
    """The built-in set."""
    return None if suite in SUITES else Code.SUITE_WEAK_TAG


def test_what_a_policy_leaves_of_the_keys_is_all_that_is_seen_of_them() -> None:
    offer = read_audio(capture("pjsua2_offer_sdes_m"))
    assert [key.tag for key in offer.cryptos] == [1, 2, 3, 4]
    assert restricted(offer, lambda suite: None) is offer
    none = restricted(offer, lambda suite: Code.SUITE_SMALL_KEY)
    assert (none.cryptos, none.crypto_problems, none.has_keys) == ((), (Code.SUITE_SMALL_KEY,), False)
    assert none.crypto_lines == offer.crypto_lines, "the peer means SRTP all the same"
    assert not restricted(read_audio(capture("pjsua2_offer_opt_opt")), lambda s: Code.SUITE_UNKNOWN).unprotected_crypto


@pytest.mark.parametrize(
    ("name", "proto", "usable", "problems"),
    [
        ("pjsua2_offer_opt_opt", Proto.AVP, [1, 3], ("suite.weak_tag",)),
        ("pjsua2_offer_sdes_m", Proto.SAVP, [1, 3], ("suite.weak_tag",)),
        ("pjsua2_offer_tls_sec", Proto.SAVP, [1], ()),
        ("baresip_offer_srtp", Proto.AVP, [1], ()),
        ("baresip_offer_srtp-mandf", Proto.SAVPF, [1], ()),
        ("baresip_answer_echo", Proto.SAVP, [3], ()),
        ("rtpengine_offer_sdes", Proto.SAVP, [1, 2, 3, 7], ("suite.unknown", "suite.weak_tag", "suite.null")),
    ],
)
def test_trunk_captures_yield_their_usable_keys(
    name: str, proto: Proto, usable: list[int], problems: tuple[str, ...]
) -> None:
    audio = restricted(read_audio(capture(name)), shortfall)
    assert audio.proto is proto
    assert [c.tag for c in audio.cryptos] == usable
    assert set(audio.crypto_problems) == set(problems)
    assert audio.unprotected_crypto is (proto is Proto.AVP)


def test_pjsua2_says_where_its_rtcp_goes() -> None:
    audio = read_audio(capture("pjsua2_offer_tls_sec"))
    assert (audio.rtp, audio.rtcp) == (HostPort("127.0.0.1", 4000), HostPort("127.0.0.1", 4001))


@pytest.mark.parametrize(
    ("line", "rtcp"),
    [
        ("a=x", HostPort("192.0.2.9", 4001)),
        ("a=rtcp:5000", HostPort("192.0.2.9", 5000)),
        ("a=rtcp:5000 IN IP4 198.51.100.1", HostPort("198.51.100.1", 5000)),
        ("a=rtcp:5000 IN IP6 2001:db8::1", HostPort("2001:db8::1", 5000)),
        ("a=rtcp:5000 IN IP4 <bad>", HostPort("192.0.2.9", 5000)),
        ("a=rtcp:x", HostPort("192.0.2.9", 4001)),
        ("a=rtcp:0", HostPort("192.0.2.9", 4001)),
        ("a=rtcp:70000", HostPort("192.0.2.9", 4001)),
    ],
)
def test_rtcp_goes_where_it_is_said_or_one_port_above(line: str, rtcp: HostPort) -> None:
    assert remote(line).rtcp == rtcp


def test_no_rtcp_port_exists_above_the_last() -> None:
    assert remote(port=65535).rtcp is None


@pytest.mark.parametrize(
    ("session", "media", "expected"),
    [
        ("", "", SEND_RECV),
        ("a=sendonly", "", SEND),
        ("a=inactive", "a=sendrecv", SEND_RECV),
        ("", "a=recvonly", RECV),
        ("", "a=inactive", NONE),
        ("c=IN IP4 0.0.0.0", "", SEND),
        ("c=IN IP6 ::", "", SEND),
        ("c=IN IP4 0.0.0.0", "a=sendonly", SEND),
        ("c=IN IP4 0.0.0.0", "a=recvonly", NONE),
        ("c=IN IP4 0.0.0.0", "a=inactive", NONE),
        ("c=IN IP4 media.example.com", "", SEND_RECV),
        ("c=IN IP4 127.0.0.1", "", SEND_RECV),
        ("", "a=sendonly:x", SEND_RECV),
        ("", "i=sendonly", SEND_RECV),
    ],
)
def test_direction_has_session_default_and_the_old_hold(session: str, media: str, expected: Direction) -> None:
    connection = [] if session.startswith("c=") else ["c=IN IP4 192.0.2.9"]
    lines = ["v=0", "o=- 1 1 IN IP4 192.0.2.9", "s=-", *connection, session, "m=audio 4000 RTP/AVP 0", media]
    assert read_audio(parse_lines(*(line for line in lines if line))).direction is expected


@pytest.mark.parametrize(
    ("direction", "mirror"), [(SEND_RECV, SEND_RECV), (SEND, RECV), (RECV, SEND), (NONE, NONE)]
)  # fmt: skip
def test_a_direction_is_mirrored_for_the_other_side(direction: Direction, mirror: Direction) -> None:
    assert direction.reversed is mirror
    assert direction.reversed.reversed is direction
    assert direction.sends is mirror.receives


@pytest.mark.parametrize("offered", Direction)
@pytest.mark.parametrize("wanted", Direction)
def test_an_answer_never_says_more_than_the_offer_allows(offered: Direction, wanted: Direction) -> None:
    """RFC 3264 6.1."""
    said = offered.answered_with(wanted)
    assert said.sends == (offered.receives and wanted.sends)
    assert said.receives == (offered.sends and wanted.receives)


@pytest.mark.parametrize(
    ("proto", "keyed", "dtls"),
    [
        ("RTP/AVP", False, False), ("RTP/AVPF", False, False), ("RTP/SAVP", True, False), ("RTP/SAVPF", True, False),
        ("UDP/TLS/RTP/SAVP", True, True), ("UDP/TLS/RTP/SAVPF", True, True), ("rtp/savp", True, False),
    ],
)  # fmt: skip
def test_the_transport_tells_how_the_line_is_keyed(proto: str, keyed: bool, dtls: bool) -> None:
    audio = remote(proto=proto)
    assert (audio.proto.keyed, audio.proto.dtls) == (keyed, dtls)


@pytest.mark.parametrize("proto", ["udptl", "TCP/RTP/AVP", "RTP/AVPX", "TCP/TLS/RTP/SAVP", "DTLS/RTP/SAVP"])
def test_an_audio_line_with_an_unknown_transport_is_no_audio(proto: str) -> None:
    with pytest.raises(SdpError) as caught:
        read_audio(describe(proto=proto))
    assert caught.value.status == 488


def test_without_a_live_audio_line_there_is_no_audio() -> None:
    with pytest.raises(SdpError, match="no audio"):
        read_audio(describe(port=0))
    with pytest.raises(SdpError, match="no audio"):
        read_audio(parse_lines("v=0", "m=video 5000 RTP/AVP 96"))


def test_a_refused_line_can_be_read_by_its_index_and_needs_no_address() -> None:
    desc = parse_lines("v=0", "m=video 0 RTP/AVP 96", "m=audio 0 RTP/AVP 0")
    audio = read_audio(desc, index=1)
    assert (audio.index, audio.rtp, audio.rtcp) == (1, None, None)
    with pytest.raises(SdpError):
        read_audio(desc, index=0)
    with pytest.raises(SdpError):
        read_audio(desc, index=7)


def test_a_live_line_needs_an_address() -> None:
    with pytest.raises(SdpError) as caught:
        read_audio(parse_lines("v=0", "m=audio 4000 RTP/AVP 0"))
    assert caught.value.status == 400


def test_the_first_live_audio_line_is_read() -> None:
    desc = parse_lines(
        "v=0", "c=IN IP4 192.0.2.9", "m=audio 0 RTP/AVP 0", "m=video 5 RTP/AVP 96", "m=audio 6 RTP/AVP 8"
    )
    assert read_audio(desc).index == 2


def dual(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    desc = parse_lines("v=0", "c=IN IP4 192.0.2.9", *first, *second)
    return strongest(audio_lines(desc)).index


SAVP, AVP, DTLS = "m=audio 4000 RTP/SAVP 0", "m=audio 4002 RTP/AVP 0", "m=audio 4004 UDP/TLS/RTP/SAVP 0"


@pytest.mark.parametrize(
    ("first", "second", "index"),
    [
        ((AVP,), (SAVP, KEY_LINE), 1),
        ((SAVP, KEY_LINE), (AVP,), 0),
        ((AVP, KEY_LINE), (SAVP, KEY_LINE), 1),
        ((AVP,), (AVP, KEY_LINE), 1),
        ((SAVP, BAD_KEY_LINE), (AVP,), 1),
        ((SAVP,), (AVP, KEY_LINE), 1),
        ((AVP,), (DTLS, SHA256), 1),
        ((DTLS, SHA1), (AVP,), 1),
        ((SAVP, KEY_LINE), (DTLS, SHA256), 0),
        (("m=audio 0 RTP/SAVP 0", KEY_LINE), (AVP,), 1),
    ],
)
def test_the_strongest_line_of_a_dual_offer_is_taken(
    first: tuple[str, ...], second: tuple[str, ...], index: int
) -> None:
    assert dual(first, second) == index


def test_there_is_no_strongest_line_of_none() -> None:
    with pytest.raises(SdpError, match="no audio"):
        strongest(audio_lines(describe(port=0)))


def test_keys_on_plain_rtp_are_unprotected_crypto_only_when_usable() -> None:
    assert remote(KEY_LINE).unprotected_crypto
    assert not remote(BAD_KEY_LINE).unprotected_crypto
    assert not remote(KEY_LINE, proto="RTP/SAVP").unprotected_crypto
    assert remote(BAD_KEY_LINE).crypto_problems == ("suite.unencrypted_srtp",)


def test_crypto_at_session_level_means_nothing() -> None:
    """RFC 4568 5: media level only."""
    desc = parse_lines("v=0", "c=IN IP4 192.0.2.9", KEY_LINE, "m=audio 4000 RTP/SAVP 0")
    assert read_audio(desc).crypto_lines == 0


def test_a_weak_fingerprint_is_kept_but_gives_no_keys() -> None:
    audio = remote(SHA1, "a=setup:active", proto="UDP/TLS/RTP/SAVPF")
    assert [f.algorithm for f in audio.fingerprints] == ["sha-1"]
    assert not audio.has_keys
    assert remote(SHA1, SHA256, proto="UDP/TLS/RTP/SAVPF").has_keys


def test_a_media_level_fingerprint_replaces_the_sessions() -> None:
    desc = parse_lines("v=0", "c=IN IP4 192.0.2.9", SHA1, "m=audio 4000 UDP/TLS/RTP/SAVPF 0", SHA256)
    assert [f.algorithm for f in read_audio(desc).fingerprints] == ["sha-256"]


@pytest.mark.parametrize(
    ("text", "setup"),
    [
        ("actpass", Setup.ACTPASS),
        ("Active", Setup.ACTIVE),
        ("holdconn", Setup.HOLDCONN),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_dtls_role_is_known_or_none(text: str, setup: Setup | None) -> None:
    assert remote(f"a=setup:{text}").setup is setup


UFRAG, PWD = "a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv"


@pytest.mark.parametrize(
    ("lines", "has_ice"),
    [
        ((UFRAG, PWD), True),
        ((UFRAG,), False),
        ((PWD,), False),
        (("a=ice-ufrag:abc", PWD), False),
        ((UFRAG, "a=ice-pwd:short"), False),
        (("a=ice-ufrag:" + "a" * 257, PWD), False),
        (("a=ice-ufrag:ab:d", PWD), False),
        ((UFRAG, "a=ice-pwd:abcdefghijklmnopqrstu\u00e4"), False),
    ],
)
def test_ice_needs_both_credentials_of_legal_form(lines: tuple[str, ...], has_ice: bool) -> None:
    assert (remote(*lines).ice is not None) is has_ice


def test_ice_credentials_may_be_at_session_level_with_the_lite_flag() -> None:
    desc = parse_lines("v=0", "c=IN IP4 192.0.2.9", "a=ice-lite", UFRAG, PWD, "m=audio 4000 RTP/AVP 0")
    ice = read_audio(desc).ice
    assert ice is not None
    assert (ice.ufrag, ice.lite, ice.candidates) == ("abcd", True, 0)
    assert "abcdefghijklmnopqrstuv" not in repr(ice)


def test_half_the_credentials_at_each_level_is_no_ice() -> None:
    desc = parse_lines("v=0", "c=IN IP4 192.0.2.9", PWD, "m=audio 4000 RTP/AVP 0", UFRAG)
    assert read_audio(desc).ice is None


def test_candidates_beyond_the_limit_are_not_counted() -> None:
    lines = [f"a=candidate:{n} 1 udp 1 192.0.2.1 5000 typ host" for n in range(200)]
    ice = remote(UFRAG, PWD, *lines).ice
    assert ice is not None
    assert ice.candidates == MAX_CANDIDATES


@pytest.mark.parametrize(("text", "ptime"), [("20", 20), ("0", None), ("x", None), ("20.5", 20), ("9999", None)])
def test_ptime_is_a_sensible_number_or_none(text: str, ptime: int | None) -> None:
    assert remote(f"a=ptime:{text}").ptime == ptime


@pytest.mark.parametrize(("text", "mid"), [("0", "0"), ("audio", "audio"), ("", None), ("a b", None), ("x" * 65, None)])
def test_a_mid_is_a_token_or_none(text: str, mid: str | None) -> None:
    assert remote(f"a=mid:{text}").mid == mid


@pytest.mark.parametrize("group", ["", " ", "BUNDLE", "LS 0", "  BUNDLE  "])
def test_a_group_that_names_no_line_binds_none(group: str) -> None:
    """RFC 5888 5 wants a word there; a line without one is a curiosity and no error of ours."""
    text = (VECTORS / "chromium_offer.sdp").read_bytes().replace(b"a=group:BUNDLE 0", f"a=group:{group}".encode())
    description = SessionDescription.parse(text)
    assert bundle_tag(description, description.media[0]) is None
    assert audio_lines(description)
