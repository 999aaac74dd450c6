"""Rules of a call that hold before anybody answers: what is refused before a phone rings, and what is never offered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.profiles import Profile
from gateway.base.signalling import TlsInfo
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine.effects import Purpose
from gateway.media.relay_commands import OpenLeg, SetKeys, SetPeer
from tests.call.machine_scene import BROWSER_FLOW, MachineScene, answer, sdes_answer, trunk_flow, vector

OFFER = vector("chromium_offer")
BROWSER_ANSWER = OFFER.replace(b"setup:actpass", b"setup:active")
CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40
SHA1 = b"a=fingerprint:sha-1 " + b":".join([b"AB"] * 20)
TLS_1_1 = TlsInfo("TLSv1.1", "AES128-SHA", "CN=pbx", "ab" * 32, True, "pbx.example", "")


def rang(scene: MachineScene) -> bool:
    return any(isinstance(e, fx.SendRequest) for e in scene.all)


def our_offer(scene: MachineScene) -> str:
    """The media line and the keys of the description in our last 200."""
    body = scene.responses[-1].body.decode()
    return next(line for line in body.splitlines() if line.startswith("m="))


# Refused before the callee rings.


def over_ws(scene: MachineScene) -> MachineScene:
    """The browser's WebSocket is not encrypted."""
    flow = replace(BROWSER_FLOW, transport="ws")
    return scene.on(flow)


@pytest.mark.parametrize("offer", [OFFER, b""])
def test_a_browser_on_a_plain_websocket_is_refused_under_strict_before_the_trunk_is_called(offer: bytes) -> None:
    scene = over_ws(MachineScene(profile=Profile.STRICT, offer=offer)).calling()
    assert not rang(scene)
    assert scene.responses[-1].status == 403
    violation = scene.record("leg.violation")
    assert (violation["leg"], violation["checkpoint"]) == ("browser", "P0")
    assert "brw.ws_insecure" in str(violation["codes"])
    assert not [e for e in scene.all if isinstance(e, fx.ConnectTrunk)]


@pytest.mark.parametrize("offer", [answer("RTP/SAVP", CRYPTO), b""])
def test_a_trunk_that_calls_a_browser_on_a_plain_websocket_under_strict_is_refused_before_it_rings(
    offer: bytes,
) -> None:
    scene = over_ws(MachineScene(profile=Profile.STRICT, outbound=False, offer=offer)).calling()
    assert not rang(scene)
    assert scene.responses[-1].status == 403
    assert (scene.record("leg.violation")["leg"], scene.record("leg.violation")["checkpoint"]) == ("browser", "P1")
    assert not scene.relayed(OpenLeg)


@pytest.mark.parametrize("profile", [Profile.PREFER, Profile.OSRTP, Profile.LEGACY])
@pytest.mark.parametrize("outbound", [True, False])
def test_where_policy_tolerates_a_plain_websocket_the_callee_rings(profile: Profile, outbound: bool) -> None:
    scene = MachineScene(profile=profile, outbound=outbound, offer=OFFER if outbound else answer())
    assert rang(over_ws(scene).calling())


def test_a_browser_whose_only_fingerprint_is_sha_1_is_refused_under_strict_before_the_trunk_is_called() -> None:
    lines = [SHA1 if line.startswith(b"a=fingerprint") else line for line in OFFER.split(b"\r\n")]
    scene = MachineScene(profile=Profile.STRICT, offer=b"\r\n".join(lines)).calling()
    assert not rang(scene)
    assert scene.responses[-1].status == 488
    assert scene.record("leg.violation")["checkpoint"] == "P0"


@pytest.mark.parametrize(
    "flow", [trunk_flow("udp"), trunk_flow("tcp"), trunk_flow(verified=False), replace(trunk_flow(), tls=TLS_1_1)]
)
@pytest.mark.parametrize("offer", [answer("RTP/SAVP", CRYPTO), answer("RTP/AVP", CRYPTO), answer(), b""])
def test_a_trunk_nobody_vouches_for_is_refused_under_strict_before_the_browser_rings(
    flow: object, offer: bytes
) -> None:
    scene = MachineScene(profile=Profile.STRICT, outbound=False, offer=offer, flow=flow).calling()  # type: ignore[arg-type]
    assert not rang(scene)
    assert scene.responses[-1].status in (403, 488)
    assert scene.record("leg.violation")["checkpoint"] == "P0"


@pytest.mark.parametrize(
    "flow", [trunk_flow("udp"), trunk_flow("tcp"), trunk_flow(verified=False), replace(trunk_flow(), tls=TLS_1_1)]
)
def test_a_trunk_nobody_vouches_for_is_not_called_under_strict(flow: object) -> None:
    scene = MachineScene(profile=Profile.STRICT, flow=flow).calling()  # type: ignore[arg-type]
    assert not rang(scene)
    assert scene.responses[-1].status == 403


