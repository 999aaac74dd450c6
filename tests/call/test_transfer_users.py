"""Calls handed over to users of ours, and calls between two of them handed over: browsers come and go, grades stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.crypto_suite import AEAD_AES_128_GCM
from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.base.values import CALLER, LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.media.relay_commands import Route
from gateway.site import Site
from tests.call.machine_scene import BROWSER_FLOW, CONTACT, MachineScene, browser_answer, request, sdes_answer
from tests.call.test_hunt import PLACES, cancelled, invites
from tests.call.test_transfer import PLAN, hears, talking, told
from tests.sites import made_site

BOB, THIRD = LegId(2), LegId(3)
TRUNKS = {
    "pbx": {"target": "sip:pbx.example;transport=tls", "networks": ["127.0.0.2/32"]},
    "old": {"target": "sip:127.0.0.3", "networks": ["127.0.0.3/32"], "security": "legacy"},
}
SITE = made_site(PLAN, people=("alice", "bob", "carol"), trunks=TRUNKS)


def on_site(scene: MachineScene, site: Site = SITE) -> MachineScene:
    object.__setattr__(scene.state.context.make, "site", site)
    return scene


def two_users() -> MachineScene:
    """Alice talks to bob."""
    scene = on_site(MachineScene(callee="bob")).calling()
    scene.reply(200, browser_answer(scene.invite.body)).ack()
    for leg in (CALLER, BOB):
        scene.feed(events.DtlsConnected(leg, AEAD_AES_128_GCM, "DTLSv1.2", "sha-256"))
    for report in [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.UPDATE]:
        scene.feed(scene.answer_to(report, 200))
    return scene.clear()


def refers(scene: MachineScene, leg: LegId, to: str) -> MachineScene:
    """This browser hands the other side over."""
    side = scene.state.legs[leg]
    found = request("REFER", cseq=50, to_tag=side.local_tag, extra=(("Refer-To", f"<{to}>"),))
    found = found.with_header("Call-ID", side.call_id)
    if not side.is_caller:
        found = found.with_header("From", "<sip:bob@example.test>;tag=callee")
    return scene.feed(events.RequestIn(leg, f"browser-{leg}-50", found, side.flow))


def is_found(scene: MachineScene, user: str, places: tuple[events.Place, ...]) -> MachineScene:
    assert [e.user for e in scene.take(fx.Locate)] == [user]
    return scene.feed(events.Located(user, places)).open_media()


def ways(scene: MachineScene) -> set[tuple[int, int]]:
    """Who hears whom, of the legs bridged now."""
    ids = {leg.id for leg in scene.state.pair}
    return {(r.source, r.sink) for r in scene.relayed(Route) if {r.source, r.sink} <= ids}


def test_a_trunks_call_handed_over_to_a_user_rings_all_her_browsers_and_the_first_answer_wins() -> None:
    scene = refers(on_site(talking()), CALLER, "sip:bob@example.test")
    assert scene.responses[-1].status == 202
    is_found(scene, "bob", PLACES)
    rung = [leg for leg in invites(scene) if leg > 2]
    assert len(rung) == 3
    first, winner, last = rung
    sent = invites(scene)[winner]
    scene.feed(scene.answer_to(sent, 200, browser_answer(sent.request.body), tag="bob"))
    hears(scene)
    assert {leg for leg, why in cancelled(scene).items() if "elsewhere" in why} == {first, last}
    assert {leg.id for leg in scene.state.pair} == {LegId(2), winner}
    assert told(scene)[-1][0] == "200"
    assert ways(scene) == {(2, winner), (winner, 2)}


def test_the_browser_that_hands_a_call_over_to_its_own_user_does_not_ring_itself() -> None:
    """Alice moves the call to her other page."""
    scene = refers(on_site(talking()), CALLER, "sip:alice@example.test")
    is_found(scene, "alice", (events.Place(scene.state.caller.flow, CONTACT), PLACES[1]))
    assert [e.flow.id for leg, e in invites(scene).items() if leg > 2] == [PLACES[1].flow.id]


def test_who_is_called_on_behalf_of_a_trunk_sees_the_number_there() -> None:
    scene = refers(on_site(talking()), CALLER, "sip:bob@example.test")
    is_found(scene, "bob", PLACES[:1])
    assert str(scene.invite.from_.uri) == "sip:600@example.test"


@pytest.mark.parametrize(("asker", "stays"), [(BOB, CALLER), (CALLER, BOB)])
def test_of_two_users_either_hands_the_other_over_to_a_third(asker: LegId, stays: LegId) -> None:
    scene = refers(two_users(), asker, "sip:carol@example.test")
    is_found(scene, "carol", PLACES[:1])
    assert str(scene.invite.from_.uri) == f"sip:{'alice' if stays == CALLER else 'bob'}@example.test"
    scene.reply(200, browser_answer(scene.invite.body), tag="carol")
    scene.feed(events.DtlsConnected(THIRD, AEAD_AES_128_GCM, "DTLSv1.2", "sha-256"))
    hears(scene)
    assert {leg.id for leg in scene.state.pair} == {stays, THIRD}
    assert ways(scene) == {(stays, THIRD), (THIRD, stays)}
    assert scene.state.posture.current is Grade.HOP_BY_HOP
    byes = [e.leg for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.BYE]
    assert byes == [asker]
    shown = [e.request for e in scene.all if isinstance(e, fx.SendRequest) and e.leg == stays]
    assert shown[-1].headers.get("P-Asserted-Identity") == "<sip:carol@example.test>"


def test_a_call_between_users_is_handed_over_to_a_trunk_under_strict_only() -> None:
    scene = refers(two_users(), CALLER, "sip:601@example.test")
    scene.connect().open_media()
    scene.reply(200, sdes_answer(scene.invite.body), tag="target")
    hears(scene)
    assert (scene.state.trunk_id, scene.state.policy.profile) == ("pbx", Profile.STRICT)
    assert scene.state.posture.current is Grade.HOP_BY_HOP


def test_a_call_between_users_is_not_handed_over_to_a_trunk_in_the_clear() -> None:
    scene = refers(two_users(), CALLER, "sip:701@example.test")
    udp = replace(scene.flow, id=9, transport="udp", tls=None, trunk="old")
    scene.feed(events.TrunkConnected(scene.connecting, udp))
    hears(scene)
    assert told(scene)[-1][0] in ("403", "488")
    assert {leg.id for leg in scene.state.pair} == {CALLER, BOB}
    assert not [e for e in scene.all if isinstance(e, fx.SendRequest) and e.leg == THIRD]


@pytest.mark.parametrize("to", ["sip:nobody@example.test", "sip:Carol@example.test", "sip:carol@other.example"])
def test_a_call_is_handed_over_to_no_name_that_is_no_users(to: str) -> None:
    scene = refers(two_users(), CALLER, to)
    assert scene.responses[-1].status == 403
    assert scene.take(fx.Locate) == []


def test_a_browser_too_weak_for_the_call_is_not_joined() -> None:
    weak = events.Place(replace(BROWSER_FLOW, id=31, transport="ws"), CONTACT)
    scene = refers(two_users(), CALLER, "sip:carol@example.test")
    is_found(scene, "carol", (weak,))
    hears(scene)
    assert told(scene)[-1][0] == "403"
    assert {leg.id for leg in scene.state.pair} == {CALLER, BOB}
    assert "mid.transfer_weaker" in str(scene.record("leg.violation")["codes"])
