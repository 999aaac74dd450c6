"""Mutated messages for a bounded time: any octets give a value or a declared error, and quickly.

FUZZ_SECONDS is the time per target (a few in `make test`, 300 in `make fuzz`); FUZZ_SEED repeats a run. Without
FUZZ_SECONDS the seed is fixed, so that a test run is the same every time; with it, every run looks elsewhere.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence

SECONDS = float(os.environ.get("FUZZ_SECONDS", "2"))
SEED = int(os.environ.get("FUZZ_SEED", "0")) or (secrets.randbits(32) if "FUZZ_SECONDS" in os.environ else 1)

TIMEOUT = SECONDS + 60
"""For `pytest.mark.timeout`: the pause between two looks at the clock is one input."""

MAX_INPUT = 70_000
"""A little more than the largest message that is accepted."""

MAX_CPU_SECONDS = 0.05
"""No input may cost more (DESIGN: every hostile message handled in under 50 ms)."""

MAX_MUTATIONS = 6

OCTETS = (0x00, 0x01, 0x09, 0x0A, 0x0D, 0x20, 0x22, 0x25, 0x3A, 0x3B, 0x3C, 0x3E, 0x40, 0x5C, 0x7F, 0x80, 0xC3, 0xFF)
NUMBERS = (b"0", b"-1", b"1", b"65535", b"65536", b"4294967296", b"99999999999999999999", b"1e9", b"0x10", b"\xd9\xa3")


class Mutator:
    """Makes inputs from seeds: same seed number, same inputs."""

    def __init__(self, seeds: Sequence[bytes], words: Sequence[bytes], number: int) -> None:
        self._seeds = seeds
        self._words = words
        self._random = random.Random(number)
        self._ways: tuple[Callable[[bytes], bytes], ...] = (
            self._octet,
            self._octet,
            self._word,
            self._delete,
            self._repeat,
            self._number,
            self._splice,
            self._cut,
            self._grow,
        )

    def inputs(self) -> Iterator[bytes]:
        """The seeds as they are, then mutations without end."""
        yield from self._seeds
        while True:
            data = self._random.choice(self._seeds)
            for _ in range(self._random.randint(1, MAX_MUTATIONS)):
                data = self._random.choice(self._ways)(data)[:MAX_INPUT]
            yield data

    def _slice(self, data: bytes) -> tuple[int, int]:
        start = self._random.randint(0, len(data))
        return start, min(len(data), start + self._random.choice((1, 2, 8, 40, 200)))

    def _octet(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data) or 1)
        new = self._random.choice((*OCTETS, self._random.randrange(256)))
        return data[:at] + bytes([new]) + data[at + 1 :]

    def _word(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + self._random.choice(self._words) + data[self._random.choice((start, end)) :]

    def _delete(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + data[end:]

    def _repeat(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:end] + data[start:end] * self._random.choice((1, 2, 30)) + data[end:]

    def _number(self, data: bytes) -> bytes:
        digits = [i for i, octet in enumerate(data) if 0x30 <= octet <= 0x39]
        if not digits:
            return data
        at = self._random.choice(digits)
        return data[:at] + self._random.choice(NUMBERS) + data[at + 1 :]

    def _splice(self, data: bytes) -> bytes:
        other = self._random.choice(self._seeds)
        return data[: self._slice(data)[0]] + other[self._slice(other)[0] :]

    def _cut(self, data: bytes) -> bytes:
        return data[: self._slice(data)[0]]

    def _grow(self, data: bytes) -> bytes:
        """Rarely: near the limits is where quadratic time shows."""
        if self._random.random() > 0.05:
            return data
        start, end = self._slice(data)
        piece = data[start:end] or b" "
        return data[:end] + piece * (self._random.choice((1000, 30_000)) // len(piece)) + data[end:]


def run(
    target: Callable[[bytes], None],
    seeds: Sequence[bytes],
    words: Sequence[bytes],
    *,
    limit: float = MAX_CPU_SECONDS,
) -> int:
    """Feed a target until the time is up. Fails with the input when it raises or is slow; returns how many it took."""
    end = time.monotonic() + SECONDS
    count = 0
    for data in Mutator(seeds, words, SEED).inputs():
        _feed(target, data, limit)
        count += 1
        if time.monotonic() > end and count > len(seeds):
            return count
    return count


def _feed(target: Callable[[bytes], None], data: bytes, limit: float) -> None:
    try:
        # The best of three: another process or a garbage collection is not the input's fault.
        slow = all(_cost(target, data) > limit for _ in range(3))
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}\nFUZZ_SEED={SEED}\ninput: {_shown(data)}") from error
    assert not slow, f"slower than {limit} s\nFUZZ_SEED={SEED}\ninput: {_shown(data)}"


def _cost(target: Callable[[bytes], None], data: bytes) -> float:
    before = time.process_time()
    target(data)
    return time.process_time() - before


def _shown(data: bytes) -> str:
    return repr(data) if len(data) <= 4000 else f"{data[:4000]!r}... ({len(data)} octets)"
