"""Patterns of numbers, compared with `re` on every short number, and with each other by what they mean."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing.patterns import EVERYTHING, MAX_PATTERN, Pattern
from tests.effort import examples

DIGITS = "01279"
"""Enough of them to tell X, Z and N apart."""
ELEMENTS = st.sampled_from([*DIGITS, "*", "#", "X", "Z", "N", "[1-2]", "[029]", "[0-9]"])
PATTERNS = st.builds(
    lambda plus, places, tail: plus + "".join(places) + tail,
    st.sampled_from(["", "", "+"]),
    st.lists(ELEMENTS, max_size=3),
    st.sampled_from(["", "*", "."]),
).filter(bool)
NUMBERS = st.text(alphabet=f"{DIGITS}*#", max_size=5).flatmap(lambda n: st.sampled_from([n, f"+{n}"]))
SHORT = ["".join(chars) for length in range(5) for chars in itertools.product("019*#", repeat=length)]
SETS = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]"}


def as_regex(text: str) -> str:
    """The same in the language of `re`, by its definition in the manual and not by ours."""
    body = text.removesuffix("*")
    tail = ""
    if text != body:
        tail = "[0-9a-zA-Z._+*#-]*" if body[:1] in ("*", "#") else "[0-9a-zA-Z._+-]*"
    elif text.endswith("."):
        body, tail = text[:-1], "[0-9]+"
    letters = any(sign in text for sign in "XZN[") or text.endswith(".")
    parts = re.findall(r"\[[^]]*\]|.", body)
    written = (p if p.startswith("[") else SETS[p] if letters and p in SETS else re.escape(p) for p in parts)
    return "".join(written) + tail


@settings(max_examples=examples(2000))
@given(PATTERNS, NUMBERS)
def test_a_pattern_means_what_the_same_regular_expression_means(text: str, number: str) -> None:
    assert Pattern.parse(text).matches(number) is (re.fullmatch(as_regex(text), number) is not None)


@settings(max_examples=examples(200))
@given(PATTERNS)
def test_a_pattern_means_the_same_short_numbers_as_the_regular_expression(text: str) -> None:
    pattern, regex = Pattern.parse(text), re.compile(as_regex(text))
    assert [n for n in SHORT if pattern.matches(n)] == [n for n in SHORT if regex.fullmatch(n)]


@settings(max_examples=examples(2000))
@given(PATTERNS, PATTERNS, NUMBERS)
def test_a_pattern_that_covers_another_means_all_its_numbers(one: str, other: str, number: str) -> None:
    wide, narrow = Pattern.parse(one), Pattern.parse(other)
    if wide.covers(narrow) and narrow.matches(number):
        assert wide.matches(number)


@settings(max_examples=examples(500))
@given(PATTERNS, PATTERNS)
def test_a_pattern_that_does_not_cover_another_misses_a_number_of_it(one: str, other: str) -> None:
    """Nothing is called unreachable that is reached, and nothing reachable that is not."""
    wide, narrow = Pattern.parse(one), Pattern.parse(other)
    if wide.covers(narrow):
        return
    longest = max(len(wide.places) + wide.least, len(narrow.places) + narrow.least) + 1
    shortest = len(narrow.places) + narrow.least
    lengths = range(shortest, longest + 1) if narrow.rest else [shortest]

    def odd(place: int, length: int) -> str:
        """Something the narrow one takes there and the wide one, if there is such a thing, does not."""
        return min(narrow.at(place) - wide.at(place) or narrow.at(place))

    candidates = ["".join(odd(place, length) for place in range(length)) for length in lengths]
    assert any(narrow.matches(number) and not wide.matches(number) for number in candidates)


@settings(max_examples=examples(500))
@given(PATTERNS, NUMBERS)
def test_an_objection_is_raised_to_what_does_not_match_and_to_nothing_else(text: str, number: str) -> None:
    pattern = Pattern.parse(text)
    assert bool(pattern.objection(number)) is not pattern.matches(number)


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("+49[1-9]X.", ["+49301", "+491234567890"], ["+49", "+4930", "+490123", "4930123", "+49301*", "+4930a"]),
        ("0[13-5]X", ["010", "039", "055"], ["020", "060", "01", "0100"]),
        ("NXX", ["200", "999"], ["100", "20", "2000", "2a0"]),
        ("Z", ["1", "9"], ["0", "", "12"]),
        ("0.", ["01", "0900"], ["0", "1", "0a", "0*"]),
        ("0X*", ["01", "0123", "01a"], ["0", "01#", "01*2"]),
        ("*21*X.", ["*21*12"], ["*21*1", "*21*", "*21*12#", "*22*1"]),
        ("#31#*", ["#31#", "#31#030*1#"], ["#32#1"]),
        ("*", ["", "1", "+49", "bob"], ["*97", "1#", "1*2"]),
        ("**", ["*", "*97", "*21*030#"], ["97", "#1"]),
        ("1*0", ["1*0"], ["110", "1"]),
        ("alice", ["alice"], ["Alice", "alic", "alicee"]),
        ("NeXt.X", ["NeXt.X"], ["2e1t.1"]),
        ("bob.", ["bob."], ["bob1"]),
        ("x1", ["x1"], ["11"]),
    ],
)
def test_what_patterns_mean(text: str, yes: list[str], no: list[str]) -> None:
    pattern = Pattern.parse(text)
    assert [number for number in yes if not pattern.matches(number)] == []
    assert [number for number in no if pattern.matches(number)] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1" * (MAX_PATTERN + 1),
        "[",
        "]",
        "[]",
        "[1-]",
        "[9-1]",
        "[-1]",
        "[a-z]",
        "[*]",
        "[1",
        "1]",
        "[[1]]",
        "[1-9",
        "1+2",
        "X+",
        "++1",
        "0 1",
        "0/1",
        "٣",
        "(0)",
        "0|1",
        "a[1]",
        "1.2[3]",
        "\n",
        "1\n",
    ],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|pattern|set|start"):
        Pattern.parse(text)


@pytest.mark.parametrize("text", ["X" * 60 + "*", "*" * 100 + "*", "0[0-9][0-9]*", "[0-9]" * 20 + "."])
def test_a_long_number_is_looked_at_once(text: str) -> None:
    """Each character is compared with one place: what would go back in `re` cannot here."""
    looked: list[str] = []

    class Counting(frozenset[str]):
        def __contains__(self, char: object) -> bool:
            looked.append(str(char))
            return super().__contains__(char)

    pattern = Pattern.parse(text)
    counted = Pattern(text, tuple(Counting(place) for place in pattern.places), pattern.rest, pattern.least)
    number = "0" * 200
    counted.matches(number)
    assert len(looked) <= len(number)


def test_the_alphabet_is_that_of_normalised_numbers_and_names() -> None:
    assert frozenset("0123456789+*#abcXYZ._-") <= EVERYTHING


@pytest.mark.parametrize(
    ("text", "number", "why"),
    [
        ("+49[2-9]X.", "+49123", "one of 23456789 may stand in place 4, not 1"),
        ("+49*", "030", "+ may stand in place 1, not 0"),
        ("110", "1100", "nothing may stand in place 4, not 0"),
        ("0X.", "03", "the number is too short"),
        ("030*", "030*1", "anything but * and # may stand in place 4, not *"),
        ("NXX", "2a0", "a digit may stand in place 2, not a"),
    ],
)
def test_an_objection_names_the_place(text: str, number: str, why: str) -> None:
    assert Pattern.parse(text).objection(number) == why


@pytest.mark.parametrize(
    ("text", "exact"), [("110", True), ("bob", True), ("11*", False), ("1X", False), ("[1]", True)]
)
def test_an_exact_pattern_means_one_number(text: str, exact: bool) -> None:
    assert Pattern.parse(text).is_exact is exact
