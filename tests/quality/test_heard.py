"""From counted packets to what people hear, of one direction."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.quality.heard import MAX_DELAY, Cause, Stretch, heard
from tests.effort import examples
from tests.quality.measures import Counted, Says


def test_a_stretch_is_what_came_since_the_last_look() -> None:
    before, now = Counted(1000, 30, 0.004, 2, 20, 60), Counted(1500, 40, 0.008, 3, 26, 70)
    assert Stretch.between(now, before) == Stretch(500, 10, 0.008, 1, 6, 10)


@pytest.mark.parametrize("now", [Counted(400, 3, bursts=2), Counted(1200, 3, bursts=1)])
def test_a_count_that_began_anew_is_taken_whole(now: Counted) -> None:
    stretch = Stretch.between(now, Counted(1000, 30, bursts=2))
    assert (stretch.expected, stretch.lost, stretch.bursts) == (now.expected, now.lost, now.bursts)


def test_packets_that_came_twice_make_no_call_better_than_it_was() -> None:
    assert Stretch(500, -20).loss == 0.0
    assert heard(Stretch(500, -20), 0.0, "pcma").mos == heard(Stretch(500, 0), 0.0, "pcma").mos


def test_single_losses_are_random_however_many() -> None:
    assert Stretch(1000, 40).burst_ratio == 1.0


def test_a_burst_without_a_gap_counts_as_long_as_it_was() -> None:
    """Ten packets in a row of a thousand: the mean run is ten, that of chance 1/(1 - 0.01)."""
    assert Stretch(1000, 10, bursts=1, burst_lost=10, burst_packets=10).burst_ratio == pytest.approx(9.9)


def test_a_burst_with_gaps_counts_for_less() -> None:
    dense = Stretch(1000, 10, bursts=1, burst_lost=10, burst_packets=12).burst_ratio
    loose = Stretch(1000, 10, bursts=1, burst_lost=10, burst_packets=40).burst_ratio
    assert 1.0 < loose < dense < 9.9


def test_losses_in_bursts_are_worse_than_as_many_alone() -> None:
    alone = heard(Stretch(1000, 50), 0.03, "opus")
    together = heard(Stretch(1000, 50, bursts=3, burst_lost=50, burst_packets=60), 0.03, "opus")
    assert together.mos < alone.mos - 0.05
    assert (alone.burst_loss, together.burst_loss) == (0.0, 0.05)


@pytest.mark.parametrize(
    ("loss", "jitter", "round_trip", "cause"),
    [(50, 0.002, 0.04, "loss"), (0, 0.002, 0.9, "delay"), (0, 0.060, 0.04, "jitter"), (1, 0.3, 0.1, "jitter")],
)
def test_the_cause_is_what_weighs_most(loss: int, jitter: float, round_trip: float, cause: str) -> None:
    assert heard(Stretch(1000, loss, jitter), round_trip, "pcma").cause == Cause(cause)


def test_delay_is_a_packet_its_codec_the_buffer_and_half_the_round_trip() -> None:
    assert heard(Stretch(500, 0, 0.0), 0.080, "pcma").delay == pytest.approx(0.020 + 0.020 + 0.040)
    assert heard(Stretch(500, 0, 0.030), 0.080, "opus").delay == pytest.approx(0.0265 + 0.090 + 0.040)
    assert heard(Stretch(500, 0, 0.5), None, "pcma").delay == pytest.approx(0.020 + 0.200)


def test_jitter_above_what_buffers_hold_is_loss() -> None:
    within, beyond = heard(Stretch(500, 0, 0.060), 0.0, "pcma"), heard(Stretch(500, 0, 0.300), 0.0, "pcma")
    assert within.mos > 4.0
    assert beyond.mos < 2.0
    assert beyond.loss == 0.0  # as counted: the packets did come


def test_a_way_nobody_has_timed_is_judged_by_the_rest() -> None:
    assert heard(Stretch(500, 0, None), None, "pcma").jitter is None
    assert heard(Stretch(500, 0, None), None, "pcma").mos > 4.3


def test_a_listener_that_knows_its_own_buffer_is_taken_at_its_word() -> None:
    quiet = Stretch(500, 0, 0.002)
    assert heard(quiet, 0.0, "pcma", Says(buffer_delay=0.120)).delay == pytest.approx(0.020 + 0.120)
    late = heard(quiet, 0.0, "pcma", Says(discard_rate=0.1))
    assert late.mos < 3.6
    assert (late.cause, late.loss) == (Cause.JITTER, 0.0)
    assert heard(Stretch(500, 0, 0.300), 0.0, "pcma", Says()).mos > 4.3, "it says that nothing came too late"


def test_bursts_a_listener_tells_of_count_as_such() -> None:
    lossy = Stretch(1000, 50, 0.002)
    told = heard(lossy, 0.0, "pcma", Says(burst_density=0.5))
    assert told.burst_ratio == pytest.approx(0.95 / 0.5)
    assert told.mos < heard(lossy, 0.0, "pcma", Says()).mos
    assert heard(Stretch(1000, 0), 0.0, "pcma", Says(burst_density=0.9)).burst_ratio == 1.0


numbers = st.integers(-(2**40), 2**40)
times = st.one_of(st.none(), st.floats(allow_nan=False))


figures = st.floats(allow_nan=False)


@settings(max_examples=examples(500))
@given(
    numbers, numbers, times, numbers, numbers, numbers, times,
    st.one_of(st.none(), st.builds(Says, figures, figures, figures)),
)  # fmt: skip
def test_whatever_a_peer_claims_there_is_a_score(
    expected: int,
    lost: int,
    jitter: float | None,
    bursts: int,
    inside: int,
    length: int,
    round_trip: float | None,
    told: Says | None,
) -> None:
    found = heard(Stretch(expected, lost, jitter, bursts, inside, length), round_trip, "opus", told)
    assert 1.0 <= found.mos <= 4.5
    assert 0.0 <= found.burst_loss <= found.loss <= 1.0
    assert found.burst_ratio >= 1.0
    assert 0.0 <= found.delay <= 2 * MAX_DELAY
