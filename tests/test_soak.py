"""What a soak says of its samples: growth is found, noise and outliers are none, and silence proves nothing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.soak.judge import Finding, Outcome, Sample, judged, slope
from bench.soak.report import page, plot

STEADY = Sample(
    at=0.0,
    calls=300,
    gateway_kilobytes=150_000.0,
    worker_kilobytes=40_000.0,
    gateway_busy=0.1,
    worker_busy=0.4,
    sent=300_000,
    arrived=300_000,
    p50=0.5,
    p99=2.0,
    worst=9.0,
    late=1.0,
)
GOOD = Outcome(
    begun=3000,
    failures=(),
    sent=36_000_000,
    lost=100,
    descriptors_before=40,
    descriptors_after=40,
    live_after=0.0,
    restarted=0.0,
    dropped=0.0,
)


def samples(seconds: float = 1200.0, **growth: float) -> list[Sample]:
    """One every 10 s; each of these values grows by so much a second, with some noise."""
    made = []
    for number in range(int(seconds / 10)):
        at = 10.0 * number
        noise = (number * 37 % 11 - 5) / 5
        values = {name: getattr(STEADY, name) * (1 + 0.01 * noise) + rate * at for name, rate in growth.items()}
        made.append(replace(STEADY, at=at, **values))
    return made


def failed(found: list[Finding]) -> list[str]:
    return [finding.what.split(",")[0] for finding in found if finding.holds is False]


def test_steady_samples_hold() -> None:
    found = judged(samples(), GOOD, 240.0)
    assert failed(found) == []
    assert all(finding.holds for finding in found)


@pytest.mark.parametrize(
    ("growth", "what"),
    [
        ({"gateway_kilobytes": 20.0}, "growth of the gateway"),
        ({"worker_kilobytes": 8.0}, "growth of the relay worker"),
        ({"p99": 0.005}, "p99 of delay"),
    ],
)
def test_growth_is_found_through_noise(growth: dict[str, float], what: str) -> None:
    assert failed(judged(samples(**growth), GOOD, 240.0)) == [what]


def test_what_comes_before_everything_has_settled_and_a_few_outliers_are_no_growth() -> None:
    found = samples(gateway_kilobytes=0.0)
    for number in range(24):
        found[number] = replace(found[number], gateway_kilobytes=50_000.0 + 4000 * number, p99=0.1)
    for number in (60, 90, 110):
        found[number] = replace(found[number], gateway_kilobytes=300_000.0, p99=80.0)
    assert failed(judged(found, GOOD, 240.0)) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"failures": ("TimeoutError: ",)}, "calls that failed"),
        ({"lost": 40_000}, "packets lost"),
        ({"sent": 0, "lost": 0}, "packets lost"),
        ({"descriptors_after": 42}, "descriptors more than before the first call"),
        ({"live_after": 1.0}, "calls left over in the end"),
        ({"restarted": 1.0}, "relay workers restarted"),
        ({"dropped": 1.0}, "records the audit log dropped"),
    ],
)
def test_each_thing_that_went_wrong_fails_the_soak(change: dict[str, object], what: str) -> None:
    assert failed(judged(samples(), replace(GOOD, **change), 240.0)) == [what]  # type: ignore[arg-type]


def test_a_short_one_says_that_it_is_too_short_for_a_trend_of_memory() -> None:
    found = judged(samples(120.0, gateway_kilobytes=500.0), GOOD, 30.0)
    assert failed(found) == []
    assert sum(finding.holds is None for finding in found) == 2


def test_the_slope_is_that_of_most_of_the_points() -> None:
    assert slope([(0, 0), (1, 2), (2, 4), (3, 600), (4, 8), (5, 10), (6, 12)]) == pytest.approx(2.0)
    assert slope([]) == slope([(1, 5)]) == 0.0


def test_the_report_names_what_failed_and_shows_the_plot() -> None:
    found = judged(samples(worker_kilobytes=8.0), replace(GOOD, failures=("OSError: <x>",)), 240.0)
    text = page("Soak", samples(), found, replace(GOOD, failures=("OSError: <x>",)), ["how it was made"])
    assert "Failed." in text
    assert text.count("**NO**") == 2
    assert "](soak.svg)" in text
    assert "how it was made" in text
    assert "`OSError: <x>`" in text
    drawn = plot("Soak <300>", samples())
    assert drawn.startswith("<svg")
    assert "Soak &lt;300&gt;" in drawn
    assert drawn.count("<polyline") == 8
    assert plot("empty", []).endswith("</svg>\n")


@pytest.mark.slow
def test_a_short_soak_runs_to_its_end_and_writes_its_report(tmp_path: Path) -> None:
    environment = {"SOAK_MINUTES": "0.3", "SOAK_CALLS": "6", "SOAK_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.soak"], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert "ok  calls that failed: 0 of" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "report.md").read_text().startswith("# Soak: 6 calls")
    assert (tmp_path / "soak.svg").exists()
