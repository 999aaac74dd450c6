"""Silence that is not sent: comfort noise (RFC 3389) and codecs that pause, heard as what they are and not as loss."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from gateway.media.relay_commands import PayloadMap
from gateway.media.relay_events import MediaUnsent
from tests.media.listener import FRAME, SAME, ListenerRig, rig, voice

NOISE = 13


@pytest.fixture(params=[False, True], ids=["plain", "keyed"])
def made(request: pytest.FixtureRequest) -> Iterator[ListenerRig]:
    with rig(keyed=request.param) as fresh:
        agreed = (*SAME, PayloadMap(NOISE, NOISE))
        fresh.call.payloads(agreed, agreed, fresh.now)
        yield fresh


class PausingPhone:
    """A phone with voice activity detection: what it sends next, to either side."""

    def __init__(self, made: ListenerRig) -> None:
        self._made = made
        self._sequence, self._began = 100, made.now
        self._sends = made.from_trunk

    def says(self, count: int, *, kind: int = 0, rate: int = 8000, every: float = 0.02, marked: bool = False) -> int:
        """That many packets at their moments; how many were passed on."""
        passed = 0
        for n in range(count):
            ticks = round((self._made.now - self._began) * rate)
            passed += self._sends(voice(self._sequence, ticks, kind=kind, marker=marked and n == 0))
            self._sequence += 1
            self._made.now += every
        return passed


def steps(made: ListenerRig) -> list[int]:
    """By how much the timestamps of what the browser heard go on."""
    heard = made.browser.packets
    return [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(heard)]


def has_no_hole(made: ListenerRig) -> None:
    """Nothing seems lost to the receiver."""
    numbers = made.browser.numbers
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len({packet.ssrc for packet in made.browser.packets}) == 1


def test_comfort_noise_that_was_agreed_passes_at_its_own_pace_in_the_run_of_the_speech(made: ListenerRig) -> None:
    phone = PausingPhone(made)
    assert phone.says(20) == 20
    assert phone.says(1, kind=NOISE, every=0.1) == 1
    assert phone.says(10, kind=NOISE, every=0.4) == 10
    assert phone.says(20, marked=True) == 20
    has_no_hole(made)
    assert made.browser.begins == [0, 31], "the marker is the phone's own"
    assert set(steps(made)) == {FRAME, 800, 3200}


def test_comfort_noise_nobody_agreed_to_leaves_no_hole_in_the_numbers(made: ListenerRig) -> None:
    made.call.payloads(SAME, SAME, made.now)
    phone = PausingPhone(made)
    for _ in range(3):
        assert phone.says(20) == 20
        assert phone.says(5, kind=NOISE, every=0.1) == 0
    assert phone.says(20, marked=True) == 20
    has_no_hole(made)
    assert set(steps(made)) == {FRAME, FRAME + 4000}
    assert not [event for event in made.events if isinstance(event, MediaUnsent)]


def test_a_codec_that_pauses_by_itself_is_one_run(made: ListenerRig) -> None:
    """Opus with DTX sends a packet every 400 ms, or none at all for as long as the silence lasts."""
    phone = PausingPhone(made)
    assert phone.says(20, kind=111, rate=48000) == 20
    assert phone.says(12, kind=111, rate=48000, every=0.4) == 12
    made.now += 45.0
    assert phone.says(20, kind=111, rate=48000) == 20
    has_no_hole(made)
    assert made.browser.begins == [0]
    assert max(steps(made)) == round(45.4 * 48000)


def test_what_was_lost_beside_comfort_noise_nobody_agreed_to_stays_lost(made: ListenerRig) -> None:
    made.call.payloads(SAME, SAME, made.now)
    phone = PausingPhone(made)
    phone.says(20)
    phone.says(1, kind=NOISE, every=0.1)
    phone._sequence += 2
    made.now += 0.04
    phone.says(1, kind=NOISE, every=0.1)
    phone.says(20)
    numbers = made.browser.numbers
    assert numbers[20] - numbers[19] == 3


def test_speech_that_comes_after_the_noise_that_followed_it_has_its_place(made: ListenerRig) -> None:
    made.call.payloads(SAME, SAME, made.now)
    began = made.now
    for n in range(10):
        made.from_trunk(voice(100 + n, n * FRAME))
        made.now += 0.02
    made.now += 0.02
    assert not made.from_trunk(voice(111, 11 * FRAME, kind=NOISE))
    assert made.from_trunk(voice(110, 10 * FRAME)), "it was overtaken"
    made.now = began + 1.0
    assert made.from_trunk(voice(112, 8000))
    has_no_hole(made)
