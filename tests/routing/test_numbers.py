"""Numbers and names: one spelling each, everything else refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.routing.numbers import (
    MAX_INTERNATIONAL,
    MAX_LENGTH,
    MAX_LOCAL,
    NAME_CHARACTERS,
    NUMBER_CHARACTERS,
    in_context,
    is_number,
    normalise,
)


@pytest.mark.parametrize(
    ("dialled", "number"),
    [
        ("+4930123456", "+4930123456"),
        ("+49 (30) 123-456", "+4930123456"),
        ("030.123.456", "030123456"),
        ("1-1-2", "112"),
        ("*97", "*97"),
        ("#31#0301234", "#31#0301234"),
        ("0900", "0900"),
        ("00491700", "00491700"),
    ],
)
def test_a_number_loses_its_visual_separators(dialled: str, number: str) -> None:
    assert normalise(dialled) == number


@pytest.mark.parametrize("name", ["alice", "alice.b-c_d", "Alice", "a", "1-800-FLOWERS", "user_1"])
def test_a_name_stays_as_it_is(name: str) -> None:
    assert normalise(name) == name


@pytest.mark.parametrize(
    "dialled",
    [
        "",
        "+",
        "++49301",
        "49+301",
        "+49301;phone-context=+1",
        "030123,1",
        "+49%2B",
        "alice@example.com",
        "alice bob",
        "+alice",
        "al*ice",
        "0301\r\nVia: x",
        "0301\x00",
        "a\u0301",
        "...",
        "-",
        "( )",
        "٠٩٠٠",
        "0９00",  # noqa: RUF001
        "１１２",  # noqa: RUF001
        "²³",
        "\u202e0301",
        "1" * (MAX_LENGTH + 1),
        "1" * (MAX_LOCAL + 1),
        "1-" * MAX_LOCAL + "1",
        "+" + "1" * (MAX_INTERNATIONAL + 1),
        "a" * (MAX_LENGTH + 1),
        "+4930*99#",
        "+4930#",
        "+4930123*1",
        "+*21#",
        "+#31#0301",
        "+49 30 (*) 99",
    ],
)
def test_what_is_not_plainly_a_number_or_a_name_is_not_found(dialled: str) -> None:
    with pytest.raises(SipError) as caught:
        normalise(dialled)
    assert caught.value.status == 404


@pytest.mark.parametrize("number", ["+" + "9" * MAX_INTERNATIONAL, "9" * MAX_LOCAL, "00" + "9" * MAX_INTERNATIONAL])
def test_the_longest_number_of_the_world_can_be_dialled(number: str) -> None:
    assert normalise(number) == number
    assert normalise("-".join(number)) == number


@given(st.text(max_size=80))
def test_any_text_is_normalised_to_the_plain_alphabet_or_refused(text: str) -> None:
    try:
        number = normalise(text)
    except SipError:
        return
    assert (NUMBER_CHARACTERS | {"+"}).issuperset(number) or NAME_CHARACTERS.issuperset(number)
    assert normalise(number) == number


@given(st.text(alphabet="+0123456789*#-.() ", max_size=20))
def test_separators_never_change_what_a_number_is(text: str) -> None:
    try:
        number = normalise(text)
    except SipError:
        return
    assert is_number(number)
    assert number == "".join(c for c in text if c in "+0123456789*#")


@pytest.mark.parametrize(
    ("number", "context", "whole"),
    [
        ("100", None, "100"),
        ("100", "+49", "+49100"),
        ("5551234", "+1-212", "+12125551234"),
        ("+4930100", "+49", "+4930100"),
        ("+4930100", "elsewhere.example", "+4930100"),
        ("100", "pbx.example", "100"),
        ("alice", "PBX.example", "alice"),
    ],
)
def test_a_local_number_counts_in_its_context(number: str, context: str | None, whole: str) -> None:
    assert in_context(number, context, "pbx.example") == whole


@pytest.mark.parametrize(
    ("number", "context"),
    [
        ("100", "elsewhere.example"),
        ("100", ""),
        ("100", "49"),
        ("100", "+"),
        ("100", "+49x"),
        ("*21", "+49"),
        ("alice", "+49"),
        ("1234567890", "+123456"),
    ],
)
def test_a_number_whose_context_is_none_of_ours_is_not_called(number: str, context: str) -> None:
    with pytest.raises(SipError) as caught:
        in_context(number, context, "pbx.example")
    assert caught.value.status == 404
