"""Codecs from rtpmap, fmtp and the static table (RFC 3551, RFC 8866 6.6)."""

from __future__ import annotations

import pytest

from gateway.sdp.codecs import MAX_FMTP, Codec, read_codecs
from tests.sdp.helpers import capture, describe


def codecs(*lines: str, formats: str) -> tuple[Codec, ...]:
    return read_codecs(describe(*lines, formats=formats).media[0])


def test_chromium_offers_two_telephone_events() -> None:
    found = {c.payload_type: c.key for c in read_codecs(capture("chromium_offer").media[0])}
    assert found[111] == ("opus", 48000, 2)
    assert found[110] == ("telephone-event", 48000, 1)
    assert found[126] == ("telephone-event", 8000, 1)
    assert found[13] == ("cn", 8000, 1)


def test_firefox_writes_fmtp_before_rtpmap_and_one_channel() -> None:
    found = {c.payload_type: c for c in read_codecs(capture("firefox_offer").media[0])}
    assert found[109].fmtp == "maxplaybackrate=48000;stereo=1;useinbandfec=1"
    assert found[101].fmtp == "0-15"
    assert found[9].key == ("g722", 8000, 1)


def test_static_payload_types_need_no_rtpmap() -> None:
    found = codecs("a=fmtp:18 annexb=no", formats="0 8 9 18 13 101")
    assert [c.name for c in found] == ["PCMU", "PCMA", "G722", "G729", "CN"]
    assert found[3].fmtp == "annexb=no"


def test_codecs_come_in_the_order_of_the_media_line() -> None:
    found = codecs("a=rtpmap:8 PCMA/8000", "a=rtpmap:96 opus/48000/2", formats="96 8 0")
    assert [c.payload_type for c in found] == [96, 8, 0]


@pytest.mark.parametrize(
    "rtpmap",
    [
        "96", "96 ", "96 opus", "96 opus/", "96 opus/x", "96 opus/0", "96 opus/48000/0", "96 opus/48000/", "96 /8000",
        "96 opus/48000/2/3", "96 o pus/48000", "96 opus/9999999", "x opus/48000", "-1 opus/48000", "96 \u00f6pus/48000",
    ],
)  # fmt: skip
def test_a_format_with_a_bad_rtpmap_is_left_out(rtpmap: str) -> None:
    assert [c.payload_type for c in codecs(f"a=rtpmap:{rtpmap}", formats="96 0")] == [0]


@pytest.mark.parametrize("formats", ["128", "t38", "-1", "0x0", "\u0660", "999999999999"])
def test_a_format_that_is_no_payload_type_is_left_out(formats: str) -> None:
    assert codecs(formats=formats) == ()


@pytest.mark.parametrize("number", [64, 72, 76, 95])
def test_payload_types_that_look_like_rtcp_are_left_out(number: int) -> None:
    """RFC 5761 4."""
    assert codecs(f"a=rtpmap:{number} PCMU/8000", formats=f"{number} 8") == (Codec(8, "PCMA", 8000),)


def test_payload_types_beside_the_rtcp_range_are_kept() -> None:
    found = codecs("a=rtpmap:63 opus/48000/2", "a=rtpmap:96 PCMU/8000", formats="63 96")
    assert [c.payload_type for c in found] == [63, 96]


def test_a_payload_type_named_twice_counts_once() -> None:
    assert len(codecs("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 PCMA/8000", formats="0 0 0")) == 1
    assert codecs("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 PCMA/8000", formats="0")[0].name == "PCMU"


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        (Codec(111, "opus", 48000, 2), "111 opus/48000/2"),
        (Codec(0, "PCMU", 8000), "0 PCMU/8000"),
    ],
)
def test_rtpmap_names_channels_only_when_there_are_several(codec: Codec, text: str) -> None:
    assert codec.rtpmap == text


@pytest.mark.parametrize(
    ("name", "fmtp", "portable"),
    [
        ("opus", "minptime=10;useinbandfec=1", "minptime=10;useinbandfec=1"),
        ("opus", "minptime=10; x-user=alice; stereo=1", "minptime=10;stereo=1"),
        ("PCMU", "x-tag=1", ""),
        ("G729", "annexb=no", "annexb=no"),
        ("AMR", "octet-align=1; mode-set=0,2", "octet-align=1; mode-set=0,2"),
        ("AMR", 'x="quoted"', ""),
        ("AMR", "x=1\r\na=crypto:1", ""),
        ("AMR", "a" * (MAX_FMTP + 1), ""),
        ("AMR", "gr\u00fcn=1", ""),
    ],
)
def test_only_plain_known_parameters_cross_to_the_other_leg(name: str, fmtp: str, portable: str) -> None:
    assert Codec(96, name, 8000, 1, fmtp).portable_fmtp == portable
