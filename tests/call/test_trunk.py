"""The trunk side of a call: what is offered is built from policy, keys are never used twice."""

from __future__ import annotations

import pytest

from gateway.base.codes import Code
from gateway.base.profiles import Profile
from gateway.call.legs.leg import KeyingError
from gateway.call.legs.trunk import TrunkLeg
from tests.call.machine_scene import MachineScene, answer, sdes_answer

KEYED = answer("RTP/SAVP", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40)


def caller(profile: Profile = Profile.STRICT) -> TrunkLeg:
    """The leg of a trunk that calls."""
    found = MachineScene(outbound=False, profile=profile).state.caller
    assert isinstance(found, TrunkLeg)
    return found


@pytest.mark.parametrize(
    ("profile", "proto", "keyed"),
    [
        (Profile.STRICT, b"RTP/SAVP", True),
        (Profile.PREFER, b"RTP/SAVP", True),
        (Profile.OSRTP, b"RTP/AVP", True),
        (Profile.LEGACY, b"RTP/AVP", False),
    ],
)
def test_the_offer_is_what_the_profile_says(profile: Profile, proto: bytes, keyed: bool) -> None:
    body = MachineScene(profile=profile).calling().invite.body
    assert b"m=audio 20000 " + proto + b" " in body
    assert (b"a=crypto" in body) is keyed


def test_a_keyed_line_whose_keys_are_of_no_use_is_refused_with_the_reason() -> None:
    with pytest.raises(KeyingError) as refused:
        caller().inspect_offer(answer("RTP/SAVP"))
    assert Code.MEDIA_CRYPTO_IGNORED in refused.value.codes


def test_our_own_key_sent_back_is_refused() -> None:
    """RFC 4568 7: one key in both directions is none."""
    scene = MachineScene().calling()
    line = next(line for line in scene.invite.body.decode().splitlines() if "AES_CM_128_HMAC_SHA1_80" in line)
    echoed = answer("RTP/SAVP", line)
    scene.reply(200, echoed)
    assert not scene.state.live
    assert "key.reuse" in str(scene.record("leg.violation")["codes"])


def test_looking_at_an_offer_takes_nothing_of_it() -> None:
    leg = caller()
    leg.inspect_offer(KEYED)
    assert (leg.agreed, leg.remote) == (None, None)


def test_who_agreed_to_keys_once_has_proved_it() -> None:
    scene = MachineScene(profile=Profile.PREFER).calling()
    assert not scene.trunk_leg.srtp_proved
    scene.reply(183, sdes_answer(scene.invite.body))
    assert scene.trunk_leg.srtp_proved
