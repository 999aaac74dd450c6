"""Calls from a trunk to a browser, and offers that come late."""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.media.relay_commands import SetKeys, SetPeer
from gateway.sip.flow import Flow
from tests.call.machine_scene import MachineScene, answer, trunk_flow, vector
from tests.call.test_setup import finished

BROWSER_ANSWER = vector("chromium_answer_to_rtpengine")
KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40


def inbound(profile: Profile, offer: bytes, flow: Flow | None = None) -> MachineScene:
    return MachineScene(profile=profile, outbound=False, offer=offer, flow=flow or trunk_flow())


def test_a_keyed_offer_over_verified_tls_is_answered_with_one_key_and_secured() -> None:
    scene = inbound(Profile.STRICT, answer("RTP/SAVP", KEY)).calling()
    assert b"a=setup:actpass" in scene.invite.body
    assert b"a=ice-lite" in scene.invite.body
    assert b"a=crypto" not in scene.invite.body
    assert "grade=HOP_BY_HOP" in (scene.invite.headers.get("Call-Security") or "")
    scene.reply(180)
    assert scene.responses[-1].status == 180
    scene.reply(200, BROWSER_ANSWER)
    ok = scene.responses[-1]
    assert ok.status == 200
    assert ok.body.count(b"a=crypto:1 AES_CM_128_HMAC_SHA1_80") == 1
    assert b"RTP/SAVP 0 101" in ok.body
    assert scene.records == ["call.start", "leg.secured"]
    assert ok.headers.get("Call-Security") is None


@pytest.mark.parametrize("offer", [answer("RTP/AVP"), answer("RTP/SAVP")])
def test_strict_refuses_an_offer_without_keys_before_the_browser_rings(offer: bytes) -> None:
    scene = inbound(Profile.STRICT, offer).begin()
    assert scene.responses[-1].status == 488
    assert "302" in (scene.responses[-1].headers.get("Warning") or "")
    assert not [e for e in scene.all if isinstance(e, fx.SendRequest)]
    assert scene.records == ["call.start", "leg.violation"]


def test_strict_refuses_keys_that_everybody_could_read() -> None:
    scene = inbound(Profile.STRICT, answer("RTP/SAVP", KEY), trunk_flow("udp")).begin()
    assert scene.responses[-1].status == 488
    assert scene.record("leg.violation")["codes"] == ["key.sdes_cleartext"]


@pytest.mark.parametrize("profile", [Profile.PREFER, Profile.OSRTP, Profile.LEGACY])
def test_the_other_profiles_use_keys_over_udp_and_call_them_exposed(profile: Profile) -> None:
    scene = inbound(profile, answer("RTP/SAVP", KEY), trunk_flow("udp")).calling().reply(200, BROWSER_ANSWER)
    assert scene.responses[-1].status == 200
    assert scene.record("leg.downgraded")["grade_after"] == "KEY_EXPOSED"


def test_of_a_dual_offer_the_keyed_line_is_taken_and_the_plain_one_refused() -> None:
    plain = answer("RTP/AVP").decode()
    dual = plain + "m=audio 4010 RTP/SAVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n" + KEY + "\r\n"
    scene = inbound(Profile.PREFER, dual.encode()).calling().reply(200, BROWSER_ANSWER)
    lines = [line for line in scene.responses[-1].body.decode().splitlines() if line.startswith("m=")]
    assert lines[0].startswith("m=audio 0 RTP/AVP")
    assert lines[1].startswith("m=audio 20000 RTP/SAVP")


def test_an_invite_without_an_offer_gets_ours_in_the_200_and_the_answer_in_the_ack() -> None:
    """Janus PR#3618: policy must run where the offer is made."""
    scene = inbound(Profile.STRICT, b"").calling().reply(200, BROWSER_ANSWER)
    ours = scene.responses[-1]
    assert ours.status == 200
    assert b"RTP/SAVP" in ours.body
    tag = next(line.split()[0][9:] for line in ours.body.decode().splitlines() if " AES_CM_128_HMAC" in line)
    scene.ack(answer("RTP/SAVP", f"a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{'B' * 40}"))
    assert finished(scene) is None
    assert "leg.secured" in scene.records
    assert scene.relayed(SetKeys)


@pytest.mark.parametrize("body", [b"", answer("RTP/AVP"), answer("RTP/SAVP")])
def test_an_ack_without_the_answer_policy_needs_ends_the_call(body: bytes) -> None:
    scene = inbound(Profile.STRICT, b"").calling().reply(200, BROWSER_ANSWER)
    scene.ack(body)
    assert finished(scene) is not None
    assert not scene.relayed(SetPeer)
    assert [e.request.method for e in scene.all if isinstance(e, fx.SendRequest)][-2:] == ["BYE", "BYE"]


def test_strict_makes_no_offer_over_udp_for_an_invite_without_one() -> None:
    scene = inbound(Profile.STRICT, b"", trunk_flow("udp")).begin()
    assert finished(scene) is Termination.ENCRYPTION_IMPOSSIBLE


def test_a_browser_that_answers_without_webrtc_is_acknowledged_and_ended() -> None:
    scene = inbound(Profile.LEGACY, answer()).calling().reply(200, answer())
    assert finished(scene) is Termination.BROWSER_OFFER_INSECURE
    assert scene.responses[-1].status == 488


def test_nobody_answering_is_408() -> None:
    scene = inbound(Profile.LEGACY, answer()).calling().reply(180).feed(events.TimerFired(fx.Timer.RING))
    assert finished(scene) is Termination.RING_TIMEOUT
    assert scene.responses[-1].status == 408
    assert scene.order(fx.CancelInvite)
