"""IPv6 in SIP as RFC 5118 section 4 tries it, written from its descriptions with addresses of our own."""

from __future__ import annotations

import pytest

from gateway.base.errors import SipError
from gateway.sip.message import Request, create_response, parse_message
from gateway.sip.uri import SipUri
from gateway.sip.via import Via
from tests.sip.samples import raw, request, status_of

HERE = "2001:db8:5::77"


def register(uri: str, via: str = f"SIP/2.0/UDP [{HERE}]:5060;branch=z9hG4bKa1") -> bytes:
    return raw(f"REGISTER {uri} SIP/2.0", Via=via, CSeq="1 REGISTER", Contact=f"<sip:alice@[{HERE}]>")


def test_4_1_a_valid_address_in_brackets_is_read_everywhere() -> None:
    message = request(register(f"sip:[{HERE}]"))
    assert (message.request_uri.host, message.via.host, message.via.port) == (HERE, HERE, 5060)
    assert message.contact is not None
    assert str(message.contact.uri) == f"sip:alice@[{HERE}]"


def test_4_2_an_address_without_brackets_in_the_request_uri_is_refused() -> None:
    """Whether its last part is a port nobody can say."""
    message = request(register(f"sip:{HERE}"))
    with pytest.raises(SipError) as caught:
        _ = message.request_uri
    assert caught.value.status == 400


def test_4_3_what_looks_like_a_port_inside_the_brackets_is_part_of_the_address() -> None:
    uri = request(register("sip:[2001:db8:5::77:5070]")).request_uri
    assert (uri.host, uri.port) == ("2001:db8:5::77:5070", None)


def test_4_4_the_port_behind_the_brackets_is_the_port() -> None:
    uri = request(register(f"sip:[{HERE}]:5070")).request_uri
    assert (uri.host, uri.port) == (HERE, 5070)


@pytest.mark.parametrize("received", ["[2001:db8::9:255]", "2001:db8::9:255"])
def test_4_5_received_is_read_with_and_without_brackets(received: str) -> None:
    via = f"SIP/2.0/UDP [{HERE}];received={received};branch=z9hG4bKas3"
    message = request(register("sip:example.com", via))
    assert message.via.received == "2001:db8::9:255"
    assert str(Via.parse(via).with_received(HERE, 5060).received) == HERE


def test_4_6_an_address_in_a_call_with_a_description_is_read() -> None:
    body = f"v=0\r\no=a 1 1 IN IP6 {HERE}\r\ns=-\r\nc=IN IP6 {HERE}\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n".encode()
    message = request(raw(f"INVITE sip:bob@[{HERE}] SIP/2.0", body, f"Content-Type: application/sdp\r\nl: {len(body)}"))
    assert (message.request_uri.host, message.body) == (HERE, body)


def test_4_7_addresses_of_both_families_may_stand_in_one_message() -> None:
    message = request(
        raw(
            f"BYE sip:bob@[{HERE}] SIP/2.0",
            Via=f"SIP/2.0/UDP [{HERE}]:6050;branch=z9hG4bKc, SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKd;received=192.0.2.8",
            CSeq="2 BYE",
        )
    )
    assert [via.host for via in message.vias] == [HERE, "192.0.2.9"]


def test_4_8_addresses_in_a_description_are_the_descriptions() -> None:
    assert parse_message(
        raw(body=b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 1 RTP/AVP 0\r\nc=IN IP6 ::1\r\n"), stream=False
    )


def test_4_9_an_address_mapped_from_ipv4_is_an_address() -> None:
    uri = request(register("sip:bob@[::ffff:192.0.2.10]:5061")).request_uri
    assert (uri.host, uri.port) == ("::ffff:192.0.2.10", 5061)


@pytest.mark.parametrize("host", ["[2001:db8::192.0.2.1]", "[2001:DB8::1]", "[::]", "[2001:0db8:0:0:0:0:0:1]"])
def test_4_10_every_spelling_of_an_address_is_kept_as_written(host: str) -> None:
    assert str(SipUri.parse(f"sip:bob@{host}")) == f"sip:bob@{host}"


@pytest.mark.parametrize("host", ["[2001:db8:::192.0.2.1]", "[2001:db8::1::2]", "[::1%25eth0]", "[1:2:3]", "[::1]x"])
def test_4_10_what_is_no_address_is_refused(host: str) -> None:
    """The grammar of RFC 3261 let three colons stand; RFC 5954 mended it."""
    with pytest.raises(SipError):
        SipUri.parse(f"sip:bob@{host}")
    assert status_of(register("sip:example.com", f"SIP/2.0/UDP {host};branch=z9hG4bKa1")) == 400


def test_a_response_goes_back_by_an_ipv6_via_as_it_came() -> None:
    message = request(register(f"sip:[{HERE}]"))
    assert isinstance(message, Request)
    assert create_response(message, 200, to_tag="t").headers.get("Via") == message.headers.get("Via")
