"""Building legs: what a called leg says of itself comes from the plan and from nothing the peer sent."""

from __future__ import annotations

import pytest

from gateway.base.values import LegId
from gateway.call.legs.identity import Origin
from gateway.call.legs.making import CALL_ID_LENGTH, MAX_SESSION_ID, TAG_LENGTH
from tests.call.machine_scene import BROWSER_FLOW, CONTACT, MachineScene, address, trunk_flow
from tests.sites import made_trunk


def test_a_called_trunk_is_spoken_to_as_our_domain_and_asked_for_the_planned_number() -> None:
    scene = MachineScene()
    leg = scene.state.context.make.called_trunk(LegId(7), trunk_flow(), scene.target, Origin("alice"))
    assert (leg.local_address.uri.host, leg.remote_address.uri.user) == ("example.test", "600")
    assert leg.policy == scene.target.policy
    assert not leg.is_caller


def test_each_called_leg_has_a_call_id_and_numbers_of_its_own() -> None:
    make = MachineScene().state.context.make
    scene = MachineScene()
    legs = [make.called_trunk(LegId(n), trunk_flow(), scene.target, Origin("alice")) for n in (2, 3)]
    assert legs[0].call_id != legs[1].call_id
    assert all(len(leg.call_id) == CALL_ID_LENGTH for leg in legs)
    assert all(0 <= leg.session_id <= MAX_SESSION_ID for leg in legs)
    assert TAG_LENGTH >= 8  # RFC 3261 19.3: at least 32 bits of randomness


def test_a_called_browser_is_asked_for_by_the_contact_it_registered() -> None:
    make = MachineScene().state.context.make
    leg = make.called_browser(LegId(2), BROWSER_FLOW, address("4711", "example.test"), "alice", CONTACT)
    assert leg.target_uri == CONTACT
    assert leg.contact.uri.host == "example.test"
    assert leg.told is not None


@pytest.mark.parametrize(("advertise", "host"), [("", "127.0.0.1"), ("198.51.100.7", "198.51.100.7")])
def test_a_trunk_reaches_us_where_it_is_told_to(advertise: str, host: str) -> None:
    media = {"bind": "127.0.0.1", **({"advertise": advertise} if advertise else {})}
    scene = MachineScene(trunk=made_trunk("sip:pbx.example;transport=tls", media=media))
    leg = scene.state.context.make.called_trunk(LegId(2), trunk_flow(), scene.target, Origin("alice"))
    assert leg.contact.uri.host == host
