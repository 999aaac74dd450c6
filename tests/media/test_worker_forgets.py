"""What a closed call leaves behind in a worker: nothing, at once, although nobody looks for garbage meanwhile."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from gateway.media.relay_commands import CloseLeg
from tests.media import packets
from tests.media.lanes import PAIRS, LaneRig, lane_rig
from tests.media.peers import BROWSER, TRUNK


@pytest.fixture
def nobody_collects() -> Iterator[None]:
    """The collector rests; what nothing refers to any more is gone all the same."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _heard_both_ways(rig: LaneRig) -> None:
    for number in (BROWSER, TRUNK):
        for sequence in range(3):
            rig.send(number, rig.sealed(number, packets.rtp(sequence, timestamp=sequence * 160)))
            rig.now += 0.02
            rig.serve()
        assert rig.has_lane(number)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.usefixtures("nobody_collects")
def test_legs_and_keys_of_a_closed_call_are_gone_at_once(pair: str) -> None:
    with lane_rig(*PAIRS[pair]) as rig:
        _heard_both_ways(rig)
        rig.play(TRUNK, "5")
        rig.pass_time(1.0)
        kept: list[weakref.ref[object]] = [weakref.ref(rig.call)]
        kept += [weakref.ref(part) for leg in rig.call.legs.values() for part in (leg, leg.protection)]
        del rig.call
        rig.loop._desk.close_call(1, rig.now)
        assert [left() for left in kept] == [None] * 5


@pytest.mark.usefixtures("nobody_collects")
def test_a_leg_that_is_closed_in_a_call_that_goes_on_is_gone_at_once() -> None:
    with lane_rig(*PAIRS["plain trunk"]) as rig:
        _heard_both_ways(rig)
        gone = weakref.ref(rig.leg(TRUNK))
        rig.loop._desk.close_leg(1, CloseLeg(TRUNK), rig.now)
        assert gone() is None
        assert list(rig.call.legs) == [BROWSER]
