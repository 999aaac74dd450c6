"""Hold, refresh and weakening in mid-call."""

from __future__ import annotations

import pytest

from gateway.base.codes import Code
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.media.relay_commands import SetKeys, SetPeer
from tests.call.machine_scene import MachineScene, answer, sdes_answer, trunk_flow, vector
from tests.call.test_setup import finished

OFFER = vector("chromium_offer")


def established(profile: Profile = Profile.STRICT) -> MachineScene:
    scene = MachineScene(
        profile=profile, flow=trunk_flow() if profile is Profile.STRICT else trunk_flow("udp")
    ).calling()
    body = sdes_answer(scene.invite.body) if profile is Profile.STRICT else answer()
    scene.reply(200, body).ack()
    scene.feed(scene.keyed())
    return scene.clear()


def from_browser(scene: MachineScene, method: str, body: bytes = b"", cseq: int = 2) -> MachineScene:
    return scene.inside(LegKind.BROWSER, method, body, cseq=cseq)


def from_trunk(scene: MachineScene, method: str, body: bytes = b"", cseq: int = 900) -> MachineScene:
    return scene.inside(LegKind.TRUNK, method, body, cseq=cseq)


def held(direction: bytes) -> bytes:
    return OFFER.replace(b"a=sendrecv", b"a=" + direction)


def test_a_bodyless_update_is_200_and_changes_nothing() -> None:
    """JsSIP refreshes every call so after 45 s."""
    scene = from_browser(established(), "UPDATE")
    assert scene.responses[-1].status == 200
    assert not scene.responses[-1].body
    assert [type(e) for e in scene.effects] == [fx.Respond]


def test_hold_is_answered_recvonly_and_passed_on_to_the_trunk_with_the_same_key() -> None:
    scene = established()
    before = scene.invite.body
    from_browser(scene, "INVITE", held(b"sendonly"))
    assert scene.responses[-1].status == 200
    assert b"a=recvonly" in scene.responses[-1].body
    (reinvite,) = scene.take(fx.SendRequest)
    assert b"a=sendonly" in reinvite.request.body
    key = next(line for line in before.splitlines() if b" AES_CM_128_HMAC" in line)
    assert key in reinvite.request.body
    assert reinvite.request.body.count(b"a=crypto") == 1
    assert scene.ways == (True, False)


def test_resume_is_answered_sendrecv_although_the_trunk_said_recvonly_to_our_hold() -> None:
    scene = established()
    from_browser(scene, "INVITE", held(b"sendonly"))
    reply = sdes_answer(scene.invite.body).replace(b"a=sendrecv", b"a=recvonly")
    scene.reply(200, reply, purpose=fx.Purpose.REINVITE).clear()
    from_browser(scene, "INVITE", held(b"sendrecv"), cseq=3)
    assert b"a=sendrecv" in scene.responses[-1].body
    (reinvite,) = scene.take(fx.SendRequest)
    assert b"a=sendrecv" in reinvite.request.body
    scene.reply(200, sdes_answer(scene.invite.body), purpose=fx.Purpose.REINVITE)
    assert scene.ways == (True, True)
    assert finished(scene) is None


def test_hold_works_although_the_trunk_refuses_the_reinvite() -> None:
    scene = from_browser(established(), "INVITE", held(b"inactive"))
    scene.reply(488, purpose=fx.Purpose.REINVITE)
    assert finished(scene) is None
    assert scene.ways == (False, False)


def test_glare_is_retried_after_a_wait() -> None:
    scene = from_browser(established(), "INVITE", held(b"sendonly"))
    scene.reply(491, purpose=fx.Purpose.REINVITE)
    assert [e.name for e in scene.take(fx.SetTimer)] == [fx.Timer.GLARE]
    scene.clear().feed(scene.fires(fx.Timer.GLARE))
    assert [e.request.method for e in scene.take(fx.SendRequest)] == ["INVITE"]


def test_a_reinvite_that_crosses_ours_is_491() -> None:
    scene = from_browser(established(), "INVITE", held(b"sendonly"))
    from_trunk(scene, "INVITE", sdes_answer(OFFER_FOR_TRUNK))
    assert scene.responses[-1].status == 491


