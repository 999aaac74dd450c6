"""Patterns that together leave nothing to another one, compared with what they mean number by number."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing.coverage import Earlier, together_cover
from gateway.routing.patterns import EVERYTHING, Pattern
from tests.effort import examples
from tests.routing.test_patterns import PATTERNS

SHORT = ["".join(chars) for length in range(6) for chars in itertools.product("0129*", repeat=length)]


def covered(narrow: str, *others: str) -> bool:
    return together_cover([Pattern.parse(other) for other in others], Pattern.parse(narrow))


@pytest.mark.parametrize(
    ("narrow", "others", "expected"),
    [
        ("0X", ("0[0-4]", "0[5-9]"), True),
        ("0X", ("0[0-4]", "0[6-9]"), False),
        ("0.", ("0[0-4]*", "0[5-9]*"), True),
        ("0.", ("0[0-4]*", "0[5-9].", "07"), False),
        ("0.", ("0X", "0X."), True),
        ("0.", ("0X", "0XX."), False),
        ("0*", ("0", "0X*"), False),
        ("XX", ("[0-4]X", "X[0-4]", "[5-9][5-9]"), True),
        ("XX", ("[0-4]X", "X[0-4]"), False),
        ("+49*", ("+49[0-5]*", "+49[6-9]*"), False),
        ("+49X.", ("+49[0-5]*", "+49[6-9]*"), True),
        ("bob", ("alice", "b*"), True),
        ("*", (), False),
        ("**", ("*",), False),
    ],
)
def test_what_several_rules_leave_to_another(narrow: str, others: tuple[str, ...], expected: bool) -> None:
    assert covered(narrow, *others) is expected


@settings(max_examples=examples(500))
@given(PATTERNS, st.lists(PATTERNS, max_size=4))
def test_what_is_called_covered_leaves_no_number(narrow: str, others: list[str]) -> None:
    wanted, taken = Pattern.parse(narrow), [Pattern.parse(other) for other in others]
    left = [n for n in SHORT if wanted.matches(n) and not any(pattern.matches(n) for pattern in taken)]
    if together_cover(taken, wanted):
        assert left == []


@settings(max_examples=examples(300))
@given(PATTERNS, st.lists(PATTERNS, max_size=3))
def test_what_is_called_reachable_is_reached_by_some_number(narrow: str, others: list[str]) -> None:
    """The number is built place by place, each time by a character that the fewest of the others take."""
    wanted, taken = Pattern.parse(narrow), [Pattern.parse(other) for other in others]
    if together_cover(taken, wanted):
        return
    longest = max(len(p.places) + p.least for p in (wanted, *taken)) + 2
    kinds = {
        tuple(char in p.at(place) for p in (wanted, *taken) for place in range(longest)): char for char in EVERYTHING
    }
    letters = sorted(kinds.values())
    numbers = ("".join(n) for size in range(longest) for n in itertools.product(letters, repeat=size))
    few = itertools.islice(numbers, 200_000)
    assert any(wanted.matches(n) and not any(p.matches(n) for p in taken) for n in few) or len(letters) ** longest > 2e5


def test_one_that_covers_another_alone_covers_it_together_with_others() -> None:
    assert covered("+4930*", "+43*", "+49*")


def test_a_plan_that_would_take_too_long_is_called_reachable() -> None:
    """Each place doubles what there is to look at; the walk ends all the same."""
    others = [f"{'X' * n}[0-4]{'X' * (17 - n)}" for n in range(18)] + [
        f"{'X' * n}[5-9]{'X' * (17 - n)}" for n in range(18)
    ]
    assert isinstance(covered("X" * 18, *others), bool)
    assert not covered("X" * 18, *others[:18])


@settings(max_examples=examples(500))
@given(st.lists(PATTERNS, max_size=6), PATTERNS)
def test_whoever_shares_a_number_with_a_pattern_is_near_it(earlier: list[str], later: str) -> None:
    seen, pattern = Earlier(), Pattern.parse(later)
    for text in earlier:
        seen.add(Pattern.parse(text))
    near = seen.near(pattern)
    assert near == sorted(near)
    numbers = [number for number in SHORT if pattern.matches(number)]
    sharing = {n for n, text in enumerate(earlier) if any(map(Pattern.parse(text).matches, numbers))}
    assert sharing <= set(near)
