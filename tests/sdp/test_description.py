"""Lossless lines, limits and what is refused (RFC 8866)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway.base.errors import SdpError
from gateway.sdp.description import MAX_ATTRIBUTES, MAX_BYTES, MAX_FORMATS, MAX_LINES, MAX_MEDIA, SessionDescription
from gateway.sdp.media import audio_lines
from tests.sdp.helpers import CAPTURES, describe, parse_lines

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"


def parse(text: str) -> SessionDescription:
    return SessionDescription.parse(text.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("path", CAPTURES, ids=lambda p: p.stem)
def test_a_real_description_is_reproduced_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    assert bytes(SessionDescription.parse(data)) == data


def test_there_are_captures_to_test_with() -> None:
    assert len(CAPTURES) >= 19


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "m=audio 4000 RTP/AVP 0\r\n",
        HEAD.replace("\r\n", "\n") + "m=audio 4000 RTP/AVP 0\n",
        HEAD + "m=audio 4000 RTP/AVP 0",
        HEAD + "m=audio 4000 RTP/AVP 0\na=mixed\r\n",
        HEAD + "m=audio 4000 RTP/AVP 0\r\n\r\n",
        HEAD + "m=audio 4000 RTP/AVP 0\n\r\n\n",
        HEAD + "m=audio  4000  RTP/AVP  0 \r\n",
        HEAD + "a=note:gr\u00fc\u00dfe \udcff\x85\u2028\r\n",
        "v=0\n",
        "v=0",
        "\r\n \r\n" + HEAD,
        HEAD.replace("\r\n", " \t\r\n"),
        HEAD.replace("\r\n", "\r\r\n"),
        HEAD.replace("\r\n", "\r\n\r\n"),
        HEAD.replace("\r\n", "\n \n"),
        HEAD + "\0",
        HEAD + "a=x\0\0\r\n\0",
        HEAD + "\0\0\xfejunk of a buffer\x01",
        HEAD + "k=clear:secret\r\n",
    ],
)
def test_line_endings_blanks_and_odd_bytes_are_kept(text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    assert bytes(SessionDescription.parse(data)) == data


@pytest.mark.parametrize("blanks", [" ", "  ", "\t", " \t ", "\r", "\r\n", "\r\n \r\n", "\n", "\n\n\n"])
def test_blanks_at_line_ends_and_empty_lines_are_part_of_no_value(blanks: str) -> None:
    text = HEAD + "m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\na=mid:x\r\na=ice-ufrag:abcd\r\n"
    desc = parse((blanks if "\n" in blanks else "") + text.replace("\r\n", blanks + "\r\n") + blanks)
    section = desc.media[0]
    assert desc.lines[0].value == "0"
    assert desc.connection(section) == "192.0.2.9"
    assert (section.attr("rtcp-mux"), section.attr("mid"), section.attr("ice-ufrag")) == ("", "x", "abcd")
    assert section.formats == ("0",)


@pytest.mark.parametrize("end", ["\0", "\0\0\0", "\0\r\n", "\0stack garbage", "\0\xff\xfe v 0"])
def test_what_follows_the_nul_of_a_c_string_is_not_read(end: str) -> None:
    assert [line.raw for line in parse(HEAD + end).lines] == [line.raw for line in parse(HEAD).lines]


def test_unicode_line_separators_do_not_end_a_line() -> None:
    desc = parse(HEAD + "a=note:x\u2028a=crypto:1\x85a=inactive\x0ca=sendonly\r\n")
    assert [line.name for line in desc.lines if line.type == "a"] == ["note"]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 400),
        ("\r\n", 400),
        ("v=1\r\n", 400),
        ("o=- 1 1 IN IP4 192.0.2.9\r\nv=0\r\n", 400),
        (HEAD + "nonsense\r\n", 400),
        (HEAD + "x=1\r\n", 400),
        (HEAD + "A=upper\r\n", 400),
        (HEAD + "a=bare\rreturn\r\n", 400),
        (HEAD + "a=nul\0inside\r\n", 400),
        (HEAD + "a=nul\0\r\nm=audio 4000 RTP/AVP 0\r\n", 400),
        (HEAD + "\0\r\na=inactive\r\n", 400),
        (HEAD + "\0" + HEAD, 400),
        ("\0" + HEAD, 400),
        (" v=0\r\n", 400),
        (HEAD + HEAD, 400),
        (HEAD + "m=audio\r\n", 400),
        (HEAD + "m=audio 4000\r\n", 400),
        (HEAD + "m=audio -1 RTP/AVP 0\r\n", 400),
        (HEAD + "m=audio 65536 RTP/AVP 0\r\n", 400),
        (HEAD + "m=audio \u0661\u0662 RTP/AVP 0\r\n", 400),
        (HEAD + "m=audio 4000/ RTP/AVP 0\r\n", 400),
        (HEAD + "m=audio 4000/x RTP/AVP 0\r\n", 400),
        (HEAD + "m=audio 4_000 RTP/AVP 0\r\n", 400),
        (HEAD + "m=audio 4000 RTP//AVP 0\r\n", 400),
        (HEAD + 'm=au"dio 4000 RTP/AVP 0\r\n', 400),
    ],
)
def test_a_malformed_description_is_refused_with_its_status(text: str, status: int) -> None:
    with pytest.raises(SdpError) as caught:
        parse(text)
    assert caught.value.status == status


def test_an_error_never_repeats_the_peers_bytes() -> None:
    with pytest.raises(SdpError) as caught:
        parse(HEAD + "hunter2=clear\r\n")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (HEAD + "a=" + "x" * MAX_BYTES, "too long"),
        (HEAD + "b=AS:1\r\n" * (MAX_LINES + 1), "too many lines"),
        (HEAD + "a=x\r\n" * (MAX_ATTRIBUTES + 1), "too many attributes"),
        (HEAD + "m=audio 0 RTP/AVP 0\r\n" * (MAX_MEDIA + 1), "too many m-lines"),
        (HEAD + "m=audio 0 RTP/AVP" + " 0" * (MAX_FORMATS + 1) + "\r\n", "too many formats"),
    ],
)
def test_each_limit_refuses_one_more_than_it_allows(text: str, limit: str) -> None:
    with pytest.raises(SdpError, match=limit):
        parse(text)


def test_each_limit_allows_exactly_its_number() -> None:
    formats = " ".join(str(n % 128) for n in range(MAX_FORMATS))
    desc = parse(HEAD + "a=x\r\n" * MAX_ATTRIBUTES + f"m=audio 0 RTP/AVP {formats}\r\n" * MAX_MEDIA)
    assert len(desc.media) == MAX_MEDIA
    assert len(desc.media[0].formats) == MAX_FORMATS


def test_odd_but_real_media_lines_are_read() -> None:
    desc = parse(
        HEAD
        + "m=image 4000 udptl t38\r\nm=audio 4000/2 RTP/AVP 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
        "m=audio 0 RTP/AVP\r\n"
    )
    assert [(m.media, m.port, m.port_count, m.proto) for m in desc.media] == [
        ("image", 4000, 1, "udptl"),
        ("audio", 4000, 2, "RTP/AVP"),
        ("application", 9, 1, "UDP/DTLS/SCTP"),
        ("audio", 0, 1, "RTP/AVP"),
    ]


def test_attributes_are_found_by_level() -> None:
    desc = parse_lines(
        "v=0", "a=setup:actpass", "a=tool:x", "m=audio 1 RTP/AVP 0", "a=setup:active", "a=rtcp-mux", "a=mid:0"
    )
    section = desc.media[0]
    assert desc.attr("setup") == "actpass"
    assert section.attr("setup") == "active"
    assert section.attr("rtcp-mux") == ""
    assert section.attr("tool") is None
    assert desc.effective_attr(section, "setup") == "active"
    assert desc.effective_attr(section, "tool") == "x"
    assert desc.effective_attrs(section, "nothing") == []


def test_the_connection_line_of_the_section_wins_over_the_sessions() -> None:
    desc = describe("c=IN IP6 2001:db8::5")
    assert desc.connection(desc.media[0]) == "2001:db8::5"
    assert describe().connection(describe().media[0]) == "192.0.2.9"


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("IN IP4 media.example.com", "media.example.com"),
        ("IN IP4 224.2.1.1/127", "224.2.1.1"),
        ("IN IP6 ff15::101/3", "ff15::101"),
        ("in ip4 127.0.0.1", "127.0.0.1"),
        ("IN IP4 0.0.0.0", "0.0.0.0"),
    ],
)
def test_any_address_is_data_here(value: str, address: str) -> None:
    desc = describe(f"c={value}")
    assert desc.connection(desc.media[0]) == address


@pytest.mark.parametrize(
    "value", ["", "IN IP4", "IN IP4 a b", "ATM NSAP 47", "IN IP4 a\u00e4", "IN IP4 <x>", "IN IP4 /5"]
)
def test_a_malformed_connection_line_is_an_error_when_it_is_needed(value: str) -> None:
    desc = describe(f"c={value}")
    with pytest.raises(SdpError):
        desc.connection(desc.media[0])


CANARY = "Q2FuYXJ5S2V5"


@pytest.mark.parametrize(
    "line",
    [
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{CANARY}",
        f"a= crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{CANARY}",
        f"a=CRYPTO:1 x {CANARY}",
        f"a=crypt0:1 AES_CM_128_HMAC_SHA1_80 INLINE:{CANARY}",
        f"a=ice-pwd:{CANARY}",
        f"a=key-mgmt:mikey {CANARY}",
        f"i=inline:{CANARY}",
        f"k=base64:{CANARY}",
        f"k={CANARY}",
    ],
)
def test_no_printed_form_shows_a_key_or_password(line: str) -> None:
    desc = describe(line)
    assert CANARY.encode() in bytes(desc)
    for shown in (repr(desc), str(desc), repr(desc.media[0]), str(desc.media[0].lines[-1])):
        assert CANARY not in shown


def test_a_hostile_description_is_read_in_linear_time() -> None:
    texts = [
        HEAD + "a=" + ":" * 60000,
        HEAD + "\r\n" * 5900,
        HEAD + ("\r" * 9 + "\n") * 5900,
        HEAD + " \t" * 30000,
        HEAD + "\0=" * 30000,
        HEAD + "a=x\r\n" * 3900 + "m=audio 9 RTP/AVP 0\r\n" * MAX_MEDIA,
        HEAD + "m=audio 1 RTP/AVP" + " " * 60000,
        "v=0\n" + "b=\n" * 900,
    ]
    started = time.process_time()
    for text in texts:
        audio_lines(parse(text))
    assert time.process_time() - started < 0.5