OFFER_FOR_TRUNK = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 x\n"


def test_a_trunk_that_drops_encryption_is_refused_then_hung_up_on() -> None:
    """POLICY mid.crypto_removed: 488 first, BYE the second time."""
    scene = from_trunk(established(), "INVITE", answer("RTP/AVP"))
    refused = scene.responses[-1]
    assert refused.status == 488
    assert "302" in (refused.headers.get("Warning") or "")
    assert scene.record("leg.violation")["codes"]
    assert "mid.crypto_removed" in str(scene.record("leg.violation")["codes"])
    assert finished(scene) is None
    assert not scene.told(SetPeer)
    from_trunk(scene, "INVITE", answer("RTP/AVP"), cseq=901)
    assert finished(scene) is Termination.ENCRYPTION_REMOVED


def test_a_new_key_from_the_trunk_is_taken_and_ours_is_kept() -> None:
    scene = established()
    offer = answer("RTP/SAVP", "a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:" + "C" * 40)
    from_trunk(scene, "INVITE", offer)
    assert scene.responses[-1].status == 200
    assert scene.responses[-1].body.count(b"a=crypto:5 ") == 1
    keys = scene.relayed(SetKeys)
    assert keys[-1].rx != keys[0].rx
    assert keys[-1].tx == keys[0].tx


def test_a_trunk_on_hold_tells_the_browser() -> None:
    scene = from_trunk(established(Profile.LEGACY), "INVITE", answer(direction="sendonly"))
    assert b"a=recvonly" in scene.responses[-1].body
    (reinvite,) = scene.take(fx.SendRequest)
    assert scene.kind(reinvite.leg) is LegKind.BROWSER
    assert b"a=sendonly" in reinvite.request.body
    assert "Call-Security" in reinvite.request.headers


def test_another_certificate_of_the_browser_in_mid_call_is_refused() -> None:
    scene = from_browser(established(), "INVITE", OFFER.replace(b"sha-256 C6:25", b"sha-256 00:00"))
    assert scene.responses[-1].status == 488
    assert finished(scene) is None


def test_an_old_cseq_is_500() -> None:
    scene = from_browser(established(), "UPDATE", cseq=5)
    from_browser(scene, "UPDATE", cseq=4)
    assert scene.responses[-1].status == 500


@pytest.mark.parametrize("method", ["PUBLISH", "MESSAGE", "NOTIFY"])
def test_methods_we_do_not_have_are_405_with_those_we_have(method: str) -> None:
    scene = from_browser(established(), method)
    assert scene.responses[-1].status == 405
    assert "UPDATE" in (scene.responses[-1].headers.get("Allow") or "")


def test_a_bye_is_passed_on_and_the_call_forgotten_when_it_is_answered() -> None:
    scene = from_browser(established(), "BYE")
    assert scene.responses[-1].status == 200
    assert [(scene.kind(e.leg).value, e.request.method) for e in scene.take(fx.SendRequest)] == [("trunk", "BYE")]
    assert finished(scene) is Termination.HANGUP_BROWSER
    assert not scene.take(fx.Forget)
    scene.reply(200, purpose=fx.Purpose.BYE)
    assert len(scene.take(fx.Forget)) == 1


def test_that_a_trunk_took_its_encryption_away_stays_with_its_leg() -> None:
    """POLICY A2 mid.crypto_removed: tolerated here, but no later description makes it undone."""
    scene = MachineScene(profile=Profile.PREFER).calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack()
    from_trunk(scene, "INVITE", answer("RTP/AVP"))
    assert scene.responses[-1].status == 200
    assert Code.MID_CRYPTO_REMOVED in scene.trunk_leg.vector.extra_codes
    scene.ack_of(LegKind.TRUNK, 900)
    from_trunk(scene, "INVITE", answer("RTP/AVP", direction="sendonly"), cseq=901)
    assert Code.MID_CRYPTO_REMOVED in scene.trunk_leg.vector.extra_codes
