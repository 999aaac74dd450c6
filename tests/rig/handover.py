"""Who was heard when, by the tone each phone plays, and how long nobody was: for calls that change hands."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tests.rig.audio import Samples

WINDOW_SECONDS = 0.02
"""A Hann window of this length tells tones apart that are `LEAST_APART` hertz from each other."""
LEAST_APART = 150.0
PRESENT = 0.4
"""Share of a tone's usual amplitude above which it is heard; two that follow each other at once are both at a half."""
LEAST_SECONDS = 0.06
"""A shorter stretch of a tone is the click of another one's beginning."""
AUDIBLE = 100.0
"""Amplitude, of 32767, below which nothing is called a tone."""

Heard = NDArray[np.bool_]


@dataclass(frozen=True)
class Stretch:
    """A tone from when to when, in seconds."""

    hertz: float
    start: float
    end: float


@dataclass(frozen=True)
class HandOver:
    """What one recording tells of a call that changed hands."""

    stretches: tuple[Stretch, ...]
    """By their beginning; a tone that pauses for long has several."""
    gap_ms: float
    """The longest time between the first and the last tone in which none was heard."""
    gap_at: float
    """When it began, in seconds."""

    @property
    def order(self) -> tuple[float, ...]:
        """The tones as they took turns."""
        turns = [stretch.hertz for stretch in self.stretches]
        return tuple(hertz for n, hertz in enumerate(turns) if n == 0 or turns[n - 1] != hertz)


def amplitude(samples: Samples, rate: int, hertz: float) -> Samples:
    """How loud a tone is at every sample, by a window around it."""
    if not len(samples):
        return samples
    turning = samples * np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / rate)
    window = np.hanning(int(rate * WINDOW_SECONDS) | 1)
    smooth: Samples = 2 * np.abs(np.convolve(turning, window / window.sum(), "same"))
    return smooth


def is_heard(samples: Samples, rate: int, hertz: float) -> Heard:
    """Where a tone is heard."""
    loud = amplitude(samples, rate, hertz)
    audible = loud[loud > max(AUDIBLE, loud.max(initial=0.0) / 4)]
    usual = float(np.median(audible)) if len(audible) else np.inf
    found: Heard = loud > PRESENT * usual
    return found


def hand_over(samples: Samples, rate: int, *tones: float) -> HandOver:
    """Listens for these tones."""
    assert all(b - a >= LEAST_APART for a, b in pairwise(sorted(tones))), "tones too close to each other"
    stretches = [s for hertz in tones for s in _stretches(is_heard(samples, rate, hertz), rate, hertz)]
    stretches.sort(key=lambda stretch: stretch.start)
    gap, at = _longest_gap(stretches)
    return HandOver(tuple(stretches), round(1000 * gap, 1), round(at, 3))


def _stretches(found: Heard, rate: int, hertz: float) -> list[Stretch]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], found, [False])).astype(np.int8)))
    pairs = zip(edges[::2] / rate, edges[1::2] / rate, strict=True)
    return [Stretch(hertz, float(a), float(b)) for a, b in pairs if b - a >= LEAST_SECONDS]


def _longest_gap(stretches: list[Stretch]) -> tuple[float, float]:
    """(length, start) of it; a recording without any tone is one endless gap."""
    if not stretches:
        return np.inf, 0.0
    longest, at, end = 0.0, stretches[0].start, stretches[0].end
    for stretch in stretches[1:]:
        if stretch.start - end > longest:
            longest, at = stretch.start - end, end
        end = max(end, stretch.end)
    return longest, at
