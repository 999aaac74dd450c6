"""Checkpoint P4: a handshake finishes, fails or takes too long; the record stands before the keys."""

from __future__ import annotations

import pytest

from gateway.base.crypto_suite import AEAD_AES_128_GCM
from gateway.base.termination import Termination
from gateway.base.values import LegId, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Timer
from gateway.media.relay_events import ConsentLost
from tests.call.machine_scene import MachineScene, sdes_answer

BROWSER = LegId(1)


def answered() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack().clear()


def test_the_record_is_written_before_the_keys_are_released_and_the_clock_stops() -> None:
    scene = answered().feed(answered().keyed())
    assert scene.order(fx.WriteAudit, fx.ReleaseDtlsKeys)[-2:] == ["WriteAudit", "ReleaseDtlsKeys"]
    assert fx.ClearTimer(Timer.KEYED, BROWSER) in scene.effects


def test_a_second_handshake_of_the_same_leg_is_nothing() -> None:
    scene = answered().feed(answered().keyed()).clear()
    scene.feed(scene.keyed())
    assert scene.effects == []


def test_a_handshake_that_policy_finds_too_weak_ends_the_call_without_its_keys() -> None:
    scene = answered().feed(events.DtlsConnected(BROWSER, AEAD_AES_128_GCM, "DTLSv1", "sha-256"))
    assert not scene.state.live
    assert scene.take(fx.ReleaseDtlsKeys) == []
    assert "leg.violation" in scene.records


@pytest.mark.parametrize("why", [Termination.FINGERPRINT_MISMATCH, Termination.DTLS_FAILED])
def test_a_handshake_that_fails_ends_the_call_with_a_violation(why: Termination) -> None:
    scene = answered().feed(events.DtlsFailed(BROWSER, why))
    assert scene.state.termination is why
    assert scene.record("leg.violation")["leg_id"] == BROWSER


def test_who_is_not_keyed_in_time_is_hung_up_on_and_who_is_keyed_is_not() -> None:
    assert answered().feed(events.TimerFired(Timer.KEYED, BROWSER)).state.termination is Termination.MEDIA_NOT_KEYED
    assert answered().feed(answered().keyed()).feed(events.TimerFired(Timer.KEYED, BROWSER)).state.live


def test_lost_consent_ends_the_call_of_the_one_who_speaks_and_no_other() -> None:
    assert answered().feed(ConsentLost(LegId(9))).state.live
    assert answered().feed(ConsentLost(BROWSER)).state.termination is Termination.CONSENT_LOST


def test_a_trunk_has_no_handshake() -> None:
    scene = answered()
    scene.feed(events.DtlsConnected(scene.id(LegKind.TRUNK), AEAD_AES_128_GCM, "DTLSv1.2", "sha-256"))
    assert scene.effects == []
