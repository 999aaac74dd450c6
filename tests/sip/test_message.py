"""Messages: typed views of what was sent, and real messages byte for byte."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from gateway.base.errors import SipError
from gateway.sip.address import NameAddr
from gateway.sip.message import Headers, Request, create_response, parse_message
from tests.sip.samples import jssip_capture, raw, request, response, status_of


def test_the_capture_of_a_jssip_call_is_complete() -> None:
    starts = [message.split(b" ")[0] for message in jssip_capture()]
    assert starts.count(b"SIP/2.0") == 6
    assert [start for start in starts if start != b"SIP/2.0"] == [b"REGISTER", b"REGISTER", b"INVITE", b"ACK", b"BYE"]


@pytest.mark.parametrize("data", jssip_capture())
@pytest.mark.parametrize("stream", [False, True])
def test_a_message_of_jssip_is_reserialised_byte_for_byte(data: bytes, stream: bool) -> None:
    assert bytes(parse_message(data, stream=stream)) == data


def test_the_invite_of_jssip_has_all_its_typed_parts() -> None:
    invite = request(next(data for data in jssip_capture() if data.startswith(b"INVITE")))
    assert (invite.method, str(invite.request_uri)) == ("INVITE", "sip:echo@example.test")
    assert (invite.via.transport, invite.via.host) == ("WS", "kc4auqavthah.invalid")
    assert invite.contact is not None
    assert invite.contact.uri.transport == "ws"
    assert invite.content_type == "application/sdp"
    assert invite.tokens("Allow") >= {"invite", "ack", "bye", "update"}
    assert (invite.max_forwards, invite.expires) == (69, None)
    assert invite.body.startswith(b"v=0\r\n")


def test_two_quoted_contacts_never_merge() -> None:
    message = request(raw(Contact='"a" <sip:one@x.com>, "b" <sip:two@y.com>'))
    assert [str(contact) for contact in message.contacts] == ['"a" <sip:one@x.com>', '"b" <sip:two@y.com>']


def test_a_trusted_uri_in_a_display_name_stays_a_name() -> None:
    message = request(raw(From='"<sip:admin@trusted>" <sip:evil@h>;tag=1'))
    assert (message.from_.uri.user, message.from_.uri.host) == ("evil", "h")


def test_contacts_over_several_lines_keep_their_order() -> None:
    message = request(raw(Contact="<sip:1@h>, <sip:2,x@h>", extra="m: sip:3@h"))
    assert [contact.uri.user for contact in message.contacts] == ["1", "2,x", "3"]
    assert message.contact == message.contacts[0]
    assert not message.contact_star


def test_a_star_contact_stands_alone() -> None:
    message = request(raw(Contact="*"))
    assert message.contact_star
    assert (message.contacts, message.contact) == ((), None)
    assert status_of(raw(Contact="*, <sip:a@b>")) == 400
    assert status_of(raw(Contact="*;expires=0")) == 400


def test_routes_and_record_routes_over_several_lines() -> None:
    message = request(
        raw(
            without="Contact",
            extra="Route: <sip:a;lr>,<sip:b>\r\nRoute: <sip:c;lr>\r\nRecord-Route: <sip:r1;lr>, <sip:r2>;x",
        )
    )
    assert [route.uri.host for route in message.route] == ["a", "b", "c"]
    assert [str(hop) for hop in message.record_route] == ["<sip:r1;lr>", "<sip:r2>;x"]
    assert message.contact is None


def test_an_ipv6_received_does_not_break_a_response() -> None:
    data = raw("SIP/2.0 200 OK", Via="SIP/2.0/UDP [2001:db8::9]:5060;received=2001:db8::1;branch=z9hG4bKx")
    assert response(data).via.received == "2001:db8::1"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("600", 600),
        ("0", 0),
        ("00060", 60),
        ("99999999999999", 2**32 - 1),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("\u0663", None),
    ],
)
def test_expires_is_clamped_and_malformed_is_absent(value: str, seconds: int | None) -> None:
    assert request(raw(Expires=value)).expires == seconds


@pytest.mark.parametrize(
    ("value", "media_type"),
    [("Application/SDP", "application/sdp"), ("text / plain ; charset=utf-8", "text/plain"), ("", "")],
)
def test_the_content_type_is_lower_case_without_parameters(value: str, media_type: str) -> None:
    assert request(raw(Content_Type=value)).content_type == media_type


def test_option_tags_are_lower_case_and_junk_is_passed_over() -> None:
    assert request(raw(Require="100rel, , Timer;x=1,a b")).tokens("require") == {"100rel", "timer"}


# --- messages are values


@pytest.mark.parametrize("name", ["method", "uri", "headers", "body", "from_", "request_uri"])
def test_a_message_cannot_be_changed(name: str) -> None:
    message = request(raw())
    _ = (message.from_, message.request_uri)
    with pytest.raises(FrozenInstanceError):
        setattr(message, name, getattr(message, name))


def test_a_message_made_from_another_leaves_it_as_it_was() -> None:
    message = request(raw(body=b"a"))
    before = bytes(message)
    changed = message.with_header("To", "<sip:other@x>").with_added([("X", "1")]).without_header("Via").with_body(b"b")
    assert (changed.to.uri.user, changed.headers.get("X"), "Via" in changed.headers) == ("other", "1", False)
    assert changed.body == b"b"
    assert bytes(message) == before


def test_what_a_field_says_is_read_once_whoever_carries_it() -> None:
    message = request(raw())
    views = (message.via, message.from_, message.to, message.cseq, message.contact, message.request_uri)
    other = message.with_header("Subject", "x").with_body(b"")
    assert [a is b for a, b in zip(views, _views(other), strict=True)] == [True] * 6
    answer = create_response(message, 200)
    assert answer.via is message.via
    assert (answer.from_ is message.from_, answer.to is message.to, answer.cseq is message.cseq) == (True,) * 3


def test_what_is_read_late_is_kept_for_the_messages_before_too() -> None:
    message = Request("OPTIONS", "sip:a@b", Headers([("From", "<sip:me@here>;tag=1")]))
    assert message.with_body(b"x").from_ is message.from_


def test_a_tag_goes_behind_the_octets_of_to_and_is_known_without_reading() -> None:
    message = request(raw(To='"A  B" <sip:bob@x>;x=Y'))
    tagged = message.with_to_tag("new")
    assert tagged.headers.get("To") == '"A  B" <sip:bob@x>;x=Y;tag=new'
    assert tagged.to == NameAddr.parse('"A  B" <sip:bob@x>;x=Y;tag=new')
    assert tagged.with_to_tag("other") is tagged


def test_a_view_that_cannot_be_read_fails_each_time() -> None:
    message = Request("OPTIONS", "sip:a@b", Headers([("From", "<sip:a")]))
    for _ in range(2):
        with pytest.raises(SipError):
            _ = message.from_


def _views(message: Request) -> tuple[object, ...]:
    return message.via, message.from_, message.to, message.cseq, message.contact, message.request_uri
