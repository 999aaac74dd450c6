"""The tone a probe sends, and what it makes of the sound that comes back. PURE: samples in, numbers out.

Samples are 16-bit numbers at `RATE` a second. No person is ever recorded: what comes back is measured and thrown away.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

RATE = 8000
"""Samples a second: telephone speech (RFC 3551 4.5.14)."""
TICK = 160
"""Samples of one packet: 20 ms."""
LEVEL = 0.35
"""Amplitude of the tone, of full scale: about -12 dBFS, loud speech."""
FULL = 32767
QUIET_DBFS = -50.0
"""Below this there is silence or comfort noise."""
MAX_SECONDS = 60
"""Of sound that is looked at; more is not kept."""
STEP_HZ = 10
LOWEST_HZ, HIGHEST_HZ = 100, 3600
"""Where a frequency is looked for: the band of a telephone."""
LOOK_SAMPLES = 2000
"""Samples the frequency is looked for in: a quarter of a second tells 4 Hz apart."""
SAME_HZ = 15.0
"""Two frequencies nearer than this are one tone: codecs and clocks move it a little."""
GAP_TICKS = 3
"""Packets of silence inside a tone that count as a gap: 60 ms is heard as a drop-out."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back."""

    seconds: float
    """Of sound, silence included."""
    level_dbfs: float
    """Of what is no silence; -99 where there is nothing else."""
    frequency: float
    """The strongest one; 0 where there is silence only."""
    purity: float
    """How much of the sound that frequency is, 0 to 1: a tone is above 0.5, speech and noise are far below."""
    gaps: int
    """Drop-outs inside the sound."""
    longest_gap: float
    """Seconds."""

    @property
    def is_sound(self) -> bool:
        """Whether anything was to be heard."""
        return self.level_dbfs > QUIET_DBFS

    def is_tone(self, frequency: float) -> bool:
        """Whether it was this tone."""
        return self.is_sound and abs(self.frequency - frequency) <= SAME_HZ


SILENCE = Heard(0.0, -99.0, 0.0, 0.0, 0, 0.0)
"""Nothing came at all."""


def tone(frequency: float, start: int, count: int) -> array[int]:
    """`count` samples of a tone, from sample number `start` on."""
    step = 2 * math.pi * frequency / RATE
    return array("h", [int(FULL * LEVEL * math.sin(step * n)) for n in range(start, start + count)])


def level(samples: Sequence[int]) -> float:
    """Decibels below full scale."""
    if not samples:
        return -99.0
    power = sum(sample * sample for sample in samples) / len(samples)
    return round(max(-99.0, 10 * math.log10(power / FULL**2)), 1) if power else -99.0


def share(samples: Sequence[int], frequency: float) -> float:
    """How much of the power of these samples is at this frequency, 0 to 1 (Goertzel's algorithm)."""
    power = sum(sample * sample for sample in samples)
    if not power:
        return 0.0
    factor = 2 * math.cos(2 * math.pi * frequency / RATE)
    one = two = 0.0
    for sample in samples:
        one, two = sample + factor * one - two, one
    found = one * one + two * two - factor * one * two
    return min(1.0, 2 * found / (len(samples) * power))


def strongest(samples: Sequence[int]) -> tuple[float, float]:
    """The frequency that is strongest, looked for in steps of `STEP_HZ` and then closely, and its share."""
    found = max(range(LOWEST_HZ, HIGHEST_HZ + 1, STEP_HZ), key=lambda hertz: share(samples, hertz))
    near = range(found - STEP_HZ + 1, found + STEP_HZ)
    best = max(near, key=lambda hertz: share(samples, hertz))
    return float(best), round(share(samples, best), 2)


def listen(samples: Sequence[int]) -> Heard:
    """What these samples are, put together in the order in which they came; what was lost stands in them as silence."""
    samples = samples[: MAX_SECONDS * RATE]
    loud = [level(samples[n : n + TICK]) > QUIET_DBFS for n in range(0, len(samples), TICK)]
    if not any(loud):
        return Heard(round(len(samples) / RATE, 2), -99.0, 0.0, 0.0, 0, 0.0)
    first, last = loud.index(True), len(loud) - 1 - loud[::-1].index(True)
    gaps = _gaps(loud[first : last + 1])
    sound = samples[first * TICK : (last + 1) * TICK]
    middle = len(sound) // 2
    looked = sound[max(0, middle - LOOK_SAMPLES // 2) : middle + LOOK_SAMPLES // 2]
    frequency, purity = strongest(looked)
    heard = [s for n, is_loud in enumerate(loud) if is_loud for s in samples[n * TICK : (n + 1) * TICK]]
    return Heard(
        round(len(samples) / RATE, 2),
        level(heard),
        frequency,
        purity,
        len(gaps),
        round(max(gaps, default=0) * TICK / RATE, 2),
    )


def _gaps(loud: Sequence[bool]) -> list[int]:
    """Runs of silence between sound, in packets, those that are long enough to be heard."""
    found: list[int] = []
    run = 0
    for is_loud in loud:
        if is_loud and run >= GAP_TICKS:
            found.append(run)
        run = 0 if is_loud else run + 1
    return found


def to_ulaw(samples: Sequence[int]) -> bytes:
    """PCMU (ITU-T G.711)."""
    return bytes(_ENCODED[(sample >> 2) & 0x3FFF] for sample in samples)


def from_ulaw(data: bytes) -> array[int]:
    """Samples of PCMU."""
    return array("h", [_DECODED[octet] for octet in data])


def _encode(sample: int) -> int:
    """One sample by the law's segments."""
    sign, magnitude = (0x80, -sample) if sample < 0 else (0, sample)
    magnitude = min(magnitude, 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | (magnitude >> (exponent + 3)) & 0x0F) & 0xFF


def _decode(octet: int) -> int:
    value = ~octet & 0xFF
    magnitude = ((((value & 0x0F) << 3) + 132) << ((value & 0x70) >> 4)) - 132
    return -magnitude if value & 0x80 else magnitude


_DECODED = tuple(_decode(octet) for octet in range(256))
_ENCODED = tuple(_encode((n if n < 0x2000 else n - 0x4000) << 2) for n in range(0x4000))
"""By the upper fourteen bits of a sample, which are all the law tells apart."""
