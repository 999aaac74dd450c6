"""Who may call what: countries first, then the first permission that is for the caller and about the number."""

from __future__ import annotations

import pytest

from gateway.routing.e164 import Home
from gateway.routing.patterns import Pattern
from gateway.routing.permissions import NumberClass, PermissionRule, Permissions, class_of
from gateway.routing.trace import Step

HOME = Home("49")


def rule(rule_id: str, *named: str, allow: bool = False, callers: frozenset[str] | None = None) -> PermissionRule:
    classes = frozenset(NumberClass(name) for name in named if name in set(NumberClass))
    patterns = tuple(Pattern.parse(name) for name in named if name not in set(NumberClass))
    return PermissionRule(rule_id, allow, classes, patterns, callers, ", ".join(named))


def may(user: str, number: str, *rules: PermissionRule, countries: tuple[str, ...] = ()) -> bool:
    return Permissions(HOME, countries, rules).allow(user, (number,))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("+49301", NumberClass.NATIONAL),
        ("+33123", NumberClass.INTERNATIONAL),
        ("200", NumberClass.LOCAL),
        ("*97", NumberClass.FEATURES),
        ("03*1#", NumberClass.FEATURES),
        ("alice", NumberClass.NAMES),
        ("1-800-FLOWERS", NumberClass.NAMES),
    ],
)
def test_every_number_is_of_one_class(number: str, expected: NumberClass) -> None:
    assert class_of(number, HOME) is expected


def test_without_permissions_everything_is_allowed() -> None:
    assert may("alice", "+1900")


def test_the_first_permission_about_a_number_decides() -> None:
    rules = (rule("own", "+49900123", allow=True), rule("premium", "+49900*"), rule("rest", "*", allow=True))
    assert may("alice", "+49900123", *rules)
    assert not may("alice", "+49900124", *rules)
    assert may("alice", "+4930", *rules)


def test_a_permission_is_for_those_it_names() -> None:
    interns = rule("interns", "international", callers=frozenset({"carol"}))
    assert may("alice", "+33123", interns)
    assert not may("carol", "+33123", interns)
    assert may("carol", "+49301", interns)
    assert may("Carol", "+33123", interns)  # names are written as they sign in


@pytest.mark.parametrize(("number", "allowed"), [("+4930", True), ("+43", True), ("+1876", False), ("200", True)])
def test_only_countries_on_the_list_are_called(number: str, allowed: bool) -> None:
    assert may("alice", number, countries=("49", "43")) is allowed


def test_no_permission_opens_a_country_that_is_not_on_the_list() -> None:
    assert not may("alice", "+1876", rule("all", "*", allow=True), countries=("49",))


def test_every_number_a_call_becomes_must_be_allowed() -> None:
    permissions = Permissions(HOME, ("49",))
    assert permissions.allow("alice", ("9001876", "+4930"))
    assert not permissions.allow("alice", ("9001876", "+1876"))
    assert permissions.allow("alice", ())


def test_what_is_looked_at_is_noted_up_to_what_decides() -> None:
    steps: list[Step] = []
    rules = (rule("interns", "*", callers=frozenset({"carol"})), rule("features", "features"), rule("all", "national"))
    assert not Permissions(HOME, ("49",), rules).allow("alice", ("+4930",), steps.append)
    assert [str(step) for step in steps] == [
        "countries (49): matches",
        "permission interns (*): no match: not for alice",
        "permission features (features): no match: not about this number",
        "permission all (national): forbidden",
    ]