@pytest.mark.parametrize("outbound", [True, False])
@pytest.mark.parametrize("profile", Profile)
def test_tls_that_is_too_old_is_refused_before_anybody_rings(profile: Profile, outbound: bool) -> None:
    offer = OFFER if outbound else answer()
    flow = replace(trunk_flow(), tls=TLS_1_1)
    assert not rang(MachineScene(profile=profile, outbound=outbound, offer=offer, flow=flow).calling())


@pytest.mark.parametrize("line", ["", CRYPTO.replace("_80", "_32"), CRYPTO + " UNENCRYPTED_SRTP", CRYPTO + "|1:0"])
@pytest.mark.parametrize("proto", ["RTP/AVP", "RTP/SAVP"])
def test_a_trunk_offer_that_strict_cannot_accept_is_refused_before_the_browser_rings(proto: str, line: str) -> None:
    scene = MachineScene(
        profile=Profile.STRICT, outbound=False, offer=answer(proto, *([line] if line else []))
    ).calling()
    assert not rang(scene)
    assert scene.responses[-1].status == 488
    assert scene.record("leg.violation")["checkpoint"] == "P0"


def test_an_emergency_call_is_not_refused_for_the_websocket() -> None:
    assert rang(over_ws(MachineScene(profile=Profile.STRICT, emergency=True)).calling())


# A trunk that sends no offer.


def delayed(profile: Profile, transport: str = "tls") -> MachineScene:
    scene = MachineScene(profile=profile, outbound=False, offer=b"", flow=trunk_flow(transport)).calling()
    return scene.reply(200, BROWSER_ANSWER)


@pytest.mark.parametrize("transport", ["tls", "tcp", "udp"])
@pytest.mark.parametrize(("profile", "keys"), [(Profile.PREFER, True), (Profile.OSRTP, True), (Profile.LEGACY, False)])
def test_our_offer_to_a_trunk_that_sent_none_can_be_answered_by_a_phone_without_srtp(
    profile: Profile, keys: bool, transport: str
) -> None:
    scene = delayed(profile, transport)
    assert " RTP/AVP " in our_offer(scene)
    assert (b"a=crypto" in scene.responses[-1].body) is keys
    scene.ack(answer("RTP/AVP"))
    assert scene.state.live
    downgraded = scene.record("leg.downgraded")
    assert ("media.osrtp_fallback" in str(downgraded["codes"])) is keys


@pytest.mark.parametrize("profile", [Profile.PREFER, Profile.OSRTP])
@pytest.mark.parametrize(("transport", "kind"), [("tls", "leg.secured"), ("udp", "leg.downgraded")])
def test_a_phone_with_srtp_takes_the_keys_of_that_offer(profile: Profile, transport: str, kind: str) -> None:
    scene = delayed(profile, transport)
    keyed = sdes_answer(scene.responses[-1].body).replace(b"RTP/SAVP", b"RTP/AVP")
    scene.ack(keyed)
    assert scene.record(kind)["leg"] == "trunk"
    assert scene.told(SetKeys)
    assert scene.state.live


def test_strict_offers_savp_in_its_200_and_nothing_else() -> None:
    scene = delayed(Profile.STRICT)
    assert " RTP/SAVP " in our_offer(scene)
    scene.ack(answer("RTP/AVP"))
    assert scene.state.termination is Termination.ENCRYPTION_IGNORED


@pytest.mark.parametrize("profile", [Profile.PREFER, Profile.LEGACY])
def test_a_browser_that_sends_no_offer_gets_ours_and_a_plain_trunk_is_tried_as_ever(profile: Profile) -> None:
    scene = MachineScene(profile=profile, offer=b"", flow=trunk_flow("udp")).calling()
    if profile is Profile.PREFER:
        scene.reply(488)
    scene.reply(200, answer())
    assert b"UDP/TLS/RTP/SAVPF" in scene.responses[-1].body
    scene.ack(BROWSER_ANSWER)
    assert scene.state.live
    assert scene.record("leg.downgraded")["leg"] == "trunk"


def plain_call(profile: Profile) -> MachineScene:
    scene = MachineScene(profile=profile, outbound=False, offer=answer()).calling()
    scene.reply(200, BROWSER_ANSWER).ack().feed(scene.keyed())
    return scene.clear()


