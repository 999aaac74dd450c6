"""Tones to send and questions to ask of what was heard: which frequency, and was it ever gone."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
WINDOW_SECONDS = 0.02


def write_tone(path: Path, hertz: float, *, rate: int, seconds: float) -> Path:
    """A mono 16-bit WAV with a sine of 40 % amplitude."""
    samples = 0.4 * 32767 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.astype("<i2").tobytes())
    return path


def read_wav(path: Path) -> tuple[Samples, int]:
    """Samples of the first channel, and the rate."""
    with wave.open(str(path)) as file:
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return raw[:: file.getnchannels()].astype(float), file.getframerate()


def peak(samples: Samples, rate: int) -> tuple[float, float]:
    """(strongest frequency in hertz, share of the energy within 30 Hz of it); zeros when there is too little."""
    if len(samples) < rate // 4:
        return 0.0, 0.0
    centred = samples - samples.mean()
    power = np.abs(np.fft.rfft(centred * np.hanning(len(centred)))) ** 2
    frequencies = np.fft.rfftfreq(len(centred), 1 / rate)
    strongest = int(power.argmax())
    near = np.abs(frequencies - frequencies[strongest]) <= 30
    return float(frequencies[strongest]), float(power[near].sum() / max(power.sum(), 1e-9))


def gaps(samples: Samples, rate: int, least: float) -> list[tuple[float, float]]:
    """(start, length) in seconds of every stretch below a tenth of the usual loudness that is longer than `least`."""
    window = int(rate * WINDOW_SECONDS)
    frames = samples[: len(samples) // window * window].reshape(-1, window)
    loudness = np.sqrt((frames**2).mean(axis=1))
    if not len(loudness) or loudness.max() <= 0:
        return [(0.0, float("inf"))]
    loud = np.flatnonzero(loudness > np.median(loudness[loudness > loudness.max() / 10]) / 10)
    steps = np.diff(loud) - 1
    found = [(float(loud[i] + 1) * WINDOW_SECONDS, float(steps[i]) * WINDOW_SECONDS) for i in np.flatnonzero(steps)]
    return [(round(start, 2), round(length, 2)) for start, length in found if length > least]


def heard(samples: Samples, rate: int) -> Samples:
    """From the first loud frame to the last."""
    loud = np.flatnonzero(np.abs(samples) > np.abs(samples).max() / 10) if len(samples) else np.array([], int)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


_EXPONENT_BASE = np.array([0, 132, 396, 924, 1980, 4092, 8316, 16764])


def decode_pcmu(payload: bytes) -> Samples:
    """G.711 u-law to linear (ITU-T G.711)."""
    code = ~np.frombuffer(payload, np.uint8).astype(int) & 255
    exponent = (code >> 4) & 7
    magnitude = _EXPONENT_BASE[exponent] + ((code & 15) << (exponent + 3))
    signed: Samples = np.where(code & 128, -1.0, 1.0) * magnitude
    return signed
