"""Calling: a place first, then the INVITE; who cannot be the call leaves without spoiling the others."""

from __future__ import annotations

from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.machine import effects as fx
from gateway.call.machine.effects import Purpose, Timer
from gateway.call.machine.invite import ELSEWHERE
from gateway.media.relay_commands import CloseLeg, OpenLeg
from gateway.media.relay_events import LegFailed
from tests.call.machine_scene import MachineScene, answer, browser_answer, opened
from tests.call.peers import place
from tests.sites import made_trunk

KEYED = answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40)


def rung(*weak: bool) -> MachineScene:
    """A trunk calls a user who is signed in at so many places."""
    places = tuple(place(20 + n, weak=w) for n, w in enumerate(weak))
    return MachineScene(outbound=False, offer=KEYED, places=places).calling()


def invites(scene: MachineScene) -> dict[LegId, fx.SendRequest]:
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]
    return {e.leg: e for e in sent}


def test_nobody_is_called_before_the_relay_has_a_place_for_both() -> None:
    scene = MachineScene().begin().connect()
    one, other = scene.relayed(OpenLeg)
    scene.feed(opened(one))
    assert invites(scene) == {}
    scene.feed(opened(other))
    assert set(invites(scene)) == {LegId(2)}


def test_every_place_rings_and_the_first_that_answers_is_the_call() -> None:
    scene = rung(False, False, False)
    assert set(invites(scene)) == {LegId(2), LegId(3), LegId(4)}
    sent = invites(scene)[LegId(3)]
    scene.clear().feed(scene.answer_to(sent, 200, browser_answer(sent.request.body)))
    assert {leg.id for leg in scene.state.pair} == {LegId(1), LegId(3)}
    cancelled = scene.take(fx.CancelInvite)
    assert {e.ask for e in cancelled} == {invites(scene)[LegId(n)].ask for n in (2, 4)}
    assert all(ELSEWHERE.text in str(e.headers) for e in cancelled)
    assert {c.leg for c in scene.told(CloseLeg)} == {LegId(2), LegId(4)}


def test_a_place_that_is_too_weak_is_not_called_and_the_others_are() -> None:
    scene = rung(True, False)
    assert set(invites(scene)) == {LegId(3)}
    assert scene.record("leg.violation")["leg_id"] == LegId(2)


def test_where_every_place_is_too_weak_the_caller_hears_of_the_encryption() -> None:
    scene = rung(True, True)
    assert invites(scene) == {}
    assert scene.state.termination is not None
    assert scene.responses[-1].status == scene.state.termination.status


def test_a_busy_place_is_not_the_last_word_and_a_decline_is() -> None:
    scene = rung(False, False)
    first, second = invites(scene)[LegId(2)], invites(scene)[LegId(3)]
    scene.feed(scene.answer_to(first, 486))
    assert scene.state.live
    scene.feed(scene.answer_to(second, 603))
    assert scene.responses[-1].status == 603


def test_a_leg_without_room_at_the_relay_leaves_the_others_ringing() -> None:
    places = tuple(place(20 + n, weak=False) for n in range(2))
    scene = MachineScene(outbound=False, offer=KEYED, places=places).begin().locate()
    scene.feed(LegFailed(LegId(2), "no_port")).open_media()
    assert LegId(3) in invites(scene)
    assert scene.state.live


def test_no_room_for_the_caller_is_the_end() -> None:
    scene = MachineScene().begin().connect().feed(LegFailed(LegId(1), "no_port"))
    assert scene.state.termination is Termination.MEDIA_UNAVAILABLE


def test_a_trunk_that_refuses_for_itself_is_followed_by_the_next_and_one_whose_person_did_is_not() -> None:
    others = (made_trunk("sip:other.example", name="other"),)
    scene = MachineScene(others=others).calling().clear().reply(503)
    assert [e.trunk for e in scene.take(fx.ConnectTrunk)] == ["other"]
    scene = MachineScene(others=others).calling().clear().reply(486)
    assert scene.take(fx.ConnectTrunk) == []
    assert scene.responses[-1].status == 486


def test_a_call_rings_for_a_limited_time() -> None:
    scene = MachineScene().calling()
    seconds = [e.seconds for e in scene.all if isinstance(e, fx.SetTimer) and e.name is Timer.RING]
    assert seconds == [scene.state.site.limits.ring_seconds]
    assert scene.feed(scene.fires(Timer.RING)).state.termination is Termination.RING_TIMEOUT
