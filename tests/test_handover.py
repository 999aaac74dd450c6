"""The ear of the transfer tests: tones that take turns, and the time between them, in sounds that are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.rig.audio import Samples, read_wav, write_tone
from tests.rig.handover import hand_over

RATE = 16000
A, B, C = 440.0, 700.0, 1000.0


def tone(hertz: float, seconds: float, loud: float = 12000, phase: float = 0.0) -> Samples:
    return loud * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE + phase)


def silence(seconds: float) -> Samples:
    return np.zeros(int(RATE * seconds))


def noise(samples: Samples, loud: float = 200) -> Samples:
    return samples + np.random.default_rng(1).normal(0, loud, len(samples))


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.12, 0.2, 1.5])
def test_the_time_between_two_tones_is_measured_to_a_few_milliseconds(gap: float) -> None:
    found = hand_over(noise(np.concatenate((silence(1), tone(A, 2), silence(gap), tone(B, 2), silence(1)))), RATE, A, B)
    assert found.order == (A, B)
    assert found.gap_ms == pytest.approx(1000 * gap, abs=4)
    assert gap == 0 or found.gap_at == pytest.approx(3, abs=0.005)


def test_tones_that_overlap_leave_no_gap() -> None:
    both = np.concatenate((tone(A, 2), silence(1))) + np.concatenate((silence(1.5), tone(B, 1.5)))
    found = hand_over(noise(both), RATE, A, B)
    assert (found.order, found.gap_ms) == ((A, B), 0)


def test_a_pause_of_one_tone_is_a_gap_too() -> None:
    found = hand_over(np.concatenate((tone(A, 1), silence(0.3), tone(A, 1), tone(B, 1))), RATE, A, B)
    assert found.order == (A, B)
    assert found.gap_at == pytest.approx(1, abs=0.005)
    assert found.gap_ms == pytest.approx(300, abs=4)


def test_a_third_tone_fills_no_gap_unless_it_is_listened_for() -> None:
    sound = np.concatenate((tone(A, 1), tone(C, 0.5), tone(B, 1)))
    assert hand_over(sound, RATE, A, B).gap_ms == pytest.approx(500, abs=8)
    found = hand_over(sound, RATE, A, B, C)
    assert found.order == (A, C, B)
    assert found.gap_ms < 5


def test_a_tone_that_starts_anew_somewhere_else_in_its_turn_is_no_gap_worth_a_word() -> None:
    found = hand_over(np.concatenate((tone(A, 1), tone(A, 1, phase=3.0))), RATE, A)
    assert found.gap_ms < 20


def test_a_quieter_successor_is_heard_as_well() -> None:
    found = hand_over(noise(np.concatenate((tone(A, 1), tone(B, 1, loud=1500))), 50), RATE, A, B)
    assert found.order == (A, B)
    assert found.gap_ms < 10


@pytest.mark.parametrize("sound", [silence(2), noise(silence(2), 50), np.zeros(0)], ids=["silence", "hiss", "nothing"])
def test_where_no_tone_is_the_gap_has_no_end(sound: Samples) -> None:
    found = hand_over(sound, RATE, A, B)
    assert (found.order, found.gap_ms) == ((), np.inf)


def test_tones_that_cannot_be_told_apart_are_not_listened_for() -> None:
    with pytest.raises(AssertionError, match="too close"):
        hand_over(tone(A, 1), RATE, A, A + 100)


def test_a_tone_written_for_a_phone_is_the_one_that_is_heard(tmp_path: Path) -> None:
    samples, rate = read_wav(write_tone(tmp_path / "tone.wav", C, rate=8000, seconds=1))
    assert hand_over(samples, rate, C, A).order == (C,)
