"""The dialplan: first match wins, emergency numbers first, nothing matches by accident."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.dialplan import Dialplan, InboundRoute, InboundRule, OutboundRoute, OutboundRule, covers, matches

PATTERNS = st.text(alphabet="01*#+", min_size=1, max_size=4)
NUMBERS = st.text(alphabet="01*#+", min_size=1, max_size=5)


USERS = frozenset({"alice", "bob", "200", "112"})


def to_user(rule_id: str, dialled: str, user: str) -> OutboundRule:
    return OutboundRule(id=rule_id, dialled=dialled, user=user)


def outbound(
    rule_id: str, dialled: str, trunk: str = "pbx", *, strip: int = 0, prefix: str = "", emergency: bool = False
) -> OutboundRule:
    return OutboundRule(id=rule_id, dialled=dialled, trunk=trunk, strip=strip, prefix=prefix, emergency=emergency)


def inbound(rule_id: str, dialled: str, user: str, trunk: str | None = None) -> InboundRule:
    return InboundRule(id=rule_id, dialled=dialled, user=user, trunk=trunk)


def plan(
    *rules: OutboundRule | InboundRule,
    emergency: tuple[str, ...] = ("112",),
    trunks: tuple[str, ...] = (),
    users: frozenset[str] | None = USERS,
) -> Dialplan:
    return Dialplan(
        outbound=tuple(r for r in rules if isinstance(r, OutboundRule)),
        inbound=tuple(r for r in rules if isinstance(r, InboundRule)),
        emergency=emergency,
        emergency_trunks=trunks,
        users=users,
    )


@pytest.mark.parametrize(
    ("pattern", "number", "expected"),
    [
        ("+49*", "+4930", True),
        ("+49*", "+49", True),
        ("+49*", "+4", False),
        ("100", "100", True),
        ("100", "1000", False),
        ("*", "anything", True),
        ("*97", "*97", True),
        ("*97", "1197", False),
        ("*97*", "*971", True),
        ("1*0", "110", False),
        ("alice", "Alice", False),
        ("030*", "030123", True),
        ("030*", "030123*99#", False),
        ("030*", "030#", False),
        ("030*", "030*", False),
        ("0*", "0*31#030123", False),
        ("9*", "9#31#0900", False),
        ("0*99*", "0*991", True),
        ("0*99*", "0*99*1", False),
        ("*72*", "*7203012#", True),
        ("*72*", "*72*03012*5#", True),
        ("#31#*", "#31#030123", True),
        ("030123*99#", "030123*99#", True),
        ("*", "030123*99#", True),
        ("*", "*97", True),
    ],
)
def test_only_a_final_star_stands_for_any_rest(pattern: str, number: str, expected: bool) -> None:
    assert matches(pattern, number) is expected


@given(PATTERNS, PATTERNS, NUMBERS)
def test_a_pattern_that_covers_another_matches_all_its_numbers(pattern: str, other: str, number: str) -> None:
    if covers(pattern, other) and matches(other, number):
        assert matches(pattern, number)


@pytest.mark.parametrize("tail", ["*", "#", "*99#", "#99", "1*", "**", "*0900123456", "1#2"])
@pytest.mark.parametrize("rule", [outbound("a", "03*"), outbound("b", "03*", strip=1, prefix="+49")])
def test_a_feature_code_behind_a_number_has_no_route_by_a_prefix(rule: OutboundRule, tail: str) -> None:
    assert plan(rule).route_outbound("030123" + tail) is None


def test_the_prefix_of_a_rule_may_be_a_feature_code() -> None:
    route = plan(outbound("anonymous", "0*", prefix="#31#")).route_outbound("030123456")
    assert route is not None
    assert route.number == "#31#030123456"


def test_the_first_outbound_rule_that_matches_decides() -> None:
    routes = plan(outbound("a", "+491*", "one"), outbound("b", "+49*", "two"))
    assert routes.route_outbound("+4915") == OutboundRoute("a", "one", "+4915", False)
    assert routes.route_outbound("+4930") == OutboundRoute("b", "two", "+4930", False)


def test_a_number_no_rule_names_has_no_route() -> None:
    assert plan(outbound("a", "+49*")).route_outbound("+1900") is None
    assert plan().route_outbound("100") is None


def test_strip_and_prefix_rewrite_the_number_for_the_trunk() -> None:
    route = plan(outbound("out", "0*", strip=1, prefix="+49")).route_outbound("030123")
    assert route is not None
    assert route.number == "+4930123"


@pytest.mark.parametrize(
    ("rule", "number"),
    [
        (outbound("empty", "1*", strip=8), "123"),
        (outbound("plus-inside", "+49*", prefix="00"), "+4930"),
        (outbound("plus-alone", "1*", strip=2, prefix="+"), "12"),
    ],
)
def test_a_rewritten_number_that_cannot_be_dialled_has_no_route(rule: OutboundRule, number: str) -> None:
    assert plan(rule).route_outbound(number) is None


def test_an_emergency_number_goes_to_the_emergency_trunks_before_any_rule() -> None:
    routes = plan(outbound("all", "*", "pbx"), trunks=("carrier", "pbx"))
    assert routes.route_outbound("112") == OutboundRoute("emergency", "carrier", "112", True, ("pbx",))
    assert routes.route_outbound("1120") == OutboundRoute("all", "pbx", "1120", False)


def test_an_emergency_number_without_emergency_trunks_takes_the_first_rule_that_matches() -> None:
    routes = plan(outbound("all", "*", "pbx", prefix="0"))
    assert routes.route_outbound("112") == OutboundRoute("all", "pbx", "0112", True)


def test_an_emergency_rule_wins_over_a_broad_rule_above_it() -> None:
    routes = plan(
        outbound("all", "*", "pbx"), outbound("sos", "19222", "carrier", emergency=True), trunks=("pbx", "carrier")
    )
    assert routes.is_emergency("19222")
    assert routes.route_outbound("19222") == OutboundRoute("sos", "carrier", "19222", True, ("pbx",))


def test_a_rewritten_emergency_number_is_not_sent_to_other_trunks() -> None:
    routes = plan(outbound("sos", "112", "pbx", prefix="0", emergency=True), trunks=("pbx", "carrier"))
    assert routes.route_outbound("112") == OutboundRoute("sos", "pbx", "0112", True)


def test_an_emergency_number_that_nothing_routes_has_no_route() -> None:
    assert plan(outbound("a", "+49*")).route_outbound("112") is None


def test_an_inbound_call_rings_the_user_of_the_first_rule_for_its_trunk() -> None:
    routes = plan(inbound("a", "100", "alice", "pbx"), inbound("b", "10*", "bob"))
    assert routes.route_inbound("pbx", "100") == InboundRoute("a", "alice")
    assert routes.route_inbound("carrier", "100") == InboundRoute("b", "bob")
    assert routes.route_inbound("carrier", "200") is None


def test_a_star_as_user_rings_the_user_named_like_the_number() -> None:
    assert plan(inbound("ext", "1*", "*")).route_inbound("pbx", "104") == InboundRoute("ext", "104")


def test_the_explanation_ends_with_the_route_that_is_taken() -> None:
    routes = plan(
        outbound("a", "+49*"),
        outbound("b", "0*", strip=1, prefix="+49"),
        inbound("x", "1*", "alice", "pbx"),
        inbound("y", "2*", "bob"),
        trunks=("carrier", "pbx"),
    )
    assert routes.explain("030") == (
        "rule a (+49*): no match",
        "rule b (0*): matches",
        "trunk pbx gets +4930",
    )
    assert routes.explain("7")[-1] == "no route: the call is refused with 404"
    assert routes.explain("112") == (
        "112 is an emergency number: the call always connects",
        "emergency_trunks: trunk carrier gets 112, then pbx is tried",
    )
    assert routes.explain("200", trunk="carrier") == (
        "rule x (1*): only for trunk pbx",
        "rule y (2*): matches",
        "user bob rings",
    )
    assert routes.explain("3", trunk="pbx")[-1] == "no route: the call is refused with 404"


def rings(plan: Dialplan, dialled: str) -> str | None:
    """The user who rings when that is dialled in a browser."""
    route = plan.route_outbound(dialled)
    return route.user if route is not None else None


def test_a_rule_may_name_a_user_in_place_of_a_trunk() -> None:
    routes = plan(to_user("ext", "11", "bob"), outbound("rest", "*"))
    assert routes.route_outbound("11") == OutboundRoute("ext", "", "bob", False)
    assert rings(routes, "11") == "bob"
    assert rings(routes, "12") == ""


@pytest.mark.parametrize(("dialled", "user"), [("alice", "alice"), ("200", "200"), ("Alice", None), ("carol", None)])
def test_a_star_as_user_of_an_outbound_rule_is_the_user_named_like_what_was_dialled(
    dialled: str, user: str | None
) -> None:
    assert rings(plan(to_user("names", "*", "*")), dialled) == user


@pytest.mark.parametrize(("dialled", "user"), [("bob", "bob"), ("200", "200"), ("BOB", None), ("carol", None)])
def test_a_users_own_name_reaches_her_without_a_rule_in_the_case_she_signs_in_with(
    dialled: str, user: str | None
) -> None:
    assert rings(plan(), dialled) == user


def test_a_rule_that_matches_decides_before_a_name_does() -> None:
    routes = plan(outbound("all", "*", "pbx"))
    assert routes.route_outbound("bob") == OutboundRoute("all", "pbx", "bob", False)


def test_a_rule_whose_user_is_not_there_refuses_and_lets_no_later_rule_take_the_call() -> None:
    routes = plan(to_user("names", "c*", "*"), outbound("all", "*", "pbx"))
    assert routes.route_outbound("carol") is None
    assert plan(to_user("gone", "7", "carol"), outbound("all", "*")).route_outbound("7") is None


@pytest.mark.parametrize("trunks", [(), ("carrier",)])
def test_a_call_for_help_never_ends_at_a_browser(trunks: tuple[str, ...]) -> None:
    """Neither by a rule above the trunk's, nor because a user is called like the number."""
    routes = plan(
        to_user("names", "*", "*"), to_user("guard", "112", "bob"), outbound("all", "*", "pbx"), trunks=trunks
    )
    taken = routes.route_outbound("112")
    assert taken is not None
    assert (taken.trunk, taken.emergency, taken.user) == (*(trunks or ("pbx",)), True, "")
    assert rings(plan(to_user("names", "*", "*")), "112") is None
    assert rings(plan(), "112") is None


def test_the_explanation_says_which_user_rings_and_why_nobody_does() -> None:
    routes = plan(to_user("ext", "1*", "*"), outbound("world", "+*"))
    assert routes.explain("bob") == (
        "rule ext (1*): no match",
        "rule world (+*): no match",
        "user bob rings, whose name it is",
    )
    assert plan(to_user("ext", "11", "bob")).explain("11") == ("rule ext (11): matches", "user bob rings")
    assert routes.explain("12")[-1] == "no route: the call is refused with 404, for there is no such user"
    assert routes.explain("carol")[-1] == "no route: the call is refused with 404"
    assert "rule ext (1*): leads to a user" in routes.explain("112")


def test_a_plan_read_without_its_users_says_what_it_does_not_know() -> None:
    routes = plan(to_user("ext", "11", "bob"), users=None)
    assert routes.explain("11")[-1] == "user bob rings"
    assert routes.explain("bob")[-1] == "no route: the call is refused with 404, unless it is the name of a user"
    assert routes.explain("112")[-1] == "no route: the call is refused with 404"
