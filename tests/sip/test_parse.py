"""What is no SIP message, and which status says so."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.sip.head import MAX_HEAD, MAX_HEADERS, MAX_LINE, MAX_MESSAGE
from gateway.sip.headers import MAX_LIST_VALUES
from gateway.sip.message import (
    create_response,
    parse_message,
    salvage_error_response,
)
from tests.sip.samples import datagram, raw, request, status_of


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Via", ""),
        ("From", ""),
        ("To", ""),
        ("Call-ID", ""),
        ("CSeq", ""),
        ("Via", "SIP/2.0/UDP h;branch=a,"),
        ("Via", "SIP/2.0/UDP h, junk"),
        ("Via", " "),
        ("From", '"Bell, A <sip:a@b>'),
        ("To", "<sip:a@b"),
        ("Call-ID", "a b"),
        ("Call-ID", "\xe4"),
        ("CSeq", "INVITE"),
        ("CSeq", "1"),
        ("CSeq", "-1 INVITE"),
        ("CSeq", "2147483648 INVITE"),
        ("CSeq", "1 INVITE x"),
        ("CSeq", "\u0661 INVITE"),
        ("CSeq", "1\x0bINVITE"),
        ("CSeq", "1 BYE"),
        ("CSeq", "1 invite"),
        ("Max-Forwards", "-1"),
        ("Max-Forwards", "256"),
        ("Max-Forwards", "x"),
        ("Call-ID", " "),
        ("Contact", "<sip:a@b"),
        ("Contact", "<sip:a@b>,,<sip:c@d>"),
        ("Route", "sip"),
        ("Record-Route", "<sip:a@b"),
        ("Record-Route", '"\\\0" <sip:a@b>'),
        ("Content-Length", "-1"),
        ("Content-Length", "+0"),
        ("Content-Length", "5_0"),
        ("Content-Length", "0x1"),
        ("Content-Length", "99999999999999999999"),
        ("Content-Length", "\uff10"),
        ("Content-Length", "0 0"),
    ],
)
def test_a_malformed_header_field_is_refused(name: str, value: str) -> None:
    data = raw(without=name, extra=f"{name}: {value}") if value else raw(without=name)
    assert status_of(data) == 400


@pytest.mark.parametrize(
    "extra",
    [
        "From: <sip:x@y>",
        "f: <sip:x@y>",
        "t: <sip:bob@example.com>",
        "i: c1@192.0.2.1",
        "CSeq: 1 INVITE",
        "Content-Length: 0\r\nl: 0",
        "Refer-To: <sip:a@b>\r\nr: <sip:a@b>",
        "Replaces: 1;to-tag=2;from-tag=3\r\nReplaces: 1;to-tag=2;from-tag=3",
    ],
)
def test_a_second_one_of_what_identifies_or_frames_is_refused_even_if_equal(extra: str) -> None:
    assert status_of(raw(extra=extra)) == 400


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("User-Agent", "User-Agent"),
        ("Server", "Server"),
        ("Date", "Date"),
        ("Subject", "s"),
        ("Organization", "Organization"),
        ("Call-Info", "Call-Info"),
        ("MIME-Version", "MIME-Version"),
        ("Expires", "Expires"),
        ("Session-Expires", "x"),
        ("Content-Type", "c"),
        ("Content-Disposition", "Content-Disposition"),
        ("Timestamp", "Timestamp"),
        ("Retry-After", "Retry-After"),
    ],
)
def test_of_a_repeated_header_field_that_decides_nothing_the_first_counts(name: str, second: str) -> None:
    message = request(raw(extra=f"{name}: a/1\r\n{second}: b/2"))
    assert message.headers.get(name) == "a/1"
    assert message.headers.get_all(name) == ["a/1", "b/2"]


def test_of_two_max_forwards_the_first_counts() -> None:
    assert request(raw(extra="Max-Forwards: 0")).max_forwards == 70


@pytest.mark.parametrize("value", ["sdp", "a/", "/b", "a b/c"])
def test_a_content_type_that_is_none_is_refused_only_on_an_offer(value: str) -> None:
    assert status_of(raw(body=b"v=0\r\n", extra=f"Content-Type: {value}")) == 400
    assert "Content-Type" not in request(raw(extra=f"Content-Type: {value}")).headers
    answer = raw("SIP/2.0 200 OK", b"v=0\r\n", f"Content-Type: {value}")
    assert datagram(answer).body == b"v=0\r\n"


@pytest.mark.parametrize(
    ("start", "cseq", "extra", "gone"),
    [
        ("BYE sip:bob@example.com SIP/2.0", "2 BYE", "Contact: nobody", "Contact"),
        ("BYE sip:bob@example.com SIP/2.0", "2 BYE", "Record-Route: <sip:a@b", "Record-Route"),
        ("BYE sip:bob@example.com SIP/2.0", "2 BYE", "Max-Forwards: 999", "Max-Forwards"),
        ("OPTIONS sip:bob@example.com SIP/2.0", "2 OPTIONS", "Max-Forwards: many", "Max-Forwards"),
        ("SIP/2.0 200 OK", "1 INVITE", 'Contact: "x <sip:a@b>', "Contact"),
        ("SIP/2.0 302 Moved", "1 INVITE", "Contact: <sip:a@b", "Contact"),
        ("SIP/2.0 486 Busy", "1 INVITE", "Record-Route: x", "Record-Route"),
        ("SIP/2.0 180 Ringing", "1 INVITE", "Max-Forwards: x", "Max-Forwards"),
        ("SIP/2.0 200 OK", "1 BYE", "Route: x", "Route"),
    ],
)
def test_what_cannot_be_read_and_decides_nothing_is_left_out(start: str, cseq: str, extra: str, gone: str) -> None:
    message = datagram(raw(start, extra=extra, without=gone, CSeq=cseq))
    assert gone not in message.headers
    assert "Via" in message.headers


def test_the_record_route_of_a_success_to_invite_decides_and_is_refused() -> None:
    assert status_of(raw("SIP/2.0 200 OK", extra="Record-Route: <sip:a@b")) == 400


@pytest.mark.parametrize(
    "extra",
    [
        "Allow:",
        "Supported: ,,",
        'Warning: 399 x "y',
        "Date: yesterday",
        "Accept: ;;",
        "Accept-Language: ()",
        "Retry-After: soon (really",
        "Call-Info: <x",
        "Reason: X.int;reasoncode=0x0",
        "Expires: 1e9",
        "Timestamp: now",
        "P-Asserted-Identity: Miller, Ann <sip:1@x.example>",
    ],
)
def test_odd_header_fields_that_decide_nothing_change_nothing(extra: str) -> None:
    assert request(raw(extra=extra)).call_id == "c1@192.0.2.1"
    assert datagram(raw("SIP/2.0 200 OK", extra=extra)).call_id == "c1@192.0.2.1"


def test_a_contact_with_an_unquoted_comma_is_the_address_that_can_be_read() -> None:
    contact = request(raw(Contact="Miller, Ann <sip:ann@192.0.2.1>")).contact
    assert contact is not None
    assert str(contact.uri) == "sip:ann@192.0.2.1"
    register = raw("REGISTER sip:example.com SIP/2.0", Contact="Miller, Ann <sip:ann@192.0.2.1>", CSeq="1 REGISTER")
    assert status_of(register) == 400


def test_a_record_route_without_brackets_gets_them() -> None:
    message = request(raw(extra="Record-Route: sip:192.0.2.9;lr, <sip:192.0.2.10;lr>"))
    assert [str(hop) for hop in message.record_route] == ["<sip:192.0.2.9;lr>", "<sip:192.0.2.10;lr>"]


@pytest.mark.parametrize(
    "extra",
    [
        "X: a\nY: b",
        "X: a\rY: b",
        "X: a\r\r\n",
        "X: a\n",
        "X: \0",
        'X: "\0"',
        "no colon",
        ": empty name",
        "X Y: 1",
        "\u00e4: 1",
        "X\x0b: 1",
    ],
)
def test_bare_line_ends_nul_and_broken_lines_are_refused(extra: str) -> None:
    assert status_of(raw(extra=extra)) == 400


@pytest.mark.parametrize(
    ("start", "status"),
    [
        ("INVITE sip:a@b SIP/7.0", 505),
        ("INVITE sip:a@b SIP/3.0", 505),
        ("INVITE sip:a@b sip/2.0.1", 505),
        ("INVITE sip:a@b HTTP/1.1", 400),
        ("INVITE sip:a@b", 400),
        ("INVITE  sip:a@b SIP/2.0", 400),
        ("INVITE sip:a@b  SIP/2.0", 400),
        ("INVITE sip:a@b SIP/2.0 ", 400),
        (" INVITE sip:a@b SIP/2.0", 400),
        ("INVITE sip:a b SIP/2.0", 400),
        ("INVITE sip:\u00e4@b SIP/2.0", 400),
        ("INV(TE sip:a@b SIP/2.0", 400),
        ("INVITE sip:a@b\0 SIP/2.0", 400),
        ("INVITE\tsip:a@b\tSIP/2.0", 400),
        ("INVITE sip:a@b \u017fIP/2.0", 400),
        ("", 400),
        ("SIP/2.0", 400),
        ("SIP/2.0 99 x", 400),
        ("SIP/2.0 099 x", 400),
        ("SIP/2.0 700 x", 400),
        ("SIP/2.0 2000 x", 400),
        ("SIP/2.0 0200 x", 400),
        ("SIP/2.0 +20 x", 400),
        ("SIP/2.0  200 x", 400),
        ("SIP/2.0 200 a\\\0", 400),
        ("SIP/2.0 4294967301 x", 400),
        ("SIP/7.0 200 OK", 400),
    ],
)
def test_a_bad_start_line_is_refused(start: str, status: int) -> None:
    assert status_of(raw(start)) == status


def test_a_status_line_may_end_behind_the_status() -> None:
    assert [datagram(raw(f"SIP/2.0 200{end}")).headers.get("CSeq") for end in ("", " ")] == ["1 INVITE"] * 2
    assert bytes(datagram(raw("SIP/2.0 200"))).startswith(b"SIP/2.0 200 \r\n")


def test_a_response_has_a_method_in_its_cseq() -> None:
    assert status_of(raw("SIP/2.0 200 OK", CSeq="1 IN(VITE")) == 400


def test_a_head_without_its_empty_line_is_refused() -> None:
    for missing in (1, 2, 3, 4):
        assert status_of(raw()[:-missing]) == 400


def test_a_folded_start_line_is_refused() -> None:
    assert status_of(raw("INVITE sip:a@b\r\n SIP/2.0")) == 400


@pytest.mark.parametrize(
    ("uri", "status"), [("bogus:x", 416), ("sip:a@b@c", 400), ("<sip:a@b>", 400), ("sip:a@b?Route=%3Csip:x%3E", 400)]
)
def test_a_request_uri_is_refused_only_when_it_is_read(uri: str, status: int) -> None:
    message = request(raw(f"INVITE {uri} SIP/2.0"))
    assert message.uri == uri
    with pytest.raises(SipError) as caught:
        _ = message.request_uri
    assert caught.value.status == status
    assert create_response(message, status).status == status


def test_what_a_datagram_has_beyond_content_length_is_dropped() -> None:
    assert datagram(raw(Content_Length="3", body=b"abcdef")).body == b"abc"


def test_a_body_shorter_than_content_length_is_refused() -> None:
    assert status_of(raw(Content_Length="4", body=b"abc")) == 400


def test_a_datagram_without_content_length_is_body_to_its_end() -> None:
    message = datagram(raw(body=bytes(range(256))))
    assert message.body == bytes(range(256))
    assert bytes(message).endswith(b"\r\nContent-Length: 256\r\n\r\n" + message.body)


def test_a_stream_needs_an_exact_content_length() -> None:
    assert status_of(raw(), stream=True) == 400
    assert status_of(raw(Content_Length="2", body=b"abc"), stream=True) == 400
    assert parse_message(raw(Content_Length="3", body=b"abc"), stream=True).body == b"abc"


def test_content_length_is_always_written_and_always_right() -> None:
    message = request(raw(extra="l: 0\r\nX: y")).with_body(b"12345")
    assert b"\r\nl: 5\r\nX: y\r\n\r\n12345" in bytes(message)


def test_line_ends_before_the_start_line_are_skipped() -> None:
    assert datagram(b"\r\n\r\n\r\n" + raw()) == datagram(raw())


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"\r\n" * 9, b"INVITE", b"\0" * 100, b"\xff\xfe\r\n\r\n", b"x\r\n\r\n", b"\r\nx"]
)
def test_noise_is_refused(data: bytes) -> None:
    assert status_of(data) == 400
    assert salvage_error_response(data, SipError("x")) is None


def test_the_limits_of_size() -> None:
    assert len(datagram(raw(Content_Length="30000", body=b"x" * 30000)).body) == 30000
    assert status_of(raw(body=b"x" * MAX_MESSAGE)) == 413
    assert status_of(raw(extra="\r\n".join(["X: " + "y" * 8000] * 5))) == 513
    assert status_of(b"INVITE " + b"x" * (MAX_HEAD + 1)) == 513
    assert status_of(raw(extra="X: " + "y" * (MAX_LINE - 2))) == 513
    assert status_of(raw(extra="X: y" + "\r\n " * MAX_LINE)) == 513
    assert status_of(raw("INVITE sip:" + "a" * MAX_LINE + " SIP/2.0")) == 513
    assert status_of(raw(extra="\r\n".join(["X: y"] * MAX_HEADERS))) == 513
    assert status_of(raw(Contact="<sip:a@b>" + "".join(f";p{n}" for n in range(65)))) == 513
    assert status_of(raw(Contact=",".join(["<sip:a@b>"] * (MAX_LIST_VALUES + 1)))) == 513


def test_what_is_exactly_at_the_limits_is_read() -> None:
    own = datagram(raw())
    assert len(datagram(raw(extra="\r\n".join(["Z: y"] * (MAX_HEADERS - len(own.headers))))).headers) == MAX_HEADERS
    assert len(datagram(raw(extra="X: " + "y" * (MAX_LINE - 3))).headers.get("X") or "") == MAX_LINE - 3
    assert len(request(raw(Contact=",".join(["<sip:a@b>"] * MAX_LIST_VALUES))).contacts) == MAX_LIST_VALUES
    assert len(datagram(raw(body=b"x" * (MAX_MESSAGE - len(raw())))).body) == MAX_MESSAGE - len(raw())
    assert status_of(raw(body=b"x" * (MAX_MESSAGE - len(raw()) + 1))) == 413
