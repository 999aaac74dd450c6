"""Explanations: the steps of the dialplan itself, in words and for other programs."""

from __future__ import annotations

from dataclasses import replace

from gateway.routing.dialplan import Dialplan, InboundRule, OutboundRule, TrunkShare
from gateway.routing.e164 import Home, NumberFormat
from gateway.routing.explain import explain_inbound, explain_outbound
from gateway.routing.groups import Group, Ring
from gateway.routing.patterns import Pattern
from gateway.routing.permissions import PermissionRule, Permissions

PLAN = Dialplan(
    outbound=(
        OutboundRule("a", "+49*", "pbx"),
        OutboundRule("b", "0*", "pbx", strip=1, prefix="+49"),
        OutboundRule("ext", "1*", user="*"),
    ),
    inbound=(InboundRule("x", "1*", "alice", "pbx"), InboundRule("y", "2*", "bob")),
    emergency=("112",),
    emergency_trunks=("carrier", "pbx"),
    users=frozenset({"alice", "bob"}),
)


def out(plan: Dialplan, dialled: str, user: str = "") -> tuple[str, ...]:
    return explain_outbound(plan, dialled, user).lines()


def test_an_explanation_ends_with_the_route_that_is_taken() -> None:
    assert out(PLAN, "030") == (
        "rule a (+49*): no match: + may stand in place 1, not 0",
        "rule b (0*): matches",
        "trunk pbx gets +4930",
    )
    assert out(PLAN, "7")[-1] == "no route: the call is refused with 404"
    assert out(PLAN, "112") == (
        "emergency (112): the call always connects",
        "emergency_trunks: trunk carrier gets 112, then pbx is tried",
    )
    assert explain_inbound(PLAN, "carrier", "200").lines() == (
        "rule x (1*): no match: only for trunk pbx",
        "rule y (2*): matches",
        "user bob rings",
    )
    assert explain_inbound(PLAN, "pbx", "3").lines()[-1] == "no route: the call is refused with 404"


def test_an_explanation_says_which_user_rings_and_why_nobody_does() -> None:
    assert out(PLAN, "bob")[-1] == "user bob rings, whose name it is"
    assert out(PLAN, "12")[-1] == "no route: the call is refused with 404, for there is no such user"
    assert out(PLAN, "carol")[-1] == "no route: the call is refused with 404"
    guarded = replace(PLAN, outbound=(OutboundRule("guard", "112", user="bob"),), emergency_trunks=())
    assert "rule guard (112): no match: it leads to a user" in out(guarded, "112")
    stripped = replace(PLAN, outbound=(OutboundRule("all", "*", "pbx", strip=9),))
    assert out(stripped, "12")[-1] == "no route: the call is refused with 404, for nothing is left of it"


def test_a_plan_read_without_its_users_says_what_it_does_not_know() -> None:
    alone = replace(PLAN, users=None, emergency_trunks=())
    assert out(alone, "bob")[-1] == "no route: the call is refused with 404, unless it is the name of a user"
    assert out(alone, "112")[-1] == "no route: the call is refused with 404"


def test_an_explanation_shows_the_number_as_the_rules_see_it_and_as_it_is_sent() -> None:
    german = replace(PLAN, home=Home("49"), formats={"pbx": NumberFormat.NATIONAL})
    assert out(german, "0049301234") == (
        "0049301234 is read as +49301234",
        "rule a (+49*): matches",
        "trunk pbx gets 0301234",
    )
    assert out(german, "000123") == (
        "no route: the call is refused with 404, for it is no telephone number though it begins like one",
    )


def test_an_explanation_goes_through_the_permissions_of_its_caller() -> None:
    premium = PermissionRule("premium", False, patterns=(Pattern.parse("+49900*"),), named="premium")
    interns = PermissionRule("interns", False, patterns=(Pattern.parse("*"),), callers=frozenset({"carol"}), named="*")
    rules = Permissions(Home("49"), ("49",), (interns, premium))
    german = replace(PLAN, home=Home("49"), permissions=rules)
    assert out(german, "0900123", "alice") == (
        "0900123 is read as +49900123",
        "rule a (+49*): matches",
        "countries (49): matches",
        "permission interns (*): no match: not for alice",
        "permission premium (premium): forbidden",
        "the call is refused with 403: this caller may not call this number",
    )
    assert out(german, "030", "carol")[-1].startswith("the call is refused with 403")
    assert out(german, "030", "alice")[-1] == "trunk pbx gets +4930"


def test_an_explanation_says_who_of_a_group_rings_and_how() -> None:
    groups = {"sales": Group("sales", ("alice", "bob")), "help": Group("help", ("bob", "alice"), Ring.IN_TURN, 15)}
    rules = (OutboundRule("s", "1", group="sales"), OutboundRule("h", "2", group="help"))
    routes = replace(PLAN, outbound=rules, inbound=(InboundRule("in", "9", group="help"),), groups=groups)
    assert out(routes, "1")[-1] == "group sales rings, all at once: alice, bob"
    assert out(routes, "2")[-1] == "group help rings, 15 seconds each: bob, then alice"
    assert explain_inbound(routes, "pbx", "9").lines()[-1] == "group help rings, 15 seconds each: bob, then alice"


def test_an_explanation_for_programs_has_the_same_steps_and_the_outcome() -> None:
    found = explain_outbound(PLAN, "030", typed="0-30").as_dict()
    assert found == {
        "dialled": "0-30",
        "number": "030",
        "steps": [
            {"kind": "rule", "id": "a", "about": "+49*", "matched": False, "why": "+ may stand in place 1, not 0"},
            {"kind": "rule", "id": "b", "about": "0*", "matched": True},
        ],
        "outcome": "route",
        "rule": "b",
        "trunks": ["pbx"],
        "sent": "+4930",
        "emergency": False,
        "numbers": {"pbx": "+4930"},
    }
    assert explain_outbound(PLAN, "7").as_dict()["outcome"] == "no-route"
    assert explain_outbound(PLAN, "bob").as_dict()["user"] == "bob"
    inward = explain_inbound(PLAN, "pbx", "1").as_dict()
    assert (inward["user"], inward["rule"]) == ("alice", "x")
    through = replace(PLAN, inbound=(InboundRule("t", "1", to_trunk="pbx"),))
    assert explain_inbound(through, "carrier", "1").as_dict()["trunks"] == ["pbx"]


def test_an_explanation_says_what_each_of_several_trunks_gets() -> None:
    shares = (TrunkShare("pbx"), TrunkShare("carrier", 1), TrunkShare("third", 2))
    rule = OutboundRule("world", "+*", "pbx", trunks=shares)
    shared = replace(PLAN, home=Home("49"), formats={"carrier": NumberFormat.NATIONAL}, outbound=(rule,))
    assert out(shared, "0301")[-1] == "trunk pbx gets +49301, then carrier is tried with 0301, then third is tried"
    found = explain_outbound(shared, "0301").as_dict()
    assert found["numbers"] == {"pbx": "+49301", "carrier": "0301", "third": "+49301"}
