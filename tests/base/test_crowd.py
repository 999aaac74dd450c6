"""Crowds: a newcomer always gets in, and who fills the place makes room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.base.crowd import Crowd


def test_the_oldest_of_the_same_source_leaves_when_it_has_its_share() -> None:
    crowd: Crowd[int] = Crowd(10, 2)
    assert [crowd.enter("a", 1), crowd.enter("a", 2), crowd.enter("b", 3)] == [None, None, None]
    assert crowd.enter("a", 4) == 1
    assert (len(crowd), crowd.count("a"), crowd.count("b")) == (3, 2, 1)


def test_when_the_place_is_full_the_source_with_most_makes_room() -> None:
    crowd: Crowd[int] = Crowd(4, 3)
    for member, source in enumerate("aaab"):
        crowd.enter(source, member)
    assert crowd.enter("c", 9) == 0
    assert crowd.count("c") == 1


def test_a_sign_of_life_counts_as_coming_anew() -> None:
    crowd: Crowd[int] = Crowd(10, 2)
    crowd.enter("a", 1)
    crowd.enter("a", 2)
    crowd.touch("a", 1)
    crowd.touch("nobody", 1)
    assert crowd.enter("a", 3) == 2


def test_who_left_holds_no_place() -> None:
    crowd: Crowd[int] = Crowd(1, 1)
    crowd.enter("a", 1)
    assert crowd.leave("a", 1)
    assert not crowd.leave("a", 1)
    assert not crowd.leave("b", 1)
    assert crowd.enter("b", 2) is None
    assert ("b", 2) in crowd
    assert ("a", 1) not in crowd


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=200))
def test_no_order_of_coming_and_going_breaks_the_limits(steps: list[tuple[str, bool]]) -> None:
    crowd: Crowd[int] = Crowd(5, 3)
    inside: dict[int, str] = {}
    for number, (source, comes) in enumerate(steps):
        if comes:
            gone = crowd.enter(source, number)
            if gone is not None:
                del inside[gone]
            inside[number] = source
        elif inside:
            member, its_source = next(iter(inside.items()))
            del inside[member]
            assert crowd.leave(its_source, member)
        assert len(crowd) == len(inside) <= 5
        for name in "abcdefgh":
            assert crowd.count(name) == list(inside.values()).count(name) <= 3
