"""What the policy of a call is decided by: who is signed in, the number as it is read, and where it came from."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType

import pytest

from gateway.base.grades import Grade
from gateway.base.values import HostPort
from gateway.call.machine.circumstances import asked_by_trunk, asked_by_user, for_user
from gateway.policy.facts import Direction, address_of
from gateway.policy.match import Match
from gateway.policy.rules import Exemption, Floor, Rule
from gateway.routing.dialplan import InboundRule, OutboundRule, TrunkShare
from gateway.routing.groups import Group
from gateway.routing.patterns import Pattern
from gateway.routing.people import Person
from gateway.site import Site
from tests.call.machine_scene import BROWSER_FLOW, trunk_flow
from tests.call.office import Office, invite, site
from tests.policy.facts import NOON

OVER_PBX = Match(directions=frozenset({Direction.OUT}), trunks=frozenset({"pbx"}))
HALF = Match(dialled=(Pattern.parse("60*"),))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def written(office: Office, *entries: Rule | Floor | Exemption) -> None:
    """The policy file has these entries from now on."""
    found = office.sites.current
    policies = replace(
        found.policies,
        rules=tuple(e for e in entries if isinstance(e, Rule)),
        floors=tuple(e for e in entries if isinstance(e, Floor)),
        exceptions=tuple(e for e in entries if isinstance(e, Exemption)),
    )
    office.sites.current = replace(found, policies=policies)


async def called(office: Office, number: str = "600") -> list[int]:
    office.call(number)
    await office.settle()
    return office.statuses("in-1")


def known(directory: Path) -> Site:
    """A site where alice has a number and is in two groups."""
    found = site(directory)
    groups = {name: Group(name, ("alice", "bob")) for name in ("sales", "finance")}
    plan = replace(found.dialplan, groups=MappingProxyType(groups))
    return replace(found, dialplan=plan, people=MappingProxyType({"alice": Person(("+4930100", "+4930101"))}))


def test_a_user_is_who_signed_in_with_her_groups_her_number_and_her_connection(tmp_path: Path) -> None:
    found = asked_by_user(known(tmp_path), "alice", BROWSER_FLOW, NOON)
    assert (found.direction, found.user, found.caller) == (Direction.OUT, "alice", "+4930100")
    assert found.groups == {"sales", "finance"}
    assert (found.source, found.transport) == (address_of(BROWSER_FLOW.remote.host), BROWSER_FLOW.transport)


def test_a_trunk_is_where_its_request_came_from_whatever_it_says(tmp_path: Path) -> None:
    flow = replace(trunk_flow("udp"), remote=HostPort("::ffff:192.0.2.7", 5060))
    found = asked_by_trunk(known(tmp_path), "old", flow, NOON, "4711", "100")
    assert (found.direction, found.trunk, found.user) == (Direction.IN, "old", "")
    assert (found.caller, found.dialled, str(found.source)) == ("4711", "100", "192.0.2.7")
    assert for_user(found, known(tmp_path), "alice").groups == {"sales", "finance"}


@pytest.mark.asyncio
async def test_a_rule_decides_about_a_real_call_and_its_records_name_it(office: Office) -> None:
    written(office, Rule("open", OVER_PBX, "legacy"), Floor(id="low", match=HALF, prefer=Grade.PARTIAL))
    assert await called(office) == []
    (start,) = (record for record in office.audit.records if record["type"] == "call.start")
    assert (start["profile"], start["rule_id"], start["floors"], start["exception_id"]) == (
        "legacy",
        "open",
        ["low"],
        "",
    )
    ((sent, _),) = office.sip.sent.values()
    assert b"RTP/AVP" in sent.body


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("match", "matches"),
    [
        (Match(users=frozenset({"alice"})), True),
        (Match(users=frozenset({"bob"})), False),
        (Match(networks=(ip_network(f"{BROWSER_FLOW.remote.host}/32"),)), True),
        (Match(networks=(ip_network("203.0.113.0/24"),)), False),
        (Match(transports=frozenset({"wss"})), True),
        (Match(methods=frozenset({"REFER"})), False),
        (Match(dialled=(Pattern.parse("600"),)), True),
        (Match(directions=frozenset({Direction.IN})), False),
        (Match(without=Match(trunks=frozenset({"pbx"}))), False),
    ],
)
async def test_each_key_of_a_match_is_compared_with_what_the_call_is(
    office: Office, match: Match, matches: bool
) -> None:
    written(office, Rule("r", match, reject=480))
    assert await called(office) == ([480] if matches else [])


@pytest.mark.asyncio
async def test_a_call_a_rule_refuses_leaves_two_records_that_name_it(office: Office) -> None:
    written(office, Rule("premium", HALF, reject=403))
    assert await called(office) == [403]
    start, final = office.audit.records
    assert (start["type"], start["rule_id"], start["trunk"]) == ("call.start", "premium", "pbx")
    assert (final["type"], final["termination"]) == ("call.final", "policy-rejected")
    assert office.methods == []


@pytest.mark.asyncio
async def test_who_lets_a_call_below_a_floor_is_on_record_before_it_goes_on(office: Office) -> None:
    floor = Floor(id="f", match=Match(), require=Grade.HOP_BY_HOP)
    ends = office.services.wall() + timedelta(minutes=5)
    lowered = Exemption(id="e", match=OVER_PBX, owner="it", reason="soon", expires=ends, require=Grade.CLEARTEXT)
    written(office, Rule("open", Match(), "legacy"), floor, lowered)
    assert await called(office) == []
    assert office.audit.types()[:2] == ["call.start", "policy.exception_used"]
    used = office.audit.records[1]
    assert (used["exception_id"], used["owner"], used["require"], used["floors"]) == ("e", "it", "CLEARTEXT", ["f"])
    assert office.audit.types().count("policy.exception_used") == 1


@pytest.mark.asyncio
async def test_an_exception_that_has_expired_meanwhile_helps_no_new_call(office: Office) -> None:
    floor = Floor(id="f", match=Match(), require=Grade.HOP_BY_HOP)
    ended = office.services.wall()
    lowered = Exemption(id="e", match=Match(), owner="it", reason="x", expires=ended, require=Grade.CLEARTEXT)
    written(office, Rule("open", Match(), "legacy"), floor, lowered)
    await called(office)
    ((sent, _),) = office.sip.sent.values()
    assert b"RTP/SAVP" in sent.body
    assert "policy.exception_used" not in office.audit.types()


@pytest.mark.asyncio
async def test_a_call_from_a_trunk_must_meet_what_the_called_user_needs(office: Office) -> None:
    office.bind()
    written(office, Rule("in", Match(directions=frozenset({Direction.IN}), users=frozenset({"alice"})), reject=480))
    office.request(invite("100"), flow=office.sip.flows["pbx"])
    await office.settle()
    assert office.statuses("in-1") == [480]


@pytest.mark.asyncio
@pytest.mark.parametrize(("groups", "answered"), [({}, []), ({"finance": Group("finance", ("bob",))}, [480])])
async def test_a_call_for_a_group_must_meet_what_each_member_needs(
    office: Office, groups: dict[str, Group], answered: list[int]
) -> None:
    found = office.sites.current
    both = Group("all", ("alice", "bob"))
    plan = replace(found.dialplan, groups=MappingProxyType({"all": both, **groups}))
    plan = replace(plan, inbound=(InboundRule("all", "100", group="all"),))
    office.sites.current = replace(found, dialplan=plan)
    office.bind()
    written(office, Rule("no", Match(groups=frozenset({"finance"})), reject=480))
    office.request(invite("100"), flow=office.sip.flows["pbx"])  # it rings, where nothing refuses it
    await office.settle()
    assert office.statuses("in-1") == answered


@pytest.mark.asyncio
async def test_a_number_that_strip_and_prefix_make_another_one_of_must_meet_what_both_need(office: Office) -> None:
    found = office.sites.current
    rule = OutboundRule("out", "9*", trunk="pbx", strip=1, prefix="+")
    office.sites.current = replace(found, dialplan=replace(found.dialplan, outbound=(rule,)))
    written(office, Rule("premium", Match(dialled=(Pattern.parse("+1900*"),)), reject=403))
    assert await called(office, "91900123") == [403]


@pytest.mark.asyncio
async def test_a_call_between_browsers_must_meet_what_either_needs(office: Office) -> None:
    office.bind(user="bob")
    written(office, Rule("no", Match(users=frozenset({"bob"}), directions=frozenset({Direction.INTERNAL})), reject=403))
    assert await called(office, "201") == [403]


@pytest.mark.asyncio
async def test_of_several_trunks_the_one_a_rule_refuses_is_passed_over(office: Office) -> None:
    found = office.sites.current
    shares = (TrunkShare("pbx"), TrunkShare("soft", 1))
    rule = OutboundRule("all", "6*", trunk="pbx", trunks=shares)
    office.sites.current = replace(found, dialplan=replace(found.dialplan, outbound=(rule,)))
    written(office, Rule("no", Match(trunks=frozenset({"pbx"})), reject=403))
    assert await called(office) == []
    assert office.methods == ["INVITE"]
    assert {record["trunk"] for record in office.audit.records if record["type"] == "call.start"} == {"soft"}


@pytest.mark.asyncio
async def test_an_exception_for_a_call_from_a_trunk_is_on_record_too(office: Office) -> None:
    ends = office.services.wall() + timedelta(minutes=5)
    floor = Floor(id="f", match=Match(), require=Grade.HOP_BY_HOP)
    lowered = Exemption(id="e", match=Match(), owner="it", reason="x", expires=ends, require=Grade.CLEARTEXT)
    written(office, Rule("open", Match(), "legacy"), floor, lowered)
    office.bind()
    office.request(invite("100"), flow=office.sip.flows["pbx"])
    await office.settle()
    assert office.audit.types()[:2] == ["call.start", "policy.exception_used"]


@pytest.mark.asyncio
async def test_a_call_from_trunk_to_trunk_that_a_rule_refuses_names_that_rule(office: Office) -> None:
    found = office.sites.current
    through = InboundRule("through", "7*", trunk="pbx", to_trunk="soft")
    office.sites.current = replace(found, dialplan=replace(found.dialplan, inbound=(through,)))
    out = Match(directions=frozenset({Direction.OUT}), trunks=frozenset({"soft"}), dialled=(Pattern.parse("7*"),))
    written(office, Rule("no", out, reject=480))
    office.request(invite("700"), flow=office.sip.flows["pbx"])
    await office.settle()
    assert office.statuses("in-1") == [480]
    assert office.audit.records[0]["rule_id"] == "no"
