"""An INVITE that takes the place of another dialog (RFC 3891); the values are those of the RFC and its errata."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.sip.grammar import decode_escapes
from gateway.sip.replaces import (
    ACCEPTED,
    ANSWERS,
    MAX_PARAMS,
    MAX_REPLACES,
    Named,
    Replaces,
    answer_to,
    read_replaces,
)
from tests.effort import examples
from tests.sip.samples import raw, request, status_of

CONFIRMED = Replaces("425928@bobster.example.org", "7743", "6472")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("425928@bobster.example.org;to-tag=7743;from-tag=6472", CONFIRMED),
        (
            "98732@sip.example.com\t;from-tag=r33th4x0r ;to-tag=ff87ff",
            Replaces("98732@sip.example.com", "ff87ff", "r33th4x0r"),
        ),
        ("12adf2f34456gs5;to-tag=12345;from-tag=54321;early-only", Replaces("12adf2f34456gs5", "12345", "54321", True)),
        ("87134@171.161.34.23;to-tag=24796;from-tag=0", Replaces("87134@171.161.34.23", "24796", "0")),
        ("a;TO-TAG=x=/y;From-Tag=Z;Early-Only;early-only;x=y;z", Replaces("a", "x=/y", "Z", True)),
    ],
)
def test_a_value_names_a_dialog_by_call_id_and_both_tags(value: str, expected: Replaces) -> None:
    assert Replaces.parse(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        ";",
        "a",
        "a;to-tag=1",
        "a;from-tag=1",
        ";to-tag=1;from-tag=2",
        "a;to-tag=1;from-tag=2;to-tag=1",
        "a;to-tag=1;from-tag=2;From-Tag=3",
        "a;to-tag=;from-tag=2",
        "a;to-tag;from-tag=2",
        'a;to-tag="1";from-tag=2',
        "a;to-tag=1;from-tag=2@",
        "a;to-tag=1;from-tag=2, b;to-tag=1;from-tag=2",
        "a, b;to-tag=1;from-tag=2",
        "a b;to-tag=1;from-tag=2",
        "a;to-tag=1;from-tag=2;",
        "a;to-tag=1;from-tag=2;@=3",
        "a\r\nRoute: <sip:evil>;to-tag=1;from-tag=2",
        "a;to-tag=1\r\n;from-tag=2",
        "a;to-tag=1\0;from-tag=2",
        "\u0441all;to-tag=1;from-tag=2",
        "a;to-tag=1;from-tag=2" + ";p" * MAX_PARAMS,
        "a" * MAX_REPLACES + ";to-tag=1;from-tag=2",
    ],
)
def test_a_value_that_does_not_name_one_dialog_is_refused(value: str) -> None:
    with pytest.raises(SipError) as caught:
        Replaces.parse(value)
    assert caught.value.status == 400


def test_the_tags_are_those_of_the_side_that_receives_them() -> None:
    """RFC 3891 3: to-tag against the local tag, from-tag against the remote one."""
    ours = ("425928@bobster.example.org", "7743", "6472")
    assert CONFIRMED.keys == (ours,)


def test_a_refer_of_jssip_about_a_call_that_came_in_has_them_the_other_way_round() -> None:
    """It writes the tags of the INVITE, whoever sent that."""
    assert CONFIRMED.keys_either_way == (
        ("425928@bobster.example.org", "7743", "6472"),
        ("425928@bobster.example.org", "6472", "7743"),
    )


def test_a_dialog_of_ours_is_named_as_its_peer_sees_it() -> None:
    named = Replaces.naming(("call", "our", "their"), early_only=True)
    assert str(named) == "call;to-tag=their;from-tag=our;early-only"
    assert named.keys == (("call", "their", "our"),)


def test_a_tag_of_zero_means_a_peer_without_tag_too() -> None:
    assert Replaces.parse("a;to-tag=1;from-tag=0").keys == (("a", "1", "0"), ("a", "1", ""))
    assert str(Replaces.naming(("a", "our", ""))) == "a;to-tag=0;from-tag=our"


@pytest.mark.parametrize(
    "key", [("a;to-tag=1", "x", "y"), ("a,b", "x", "y"), ("", "x", "y"), ("a", "x;y", "z"), ("a", "x", '"')]
)
def test_a_dialog_whose_names_would_be_read_as_something_else_is_not_named(key: tuple[str, str, str]) -> None:
    with pytest.raises(SipError) as caught:
        Replaces.naming(key)
    assert caught.value.status == 500


def test_the_value_stands_in_a_uri_with_all_its_delimiters_escaped() -> None:
    """RFC 3515 2.1: ``12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994``."""
    value = Replaces("12345@192.168.118.3", "12345", "5FFE-3994")
    assert value.embedded == "12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994"


def invite(extra: str, method: str = "INVITE") -> bytes:
    return raw(f"{method} sip:bob@example.com SIP/2.0", extra=extra, CSeq=f"1 {method}")


def test_an_invite_without_the_header_replaces_nothing() -> None:
    assert read_replaces(request(invite("Supported: replaces"))) is None


def test_an_invite_with_it_says_which_dialog() -> None:
    assert read_replaces(request(invite(f"Require: replaces\r\nReplaces: {CONFIRMED}"))) == CONFIRMED


def test_two_of_them_are_refused() -> None:
    twice = invite(f"Replaces: {CONFIRMED}\r\nReplaces: {CONFIRMED}")
    assert status_of(twice) == 400


@pytest.mark.parametrize(
    "data",
    [
        invite(f"Replaces: {CONFIRMED}", "OPTIONS"),
        invite(f"Replaces: {CONFIRMED}\r\nJoin: a;to-tag=1;from-tag=2"),
        invite("Replaces: a;to-tag=1"),
        invite("Replaces:"),
    ],
    ids=["in another request", "beside Join", "without a tag", "empty"],
)
def test_what_contradicts_itself_is_a_bad_request(data: bytes) -> None:
    message = request(data)
    with pytest.raises(SipError) as caught:
        read_replaces(message)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("named", "at_once", "early_only"),
    [
        (Named.UNKNOWN, 481, 481),
        (Named.OTHERS, 481, 481),
        (Named.ENDED, 603, 603),
        (Named.EARLY_OF_PEER, 481, 481),
        (Named.EARLY_OF_OURS, ACCEPTED, ACCEPTED),
        (Named.CONFIRMED, ACCEPTED, 486),
    ],
)
def test_the_answer_follows_from_the_dialog_it_names(named: Named, at_once: int, early_only: int) -> None:
    assert answer_to(named, Replaces("a", "b", "c")) == at_once
    assert answer_to(named, Replaces("a", "b", "c", early_only=True)) == early_only


def test_each_dialog_has_an_answer() -> None:
    assert set(ANSWERS) == {(named, early) for named in Named for early in (False, True)}


def test_a_stranger_cannot_tell_a_dialog_from_none() -> None:
    for early in (False, True):
        assert ANSWERS[Named.OTHERS, early] == ANSWERS[Named.UNKNOWN, early]


def outcome(text: str) -> Replaces | int:
    try:
        return Replaces.parse(text)
    except SipError as error:
        return error.status


@settings(max_examples=examples(500), deadline=None)
@given(st.text(max_size=80) | st.from_regex(r"[a-z@;=,\" %0-9-]{0,80}", fullmatch=True))
def test_any_text_is_a_value_that_can_be_written_again_or_a_bad_request(text: str) -> None:
    value = outcome(text)
    if not isinstance(value, Replaces):
        assert value == 400
        return
    assert Replaces.parse(str(value)) == value
    assert decode_escapes(value.embedded) == str(value)
