"""Effects are values, and what they say of a call holds no key in its text."""

from __future__ import annotations

from gateway.base.values import NO_LEG, LegId, Secret
from gateway.call.machine import effects as fx
from gateway.media.relay_commands import SetKeys


def test_a_clock_is_of_the_call_unless_it_names_a_leg() -> None:
    assert fx.SetTimer(fx.Timer.RING, 1.0).leg == NO_LEG
    assert fx.ClearTimer(fx.Timer.RING) != fx.ClearTimer(fx.Timer.RING, LegId(2))


def test_an_effect_that_carries_a_key_does_not_print_it() -> None:
    command = SetKeys(LegId(1), "AES_CM_128_HMAC_SHA1_80", Secret(b"top-secret-out"), Secret(b"top-secret-in"))
    assert "top-secret" not in repr(fx.Relay(command))


def test_names_of_clocks_and_purposes_are_told_apart() -> None:
    assert len({timer.value for timer in fx.Timer}) == len(fx.Timer)
    assert len({purpose.value for purpose in fx.Purpose}) == len(fx.Purpose)
