"""SIP and tel URIs: one reading only, and written as they were read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.sip.uri import Params, SipUri


@pytest.mark.parametrize(
    "text",
    [
        "sip:example.com",
        "sip:alice@example.com",
        "sips:alice:secret@10.0.0.1:5061;transport=TLS;lr?Replaces=a%40b&x=y",
        "sip:alice:@example.com",
        "sip:[2001:db8::1]:5060;transport=tcp",
        "sip:user@[::1]",
        "sip:np17a6vd@kc4auqavthah.invalid;transport=ws;ob",
        "sip:*72#@pbx",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
        "sip:user;par=u%40example.net@example.com",
        "sip:biloxi.com;method=REGISTER?to=alice%40atlanta.com",
        "tel:+1-201-555-0123",
        "tel:7042;phone-context=example.com",
    ],
)
def test_a_uri_is_written_as_it_was_read(text: str) -> None:
    assert str(SipUri.parse(text)) == text
    assert hash(SipUri.parse(text)) == hash(SipUri.parse(text))


def test_the_parts_of_a_uri() -> None:
    uri = SipUri.parse("SIPS:al%69ce:pw@Example.com:5061;Transport=WSS;maddr=1.2.3.4?Subject=x")
    assert (uri.scheme, uri.user, uri.user_decoded, uri.password) == ("sips", "al%69ce", "alice", "pw")
    assert (uri.host, uri.port, uri.transport, uri.headers) == ("Example.com", 5061, "wss", "Subject=x")
    assert uri.params.get("MADDR") == "1.2.3.4"
    assert str(uri).startswith("sips:al%69ce:pw@Example.com:5061;Transport=WSS")


def test_the_host_is_what_follows_the_only_at_sign() -> None:
    uri = SipUri.parse("sip:user;par=u%40x@example.com")
    assert (uri.user, uri.host) == ("user;par=u%40x", "example.com")
    uri = SipUri.parse("sip:sips%3Auser%40example.com@example.net")
    assert (uri.user_decoded, uri.host) == ("sips:user@example.com", "example.net")


def test_a_tel_uri_has_a_number_and_no_host() -> None:
    uri = SipUri.parse("tel:+12015550123;phone-context=+1")
    assert (uri.scheme, uri.user, uri.host, uri.port) == ("tel", "+12015550123", "", None)
    assert uri.params.get("phone-context") == "+1"


def test_an_escaped_nul_is_no_end_of_the_user() -> None:
    assert SipUri.parse("sip:null-%00-null@example.com").user_decoded == "null-\0-null"


def test_the_transport_of_a_uri_is_its_parameter() -> None:
    assert SipUri.parse("sip:a@h;transport=UDP").transport == "udp"
    assert SipUri.parse("sip:a@h;transport").transport is None


@pytest.mark.parametrize(
    "text", ["http://x", "nobodyKnowsThisScheme:totallyopaquecontent", "soap.beep://192.0.2.103:3002"]
)
def test_an_unknown_scheme_is_416_where_we_have_to_use_it(text: str) -> None:
    with pytest.raises(SipError) as caught:
        SipUri.parse(text)
    assert caught.value.status == 416
    uri = SipUri.parse(text, any_scheme=True)
    assert (uri.user, uri.host, str(uri).lower()) == (None, "", text.lower())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip",
        "sip:",
        ":x",
        "1sip:a@b",
        "\u017fip:a@b",
        "sip:@host",
        "sip:a@",
        "sip:a@b@c",
        "sip:admin@trusted@evil",
        "sip:a@b:port",
        "sip:a@b:",
        "sip:a b@c",
        "sip:a@b c",
        "sip:<a@b>",
        'sip:"a"@b',
        "sip:a\\b@c",
        "sip:a@b\r\nX: 1",
        "sip:a@b\0",
        "sip:a%4@b",
        "sip:a%zz@b",
        "sip:a@b%2",
        "sip:a@b;",
        "sip:a@b;;x",
        "sip:a@b;=1",
        "sip:a@b;x,y=1",
        'sip:a@b;x="',
        'sip:a@b;x="a b"',
        'sip:a"b"@c',
        'sip:a;x="@b"@c',
        "sip:a@b;transport=udp;transport=tcp",
        "tel:1;x=<y>",
        "sip:a@b?",
        "sip:a@b;x=a,b",
        "sip:a@2001:db8::1",
        "sip:a@[::1",
        "sip:ä@b",
        "sip:a@ö.de",
        "tel:",
        "tel:;x",
        "tel:1@2",
        "tel:1?x",
        "sip:a@b;transport=udp;Transport=tls",
    ],
)
def test_bad_uris_are_refused(text: str) -> None:
    with pytest.raises(SipError) as caught:
        SipUri.parse(text)
    assert caught.value.status == 400


def test_too_many_uri_parameters_are_too_large() -> None:
    with pytest.raises(SipError) as caught:
        SipUri.parse("sip:h" + "".join(f";p{n}" for n in range(65)))
    assert caught.value.status == 513


USER = st.text(alphabet="abcXYZ019-_.!~*'()&=+$,;?/", min_size=1, max_size=20)
NAME = st.text(alphabet="abcdefghijXYZ019-", min_size=1, max_size=6)


@given(
    st.sampled_from(["sip", "sips"]),
    st.none() | USER,
    NAME,
    st.none() | st.integers(0, 65535),
    st.lists(st.tuples(NAME, st.none() | NAME), max_size=4, unique_by=lambda item: item[0].lower()),
)
def test_any_built_uri_reads_back_equal(
    scheme: str, user: str | None, host: str, port: int | None, params: list[tuple[str, str | None]]
) -> None:
    uri = SipUri(scheme, user, None, host, port, Params(tuple(params)))
    assert SipUri.parse(str(uri)) == uri


@given(st.text(alphabet='sip:tel@;=?%[]0a2.,/<>" \\\r\n\0ä', max_size=40), st.booleans())
def test_any_text_is_a_uri_or_a_sip_error(text: str, any_scheme: bool) -> None:
    try:
        uri = SipUri.parse(text, any_scheme=any_scheme)
    except SipError:
        return
    assert SipUri.parse(str(uri), any_scheme=any_scheme) == uri


@pytest.mark.parametrize(
    "text",
    [
        'sip:192.0.2.1:5070;transport=udp;thinfo="AbC+dEf/g="',
        'sip:a@b;x="a;b,c"',
        'sip:a@b;x="<y>"',
        "tel:+4930100;isub=1411?x=/1:2@3",
        "tel:+358-555-1234567;isub=1411;postd=pp22",
    ],
)
def test_odd_parameters_stand_as_they_were_sent(text: str) -> None:
    assert str(SipUri.parse(text)) == text


def test_of_a_repeated_uri_parameter_the_first_counts_where_nothing_hangs_on_it() -> None:
    assert str(SipUri.parse("sip:a@b;x=1;X=2;transport=udp;Transport=UDP")) == "sip:a@b;x=1;transport=udp"


@pytest.mark.parametrize(
    ("text", "subscriber", "context"),
    [
        ("sip:+4930100;npdi;rn=+4930999@gw.example;user=phone", "+4930100", None),
        ("sip:100;phone-context=+49@gw.example;user=phone", "100", "+49"),
        ("sip:100@gw.example;phone-context=+49", "100", "+49"),
        ("sip:100;ext=7;isub=12%2F3;postd=pp22@gw.example", "100", None),
        ("sip:+4930231255;cpc=ordinary@gw.example", "+4930231255", None),
        ("sip:+4930231255;tgrp=trunk-7;trunk-context=+1@gw.example", "+4930231255", None),
        ("sip:a%3Bb@gw.example", "a;b", None),
        ("tel:100;phone-context=example.com;isub=1", "100", "example.com"),
        ("tel:+49-30-100;isub=1", "+49-30-100", None),
        ("sip:gw.example", "", None),
    ],
)
def test_the_subscriber_is_what_stands_before_the_first_semicolon(
    text: str, subscriber: str, context: str | None
) -> None:
    uri = SipUri.parse(text)
    assert (uri.subscriber, uri.phone_context) == (subscriber, context)


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_a_uri_of_ours_is_read_back_as_it_was_made_whatever_the_user_is_called(user: str) -> None:
    made = SipUri.of(user, "2001:db8::1", 5061, transport="tls")
    assert SipUri.parse(str(made)) == made
    assert made.user_decoded == user
    assert str(SipUri.of("600", "2001:db8::1", 5061, transport="tls")) == "sip:600@[2001:db8::1]:5061;transport=tls"
