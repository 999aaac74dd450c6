"""Groups of users: all at once or one after the other, and nobody's word but the last one's ends the search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.termination import Termination
from gateway.call.legs.targets import GroupTarget, Target, UserTarget
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose, Timer
from gateway.call.machine.hunt import Stage
from gateway.call.machine.locate import MAX_RINGING
from gateway.routing.admission import MAX_INBOUND_PER_USER
from gateway.routing.dialplan import InboundRule, OutboundRule
from gateway.routing.groups import Group, Ring
from gateway.sip.events import ResponseReceived
from gateway.sip.message import Request, create_response
from gateway.sip.uri import SipUri
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, answer, browser_answer, trunk_flow
from tests.call.office import Office, invite

KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40
ALL = GroupTarget("sales", ("alice", "bob", "carol"))
TURNS = tuple(UserTarget(user, "sales", 15.0) for user in ALL.users)


def scene(*targets: Target, inbound: bool = True) -> MachineScene:
    """A trunk, or another user, calls a group; nobody has been found yet."""
    if inbound:
        made = MachineScene(outbound=False, offer=answer("RTP/SAVP", KEY), flow=trunk_flow())
    else:
        made = MachineScene(callee="sales")
    made.state.facts = replace(made.state.facts, user="" if inbound else "dave")
    made.state.hunt.targets = list(targets)
    return made.begin()


def place(number: int) -> events.Place:
    flow = replace(BROWSER_FLOW, id=number)
    return events.Place(flow, SipUri.parse(f"sip:page{number}@client.invalid;transport=ws"))


def found(on: MachineScene, user: str, *places: int, refused: Termination | None = None) -> MachineScene:
    return on.feed(events.Located(user, tuple(place(number) for number in places), refused)).open_media()


def invites(on: MachineScene) -> dict[str, fx.SendRequest]:
    """The last INVITE of each user, by name."""
    sent = [e for e in on.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]
    return {on.state.legs[e.leg].number: e for e in sent}


def says(on: MachineScene, user: str, status: int) -> MachineScene:
    sent = invites(on)[user]
    body = browser_answer(sent.request.body) if status == 200 else b""
    return on.feed(on.answer_to(sent, status, body, tag=f"tag-{user}-{sent.leg}"))


def sought(on: MachineScene) -> list[str]:
    return [e.user for e in on.all if isinstance(e, fx.Locate)]


def stopped(on: MachineScene) -> list[str]:
    """Whose browsers were told to stop ringing."""
    users = {e.ask: on.state.legs[e.leg].number for e in on.all if isinstance(e, fx.SendRequest)}
    return [users[e.ask] for e in on.all if isinstance(e, fx.CancelInvite)]


def final(on: MachineScene) -> list[int]:
    return [response.status for response in on.responses if response.status >= 200]


def talker(on: MachineScene) -> str:
    assert on.state.callee is not None
    return on.state.callee.number


@pytest.fixture(params=[True, False], ids=["from a trunk", "from a user"])
def inbound(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def ringing(inbound: bool) -> MachineScene:
    """All three are found, one after the other, and ring."""
    on = scene(ALL, inbound=inbound)
    for number, user in enumerate(ALL.users, 11):
        found(on, user, number)
        says(on, user, 180)
    return on


def test_all_of_a_group_are_looked_for_at_once_and_ring_as_they_are_found(inbound: bool) -> None:
    on = scene(ALL, inbound=inbound)
    assert sought(on) == ["alice", "bob", "carol"]
    found(on, "bob", 12)
    assert set(invites(on)) == {"bob"}
    says(on, "bob", 180)
    found(on, "alice", 11)
    assert set(invites(on)) == {"alice", "bob"}
    assert final(on) == []


def test_the_first_of_a_group_who_answers_has_the_call(inbound: bool) -> None:
    on = ringing(inbound)
    says(on, "bob", 200)
    assert sorted(stopped(on)) == ["alice", "carol"]
    assert (final(on), talker(on)) == ([200], "bob")


@pytest.mark.parametrize("status", [404, 480, 486, 488, 500, 600, 603, 606])
def test_what_one_of_a_group_says_is_not_the_last_word(inbound: bool, status: int) -> None:
    on = ringing(inbound)
    says(on, "alice", status)
    assert (stopped(on), final(on)) == ([], [])
    says(on, "carol", 200)
    assert talker(on) == "carol"


def test_who_wants_no_call_stops_all_her_own_browsers_and_nobody_elses() -> None:
    on = scene(ALL)
    found(on, "alice", 11, 21)
    found(on, "bob", 12)
    for sent in [e for e in on.all if isinstance(e, fx.SendRequest)]:
        on.feed(on.answer_to(sent, 180, tag=f"tag-{sent.leg}"))
    first = next(e for e in on.all if isinstance(e, fx.SendRequest))
    on.feed(on.answer_to(first, 603, tag="tag"))
    assert stopped(on) == ["alice"]
    assert [leg.number for leg in on.state.ringing()] == ["bob"]


def test_when_all_of_a_group_have_refused_the_caller_hears_of_it() -> None:
    on = ringing(True)
    for user in ALL.users:
        says(on, user, 486)
    assert final(on) == [486]
    assert on.state.termination is Termination.BUSY


def test_a_group_of_whom_nobody_is_there_is_unavailable(inbound: bool) -> None:
    on = scene(ALL, inbound=inbound)
    for user in ALL.users:
        assert final(on) == []
        found(on, user)
    assert final(on) == [480]
    assert on.state.termination is Termination.USER_NOT_REGISTERED


def test_one_who_may_not_be_rung_keeps_nobody_else_from_ringing() -> None:
    on = scene(ALL)
    found(on, "alice", 11, refused=Termination.USER_BUSY)
    found(on, "bob", 12)
    found(on, "carol")
    says(on, "bob", 200)
    assert talker(on) == "bob"


def test_one_who_is_found_when_another_has_answered_is_not_rung() -> None:
    on = scene(ALL)
    found(on, "alice", 11)
    says(on, "alice", 200)
    found(on, "bob", 12)
    assert set(invites(on)) == {"alice"}
    assert [leg.number for leg in on.state.legs.values() if leg.habits.is_person] == ["alice"]


def test_the_last_of_a_group_who_refuses_waits_for_those_who_are_still_looked_for() -> None:
    on = scene(ALL)
    found(on, "alice", 11)
    says(on, "alice", 603)
    assert final(on) == []
    found(on, "bob")
    found(on, "carol", 13)
    says(on, "carol", 200)
    assert talker(on) == "carol"


def test_no_more_browsers_of_a_group_ring_than_one_call_may_have() -> None:
    users = tuple(f"user{number}" for number in range(8))
    on = scene(GroupTarget("all", users))
    for index, user in enumerate(users):
        found(on, user, *range(100 + 10 * index, 110 + 10 * index))
    assert len(list(on.state.ringing())) == MAX_RINGING


def test_a_group_in_turn_rings_one_after_the_other(inbound: bool) -> None:
    on = scene(*TURNS, inbound=inbound)
    assert sought(on) == ["alice"]
    found(on, "alice", 11)
    says(on, "alice", 180)
    clock = [e for e in on.all if isinstance(e, fx.SetTimer) and e.name is Timer.RING][-1]
    assert clock.seconds == 15
    on.now += 15
    on.feed(events.TimerFired(Timer.RING))
    assert (stopped(on), sought(on), final(on)) == (["alice"], ["alice", "bob"], [])
    found(on, "bob", 12)
    says(on, "alice", 487)
    says(on, "bob", 200)
    assert (talker(on), final(on)) == ("bob", [200])


@pytest.mark.parametrize("status", [480, 486, 500, 603])
def test_who_refuses_gives_her_turn_to_the_next(status: int) -> None:
    on = scene(*TURNS)
    found(on, "alice", 11)
    says(on, "alice", status)
    assert (sought(on), final(on)) == (["alice", "bob"], [])
    found(on, "bob")
    assert sought(on) == ["alice", "bob", "carol"]
    found(on, "carol", 13)
    says(on, "carol", 200)
    assert talker(on) == "carol"


def test_when_the_turns_are_over_the_caller_hears_that_nobody_answered() -> None:
    on = scene(*TURNS)
    for number, user in enumerate(ALL.users, 11):
        found(on, user, number)
        on.now += 15
        on.feed(events.TimerFired(Timer.RING))
        says(on, user, 487)
    assert final(on) == [408]
    assert on.state.termination is Termination.RING_TIMEOUT


def test_all_turns_together_last_no_longer_than_a_call_may_ring() -> None:
    limit = MachineScene().state.site.limits.ring_seconds
    on = scene(*(UserTarget(user, "sales", limit - 5) for user in ALL.users))
    found(on, "alice", 11)
    on.now += limit - 5
    on.feed(events.TimerFired(Timer.RING))
    found(on, "bob", 12)
    clock = [e for e in on.all if isinstance(e, fx.SetTimer) and e.name is Timer.RING][-1]
    assert clock.seconds == 5
    on.now += 5
    on.feed(events.TimerFired(Timer.RING))
    assert (sought(on), final(on)) == (["alice", "bob"], [408])


def test_who_answered_for_the_group_is_in_the_records() -> None:
    on = ringing(True)
    says(on, "bob", 200)
    on.ack()
    records = [e.record for e in on.all if isinstance(e, fx.WriteAudit)]
    assert records[0]["user"] in ("", None)
    assert records[-1]["user"] == "bob"


def test_a_call_concerns_who_is_sought_rings_or_talks_and_nobody_whose_turn_is_over() -> None:
    on = scene(*TURNS)
    assert [user for user in ALL.users if on.state.concerns(user)] == ["alice"]
    found(on, "alice", 11)
    on.now += 15
    on.feed(events.TimerFired(Timer.RING))
    found(on, "bob", 12)
    assert [user for user in ALL.users if on.state.concerns(user)] == ["bob"]
    says(on, "bob", 200)
    assert on.state.hunt.stage is Stage.OVER
    assert [user for user in ALL.users if on.state.concerns(user)] == ["bob"]


# Through the door: dialplan, seats, location.


def office(directory: Path, ring: Ring = Ring.PARALLEL) -> Office:
    made = Office(directory, calls=100)
    plan = made.sites.current.dialplan
    groups = {"sales": Group("sales", ("alice", "bob"), ring, 15)}
    changed = replace(
        plan,
        groups=groups,
        inbound=(*plan.inbound, InboundRule("sales", "300", group="sales"), InboundRule("pbx", "400", to_trunk="pbx")),
        outbound=(*plan.outbound, OutboundRule("sales", "300", group="sales")),
    )
    made.sites.current = replace(made.sites.current, dialplan=changed)
    made.bind()
    made.bind("<sip:bob@client.invalid;transport=ws>", replace(BROWSER_FLOW, id=12), "bob")
    return made


def called(on: Office, key: str, number: str = "300") -> None:
    """The trunk that takes calls without encryption calls."""
    request = invite(number, call_id=f"in-{key}", contact="<sip:stranger@127.0.0.3>")
    request = request.with_header("From", "<sip:+4930123@127.0.0.3>;tag=stranger")
    plain = Request("INVITE", request.uri, request.headers, answer("RTP/AVP"))
    on.request(plain, key=key, flow=replace(trunk_flow("udp"), trunk="old"))


def rung(on: Office) -> list[str]:
    return sorted(r.to.uri.user or "" for r, _ in on.sip.sent.values() if r.method == "INVITE")


@pytest.mark.asyncio
async def test_a_number_of_a_group_rings_all_of_it(tmp_path: Path) -> None:
    on = office(tmp_path)
    called(on, "one")
    await on.settle()
    assert rung(on) == ["alice", "bob"]


@pytest.mark.asyncio
async def test_who_calls_her_own_group_is_not_rung_herself(tmp_path: Path) -> None:
    on = office(tmp_path)
    on.call("300")
    await on.settle()
    assert rung(on) == ["bob"]
    start = next(r for r in on.audit.records if r["type"] == "call.start")
    assert start["dir"] == "internal"


@pytest.mark.asyncio
async def test_calls_a_colleague_answers_keep_no_place_of_the_others(tmp_path: Path) -> None:
    """As many as one user may have: bob takes each of them, and alice is still free."""
    on = office(tmp_path)
    for number in range(MAX_INBOUND_PER_USER):
        called(on, f"in-{number}")
        await on.settle()
        key, (request, flow) = [(k, v) for k, v in on.sip.sent.items() if v[0].to.uri.user == "bob"][-1]
        contact = (("Contact", "<sip:bob@client.invalid;transport=ws>"),)
        body = browser_answer(request.body)
        response = create_response(
            request, 200, to_tag="bob", headers=contact, body=body, content_type="application/sdp"
        )
        on.manager.on_event(ResponseReceived(key, response, flow))
        await on.settle()
        assert on.statuses(f"in-{number}")[-1] == 200
    called(on, "alice", "100")
    await on.settle()
    assert all(status < 300 for status in on.statuses("alice"))


@pytest.mark.asyncio
async def test_a_call_of_one_trunk_may_be_for_an_extension_behind_another(tmp_path: Path) -> None:
    on = office(tmp_path)
    called(on, "through", "400")
    await on.settle()
    (sent,) = [(r, f) for r, f in on.sip.sent.values() if r.method == "INVITE"]
    assert (sent[0].request_uri.user, sent[1].trunk) == ("400", "pbx")
    assert b"RTP/SAVP" in sent[0].body
