"""What is received on a leg, measured as the RFCs have it: expected, lost, jitter, and losses that come in bursts."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.relay_quality import Reception
from gateway.media.worker.bursts import GMIN, MAX_PENDING, Losses
from gateway.media.worker.reception import MAX_JUMP, MAX_SOURCES, Meter
from gateway.media.worker.stream import Payload, Stream
from tests.effort import examples
from tests.media import packets
from tests.media.lanes import PAIRS, lane_rig
from tests.media.peers import BROWSER, TRUNK

RATE, FRAME = 8000, 160


def heard(
    numbers: Iterable[int], *, ssrc: int = 1, meter: Meter | None = None, late: dict[int, float] | None = None
) -> Meter:
    """A meter that was told of these packets, one each 20 ms; `late` is by how many seconds some of them were."""
    meter = meter or Meter()
    for n in numbers:
        meter.take(n & 0xFFFF, n * FRAME & 0xFFFFFFFF, ssrc, RATE, 1000 + n * 0.02 + (late or {}).get(n, 0.0))
    return meter


def counted(meter: Meter) -> tuple[int, int]:
    return meter.reception.expected, meter.reception.lost


def test_nothing_heard_is_nothing_expected() -> None:
    assert Meter().reception == Reception()


@pytest.mark.parametrize("first", [0, 1000, 65530], ids=["from zero", "inside", "over the wrap"])
def test_what_the_numbers_leave_out_is_lost(first: int) -> None:
    lost = {3, 4, 20, 77}
    assert counted(heard(first + n for n in range(100) if n not in lost)) == (100, 4)


def test_a_packet_that_comes_late_or_twice_is_neither_lost_nor_makes_up_for_another() -> None:
    assert counted(heard([1, 2, 5, 4, 6, 7])) == (7, 1)
    assert counted(heard([1, 2, 2, 2, 5, 5])) == (5, 2)
    assert counted(heard([2, 3, 1])) == (2, 0), "what was sent before the first that came is not expected"


def test_a_source_that_skips_more_than_there_was_time_for_has_lost_nothing() -> None:
    meter = heard(range(10))
    for n in range(3):
        meter.take(500 + n, (10 + n) * FRAME, 1, RATE, 1000.2 + n * 0.02)
    reception = meter.reception
    assert (reception.lost, reception.expected) == (0, 12), "the first of the new numbers is not yet believed"


def test_one_packet_far_from_all_others_changes_nothing() -> None:
    assert counted(heard([1, 2, 3, 40_000, 4, 5])) == (5, 0)


def test_two_in_a_row_far_from_all_others_are_a_source_that_counts_anew() -> None:
    meter = heard([1, 2, 4])
    heard([30_000, 30_001, 30_003], meter=meter)
    assert counted(meter) == (4 + 3, 1 + 1)


def test_another_source_is_measured_by_itself_and_the_first_one_is_known_again() -> None:
    meter = heard([1, 2, 4], ssrc=1)
    heard([900, 901], ssrc=2, meter=meter)
    heard([5, 6, 8], ssrc=1, meter=meter)
    assert counted(meter) == (8 + 2, 2)


def test_of_a_flood_of_sources_only_sums_remain() -> None:
    meter = Meter()
    for ssrc in range(1000):
        heard([1, 3], ssrc=ssrc, meter=meter)
    assert len(meter._sources) == MAX_SOURCES
    assert counted(meter) == (3000, 1000)


def test_the_jitter_is_that_of_rfc_3550_a_8() -> None:
    late = {n: 0.005 for n in range(0, 200, 2)}
    expected = 0.0
    for _ in range(199):
        expected += (0.005 - expected) / 16
    reception = heard(range(200), late=late).reception
    assert reception.jitter == pytest.approx(expected, rel=1e-6)
    assert reception.jitter_max == pytest.approx(expected, rel=1e-6)


def test_the_highest_jitter_is_remembered_and_the_present_one_calms_down() -> None:
    reception = heard(range(300), late={10: 0.08}).reception
    assert reception.jitter_max == pytest.approx(0.08 / 16 * 15 / 16 + 0.08 / 16, rel=1e-3)
    assert reception.jitter is not None
    assert reception.jitter < 0.0001


def test_one_packet_is_no_jitter_and_neither_is_another_clock() -> None:
    assert heard([1]).reception.jitter is None
    meter = heard(range(5))
    meter.take(5, 5 * FRAME + round((MAX_JUMP + 1) * RATE), 1, RATE, 1000.1)
    meter.take(6, 6 * FRAME, 1, 48000, 1000.12)
    assert meter.reception.jitter == pytest.approx(0.0, abs=1e-6)


def test_packets_whose_clock_is_unknown_are_counted_and_not_timed() -> None:
    meter = Meter()
    for n in (1, 2, 3, 5):
        meter.take(n, 77, 1, 0, 1000.0)
    assert meter.reception == Reception(expected=5, lost=1)


def lost_in(pattern: str) -> Reception:
    """Of packets that came (`.`) and did not (`x`)."""
    return heard(n for n, what in enumerate(pattern) if what == ".").reception


CALM = "." * GMIN


@pytest.mark.parametrize(
    ("pattern", "bursts", "lost", "lasted"),
    [
        (f"{CALM}x{CALM}", 0, 0, 0),
        (f"{CALM}xx{CALM}", 1, 2, 2),
        (f"{CALM}x{CALM[1:]}x{CALM}", 1, 2, GMIN + 1),
        (f"{CALM}x{CALM}x{CALM}", 0, 0, 0),
        (f"{CALM}x.xx...x{CALM}x{CALM}xx.", 2, 6, 8 + 2),
        (".x.x.", 1, 2, 3),
        (".x" + CALM, 0, 0, 0),
    ],
)
def test_losses_near_each_other_are_a_burst_rfc_3611_4_7_2(pattern: str, bursts: int, lost: int, lasted: int) -> None:
    found = lost_in(pattern)
    assert (found.bursts, found.burst_lost, found.burst_packets) == (bursts, lost, lasted)
    assert found.lost == pattern.count("x")


def test_what_comes_late_after_all_is_of_no_burst() -> None:
    meter = heard([*range(20), 23, 21, *range(24, 60)])
    assert (meter.reception.lost, meter.reception.bursts) == (2, 1)
    heard([20], meter=meter)
    assert (meter.reception.lost, meter.reception.bursts) == (1, 0)


def test_gaps_that_may_still_be_filled_are_bounded() -> None:
    losses = Losses()
    for n in range(10_000):
        losses.missed(2 * n, 2 * n)
    assert len(losses._gaps) == MAX_PENDING
    assert losses.so_far.lost == 10_000


def _as_the_rfc_counts(numbers: list[int]) -> tuple[int, int, int]:
    """Bursts, their losses and their length, by the definition: losses less than Gmin received packets apart."""
    missing = sorted(set(range(numbers[0], max(numbers) + 1)) - set(numbers))
    groups: list[list[int]] = []
    for n in missing:
        if groups and n - groups[-1][-1] - 1 < GMIN:
            groups[-1].append(n)
        else:
            groups.append([n])
    bursts = [group for group in groups if len(group) > 1]
    return len(bursts), sum(map(len, bursts)), sum(group[-1] - group[0] + 1 for group in bursts)


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.sampled_from([1] * 20 + [2, 3, 17, 18, 30]), min_size=1, max_size=200), st.integers(0, 65535))
def test_any_pattern_of_loss_is_counted_by_the_definition(steps: list[int], first: int) -> None:
    numbers = [first]
    for step in steps:
        numbers.append(numbers[-1] + step)
    reception = heard(numbers).reception
    assert (reception.bursts, reception.burst_lost, reception.burst_packets) == _as_the_rfc_counts(numbers)
    assert reception.expected == numbers[-1] - first + 1
    assert reception.lost == reception.expected - len(numbers)


def test_a_stream_that_has_other_numbers_than_its_source_is_not_ridden() -> None:
    stream = Stream()
    meter = heard([1, 2])
    for n in (1, 2):
        stream.place(n, n * FRAME, 1, Payload(0), 1000 + n * 0.02)
    assert meter.in_step(1, stream, RATE) is meter.present
    assert meter.in_step(2, stream, RATE) is None
    assert meter.in_step(1, stream, 48000) is None
    meter.take(3, 7, 1, 0, 1000.06)
    assert meter.in_step(1, stream, RATE) is None, "it knows of a packet that has no place there"
    stream.at += 0.001
    assert heard([1, 2]).in_step(1, stream, RATE) is None


def test_what_takes_the_short_way_is_measured_as_well() -> None:
    with lane_rig(*PAIRS["plain trunk"]) as rig:
        numbers = [n for n in range(200) if n % 50 not in (7, 8)]
        for n in numbers:
            rig.now = 100.0 + n * 0.02 + (0.004 if n % 2 else 0.0)
            rig.send(TRUNK, packets.rtp(n))
            rig.serve()
        assert rig.has_lane(TRUNK)
        quality = rig.leg(TRUNK).quality.heard
        assert (quality.expected, quality.lost, quality.bursts, quality.burst_lost) == (200, 8, 4, 8)
        assert quality.jitter == pytest.approx(0.004, rel=0.01)
        assert rig.leg(BROWSER).quality.heard == Reception()
