"""Hold as arithmetic: what we say on a leg is what the other side wants, and never more."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.call.legs.agreed import Will
from gateway.call.legs.leg import Leg
from gateway.call.machine import direction
from gateway.sdp.direction import Direction
from tests.call.machine_scene import MachineScene, sdes_answer

WILLS = list(itertools.product((True, False), repeat=2))


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack()


@pytest.mark.parametrize(("sends", "receives"), WILLS)
def test_a_direction_says_both_halves(sends: bool, receives: bool) -> None:
    found = direction.of(sends, receives)
    assert (found.sends, found.receives) == (sends, receives)


def side(wants: Direction) -> Leg:
    """A leg whose peer wants this."""
    return cast(Leg, SimpleNamespace(will=Will.of_offer(wants)))


@pytest.mark.parametrize(("mine", "theirs"), list(itertools.product(Direction, repeat=2)))
def test_an_answer_sends_only_what_both_want(mine: Direction, theirs: Direction) -> None:
    answer = direction.answer_to(side(mine), side(theirs))
    assert answer.sends == (mine.receives and theirs.sends)
    assert answer.receives == (mine.sends and theirs.receives)
    assert direction.hears(side(mine), side(theirs)) == (theirs.sends and mine.receives)


@pytest.mark.parametrize("wants", Direction)
def test_an_offer_speaks_for_the_other_side_and_for_nobody_wants_both(wants: Direction) -> None:
    assert direction.offer_from(side(wants)) is wants
    assert direction.offer_from(None) is Direction.SENDRECV


def test_packets_are_asked_for_as_long_as_the_other_side_wants_them() -> None:
    scene = talking()
    remote = scene.browser_leg.remote
    assert remote is not None
    terms = direction.offer_terms(remote.codecs, scene.browser_leg)
    assert (terms.ptime, terms.maxptime) == (remote.ptime, remote.maxptime)
