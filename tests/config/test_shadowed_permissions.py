"""Permissions that never decide are found whatever their order, and without comparing each with each."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import dialplan_references as module
from gateway.config.dialplan_references import _decides, _Permissions
from gateway.routing.patterns import Pattern
from gateway.routing.permissions import NumberClass, PermissionRule
from tests.effort import examples

MANY = 2000
PATTERNS = st.sampled_from(["+49*", "+4930*", "+49X", "+4930123", "+49301XX", "+1*", "*", "0900*"]).map(Pattern.parse)
RULES = st.builds(
    PermissionRule,
    id=st.just(""),
    allow=st.booleans(),
    classes=st.frozensets(st.sampled_from(NumberClass), max_size=2),
    patterns=st.lists(PATTERNS, max_size=2).map(tuple),
    callers=st.none() | st.frozensets(st.sampled_from("abcd"), max_size=3),
)


def found(rules: list[PermissionRule]) -> list[PermissionRule | None]:
    seen, decided = _Permissions(), []
    for rule in rules:
        decided.append(seen.decided_by(rule))
        seen.add(rule)
    return decided


@settings(max_examples=examples(300))
@given(rules=st.lists(RULES, max_size=12))
def test_the_first_that_leaves_nothing_is_found(rules: list[PermissionRule]) -> None:
    compared = [next((e for e in rules[:n] if _decides(e, rule)), None) for n, rule in enumerate(rules)]
    assert [one is other for one, other in zip(found(rules), compared, strict=True)] == [True] * len(rules)


@pytest.mark.parametrize("kind", ["numbers", "callers"])
def test_many_permissions_are_compared_with_those_that_are_alike_alone(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A provider's file has one for each customer, and is read at each start."""
    compared = 0

    def counting(earlier: PermissionRule, rule: PermissionRule) -> bool:
        nonlocal compared
        compared += 1
        return _decides(earlier, rule)

    monkeypatch.setattr(module, "_decides", counting)
    if kind == "numbers":
        rules = [PermissionRule("", True, patterns=(Pattern.parse(f"+49{n:06d}*"),)) for n in range(MANY)]
    else:
        rules = [
            PermissionRule("", True, frozenset({NumberClass.INTERNATIONAL}), callers=frozenset({f"u{n}"}))
            for n in range(MANY)
        ]
    assert found([*rules, rules[7]])[-1] is rules[7]
    assert compared <= 2
