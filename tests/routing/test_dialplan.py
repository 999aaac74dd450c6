"""The dialplan: first match wins, emergency numbers first, nothing matches by accident."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.dialplan import Dialplan, InboundRoute, InboundRule, OutboundRoute, OutboundRule, covers, matches

PATTERNS = st.text(alphabet="01*#+", min_size=1, max_size=4)
NUMBERS = st.text(alphabet="01*#+", min_size=1, max_size=5)


def outbound(
    rule_id: str, dialled: str, trunk: str = "pbx", *, strip: int = 0, prefix: str = "", emergency: bool = False
) -> OutboundRule:
    return OutboundRule(id=rule_id, dialled=dialled, trunk=trunk, strip=strip, prefix=prefix, emergency=emergency)


def inbound(rule_id: str, dialled: str, user: str, trunk: str | None = None) -> InboundRule:
    return InboundRule(id=rule_id, dialled=dialled, user=user, trunk=trunk)


def plan(
    *rules: OutboundRule | InboundRule, emergency: tuple[str, ...] = ("112",), trunks: tuple[str, ...] = ()
) -> Dialplan:
    return Dialplan(
        outbound=tuple(r for r in rules if isinstance(r, OutboundRule)),
        inbound=tuple(r for r in rules if isinstance(r, InboundRule)),
        emergency=emergency,
        emergency_trunks=trunks,
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
