"""What a trace may keep: nothing that opens a door, wherever in a message somebody has put it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admin.lines import MAX_ANSWER_LINE, write
from gateway.audit.redaction import MAX_LINE, SHOWN_ATTRIBUTES, SHOWN_HEADERS, redacted, summary
from gateway.sip.headers import canonical
from gateway.sip.message import Request, create_response, parse_message
from tests import messages

KEY = "CANARYkeyWVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
DIGITS = "7391842"
DIGIT_BODIES = ("application/dtmf-relay", "application/dtmf", "application/vnd.nortelnetworks.digits")
OFFER = f"""v=0
o=- 1 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
k=base64:{KEY}
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4
a=key-mgmt:mikey {KEY}
m=audio 4000 RTP/SAVP 0 101
a=rtpmap:0 PCMU/8000
a=fmtp:101 0-16
a=crypto: 2  AES_256_CM_HMAC_SHA1_80  inline:{KEY}
a=Crypto:x y INLINE:{KEY}
a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}
a=rtpmap:8 inline:{KEY}
a=ice-ufrag:shown
a=ice-pwd:{KEY}
a=ICE-PWD: {KEY}
a=fingerprint:sha-256 AB:CD
a=setup:actpass
a=identity:{KEY}
what is this {KEY}
""".replace("\n", "\r\n").encode()


def request(*extra: str, body: bytes = b"", kind: str = "", uri: str = "sip:600@example.test") -> Request:
    lines = messages.fields(
        "INVITE",
        via="SIP/2.0/WSS client.invalid;branch=z9hG4bK1",
        from_="<sip:alice@example.test>;tag=a",
        to="<sip:600@example.test>",
        call_id="id:1@host",
        contact="<sip:alice@client.invalid;transport=ws>",
        extra=[*extra, *([f"Content-Type: {kind}"] if kind else [])],
    )
    found = parse_message(messages.octets("INVITE", uri, lines, body), stream=False)
    assert isinstance(found, Request)
    return found


def test_a_description_keeps_its_suites_and_loses_its_keys() -> None:
    text = redacted(request(body=OFFER, kind="application/sdp"))
    assert KEY not in text
    assert "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***" in text
    assert "a=crypto:2 AES_256_CM_HMAC_SHA1_80 inline:***" in text
    assert "a=ice-pwd:***" in text
    assert "a=fingerprint:sha-256 AB:CD" in text
    assert "m=audio 4000 RTP/SAVP 0 101" in text


def test_a_description_without_a_type_or_among_other_parts_loses_its_keys_too() -> None:
    parts = b"--b\r\nContent-Type: application/isup\r\n\r\n" + KEY.encode() + b"\r\n--b\r\n"
    parts += b"Content-Type: application/sdp\r\n\r\n" + OFFER + b"\r\n--b--\r\n"
    for body, kind in ((OFFER, ""), (parts, "multipart/mixed;boundary=b")):
        text = redacted(request(body=body, kind=kind))
        assert KEY not in text
        assert "m=audio 4000" in text


@pytest.mark.parametrize("kind", [*DIGIT_BODIES, "text/plain", "x/y", ""])
def test_bodies_that_are_no_description_are_withheld_and_with_them_the_digits_somebody_types(kind: str) -> None:
    text = redacted(request(body=f"Signal={DIGITS}\r\nDuration=160\r\n".encode(), kind=kind))
    assert DIGITS not in text
    assert "octets of" in text


def test_an_encoded_description_is_withheld() -> None:
    text = redacted(request("Content-Encoding: gzip", body=OFFER, kind="application/sdp"))
    assert KEY not in text
    assert "octets of application/sdp withheld" in text


@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "WWW-Authenticate", "Proxy-Authenticate"])
def test_credentials_show_whose_they_are_and_nothing_that_proves_it(name: str) -> None:
    value = f'Digest username="alice", realm="pbx", nonce="{KEY}", response="{KEY}", cnonce="{KEY}", algorithm=MD5'
    text = redacted(request(f"{name}: {value}"))
    assert KEY not in text
    assert 'Digest username="alice", realm="pbx", algorithm=MD5, ***' in text


@pytest.mark.parametrize("value", [f"Bearer {KEY}", f"Basic {KEY}", KEY, f'Digest realm="{KEY}', f"digest\t{KEY}"])
def test_other_credentials_and_broken_ones_are_withheld(value: str) -> None:
    assert KEY not in redacted(request(f"Authorization: {value}"))


@pytest.mark.parametrize(
    "header",
    [
        f"Identity: {KEY};info=<https://x>",
        f"y: {KEY}",
        f"X-Auth-Token: {KEY}",
        f"Cookie: session={KEY}",
        f"Authentication-Info: nextnonce={KEY}",
        f"Gateway-Hop: {KEY}",
        f"Call-Info: <https://u:{KEY}@h/x>",
        f"Refer-To: <sip:bob@example.test?Authorization=Digest%20{KEY}&Replaces={KEY}>",
        f"Refer-To: sip:bob@example.test?Authorization={KEY}",
        f"Referred-By: <sip:bob:{KEY}@example.test>",
        f"Referred-By: <sip:bob:p@{KEY}@example.test>",
        f"Refer-To: sip:bob:p@{KEY}@{KEY}@example.test",
        f"P-Asserted-Identity: <sip:a:1,{KEY}@h>, <sip:b:{KEY}@h>",
        f"Contact: <sip:a@h;pn-prid={KEY};pn-provider=apns>",
        f'Contact: <sip:a@h>;access_token="{KEY}; {KEY}"',
        f"Route: <sip:h;lr;Auth={KEY}>",
        f"History-Info: <sip:a@h>;index=1;password={KEY}, <sip:b@h?Reason=x%3B{KEY}>;index=2",
    ],
)
def test_tokens_and_passwords_are_withheld_in_every_header_field(header: str) -> None:
    assert KEY not in redacted(request(header))


def test_the_password_in_a_request_uri_is_withheld_and_the_rest_of_the_message_is_not() -> None:
    text = redacted(request(uri=f"sip:bob:{KEY}@example.test;user=phone"))
    assert text.startswith("INVITE sip:bob:***@example.test;user=phone SIP/2.0\n")
    assert "Call-ID: id:1@host" in text
    assert "Via: SIP/2.0/WSS client.invalid;branch=z9hG4bK1" in text
    assert "From: <sip:alice@example.test>;tag=a" in text


def test_behind_the_headers_of_a_uri_the_rest_of_the_value_is_shown() -> None:
    value = f"<sip:a@h?Reason={KEY}>;index=1, <sip:b@h?x={KEY}>;index=2"
    assert "History-Info: <sip:a@h?***>;index=1, <sip:b@h?***>;index=2" in redacted(request(f"History-Info: {value}"))


@pytest.mark.parametrize("octets", [b"\xff", b"\x1b", b"\xc2\x85", b"\xe2\x80\xae", b"\xf0\x9f\x98\x80", b"\\"])
def test_a_message_of_whatever_octets_goes_into_one_line_of_an_answer(octets: bytes) -> None:
    body = b"v=0\r\n" + (b"s=" + octets * (390 // len(octets)) + b"\r\n") * 150
    text = redacted(request(*("Subject: \U0001f600" * 90 for _ in range(5)), body=body, kind="application/sdp"))
    assert len(write(row={"text": text})) < MAX_ANSWER_LINE - 4096


def test_what_a_terminal_would_obey_is_escaped_and_lines_are_cut() -> None:
    text = redacted(request("Subject: a\x1b[31mb\u202e", f"User-Agent: {'x' * 5000}"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert max(map(len, text.split("\n"))) <= MAX_LINE + 32


def test_a_message_in_few_words() -> None:
    asked = request()
    assert summary(asked) == "INVITE"
    assert summary(create_response(asked, 180)) == "180 Ringing"


NAMES = st.from_regex(r"[A-Za-z][A-Za-z-]{0,20}", fullmatch=True)


@given(NAMES.filter(lambda name: canonical(name) not in SHOWN_HEADERS and name.lower() != "content-length"))
def test_a_header_field_nobody_has_heard_of_shows_its_name_only(name: str) -> None:
    asked = request()
    assert KEY not in redacted(asked.with_header(name, KEY))


@given(NAMES.filter(lambda name: name.lower() not in SHOWN_ATTRIBUTES), st.sampled_from(["", " ", "1 x "]))
def test_an_attribute_nobody_has_heard_of_shows_its_name_only(name: str, before: str) -> None:
    body = f"v=0\r\nm=audio 4000 RTP/AVP 0\r\na={name}:{before}{KEY}\r\n".encode()
    assert KEY not in redacted(request(body=body, kind="application/sdp"))


@pytest.mark.parametrize("is_part", [False, True], ids=["alone", "part"])
@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Type: application/sdp;<x",),
        ("Content-Type: multipart/mixed;boundary=b;<x",),
        ("Content-Type: application/sdp", "Content-Disposition: session;handli<g=required"),
    ],
)
def test_a_body_whose_kind_cannot_be_read_is_withheld_and_its_message_is_kept(
    headers: tuple[str, ...], is_part: bool
) -> None:
    """The call answers such a message; whoever only looks on must not be what it fails at."""
    part = "\r\n".join(("--b", *headers, "", "")).encode() + OFFER + b"\r\n--b--\r\n"
    made = request(body=part, kind="multipart/mixed;boundary=b") if is_part else request(*headers, body=OFFER)
    text = redacted(made)
    assert text.startswith("INVITE sip:600@example.test")
    assert text.endswith("withheld]")
    assert KEY not in text
