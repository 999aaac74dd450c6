"""Header fields: ordered, kept as sent, found by long and compact names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.base.errors import SipError
from gateway.sip.address import NameAddr
from gateway.sip.headers import COMPACT, canonical
from gateway.sip.message import CSeq, Headers
from gateway.sip.uri import SipUri
from tests.sip.samples import raw, request


def test_header_fields_keep_order_spelling_and_octets() -> None:
    extra = "X-b: 1\r\nx-A:  odd ;;,,; \r\nX-B: caf\udce9 \u6f22\r\nX-b:"
    message = request(raw(extra=extra))
    assert message.headers.items()[-4:] == [
        ("X-b", "1"),
        ("x-A", "odd ;;,,;"),
        ("X-B", "caf\udce9 \u6f22"),
        ("X-b", ""),
    ]
    assert b"\r\nX-b: 1\r\nx-A: odd ;;,,;\r\nX-B: caf\xe9 \xe6\xbc\xa2\r\nX-b: \r\n" in bytes(message)


def test_compact_and_long_names_are_one_header_field() -> None:
    message = request(raw(extra="k: timer\r\nSupported: 100rel, path"))
    assert message.headers.get("SUPPORTED") == "timer"
    assert message.headers.get_all("k") == ["timer", "100rel, path"]
    assert message.tokens("supported") == {"timer", "100rel", "path"}
    assert "K" in message.headers
    assert b"\r\nk: timer\r\nSupported: 100rel, path\r\n" in bytes(message)


def test_every_compact_form_has_one_letter_and_one_meaning() -> None:
    assert all(len(short) == 1 and canonical(short.upper()) == name for short, name in COMPACT.items())
    assert len(set(COMPACT.values())) == len(COMPACT)


def test_a_folded_header_field_is_joined_and_never_written_folded() -> None:
    message = request(raw(extra="Subject: one\r\n two\r\n\t three\r\nX: y"))
    assert message.headers.get("Subject") == "one two three"
    assert b"Subject: one two three\r\nX: y" in bytes(message)


def test_white_space_before_the_colon_is_accepted_and_not_written() -> None:
    message = request(raw(extra="X-Test \t: 1"))
    assert message.headers.get("x-test") == "1"
    assert b"\r\nX-Test: 1\r\n" in bytes(message)


def test_headers_are_set_in_place_added_prepended_and_removed() -> None:
    headers = Headers([("A", "1"), ("Via", "x"), ("B", "2"), ("v", "y")])
    headers = Headers([("Via", "top")]) + headers.with_("via", "z").plus([("C", "3")])
    assert headers.items() == [("Via", "top"), ("A", "1"), ("via", "z"), ("B", "2"), ("C", "3")]
    headers = headers.without("V").with_("D", "4")
    assert list(headers) == [("A", "1"), ("B", "2"), ("C", "3"), ("D", "4")]
    assert len(headers) == 4
    other = headers.with_("A", "other")
    assert headers.get("A") == "1"
    assert headers != other
    assert headers == Headers(headers.items())


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize(
    "write",
    [
        lambda headers, value: headers.with_("X", value),
        lambda headers, value: headers.plus([("X", value)]),
        lambda _headers, value: Headers([("X", value)]),
        lambda headers, value: headers.lengthened("X", value, CSeq(1, "INVITE")),
        lambda headers, value: headers.with_("X", NameAddr("", SipUri("sip", value, None, "host", None))),
    ],
    ids=["in place of others", "behind others", "alone", "longer", "typed"],
)
def test_our_own_header_values_cannot_inject(value: str, write: Callable[[Headers, str], Headers]) -> None:
    with pytest.raises(SipError) as caught:
        write(Headers([("X", "1")]), value)
    assert caught.value.status == 500


@pytest.mark.parametrize("name", ["", "X:", "X Y", "X\r\n", "\u00e4"])
def test_our_own_header_names_are_tokens(name: str) -> None:
    with pytest.raises(SipError):
        Headers([(name, "1")])


def test_values_split_lists_but_not_single_header_fields() -> None:
    lines = ("Subject: a, b", 'Warning: 399 h "x, y", 302 h "z"', 'Warning: 1 h "q"', "Authorization: Digest a=1, b=2")
    message = request(raw(extra="\r\n".join(lines)))
    assert message.headers.values("Warning") == ['399 h "x, y"', '302 h "z"', '1 h "q"']
    assert message.headers.values("subject") == ["a, b"]
    assert message.headers.values("Authorization") == ["Digest a=1, b=2"]
    assert message.headers.values("Absent") == []
