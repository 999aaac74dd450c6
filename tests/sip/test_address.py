"""Addresses: who is calling must not depend on who reads the header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.sip.address import NameAddr
from gateway.sip.uri import SipUri


def test_a_uri_in_the_display_name_is_not_the_identity() -> None:
    address = NameAddr.parse('"<sip:admin@trusted>" <sip:evil@h>')
    assert (address.uri.user, address.uri.host) == ("evil", "h")
    assert address.display_name == "<sip:admin@trusted>"
    assert str(address) == '"<sip:admin@trusted>" <sip:evil@h>'


def test_an_escaped_quote_does_not_end_the_display_name() -> None:
    address = NameAddr.parse(r'"a\" <sip:admin@trusted>" <sip:evil@h>;tag=1')
    assert (str(address.uri), address.tag) == ("sip:evil@h", "1")
    assert address.display_name == 'a" <sip:admin@trusted>'


@pytest.mark.parametrize(
    ("text", "name", "uri", "params"),
    [
        ("<sip:a@b>", "", "sip:a@b", ""),
        (" \t<sip:a@b> ", "", "sip:a@b", ""),
        ("sip:a@b", "", "sip:a@b", ""),
        ("sip:a@b;tag=1", "", "sip:a@b", ";tag=1"),
        ("sip:a@b ; tag = 1", "", "sip:a@b", ";tag=1"),
        ("<sip:a@b;x=1>;tag=2", "", "sip:a@b;x=1", ";tag=2"),
        ("Bob Smith  <sip:a@b>", "Bob Smith", "sip:a@b", ""),
        ("caller<sip:a@b>;tag=323", "caller", "sip:a@b", ";tag=323"),
        ('"Watson, T; x <y>" <sip:a@b>', "Watson, T; x <y>", "sip:a@b", ""),
        (r'"J Rosenberg \\\"" <sip:a@b> ; q = 0.33', 'J Rosenberg \\"', "sip:a@b", ";q=0.33"),
        ('""<sip:a@b>', "", "sip:a@b", ""),
        ("Müller <sip:a@b>", "Müller", "sip:a@b", ""),
        ('"caf\udce9" <sip:a@b>', "caf\ufffd", "sip:a@b", ""),
        ("<tel:+123;phone-context=x>", "", "tel:+123;phone-context=x", ""),
        ("isbn:2983792873", "", "isbn:2983792873", ""),
        ("<http://www.example.com>;tag=3", "", "http://www.example.com", ";tag=3"),
    ],
)
def test_the_forms_of_an_address(text: str, name: str, uri: str, params: str) -> None:
    address = NameAddr.parse(text)
    assert (address.display_name, str(address.uri), str(address.params)) == (name, uri, params)
    assert NameAddr.parse(str(address)) == address


def test_parameters_behind_a_bare_uri_belong_to_the_header() -> None:
    address = NameAddr.parse("sip:+19725552222@gw1.example.net;unknownparam")
    assert "unknownparam" in address.params
    assert len(address.uri.params) == 0


def test_the_instance_parameter_of_a_browser_survives() -> None:
    text = '<sip:x@y.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance="<urn:uuid:78725808-be79>";expires=600'
    assert str(NameAddr.parse(text)) == text


def test_a_tag_is_added_or_replaced() -> None:
    address = NameAddr.parse("<sip:a@b>;x=1")
    assert address.tag is None
    assert str(address.with_tag("t1")) == "<sip:a@b>;x=1;tag=t1"
    assert address.with_tag("t1").with_tag("t2").tag == "t2"
    assert NameAddr.parse("<sip:a@b>;TAG=x").tag == "x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<>",
        "<sip:a@b",
        "sip:a@b>",
        '"Bob <sip:a@b>',
        '"Bob" sip:a@b',
        '"Bob"',
        '"a <sip:a@b>',
        'a" <sip:a@b>',
        '<sip:x@y> "a" <sip:a@b>',
        "<sip:x@y> <sip:a@b>",
        "<sip:a@b> junk",
        "<sip:a@b>,",
        "< sip:a@b >",
        "sip:a@b?x=y",
        "sip:a,b@c",
        "<sip:a@b>;",
        "<sip:a@b>;;tag=1",
        "<sip:a@b>;tag=1;tag=2",
        "<sip:a@b>;tag",
        "<sip:a@b>;tag=",
        '<sip:a@b>;tag="x"',
        "*",
        "Bob",
        "sip:user;par=u@example.com",
        "a<b <sip:a@b>",
        "<<sip:a@b>>",
    ],
)
def test_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(SipError) as caught:
        NameAddr.parse(text)
    assert caught.value.status == 400


@given(st.text())
def test_any_display_name_leaves_the_uri_alone(name: str) -> None:
    address = NameAddr.parse(str(NameAddr(name.encode("utf-8", "replace").decode(), SipUri.parse("sip:evil@h"))))
    assert str(address.uri) == "sip:evil@h"


@given(st.text(alphabet='sip:a@b;=<>", \\\t\r\n\0ä*', max_size=40))
def test_any_text_is_an_address_or_a_sip_error(text: str) -> None:
    try:
        address = NameAddr.parse(text)
    except SipError:
        return
    assert NameAddr.parse(str(address)).uri == address.uri


@pytest.mark.parametrize(
    "name",
    [
        "Bell, Alexander",
        "a;b",
        "a@b.example",
        "sip:x@y",
        "Sales: EMEA",
        "Sam\\",
        "(anonymous)",
        '"a" "b"',
        '"a" x',
        'x "a"',
        '""unknown""',
        '""Bob" Smith"',
        '"<sip:x@y>" z',
        "a=b",
        "?",
    ],
)
def test_a_name_that_is_none_is_left_out_and_the_uri_stands(name: str) -> None:
    address = NameAddr.parse(f"{name} <sip:a@b>;tag=1")
    assert (address.display_name, str(address.uri), address.tag) == ("", "sip:a@b", "1")


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ('sip:ue@192.0.2.7:5066;+sip.instance="<urn:uuid:0000>";audio', {"+sip.instance": '"<urn:uuid:0000>"'}),
        ('sip:ue@192.0.2.7;+g.x="a;b,c";q=0.5', {"+g.x": '"a;b,c"', "q": "0.5"}),
        ("sip:ue@192.0.2.7;expires=60", {"expires": "60"}),
    ],
)
def test_an_address_without_brackets_has_parameters_of_its_own_header(text: str, params: dict[str, str]) -> None:
    address = NameAddr.parse(text)
    assert (address.uri.user, address.uri.host, len(address.uri.params)) == ("ue", "192.0.2.7", 0)
    assert {name: address.params.get(name) for name in params} == params


def test_a_route_without_brackets_keeps_its_parameters_in_the_uri() -> None:
    route = NameAddr.parse_route("sip:192.0.2.1:5070;lr")
    assert "lr" in route.uri.params
    assert str(route) == "<sip:192.0.2.1:5070;lr>"
