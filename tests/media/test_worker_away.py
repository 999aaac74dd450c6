"""A worker that cannot keep up: what waited for it is late through no fault of its source."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.base.values import LegId
from gateway.media.worker.flat import PORT_BATCH
from tests.media import packets
from tests.media.lanes import PAIRS, LaneRig, lane_rig
from tests.media.peers import BROWSER, TRUNK

FRAME = 160
AWAY = 0.1


@pytest.fixture(params=[True, False], ids=["short way", "long way"])
def rig(request: pytest.FixtureRequest) -> Iterator[LaneRig]:
    with lane_rig(*PAIRS["plain trunk"], shortcuts=request.param) as made:
        yield made


class Speech:
    """What the peer of a leg says, 20 ms a packet, and how it is heard at the other end."""

    def __init__(self, rig: LaneRig, number: LegId) -> None:
        self._rig, self._number, self._said = rig, number, 0

    def goes_on(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self._rig.now += 0.02
            self._said += 1
            clear = packets.rtp(self._said, timestamp=self._said * FRAME)
            self._rig.send(self._number, self._rig.sealed(self._number, clear))

    def on_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self.goes_on(0.02)
            self._rig.serve()

    def heard(self) -> list[tuple[int, int]]:
        """Marker, and timestamp from the first on, of each packet."""
        found = self._rig.heard(self._rig.other(self._number))
        times = [int.from_bytes(packet[4:8]) for packet in found]
        return [(packet[1] >> 7, (time - times[0]) & 0xFFFFFFFF) for packet, time in zip(found, times, strict=True)]


@pytest.mark.parametrize("number", [BROWSER, TRUNK])
def test_what_waits_for_a_busy_worker_keeps_its_timestamps(rig: LaneRig, number: LegId) -> None:
    speech = Speech(rig, number)
    speech.on_time(0.2)
    for _ in range(20):
        speech.goes_on(AWAY)
        rig.turn()
    speech.on_time(0.2)
    heard = speech.heard()
    assert [marker for marker, _ in heard] == [1] + [0] * (len(heard) - 1)
    assert [time for _, time in heard] == [n * FRAME for n in range(len(heard))]
    assert len(heard) == 20 + round(20 * AWAY / 0.02)


def test_the_backlog_of_a_worker_is_older_than_its_last_look(rig: LaneRig) -> None:
    """Each turn takes as much as arrives meanwhile, so that what it takes stays late."""
    speech = Speech(rig, TRUNK)
    speech.on_time(0.2)
    speech.goes_on(2 * AWAY)
    for _ in range(20):
        speech.goes_on(0.02 * PORT_BATCH)
        rig.turn()
    heard = speech.heard()
    assert [marker for marker, _ in heard] == [1] + [0] * (10 + 20 * PORT_BATCH - 1)


def test_a_source_that_lost_time_is_put_right_by_a_worker_that_is_on_time(rig: LaneRig) -> None:
    speech = Speech(rig, TRUNK)
    speech.on_time(0.2)
    rig.now += AWAY
    speech.on_time(0.4)
    heard = speech.heard()
    assert sum(marker for marker, _ in heard) == 2
    assert heard[-1][1] == pytest.approx(29 * FRAME + AWAY * 8000, abs=FRAME)
