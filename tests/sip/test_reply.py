"""Responses: what identifies the transaction goes back, also from requests that cannot be read."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.sip.message import (
    REASONS,
    CSeq,
    Request,
    Response,
    create_response,
    salvage_error_response,
)
from tests.sip.samples import datagram, raw, request, response


def test_a_response_copies_what_identifies_the_transaction() -> None:
    asked = request(
        raw(extra="v: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKb\r\nRecord-Route: <sip:r1;lr>,<sip:r2;lr>\r\nX-Other: no")
    )
    answer = create_response(
        asked, 183, to_tag="t1", headers=[("Contact", "<sip:gw>")], body=b"v=0", content_type="application/sdp"
    )
    assert bytes(answer) == (
        b"SIP/2.0 183 Session Progress\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa1;rport\r\nv: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKb\r\n"
        b"Record-Route: <sip:r1;lr>,<sip:r2;lr>\r\n"
        b'From: "Alice" <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>;tag=t1\r\n'
        b"Call-ID: c1@192.0.2.1\r\nCSeq: 1 INVITE\r\nContact: <sip:gw>\r\nContent-Type: application/sdp\r\n"
        b"Content-Length: 3\r\n\r\nv=0"
    )
    assert datagram(bytes(answer)).cseq == asked.cseq


def test_a_bare_to_address_gets_its_tag_as_a_header_parameter() -> None:
    answer = create_response(request(raw(To="sip:bob@example.com;x=1")), 200, to_tag="t1")
    assert answer.headers.get("To") == "sip:bob@example.com;x=1;tag=t1"
    assert answer.to.tag == "t1"


def test_a_tag_that_is_there_is_not_replaced() -> None:
    assert create_response(request(raw(To="<sip:bob@h>;tag=old")), 200, to_tag="new").to.tag == "old"


@pytest.mark.parametrize(
    ("status", "method", "copied"),
    [(100, "INVITE", False), (180, "INVITE", True), (200, "INVITE", True), (404, "INVITE", False), (200, "BYE", False)],
)
def test_record_route_goes_back_in_responses_that_form_a_dialog(status: int, method: str, copied: bool) -> None:
    asked = request(raw(f"{method} sip:b@h SIP/2.0", CSeq=f"1 {method}", Record_Route="<sip:r;lr>"))
    assert ("Record-Route" in create_response(asked, status, to_tag="t").headers) is copied


def test_an_escaped_nul_in_a_display_name_is_echoed_and_cannot_be_set() -> None:
    asked = request(raw(To='"a\\\0b" <sip:bob@h>'))
    assert b'To: "a\\\0b" <sip:bob@h>;tag=t' in bytes(create_response(asked, 200, to_tag="t"))
    assert str(asked.to) == '"ab" <sip:bob@h>'


def test_reason_phrases_are_standard_unless_given() -> None:
    asked = request(raw())
    assert create_response(asked, 486).reason == REASONS[486] == "Busy Here"
    assert create_response(asked, 486, "Encryption required").reason == "Encryption required"
    assert create_response(asked, 499).reason == "Unknown"


def test_messages_of_our_own_cannot_be_written_wrong() -> None:
    for message in (
        Request("IN VITE", "sip:a"),
        Request("INVITE", "sip:a b"),
        Request("INVITE", ""),
        Request("INVITE", "sip:a\r\nX: 1"),
        Response(99, "x"),
        Response(700, "x"),
        Response(200, "a\r\nX: 1"),
        Response(200, "\ud800"),
    ):
        with pytest.raises(SipError) as caught:
            bytes(message)
        assert caught.value.status == 500
    with pytest.raises(SipError):
        create_response(request(raw()), 200, to_tag="a;b")


def test_cseq_is_a_value() -> None:
    assert str(CSeq.parse(" 0009 \t INVITE ")) == "9 INVITE"
    assert CSeq(1, "A") == CSeq.parse("1 A")


def test_a_malformed_request_is_answered_with_its_own_words() -> None:
    data = raw(Max_Forwards="many", extra="v: SIP/2.0/TCP h;branch=z9hG4bKb")
    answer = salvage_error_response(data, SipError("Bad Max-Forwards", 400))
    assert answer is not None
    read = response(answer)
    assert (read.status, read.reason, len(read.vias)) == (400, "Bad Request", 2)
    assert (read.call_id, str(read.cseq), read.from_.tag) == ("c1@192.0.2.1", "1 INVITE", "a1")
    assert read.to.tag
    assert salvage_error_response(data, SipError("x", 400)) == answer


def test_an_oversize_head_is_answered_too() -> None:
    answer = salvage_error_response(raw(extra="X: " + "y" * 40000), SipError("x", 513))
    assert answer is not None
    assert answer.startswith(b"SIP/2.0 513 Message Too Large\r\n")


@pytest.mark.parametrize(
    "data",
    [
        raw("SIP/2.0 200 OK"),
        raw("ACK sip:b@h SIP/2.0"),
        raw("INVITE sip:b@h HTTP/1.1"),
        raw(without="Via"),
        raw(extra="X: a\nb"),
        raw(From='"\\\0" <sip:a@b>;tag=1'),
        raw(Call_ID="\x07"),
        b"",
        b"\r\n\r\n",
        b"INVITE\r\n\r\n",
        b"\r\n folded\r\n\r\n",
    ],
)
def test_what_cannot_be_answered_safely_is_not_answered(data: bytes) -> None:
    assert salvage_error_response(data, SipError("x", 400)) is None


@pytest.mark.parametrize("to", ['"open <sip:a@b>', "<sip:a@b", "a, b <sip:c@d> x"])
def test_an_unreadable_to_is_echoed_without_a_tag(to: str) -> None:
    answer = salvage_error_response(raw(To=to), SipError("x", 400))
    assert answer is not None
    assert f"\r\nTo: {to}\r\n".encode() in answer


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq"])
def test_what_a_request_lacks_its_answer_lacks_too(name: str) -> None:
    answer = salvage_error_response(raw(without=name), SipError("x", 400))
    assert answer is not None
    assert answer.startswith(b"SIP/2.0 400 ")
    assert f"\r\n{name}:".encode() not in answer
    assert b"\r\nVia:" in answer


@pytest.mark.parametrize("second", ["f: <sip:x@y>;tag=2", "i: other", "CSeq: 2 BYE", "To: <sip:x@y>"])
def test_of_what_a_request_says_twice_its_answer_says_the_first(second: str) -> None:
    once, twice = (salvage_error_response(raw(extra=extra), SipError("x", 400)) for extra in ("", second))
    assert once == twice
