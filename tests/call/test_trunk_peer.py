"""Who a trunk leg leads to: its places, its networks, and the names that may lead to its media."""

from __future__ import annotations

from gateway.base.values import HostPort, LegId
from gateway.call.legs.identity import Origin
from gateway.call.legs.trunk_peer import TrunkPeer
from gateway.media.relay_commands import OwnPort
from tests.call.machine_scene import MachineScene, answer, trunk_flow
from tests.sites import made_trunk


def caller() -> TrunkPeer:
    """The leg of a trunk that calls."""
    found = MachineScene(outbound=False).state.caller
    assert isinstance(found, TrunkPeer)
    return found


def test_a_leg_needs_ports_of_its_own_and_says_where_they_are() -> None:
    leg = caller()
    assert leg.place == OwnPort("127.0.0.1", "127.0.0.1")
    leg.opened((HostPort("127.0.0.1", 20000),), None)
    assert (leg.rtp, leg.rtcp) == (HostPort("127.0.0.1", 20000),) * 2


def test_only_connections_of_the_trunk_speak_for_it_and_its_networks_may_be_sent_to() -> None:
    trunk = made_trunk("sip:pbx.example;transport=tls", networks=["198.51.100.0/24"])
    scene = MachineScene(trunk=trunk)
    leg = scene.state.context.make.called_trunk(LegId(2), trunk_flow(), scene.target, Origin("alice"))
    assert leg.is_reached_by(trunk_flow())
    assert leg.may_send_to("198.51.100.9")
    assert not leg.may_send_to("203.0.113.9")


def test_names_are_asked_for_only_where_they_may_lead() -> None:
    named = answer(port=4002).replace(b"c=IN IP4 127.0.0.2", b"c=IN IP4 media.example")
    assert caller().unknown_names(named) == ()
    leg = caller()
    leg.trunk = made_trunk("sip:pbx.example", networks=["198.51.100.0/24"])
    assert leg.unknown_names(named) == ("media.example",)
    leg.learn_names([("media.example", ("203.0.113.9", "198.51.100.9"))])
    assert leg.names.known == {"media.example": "198.51.100.9"}
    assert leg.unknown_names(named) == ()
