"""The lexical rules: linear, ASCII only where the grammar is, and aware of quotes and brackets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.sip.grammar import (
    decode_escapes,
    end_of_quoted,
    escape_user,
    format_host_port,
    is_token,
    parse_host,
    parse_host_port,
    parse_uint,
    printable,
    quote,
    same_word,
    split_top_level,
    unquote,
    words,
)
from gateway.sip.params import MAX_PARAMS, Params


def test_a_separator_in_quotes_or_brackets_does_not_split() -> None:
    text = '"a,b" <sip:x,y@h>;p="1,2", plain , <sip:,>'
    assert split_top_level(text, ",") == ['"a,b" <sip:x,y@h>;p="1,2"', " plain ", " <sip:,>"]


def test_an_escaped_quote_does_not_close_a_quoted_string() -> None:
    assert split_top_level(r'"a\",b",c', ",") == [r'"a\",b"', "c"]


def test_a_quote_inside_brackets_and_a_bracket_inside_quotes_are_ordinary() -> None:
    assert split_top_level('<a",>b">,"<",c', ",") == ['<a",>b">', '"<"', "c"]


@pytest.mark.parametrize("text", ['"', '"a', "<", "a,<b", '"a\\"', '"\\'])
def test_what_opens_must_close(text: str) -> None:
    with pytest.raises(SipError) as caught:
        split_top_level(text, ",")
    assert caught.value.status == 400


@given(st.lists(st.text(alphabet="abc \\,;<\"'", max_size=8), max_size=8))
def test_quoted_pieces_joined_by_commas_come_apart_again(pieces: list[str]) -> None:
    quoted = [quote(piece) for piece in pieces] or [""]
    assert split_top_level(",".join(quoted), ",") == quoted


@given(st.text())
def test_quoting_is_undone_by_unquoting(text: str) -> None:
    kept = "".join(char for char in text if char >= " " and char != "\x7f")
    assert unquote(quote(text)) == kept
    assert end_of_quoted(quote(text), 0) == len(quote(text))


def test_control_characters_are_never_quoted() -> None:
    assert quote("a\r\nEvil: 1\0\x07\x7f") == '"aEvil: 1"'


@pytest.mark.parametrize(("text", "value"), [("0", 0), (" 0068 ", 68), ("255", 255), ("\t7", 7)])
def test_a_number_is_ascii_digits_with_white_space_around(text: str, value: int) -> None:
    assert parse_uint(text, "number", 255) == value


@pytest.mark.parametrize(
    "text", ["", " ", "-1", "+5", "5_0", "0x5", "1 2", "256", "٣", "²", "1" * 13, "\x0b1", "1\xa0"]
)
def test_anything_else_is_no_number(text: str) -> None:
    with pytest.raises(SipError, match="Bad number"):
        parse_uint(text, "number", 255)


def test_a_number_of_a_million_digits_is_refused_without_converting_it() -> None:
    with pytest.raises(SipError):
        parse_uint("9" * 1_000_000, "number", 2**31)


@pytest.mark.parametrize(
    ("text", "verdict"), [("a", True), ("a-.!%*_+`'~9", True), ("", False), ("a b", False), ("ä", False)]
)
def test_tokens_are_ascii(text: str, verdict: bool) -> None:
    assert is_token(text) is verdict


def test_unicode_look_alikes_do_not_match_a_word() -> None:
    assert same_word("SiP", "sip")
    assert not same_word("\u017fip", "sip")
    assert not same_word("\u212a", "k")


def test_only_space_and_tab_separate_words() -> None:
    assert words(" 1\t INVITE ") == ["1", "INVITE"]
    assert words("1\x0bINVITE\xa0x") == ["1\x0bINVITE\xa0x"]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.com", "example.com", None),
        ("10.0.0.1:5060", "10.0.0.1", 5060),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("[2001:db8::1] : 5061", "2001:db8::1", 5061),
        ("first.example.com: 4000", "first.example.com", 4000),
        ("my_pbx", "my_pbx", None),
        ("x.invalid:0", "x.invalid", 0),
    ],
)
def test_host_and_port(text: str, host: str, port: int | None) -> None:
    assert parse_host_port(text) == (host, port)
    assert parse_host_port(format_host_port(host, port)) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":5060",
        "h:",
        "h:65536",
        "h:-1",
        "h:+1",
        "h h",
        "h:1:2",
        "2001:db8::1",
        "[::1",
        "[::1]x",
        "[::g]",
        "[]",
        "[fe80::1%eth0]",
        "hö",
        "h@x",
        "a" * 256,
        "[" + "0:" * 40 + "]",
        "[[::1]]",
    ],
)
def test_bad_hosts_and_ports_are_refused(text: str) -> None:
    with pytest.raises(SipError):
        parse_host_port(text)


def test_the_brackets_of_an_ipv6_host_are_taken_off() -> None:
    assert parse_host("[::ffff:1.2.3.4]") == "::ffff:1.2.3.4"


@given(st.text())
def test_any_text_can_be_a_user_part_and_come_back(text: str) -> None:
    escaped = escape_user(text)
    assert escaped.isascii()
    assert "@" not in escaped
    assert decode_escapes(escaped) == text.encode("utf-8", "replace").decode()


def test_octets_that_are_not_utf8_become_printable() -> None:
    assert printable("caf\udce9") == "caf\ufffd"
    assert decode_escapes("%ff%41") == "\ufffdA"


def test_parameters_keep_order_case_and_quoting() -> None:
    text = 'Tag=1;+sip.instance="<urn:uuid:0;x>";lr;empty='
    params = Params.parse(text)
    assert str(params) == ";" + text
    assert params.get("TAG") == "1"
    assert params.get("+SIP.Instance") == '"<urn:uuid:0;x>"'
    assert (params.get("lr"), params.get("empty"), params.get("none")) == ("", "", None)
    assert "LR" in params
    assert "none" not in params
    assert 1 not in params


def test_parameters_are_changed_in_place_or_appended() -> None:
    params = Params.parse("a=1;b;c=3")
    assert str(params.with_("B", "2")) == ";a=1;b=2;c=3"
    assert str(params.with_("d", None)) == ";a=1;b;c=3;d"
    assert str(params.without("A")) == ";b;c=3"
    assert str(params) == ";a=1;b;c=3"
    assert len({params, Params.parse("a=1;b;c=3")}) == 1
    assert params != (("a", "1"), ("b", None), ("c", "3"))
    assert str(Params.parse("A=1;B").with_("a", "2").without("b")) == ";A=2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "a;",
        ";a",
        "a;;b",
        "a b",
        "a=b c",
        "=1",
        'a="x',
        'a="x"y',
        "a=<x>",
        "a=x@y",
        "ä=1",
        "a=ö",
        "tag=1;TAG=1",
        "branch=1;branch=2",
        "transport=udp;transport=tcp",
        'a="\\\0"',
    ],
)
def test_bad_parameters_are_refused(text: str) -> None:
    with pytest.raises(SipError) as caught:
        Params.parse(text)
    assert caught.value.status == 400


def test_a_parameter_called_self_is_nothing_special() -> None:
    assert Params.parse("self=1;cls=2").get("self") == "1"


def test_too_many_parameters_are_too_large() -> None:
    Params.parse(";".join(f"p{n}" for n in range(MAX_PARAMS)))
    with pytest.raises(SipError) as caught:
        Params.parse(";".join(f"p{n}" for n in range(MAX_PARAMS + 1)))
    assert caught.value.status == 513


@pytest.mark.parametrize("value", ["a;b", "a\r\nX: 1", 'x"', '"a\r\n"', "a b", "\0"])
def test_our_own_parameters_cannot_break_out(value: str) -> None:
    with pytest.raises(SipError):
        Params().with_("p", value)
    with pytest.raises(SipError):
        Params().with_(value, "1")


@pytest.mark.parametrize("text", ["", '"', '"a', 'a"', "a", 'a"b"'])
def test_text_that_is_no_quoted_string_is_not_unquoted(text: str) -> None:
    assert unquote(text) == text
