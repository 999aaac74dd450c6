"""What a 3xx names, in which order, and how often it is followed (RFC 3261 8.1.3.4, 20.10)."""

from __future__ import annotations

import pytest

from gateway.base.values import HostPort
from gateway.call.legs.redirects import MAX_CONTACTS, MAX_FOLLOWED, Redirects, contacts, is_as_secure, place_of
from gateway.sip.message import Headers, Response
from gateway.sip.uri import SipUri
from tests.call.machine_scene import trunk_flow


def moved(*values: str) -> Response:
    return Response(302, "", Headers([("CSeq", "1 INVITE"), *(("Contact", value) for value in values)]))


def test_the_most_wanted_contact_comes_first_and_equals_keep_their_order() -> None:
    found = contacts(moved("<sip:a@x>;q=0.2, <sip:b@x>;q=0.9", "<sip:c@x>, <sip:d@x>;q=bad, <sip:e@x>"))
    assert [uri.user for uri in found] == ["c", "e", "b", "a", "d"]


def test_nothing_of_a_contact_becomes_a_header_field_or_a_password_of_ours() -> None:
    (uri,) = contacts(moved("<sip:600:secret@x;method=BYE;user=phone?Route=%3Csip:evil%3E&Subject=x>"))
    assert str(uri) == "sip:600@x;user=phone"


@pytest.mark.parametrize("value", ["<tel:+4930123>", "<mailto:x@y>", "<https://x.example>", "*", "<<>>", ""])
def test_what_is_no_sip_address_is_passed_over(value: str) -> None:
    assert contacts(moved(value)) == []
    assert contacts(moved()) == []


def test_of_many_contacts_some_are_looked_at() -> None:
    assert len(contacts(moved(", ".join(f"<sip:{n}@x>" for n in range(60))))) == MAX_CONTACTS


@pytest.mark.parametrize(
    ("transport", "uri", "allowed"),
    [
        ("tls", "sip:600@x;transport=tls", True),
        ("tls", "sips:600@x", True),
        ("tls", "sip:600@x", True),
        ("tls", "sip:600@x;transport=tcp", False),
        ("tls", "sip:600@x;transport=udp", False),
        ("tcp", "sip:600@x;transport=udp", False),
        ("tcp", "sip:600@x;transport=TCP", True),
        ("udp", "sip:600@x;transport=udp", True),
        ("udp", "sip:600@x;transport=ws", False),
        ("udp", "sips:600@x", False),
    ],
)
def test_the_transport_is_the_one_there_is(transport: str, uri: str, allowed: bool) -> None:
    assert is_as_secure(SipUri.parse(uri), trunk_flow(transport)) is allowed


@pytest.mark.parametrize(("transport", "port"), [("udp", 5060), ("tcp", 5060), ("tls", 5061)])
def test_without_a_port_it_is_that_of_the_transport(transport: str, port: int) -> None:
    assert place_of(SipUri.parse("sip:600@192.0.2.7"), trunk_flow(transport)) == HostPort("192.0.2.7", port)
    assert place_of(SipUri.parse("sip:600@192.0.2.7:7"), trunk_flow(transport)) == HostPort("192.0.2.7", 7)


def test_none_is_tried_twice_and_not_too_many() -> None:
    sent = Redirects(left=[SipUri.parse(f"sip:{n}@x") for n in (1, 1, 2)])
    first = sent.next()
    assert first is not None
    sent.tried.add(str(first))
    second = sent.next()
    assert (str(first), str(second)) == ("sip:1@x", "sip:2@x")
    sent.tried |= {f"sip:{n}@y" for n in range(MAX_FOLLOWED)}
    sent.left = [SipUri.parse("sip:new@x")]
    assert sent.next() is None
