"""From the caller's INVITE to somebody to call: policy first, then the targets in turn."""

from __future__ import annotations

from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.locate import MAX_PLACES
from gateway.media.relay_commands import OpenLeg
from tests.call.machine_scene import MachineScene, answer, trunk_flow
from tests.call.peers import place
from tests.sites import made_trunk

KEYED = answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40)


def inbound(*places: events.Place, offer: bytes = KEYED) -> MachineScene:
    return MachineScene(outbound=False, offer=offer, places=places).begin()


def test_an_offer_that_policy_refuses_rings_nobody() -> None:
    scene = inbound(offer=answer())
    assert scene.take(fx.Locate) == []
    assert scene.state.termination is not None
    assert "leg.violation" in scene.records


def test_a_caller_that_is_known_to_be_too_weak_rings_nobody() -> None:
    scene = MachineScene(outbound=False, offer=KEYED, flow=trunk_flow(verified=False)).begin()
    assert scene.take(fx.Locate) == []
    assert not scene.state.live


def test_a_user_who_is_signed_in_nowhere_is_told_as_that() -> None:
    assert inbound().locate().state.termination is Termination.USER_NOT_REGISTERED


def test_no_more_places_ring_than_the_registrar_keeps() -> None:
    scene = inbound(*(place(30 + n, weak=False) for n in range(3 * MAX_PLACES))).locate()
    assert len(scene.relayed(OpenLeg)) == 1 + MAX_PLACES


def test_where_a_user_is_means_nothing_when_nobody_waits_for_it() -> None:
    scene = inbound(place(30, weak=False)).locate().open_media().clear()
    scene.locate()
    assert scene.effects == []


def test_a_trunk_that_cannot_be_reached_is_followed_by_the_next_and_the_last_one_is_the_reason() -> None:
    scene = MachineScene(others=(made_trunk("sip:other.example", name="other"),)).begin()
    scene.clear().unreachable("refused")
    assert [(e.leg, e.trunk) for e in scene.take(fx.ConnectTrunk)] == [(LegId(3), "other")]
    scene.unreachable("refused")
    assert scene.state.termination is Termination.TRUNK_UNREACHABLE


def test_a_certificate_that_was_refused_is_in_the_log_with_the_reason() -> None:
    scene = MachineScene().begin().unreachable("tls", "certificate has expired")
    assert scene.state.termination is Termination.TRUNK_UNVERIFIED
    assert scene.record("leg.violation")["verification"] == "certificate has expired"


def test_a_connection_nobody_waits_for_calls_nobody() -> None:
    scene = MachineScene().calling().clear()
    scene.feed(events.TrunkConnected(LegId(9), trunk_flow()))
    assert scene.effects == []
