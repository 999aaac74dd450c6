"""A call that moves on, by REFER, 3xx or Replaces: what is asked there holds too, and never less than before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.config.policy_scalars import window
from gateway.policy.facts import Direction
from gateway.policy.match import Match
from gateway.policy.rules import Floor, Rule
from gateway.routing.patterns import Pattern
from gateway.site import Site
from tests.call.machine_scene import MachineScene, trunk_flow
from tests.call.office import Office
from tests.call.test_redirecting import calling as calling_trunk
from tests.call.test_redirecting import invites, moved
from tests.call.test_replacing import coming, far_dialog
from tests.call.test_transfer import SITE, refer, talking

ABROAD = Match(dialled=(Pattern.parse("601"),))
ENCRYPTED = Floor(id="abroad", match=ABROAD, require=Grade.HOP_BY_HOP)
OPEN = Rule("open", Match(), "legacy")


def under(scene: MachineScene, *entries: Rule | Floor) -> MachineScene:
    """The policy file of the call's site has these entries."""
    object.__setattr__(scene.state.context.make, "site", written(SITE, *entries))
    return scene


def written(site: Site, *entries: Rule | Floor) -> Site:
    rules = tuple(entry for entry in entries if isinstance(entry, Rule))
    floors = tuple(entry for entry in entries if isinstance(entry, Floor))
    return replace(site, policies=replace(site.policies, rules=rules, floors=floors))


def status(scene: MachineScene) -> int:
    """What was answered last."""
    return scene.responses[-1].status


@pytest.mark.parametrize("leg", [LegKind.BROWSER, LegKind.TRUNK])
def test_a_rule_may_refuse_where_a_refer_leads_and_the_call_goes_on(leg: LegKind) -> None:
    no = Rule("no", Match(methods=frozenset({"REFER"}), directions=frozenset({Direction.OUT})), reject=480)
    scene = refer(under(talking(), no), leg)
    assert status(scene) == 403
    assert scene.state.live
    assert not [e for e in scene.all if isinstance(e, fx.ConnectTrunk)][1:]


def test_the_number_a_refer_names_has_a_policy_of_its_own() -> None:
    scene = refer(under(talking(Profile.LEGACY), OPEN, ENCRYPTED))
    (target,) = scene.state.hunt.connecting.values()
    assert (target.policy.rules.require, target.policy.floors) == (Grade.HOP_BY_HOP, ("abroad",))
    scene.connect().open_media()
    assert b"RTP/SAVP" in scene.invite.body


def test_a_refer_leads_nowhere_with_less_than_the_call_had() -> None:
    scene = refer(under(talking(), OPEN))
    (target,) = scene.state.hunt.connecting.values()
    assert (target.policy.profile, target.policy.rules.require) == ("strict", Grade.HOP_BY_HOP)


def test_a_refer_in_a_call_for_help_is_no_way_around_a_rule() -> None:
    scene = talking(Profile.LEGACY)
    scene.state.policy = replace(scene.state.policy, emergency=True)
    assert status(refer(under(scene, Rule("premium", ABROAD, reject=403)))) == 403


@pytest.mark.parametrize(("hours", "answer"), [(0, 202), (7, 403)])
def test_a_refer_is_judged_by_the_time_it_comes_at(hours: int, answer: int) -> None:
    evening = (window("18:00-24:00", "UTC"),)
    scene = under(talking(Profile.LEGACY), Rule("evening", Match(times=evening), reject=403), OPEN)
    scene.now += hours * 3600.0
    assert status(refer(scene)) == answer


@pytest.mark.parametrize(("floors", "proto"), [((), b"RTP/AVP"), ((ENCRYPTED,), b"RTP/SAVP")])
def test_the_number_a_3xx_names_has_a_policy_of_its_own(floors: tuple[Floor, ...], proto: bytes) -> None:
    scene = under(calling_trunk("tls", Profile.LEGACY), OPEN, *floors)
    moved(scene, "<sip:601@pbx.example>")
    first, second = invites(scene)
    assert b"RTP/AVP" in first.request.body
    assert proto in second.request.body
    assert scene.trunk_leg.policy is not None
    assert scene.trunk_leg.policy.demands_protection == bool(floors)


def test_what_a_rule_refuses_no_3xx_reaches() -> None:
    scene = under(calling_trunk("tls", Profile.LEGACY), Rule("no", ABROAD, reject=403), OPEN)
    moved(scene, "<sip:601@pbx.example>")
    assert len(invites(scene)) == 1
    assert scene.state.termination is Termination.REDIRECT_REFUSED


def test_a_call_for_help_that_is_sent_on_stays_one() -> None:
    scene = under(calling_trunk("udp", Profile.LEGACY), OPEN, ENCRYPTED)
    scene.trunk_leg.policy = replace(scene.state.policy, emergency=True)
    moved(scene, "<sip:601@127.0.0.9>")
    assert len(invites(scene)) == 2


@pytest.mark.asyncio
async def test_a_rule_may_refuse_an_invite_that_takes_a_leg_over(tmp_path: Path) -> None:
    office = Office(tmp_path, calls=8)
    office.pool.calls = []
    no = Rule("no", Match(directions=frozenset({Direction.IN}), trunks=frozenset({"pbx"})), reject=480)
    office.sites.current = written(office.sites.current, no)
    far = await far_dialog(office)
    office.request(coming(far.replaces), key="new", flow=trunk_flow())
    await office.settle()
    assert office.statuses("new") == [403]
    assert office.manager.live_calls == 1


def test_a_3xx_to_what_this_connection_cannot_protect_calls_nobody_in_the_clear() -> None:
    scene = under(calling_trunk("udp", Profile.LEGACY), OPEN, ENCRYPTED)
    moved(scene, "<sip:601@127.0.0.9>")
    assert len(invites(scene)) == 1
    assert scene.state.termination is Termination.ENCRYPTION_IMPOSSIBLE
    assert "leg.violation" in scene.records


NEEDS = Floor(
    id="bob", match=Match(users=frozenset({"bob"}), directions=frozenset({Direction.IN})), require=Grade.HOP_BY_HOP
)


@pytest.mark.parametrize(("profile", "answer"), [(Profile.LEGACY, 403), (Profile.STRICT, 202)])
def test_nobody_is_handed_to_a_user_who_needs_more_than_she_has(profile: Profile, answer: int) -> None:
    scene = under(talking(profile, outbound=True), NEEDS)
    to_bob = "<sip:bob@example.test>"
    assert status(refer(scene, to=to_bob)) == answer
    assert scene.state.live
    assert ("leg.violation" in scene.records) == (answer == 403)


def test_a_call_for_help_is_handed_to_whom_it_may_concern() -> None:
    scene = under(talking(Profile.LEGACY), NEEDS)
    scene.state.policy = replace(scene.state.policy, emergency=True)
    assert status(refer(scene, to="<sip:bob@example.test>")) == 202
