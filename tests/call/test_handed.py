"""What a call hands over: only a leg at rest, only to the same peer, and nothing stays shared."""

from __future__ import annotations

import pytest

from gateway.base.termination import Termination
from gateway.base.values import CALLER, LegId, LegKind
from gateway.call.machine import events
from gateway.call.machine.events import Handed
from gateway.call.machine.handed import hand_out, is_same_peer, takes_part
from gateway.sip.replaces import Replaces
from tests.call.machine_scene import SITE, MachineScene
from tests.call.test_attended import answer_asks
from tests.call.test_transfer import refer, talking

NAMED = Replaces("call", "to", "from")


def at_rest() -> MachineScene:
    return answer_asks(talking())


def test_the_leg_beyond_the_named_one_is_handed_out_and_nothing_of_it_is_shared() -> None:
    scene = at_rest()
    handed = hand_out(scene.state, CALLER, NAMED)
    assert isinstance(handed, Handed)
    leg, there = handed.leg, scene.trunk_leg
    assert leg is not there
    assert (leg.agreed, leg.call_id) == (there.agreed, there.call_id)
    assert leg.dialog is not there.dialog
    assert leg.talk is not there.talk
    assert leg.invitation is not there.invitation
    assert (leg.recorded, leg.judged, leg.invite_key) == (None, False, "")


def test_a_leg_there_is_not_is_unknown_and_one_of_a_call_that_is_over_is_declined() -> None:
    scene = at_rest()
    assert hand_out(scene.state, LegId(9), NAMED) == 481
    scene.feed(events.Lost(Termination.SHUTDOWN))
    assert hand_out(scene.state, CALLER, NAMED) == 603


def test_nothing_is_handed_out_while_something_is_under_way() -> None:
    assert hand_out(refer(at_rest()).state, CALLER, NAMED) == 491
    changing = at_rest().inside(LegKind.TRUNK, "INVITE", cseq=60)
    assert hand_out(changing.state, CALLER, NAMED) == 491


def test_two_legs_are_of_one_peer_by_user_or_by_trunk_and_never_across() -> None:
    one, other = at_rest(), at_rest()
    assert is_same_peer(SITE, one.trunk_leg, other.trunk_leg)
    assert not is_same_peer(SITE, one.trunk_leg, other.browser_leg)
    other.trunk_leg.trunk_id = "old"
    assert not is_same_peer(SITE, one.trunk_leg, other.trunk_leg)


@pytest.mark.parametrize("outbound", [True, False])
def test_calls_of_one_user_share_somebody(outbound: bool) -> None:
    assert "alice" in takes_part(talking(outbound=outbound).state)
