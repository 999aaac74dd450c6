"""The dialplan: first match wins, emergency numbers first, nothing matches by accident."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.routing.dialplan import Dialplan, InboundRoute, InboundRule, OutboundRoute, OutboundRule
from gateway.routing.e164 import Home, NumberFormat
from gateway.routing.groups import Group, Ring
from gateway.routing.patterns import Pattern
from gateway.routing.permissions import NumberClass, PermissionRule, Permissions

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
        ("*", "030123*99#", False),
        ("*", "*97", False),
        ("**", "*97", True),
    ],
)
def test_only_a_final_star_stands_for_any_rest(pattern: str, number: str, expected: bool) -> None:
    assert Pattern.parse(pattern).matches(number) is expected


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


GERMANY = Home("49")


def german(*rules: OutboundRule | InboundRule, **formats: NumberFormat) -> Dialplan:
    """A plan where people dial as in Germany."""
    return replace(plan(*rules), home=GERMANY, formats=formats)


@pytest.mark.parametrize("dialled", ["0301234", "0049301234", "+49301234", "+490301234"])
def test_with_a_country_a_rule_sees_one_spelling_of_a_number(dialled: str) -> None:
    route = german(outbound("de", "+49[2-9]X.")).route_outbound(dialled)
    assert route is not None
    assert route.number == "+49301234"


@pytest.mark.parametrize(
    ("form", "sent"), [("e164", "49301234"), ("+e164", "+49301234"), ("national", "0301234"), (None, "+49301234")]
)
def test_each_trunk_gets_the_number_as_it_writes_it(form: str | None, sent: str) -> None:
    formats = {"pbx": NumberFormat(form)} if form else {}
    route = german(outbound("de", "+49*"), **formats).route_outbound("0301234")
    assert route is not None
    assert route.number == sent


def test_strip_and_prefix_work_on_the_number_in_the_format_of_the_trunk() -> None:
    rules = outbound("de", "+49*", strip=1, prefix="9")
    route = german(rules, pbx=NumberFormat.NATIONAL).route_outbound("+49301234")
    assert route is not None
    assert route.number == "9301234"


@pytest.mark.parametrize("dialled", ["00", "000123456", "0" + "1" * 20, "+0900123456"])
def test_what_begins_like_a_telephone_number_and_is_none_has_no_route(dialled: str) -> None:
    route = german(outbound("all", "*")).route_outbound(dialled)
    assert route is None or route.number == dialled == "00"


def test_an_emergency_number_is_read_before_any_prefix_is() -> None:
    routes = replace(german(outbound("all", "*")), emergency=("0112", "112"))
    for number in ("112", "0112"):
        route = routes.route_outbound(number)
        assert route is not None
        assert (route.number, route.emergency) == (number, True)


@pytest.mark.parametrize("called", ["030123450", "+4930123450", "4930123450", "004930123450"])
def test_an_inbound_rule_sees_one_spelling_of_a_number(called: str) -> None:
    routes = german(inbound("did", "+4930123450", "alice"), carrier=NumberFormat.E164)
    assert routes.route_inbound("carrier", called) == InboundRoute("did", "alice")


def test_an_inbound_rule_may_lead_to_an_extension_behind_another_trunk() -> None:
    rule = InboundRule("pbx", "+493012345XXX", trunk="carrier", to_trunk="pbx", strip=10)
    routes = german(rule)
    assert routes.route_inbound("carrier", "03012345601") == InboundRoute("pbx", trunk="pbx", number="601")
    assert routes.route_inbound("pbx", "03012345601") is None
    assert german(replace(rule, strip=20)).route_inbound("carrier", "03012345601") is None


@pytest.mark.parametrize("called", ["+1876555", "+49900123"])
def test_no_trunk_is_called_for_another_past_what_nobody_may_call(called: str) -> None:
    """Whoever forwards a number to the PBX by a rule that is too wide does not open the world to strangers."""
    premium = PermissionRule("premium", False, patterns=(Pattern.parse("+49900*"),))
    interns = PermissionRule("interns", False, patterns=(Pattern.parse("+4930*"),), callers=frozenset({"carol"}))
    routes = replace(
        german(InboundRule("wide", "+*", trunk="carrier", to_trunk="pbx")),
        permissions=Permissions(GERMANY, ("49",), (interns, premium)),
    )
    assert routes.route_inbound("carrier", called) is None
    assert routes.route_inbound("carrier", "+4930123") == InboundRoute("wide", trunk="pbx", number="+4930123")


def test_rules_may_lead_to_a_group() -> None:
    routes = replace(
        plan(
            OutboundRule("out", "500", group="sales"),
            outbound("rest", "*"),
            InboundRule("in", "100", group="sales"),
        ),
        groups={"sales": Group("sales", ("alice", "bob"), Ring.IN_TURN)},
    )
    found = routes.route_outbound("500")
    assert found is not None
    assert (found.group, found.user, found.trunk) == ("sales", "", "")
    assert routes.route_inbound("pbx", "100") == InboundRoute("in", group="sales")


def forbidding(*rules: OutboundRule, denied: str, countries: tuple[str, ...] = ()) -> Dialplan:
    permission = PermissionRule("deny", False, patterns=(Pattern.parse(denied),))
    return replace(german(*rules), permissions=Permissions(GERMANY, countries, (permission,)))


@pytest.mark.parametrize("dialled", ["0900123", "+49900123", "0049900123", "+490900123", "900123"])
def test_no_spelling_leads_past_a_permission(dialled: str) -> None:
    routes = forbidding(
        outbound("out", "9*", strip=0, prefix="+49"), outbound("all", "*"), denied="+49900*", countries=("49",)
    )
    route = routes.route_outbound(dialled)
    assert route is not None
    assert not routes.permits("alice", route)


def test_a_rule_that_takes_a_digit_off_the_front_does_not_lead_past_a_permission() -> None:
    routes = forbidding(outbound("line", "9*", strip=1), denied="+49900*", countries=("49",))
    for dialled, allowed in (("90301234", True), ("90900123", False), ("9001876555", False), ("92001", True)):
        route = routes.route_outbound(dialled)
        assert route is not None
        assert routes.permits("alice", route) is allowed, dialled


def test_emergency_calls_and_calls_to_users_need_no_permission() -> None:
    nothing = PermissionRule("nothing", False, frozenset(NumberClass))
    routes = replace(
        plan(to_user("desk", "11", "bob"), outbound("all", "*")), permissions=Permissions(Home(), (), (nothing,))
    )
    allowed = {
        number: routes.permits("alice", route)
        for number in ("112", "11", "5")
        if (route := routes.route_outbound(number))
    }
    assert allowed == {"112": True, "11": True, "5": False}


@pytest.mark.parametrize("code", ["*97", "#31#0301234", "030*1", "*", "#"])
def test_feature_codes_are_dialled_only_where_a_rule_names_them(code: str) -> None:
    assert plan(outbound("all", "*"), outbound("digits", "X."), outbound("plus", "+*")).route_outbound(code) is None
    named = plan(outbound("stars", "**"), outbound("hashes", "#*"), outbound("exact", "030*1"))
    assert named.route_outbound(code) is not None