@pytest.mark.parametrize(("profile", "keys"), [(Profile.PREFER, True), (Profile.OSRTP, True), (Profile.LEGACY, False)])
def test_a_plain_trunk_that_asks_for_our_offer_in_mid_call_is_offered_keys_it_may_ignore(
    profile: Profile, keys: bool
) -> None:
    scene = plain_call(profile).inside(LegKind.TRUNK, "INVITE", cseq=900)
    assert " RTP/AVP " in our_offer(scene)
    assert (b"a=crypto" in scene.responses[-1].body) is keys
    scene.ack_of(LegKind.TRUNK, 900, answer())
    assert scene.state.live


def test_a_plain_trunk_that_takes_the_keys_in_mid_call_is_secured_from_then_on() -> None:
    scene = plain_call(Profile.PREFER).inside(LegKind.TRUNK, "INVITE", cseq=900)
    keyed = sdes_answer(scene.responses[-1].body).replace(b"RTP/SAVP", b"RTP/AVP")
    scene.ack_of(LegKind.TRUNK, 900, keyed)
    assert scene.records[-1] == "leg.secured"
    assert [e.keyed for e in scene.told(SetPeer)][-1] is True


def test_an_encrypted_trunk_that_asks_for_our_offer_in_mid_call_is_offered_its_own_key_and_no_clear_line() -> None:
    scene = MachineScene(profile=Profile.PREFER, outbound=False, offer=answer("RTP/SAVP", CRYPTO)).calling()
    scene.reply(200, BROWSER_ANSWER).ack().feed(scene.keyed())
    scene.clear().inside(LegKind.TRUNK, "INVITE", cseq=900)
    assert " RTP/SAVP " in our_offer(scene)
    assert scene.responses[-1].body.count(b"a=crypto") == 1


# No retry in the clear after the peer has agreed to SRTP in this call.


@pytest.mark.parametrize("status", [488, 415, 606])
@pytest.mark.parametrize("tag", ["callee", "fork-b"])
@pytest.mark.parametrize("transport", ["tls", "udp"])
def test_who_agreed_to_srtp_while_ringing_is_not_tried_again_in_the_clear(
    status: int, tag: str, transport: str
) -> None:
    scene = MachineScene(profile=Profile.PREFER, flow=trunk_flow(transport)).calling()
    scene.reply(183, sdes_answer(scene.invite.body), tag=tag)
    scene.reply(status)
    invites = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]
    assert len(invites) == 1
    violation = scene.record("leg.violation")
    assert (violation["codes"], violation["kind"]) == (["pin.bid_down"], "D2")
    assert (violation["grade_after"], violation["decision"]) == ("CLEARTEXT", "refused")
    assert scene.state.termination is Termination.ENCRYPTION_WITHDRAWN
    assert scene.responses[-1].status == 488
    assert (scene.responses[-1].headers.get("Warning") or "").startswith("302 ")


def test_srtp_that_was_agreed_to_but_could_not_be_played_counts_as_proof() -> None:
    scene = MachineScene(profile=Profile.PREFER).calling()
    foreign = sdes_answer(scene.invite.body).replace(b" 0 101", b" 96").replace(b"rtpmap:0 PCMU", b"rtpmap:96 L16")
    scene.reply(183, foreign)
    scene.reply(488)
    violation = scene.record("leg.violation")
    assert (violation["codes"], violation["kind"]) == (["pin.bid_down"], "D3")


@pytest.mark.parametrize("early", [b"", answer(), answer("RTP/SAVP"), answer("RTP/SAVP", CRYPTO.replace(":1 ", ":9 "))])
def test_who_did_not_agree_to_srtp_is_tried_again_in_the_clear(early: bytes) -> None:
    scene = MachineScene(profile=Profile.PREFER).calling().reply(183, early)
    scene.reply(488)
    assert b"RTP/AVP" in scene.invite.body
    assert scene.record("leg.downgraded")["codes"] == ["media.savp_retry"]


def test_an_emergency_call_is_tried_again_and_the_record_says_what_happened() -> None:
    scene = MachineScene(profile=Profile.STRICT, emergency=True).calling()
    scene.reply(183, sdes_answer(scene.invite.body)).reply(488)
    assert b"RTP/AVP" in scene.invite.body
    assert sorted(scene.record("leg.downgraded")["codes"]) == ["media.savp_retry", "pin.bid_down"]  # type: ignore[call-overload]


def test_an_answer_that_drops_the_keys_of_the_early_one_is_a_regression() -> None:
    scene = MachineScene(profile=Profile.OSRTP).calling()
    scene.reply(183, sdes_answer(scene.invite.body).replace(b"RTP/SAVP", b"RTP/AVP"))
    scene.reply(200, answer())
    downgraded = scene.record("leg.downgraded")
    assert downgraded["kind"] == "D2"
    assert "mid.crypto_removed" in str(downgraded["codes"])
