"""What a REGISTER asks for, Contact by Contact; the whole of it is in `test_registrar`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.errors import SipError
from gateway.location.contacts import DEFAULT_EXPIRES, MAX_CONTACT_LENGTH, listed, wanted
from tests.location.pages import register
from tests.location.test_binding import binding


def test_each_contact_has_its_own_lifetime_or_the_common_one() -> None:
    found = wanted(register("<sip:a@x>;expires=90", "<sip:b@x>", expires="120"), {})
    assert [(one.uri, one.expires) for one in found] == [("sip:a@x", 90), ("sip:b@x", 120)]


def test_a_contact_that_stands_twice_counts_as_it_stands_last() -> None:
    found = wanted(register("<sip:a@x>;expires=90", "<sip:a@x>;expires=0"), {})
    assert [(one.uri, one.expires) for one in found] == [("sip:a@x", 0)]


def test_without_a_lifetime_it_is_ours() -> None:
    assert [one.expires for one in wanted(register("<sip:a@x>"), {})] == [DEFAULT_EXPIRES]


def test_a_query_asks_for_nothing() -> None:
    assert wanted(register(), {"sip:a@x": binding("a")}) == []


def test_a_star_asks_for_the_end_of_all_there_is() -> None:
    bound = {"sip:a@x.invalid": binding("a"), "sip:b@x.invalid": binding("b")}
    found = wanted(register("*", expires="0"), bound)
    assert [(one.uri, one.expires) for one in found] == [(uri, 0) for uri in bound]


def test_a_contact_as_long_as_allowed_is_taken_and_one_longer_is_not() -> None:
    longest = f"<sip:{'a' * (MAX_CONTACT_LENGTH - len('<sip:@x>'))}@x>"
    assert len(wanted(register(longest), {})) == 1
    with pytest.raises(SipError):
        wanted(register(longest.replace("@x", "a@x")), {})


@pytest.mark.parametrize(("seconds", "written"), [(599.6, "600"), (0.2, "1"), (60.4, "60")])
def test_an_answer_says_how_many_whole_seconds_are_left(seconds: float, written: str) -> None:
    assert listed(replace(binding("a"), seconds=seconds)) == f"<sip:a@x.invalid>;expires={written}"
