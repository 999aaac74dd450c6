"""What a lane expects, and that nothing of it is lost or told late."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

import pytest

from gateway.base.values import LegId
from gateway.media.worker.records import MAX_LANES, SIZE, Record, Records
from tests.media import packets
from tests.media.lanes import PAIRS, LaneRig, lane_rig
from tests.media.peers import BROWSER, TRUNK

BOTH = pytest.mark.parametrize("number", [BROWSER, TRUNK])


@pytest.fixture
def made() -> Iterator[LaneRig]:
    with lane_rig(*PAIRS["plain trunk"]) as rig:
        yield rig


def talk(rig: LaneRig, number: LegId, sequences: range, *, marked: bool = False) -> list[tuple[int, int]]:
    """Packets of 20 ms each; sequence numbers and timestamps the other side hears."""
    heard = []
    for sequence in sequences:
        rig.now += 0.02
        timestamp = (0xFFFFFFFF - 800 + 160 * sequence) & 0xFFFFFFFF
        clear = packets.rtp(sequence & 0xFFFF, timestamp=timestamp, marker=marked)
        rig.send(number, rig.sealed(number, clear))
        rig.serve()
        heard += rig.heard(rig.other(number))
    assert {packet[1] & 0x7F for packet in heard} <= {0}, "a number that begins anew must not run over into the next"
    return [struct.unpack_from("!HI", packet, 2) for packet in heard]


def goes_on(heard: list[tuple[int, int]]) -> bool:
    """Whether each is the next number and the usual time after the one before."""
    steps = [((b[0] - a[0]) & 0xFFFF, (b[1] - a[1]) & 0xFFFFFFFF) for a, b in itertools.pairwise(heard)]
    return set(steps) == {(1, 160)}


@BOTH
def test_numbers_begin_anew_where_they_end_on_either_side(made: LaneRig, number: LegId) -> None:
    talk(made, number, range(65520, 65525))
    sink = made.leg(made.other(number))
    sink.unsettle()
    sink.stream.shift += 65530 - (sink.stream.high + sink.stream.shift & 0xFFFF)
    sink.stream.timestamp_shift = 1000 - sink.stream.timestamp & 0xFFFFFFFF
    heard = talk(made, number, range(65525, 65560))
    assert made.has_lane(number)
    assert len(heard) == 35
    assert goes_on(heard)
    assert heard[0][0] > heard[-1][0]


@BOTH
def test_what_went_the_short_way_is_counted_whenever_somebody_asks(made: LaneRig, number: LegId) -> None:
    for last in range(10, 40, 7):
        talk(made, number, range(last - 7, last))
        source, sink = made.leg(number), made.leg(made.other(number))
        assert source.tally.rtp_rx == sink.tally.rtp_tx == sink.stream.packets == last - 3
        assert sink.stream.octets == 160 * (last - 3)
        assert source.quality.heard.expected == last - 3


@BOTH
def test_a_gap_and_a_marker_stay_on_the_short_way(made: LaneRig, number: LegId) -> None:
    talk(made, number, range(10))
    lane = made.leg(number).way_out
    made.now += 0.04
    first, second = talk(made, number, range(12, 14), marked=True)
    assert (second[0] - first[0]) & 0xFFFF == 1
    assert made.leg(number).way_out is lane
    assert made.leg(number).quality.heard.lost == 2


@BOTH
def test_between_the_last_packets_of_a_digit_no_number_is_used_twice(made: LaneRig, number: LegId) -> None:
    talk(made, number, range(10))
    made.play(made.other(number), "5")
    numbers = [struct.unpack_from("!H", packet, 2)[0] for packet in made.heard(made.other(number))]
    for sequence in range(10, 30):
        made.pass_time(0.02)
        clear = packets.rtp(sequence, timestamp=(0xFFFFFFFF - 800 + 160 * sequence) & 0xFFFFFFFF)
        made.send(number, made.sealed(number, clear))
        made.serve()
        numbers += [struct.unpack_from("!H", packet, 2)[0] for packet in made.heard(made.other(number))]
    assert numbers == [(numbers[0] + place) & 0xFFFF for place in range(len(numbers))]


@BOTH
def test_without_a_record_packets_are_relayed_all_the_same(made: LaneRig, number: LegId) -> None:
    made.loop._flat._records = records = Records(1)
    assert records.take() == 0
    assert goes_on(talk(made, number, range(10)))
    assert not made.has_lane(number)


def test_a_record_is_given_again_when_its_lane_has_ended_and_never_twice_before() -> None:
    records = Records(2)
    one, two = records.take(), records.take()
    assert (one, two, records.take()) == (0, SIZE, None)
    records.give_back(0)
    assert (records.take(), records.take()) == (0, None)


def test_a_record_holds_the_largest_numbers_there_are_side_by_side_with_others() -> None:
    records = Records(3)
    places = [place for place in iter(records.take, None) if place is not None]
    most = Record((1 << 64) - 1, 1e9, -0.1, 0.5, -1.0, 65535, 1 << 40, (1 << 32) * 2, 9.0, -(1 << 56), 1, 2, 22, 1356)
    for place in places:
        records.put(place, most)
    assert [records.get(place) for place in places] == [most] * 3
    assert MAX_LANES * SIZE < 4 << 20
