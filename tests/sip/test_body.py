"""The description among the parts of a body (RFC 2046 5.1, RFC 3261 20.11, RFC 5621)."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.sip.body import MAX_PARTS, BodyError, session_description, with_session_only
from gateway.sip.headers import Headers
from gateway.sip.message import Request

OFFER = b"v=0\r\no=- 7 7 IN IP4 192.0.2.44\r\ns=-\r\n"
OTHER = b"v=0\r\no=- 8 8 IN IP4 192.0.2.45\r\ns=-\r\n"
ISUP = ("application/isup;version=itu-t92+", "signal;handling=optional", b"\x01\x00\x49\r\n\x00")


def part(kind: str, disposition: str, data: bytes, line_end: str = "\r\n") -> bytes:
    lines = [f"Content-Type: {kind}"] if kind else []
    lines += [f"Content-Disposition: {disposition}"] if disposition else []
    return (line_end.join([*lines, "", ""])).encode() + data


def multipart(*parts: bytes, boundary: str = "unique-7", line_end: bytes = b"\r\n", last: bool = True) -> bytes:
    mark = line_end + b"--" + boundary.encode()
    body = b"".join(mark + line_end + data for data in parts) + (mark + b"--" + line_end if last else b"")
    return body.removeprefix(line_end)


def read(body: bytes, kind: str = "multipart/mixed;boundary=unique-7", disposition: str = "") -> bytes:
    headers = [("Content-Type", kind)] if kind else []
    if disposition:
        headers.append(("Content-Disposition", disposition))
    return session_description(Headers(headers), body)


SDP = part("application/sdp", "", OFFER)


@pytest.mark.parametrize(
    "kind", ["application/sdp", "Application/SDP;charset=UTF-8", "application/sdp ; version=0", ""]
)
def test_a_lone_description_is_taken_whatever_its_parameters(kind: str) -> None:
    assert read(OFFER, kind) == OFFER


@pytest.mark.parametrize("body", [b"", b"a=1", b"{}"])
def test_without_a_type_only_what_looks_like_a_description_is_one(body: bytes) -> None:
    if not body:
        assert read(body, "") == b""
        return
    with pytest.raises(BodyError) as caught:
        read(body, "")
    assert caught.value.status == 415


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/mixed;boundary=unique-7",
        'multipart/mixed; boundary="unique-7"',
        'Multipart/Mixed;type=x;BOUNDARY="unique-7";other=a@b',
        'multipart/related;type="application/sdp";boundary=unique-7',
        "multipart/alternative;boundary=unique-7",
        "multipart/unheard-of;boundary=unique-7",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_the_description_is_found_beside_optional_parts(kind: str, first: bool) -> None:
    parts = [SDP, part(*ISUP)] if first else [part(*ISUP), SDP]
    assert read(multipart(*parts), kind) == OFFER


def test_preamble_and_epilogue_are_nobodys() -> None:
    body = b"This is a message with several parts.\r\nv=0\r\n" + b"\r\n" + multipart(SDP) + b"v=0\r\nlate\r\n"
    assert read(body) == OFFER


def test_a_missing_last_boundary_is_forgiven() -> None:
    assert read(multipart(part(*ISUP), SDP, last=False)) == OFFER


def test_padding_behind_a_boundary_and_bare_line_feeds_are_read() -> None:
    assert read(multipart(SDP).replace(b"--unique-7\r\n", b"--unique-7 \t\r\n")) == OFFER
    assert read(multipart(part("application/sdp", "", OFFER, "\n"), line_end=b"\n")) == OFFER


def test_a_part_without_header_fields_is_known_by_its_first_line() -> None:
    assert read(multipart(b"\r\n" + OFFER)) == OFFER


def test_a_boundary_that_begins_another_is_not_taken_for_it() -> None:
    inner = multipart(SDP, boundary="unique-77")
    whole = multipart(part("multipart/related;boundary=unique-77", "", inner))
    assert read(whole) == OFFER


def test_of_alternatives_the_last_is_taken_and_of_mixed_parts_the_first() -> None:
    parts = (SDP, part("application/sdp", "", OTHER))
    assert read(multipart(*parts)) == OFFER
    assert read(multipart(*parts), "multipart/alternative;boundary=unique-7") == OTHER


def test_a_description_of_another_session_is_not_this_one() -> None:
    assert read(multipart(part("application/sdp", "early-session;handling=optional", OTHER), SDP)) == OFFER


def test_a_part_without_a_word_on_handling_is_ignored_beside_a_description() -> None:
    assert read(multipart(SDP, part("application/pidf+xml", "", b"<presence/>"))) == OFFER


@pytest.mark.parametrize(
    "body",
    [
        multipart(SDP, part("application/isup", "signal;handling=required", b"x")),
        multipart(part("application/isup", "signal ; Handling = REQUIRED", b"x"), SDP),
        multipart(part("application/sdp", "early-session;handling=required", OTHER), SDP),
        multipart(*[SDP] * (MAX_PARTS + 1)),
        b"no boundary at all",
        multipart(part("multipart/mixed;boundary=b", "", multipart(
            part("multipart/mixed;boundary=c", "", multipart(SDP, boundary="c")), boundary="b"))),
    ],
    ids=["required", "required in capitals", "required of another session", "too many", "none", "too deep"],
)  # fmt: skip
def test_what_is_required_and_not_understood_is_415(body: bytes) -> None:
    with pytest.raises(BodyError) as caught:
        read(body)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    "kind", ["multipart/mixed", "multipart/mixed;boundary=", f"multipart/mixed;boundary={'b' * 71}"]
)
def test_a_multipart_body_without_a_boundary_is_415(kind: str) -> None:
    with pytest.raises(BodyError):
        read(multipart(SDP), kind)


def test_parts_without_a_description_are_no_offer() -> None:
    assert read(multipart(part(*ISUP))) == b""
    assert read(b"\x01", "application/isup", "signal;handling=optional") == b""


def test_a_description_in_octets_we_cannot_read_is_none() -> None:
    assert read(multipart(SDP.replace(b"\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n", 1))) == b""


@pytest.mark.parametrize("body", [b"--" * 30000, b"--unique-7\r\n" * 5000, b"\r\n--unique-7" * 5000, b"\n" * 60000])
def test_a_body_made_to_be_costly_ends_in_an_answer(body: bytes) -> None:
    with pytest.raises(SipError):
        read(body)


def test_a_message_keeps_everything_but_the_other_parts() -> None:
    headers = [("Content-Type", "multipart/mixed;boundary=unique-7"), ("Geolocation", "<cid:x@y>")]
    whole = Request("INVITE", "sip:100@gw.example", Headers(headers), multipart(SDP, part(*ISUP)))
    seen = with_session_only(whole)
    assert (seen.body, seen.method, seen.uri) == (OFFER, "INVITE", "sip:100@gw.example")
    assert b"unique-7" in whole.body
    plain = Request("INVITE", "sip:100@gw.example", Headers([("Content-Type", "application/sdp")]), OFFER)
    assert with_session_only(plain) is plain
