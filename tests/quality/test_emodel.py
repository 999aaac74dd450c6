"""The E-model against what the Recommendations print, and against the approximation everybody uses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.quality.emodel import RATING_AT_BEST, codec_of, delay_impairment, loss_impairment, opinion, rating
from tests.effort import examples


def test_a_call_that_nothing_is_wrong_with_has_the_rating_of_the_recommendation() -> None:
    assert rating(delay=0.0, loss=0.0) == pytest.approx(RATING_AT_BEST, abs=0.05)


@pytest.mark.parametrize(("found", "mos"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_opinions_are_those_of_g107_annex_b(found: float, mos: float) -> None:
    assert opinion(found) == pytest.approx(mos, abs=0.01)


@pytest.mark.parametrize(("found", "mos"), [(-20.0, 1.0), (0.0, 1.0), (3.0, 1.0), (100.0, 4.5), (130.0, 4.5)])
def test_opinions_have_ends(found: float, mos: float) -> None:
    assert opinion(found) == mos


@pytest.mark.parametrize(
    ("codec", "percent", "impairment"),
    [
        ("pcma", 0, 0.0),
        ("PCMU/8000", 2, 7.01),
        ("pcmu", 10, 27.07),
        ("g729", 0, 11.0),
        ("G729", 2, 19.0),
        ("g723", 1, 19.68),
    ],
)
def test_random_loss_costs_what_g113_says(codec: str, percent: float, impairment: float) -> None:
    assert loss_impairment(percent / 100, 1.0, codec_of(codec)) == pytest.approx(impairment, abs=0.01)


@pytest.mark.parametrize("codec", ["opus/48000", "G722/8000", "something-new"])
def test_a_codec_g113_does_not_know_counts_as_g711(codec: str) -> None:
    assert loss_impairment(0.05, 1.0, codec_of(codec)) == loss_impairment(0.05, 1.0, codec_of("PCMA"))


@pytest.mark.parametrize("ms", [20, 50, 100, 150, 200, 250, 300])
def test_delay_costs_what_the_usual_approximation_says(ms: float) -> None:
    usual = 0.024 * ms + (0.11 * (ms - 177.3) if ms > 177.3 else 0.0)
    assert delay_impairment(ms / 1000) == pytest.approx(usual, abs=2.0)


def test_a_satellite_is_what_people_complain_about() -> None:
    assert opinion(rating(delay=0.1, loss=0.0)) > 4.3
    assert 3.0 < opinion(rating(delay=0.4, loss=0.0)) < 3.6
    assert opinion(rating(delay=0.8, loss=0.0)) < 2.6


@settings(max_examples=examples(500))
@given(
    st.floats(0.0, 5.0), st.floats(0.0, 1.0), st.floats(1.0, 20.0), st.floats(0.0, 1.0), st.floats(0.0, 0.3),
    st.sampled_from(["opus", "pcma", "g722", "g729", "g723", "?"]),
)  # fmt: skip
def test_more_delay_loss_or_bursts_never_make_a_call_better(
    delay: float, loss: float, bursts: float, more_delay: float, more_loss: float, name: str
) -> None:
    codec = codec_of(name)
    now = rating(delay=delay, loss=loss, burst_ratio=bursts, codec=codec)
    assert rating(delay=delay + more_delay, loss=loss, burst_ratio=bursts, codec=codec) <= now + 0.2
    assert rating(delay=delay, loss=loss + more_loss, burst_ratio=bursts, codec=codec) <= now + 1e-9
    assert rating(delay=delay, loss=loss, burst_ratio=bursts + 1.0, codec=codec) <= now + 1e-9
    assert 1.0 <= opinion(now) <= 4.5
