"""The tone of a probe and what it makes of sound: level, frequency, purity, gaps; known sounds have known numbers."""

from __future__ import annotations

import math
import random
from array import array

import pytest

from gateway.probe import tones
from gateway.probe.tones import GAP_TICKS, MAX_SECONDS, RATE, TICK, listen, tone


def silence(ticks: int) -> array[int]:
    return array("h", bytes(2 * TICK * ticks))


@pytest.mark.parametrize("frequency", [300.0, 440.0, 700.0, 1000.0, 2345.0, 3400.0])
def test_a_tone_is_heard_as_what_it_is(frequency: float) -> None:
    heard = listen(tone(frequency, 0, RATE))
    assert abs(heard.frequency - frequency) <= 4
    assert heard.purity > 0.9
    assert (heard.gaps, heard.seconds) == (0, 1.0)
    assert heard.level_dbfs == pytest.approx(20 * math.log10(tones.LEVEL) - 3.01, abs=0.2)
    assert heard.is_tone(frequency)
    assert not heard.is_tone(frequency + 50)


def test_a_tone_goes_on_without_a_break_from_packet_to_packet() -> None:
    whole = tone(1000.0, 0, 4 * TICK)
    assert array("h", [s for n in range(4) for s in tone(1000.0, n * TICK, TICK)]) == whole


def test_silence_is_no_sound_however_long() -> None:
    assert not listen(silence(50)).is_sound
    assert listen(array("h")) == tones.SILENCE


def test_hiss_is_silence() -> None:
    hiss = array("h", [random.Random(7).randrange(-20, 20) for _ in range(RATE)])
    assert not listen(hiss).is_sound


def test_noise_is_sound_and_no_tone() -> None:
    source = random.Random(7)
    heard = listen(array("h", [source.randrange(-9000, 9000) for _ in range(RATE)]))
    assert heard.is_sound
    assert heard.purity < 0.2


def test_drop_outs_inside_the_sound_are_counted_and_silence_around_it_is_not() -> None:
    sound = silence(10) + tone(700.0, 0, 20 * TICK) + silence(GAP_TICKS) + tone(700.0, 0, 20 * TICK) + silence(5)
    sound += tone(700.0, 0, 20 * TICK) + silence(30)
    heard = listen(sound)
    assert (heard.gaps, heard.longest_gap) == (2, 0.1)
    assert heard.is_tone(700.0)


def test_one_lost_packet_is_no_gap() -> None:
    heard = listen(tone(700.0, 0, 20 * TICK) + silence(GAP_TICKS - 1) + tone(700.0, 0, 20 * TICK))
    assert heard.gaps == 0


def test_no_more_is_looked_at_than_there_may_be() -> None:
    assert listen(silence(50 * (MAX_SECONDS + 5))).seconds == MAX_SECONDS


def test_ulaw_is_that_of_g711() -> None:
    assert tones.to_ulaw([0, 32767, -32768]) == bytes([0xFF, 0x80, 0x00])
    assert list(tones.from_ulaw(bytes([0xFF, 0x7F, 0x80, 0x00]))) == [0, 0, 32124, -32124]


def test_every_ulaw_octet_comes_back_as_itself_but_for_the_two_zeros() -> None:
    octets = bytes(octet for octet in range(256) if octet != 0x7F)
    assert tones.to_ulaw(tones.from_ulaw(octets)) == octets


def test_a_tone_survives_ulaw() -> None:
    heard = listen(tones.from_ulaw(tones.to_ulaw(tone(1000.0, 0, RATE))))
    assert heard.is_tone(1000.0)
    assert heard.purity > 0.9
