"""What users of other gateways complained about, pain by pain: none of it may happen here."""

from __future__ import annotations

import base64

import pytest

from gateway.base.crypto_suite import SUITES
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.media.relay_commands import OpenLeg, PlayDigit, SetKeys, SetPeer
from tests.call.machine_scene import MachineScene, answer, sdes_answer, trunk_flow, vector
from tests.call.test_change import established, from_browser, from_trunk, held
from tests.call.test_inbound import BROWSER_ANSWER, inbound
from tests.call.test_setup import finished

OFFER = vector("chromium_offer")
KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40
DTLS = (fx.StartDtls, fx.ReleaseDtlsKeys)


def lines(body: bytes, start: str) -> list[str]:
    return [line for line in body.decode().splitlines() if line.startswith(start)]


def trunk_hold(scene: MachineScene, direction: bytes = b"sendonly", cseq: int = 900) -> MachineScene:
    """The trunk re-INVITEs with its key unchanged."""
    return from_trunk(scene, "INVITE", sdes_answer(scene.invite.body).replace(b"sendrecv", direction), cseq)


@pytest.mark.parametrize("ours", ["active", "passive"])
def test_pain_1_the_dtls_role_survives_a_reinvite_whoever_sends_it(ours: str) -> None:
    theirs = "passive" if ours == "active" else "active"
    first = OFFER.replace(b"setup:actpass", f"setup:{theirs}".encode())
    scene = MachineScene(offer=first).calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack().clear()
    from_browser(scene, "INVITE", held(b"sendonly"))
    assert lines(scene.responses[-1].body, "a=setup:") == [f"a=setup:{ours}"]
    assert not [e for e in scene.effects if isinstance(e, fx.StartDtls)]


def test_pain_2_new_ice_credentials_are_no_new_dtls_association() -> None:
    scene = established()
    before = next(r.body for r in scene.responses if r.status == 200)
    restart = OFFER.replace(b"a=ice-ufrag:", b"a=ice-ufrag:NEW").replace(b"a=ice-pwd:", b"a=ice-pwd:NEW")
    from_browser(scene, "INVITE", restart)
    assert scene.responses[-1].status == 200
    for kept in ("a=fingerprint", "a=setup", "a=candidate"):
        assert lines(scene.responses[-1].body, kept) == lines(before, kept)
    for ours in ("a=ice-ufrag", "a=ice-pwd"):
        assert lines(scene.responses[-1].body, ours) != lines(before, ours)
    assert not [e for e in scene.effects if isinstance(e, DTLS)]


def test_pain_3_a_new_address_of_the_plain_leg_does_not_touch_the_dtls_leg() -> None:
    scene = from_trunk(established(Profile.LEGACY), "INVITE", answer(port=4900))
    assert scene.told(SetPeer)[-1].rtp.port == 4900
    assert not [e for e in scene.effects if isinstance(e, (*DTLS, SetKeys, fx.SendRequest))]


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_pain_4_a_refresh_without_a_change_touches_neither_ice_nor_dtls(method: str) -> None:
    scene = from_browser(established(), method, OFFER)
    assert scene.responses[-1].status == 200
    assert not [e for e in scene.effects if isinstance(e, (*DTLS, fx.SendRequest, OpenLeg))]
    scene = trunk_hold(established(), b"sendrecv")
    assert scene.responses[-1].status == 200
    assert not [e for e in scene.effects if isinstance(e, (*DTLS, fx.SendRequest))]


def test_pain_5_hold_and_resume_keep_both_keys_and_a_new_key_changes_only_its_own_direction() -> None:
    """The relay keeps the rollover counter of a key that stays, and starts a new one at zero."""
    scene = established()
    offer = scene.invite.body
    for cseq, (key, direction) in enumerate([("A", b"sendonly"), ("A", b"inactive"), ("C", b"sendonly")], start=900):
        from_trunk(scene, "INVITE", sdes_answer(offer, key=key * 40).replace(b"sendrecv", direction), cseq)
        assert scene.responses[-1].status in (200, 491)
    keys = scene.relayed(SetKeys)
    assert len({k.tx.reveal() for k in keys}) == 1
    received = [k.rx.reveal() for k in keys]
    assert len(set(received)) == 2
    assert received == sorted(received)  # the old key never comes back


def test_pain_7_every_offer_to_a_browser_says_actpass() -> None:
    assert lines(inbound(Profile.LEGACY, answer()).calling().invite.body, "a=setup:") == ["a=setup:actpass"]
    scene = trunk_hold(established())
    assert lines(scene.invite.body, "a=setup:") == ["a=setup:actpass"]


@pytest.mark.parametrize("outbound", [True, False])
def test_pain_8_a_reoffer_to_the_trunk_repeats_suite_key_and_tag_in_use_and_nothing_else(outbound: bool) -> None:
    if outbound:
        scene = established()
        first = scene.invite.body
    else:
        scene = inbound(Profile.STRICT, answer("RTP/SAVP", KEY)).calling().reply(200, BROWSER_ANSWER).ack()
        first = scene.responses[-1].body
    body = held(b"sendonly") if outbound else BROWSER_ANSWER.replace(b"sendrecv", b"sendonly")
    scene.inside(LegKind.BROWSER, "INVITE", body.replace(b"setup:active", b"setup:actpass"), cseq=2)
    (crypto,) = lines(scene.invite.body, "a=crypto:")
    assert " AES_CM_128_HMAC_SHA1_80 " in crypto
    assert crypto in lines(first, "a=crypto:")


def test_pain_9_no_sdes_key_ever_reaches_a_browser() -> None:
    scene = trunk_hold(established())
    inward = inbound(Profile.PREFER, answer("RTP/SAVP", KEY)).calling()
    shown = [r.body for r in scene.responses if r.call_id == "caller-call-id"] + [scene.invite.body]
    for body in [*shown, inward.invite.body]:
        assert b"crypto" not in body


def test_pain_10_a_dual_offer_is_answered_on_its_keyed_line_and_never_shown_to_the_browser() -> None:
    dual = answer() + f"m=audio 4010 RTP/SAVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n{KEY}\r\n".encode()
    scene = inbound(Profile.STRICT, dual).calling()
    assert len(lines(scene.invite.body, "m=")) == 1
    scene.reply(200, BROWSER_ANSWER)
    assert [line.split()[1] for line in lines(scene.responses[-1].body, "m=")] == ["0", "20000"]
    assert scene.records == ["call.start", "leg.secured"]


@pytest.mark.parametrize("profile", list(Profile))
def test_pain_11_optional_srtp_is_answered_with_the_profile_it_was_offered_with(profile: Profile) -> None:
    """RFC 8643: RTP/AVP with a=crypto is answered RTP/AVP with a=crypto, not RTP/SAVP."""
    scene = inbound(profile, answer("RTP/AVP", KEY)).calling().reply(200, BROWSER_ANSWER)
    assert lines(scene.responses[-1].body, "m=") == ["m=audio 20000 RTP/AVP 0 101"]
    assert len(lines(scene.responses[-1].body, "a=crypto:1 ")) == 1
    assert scene.records == ["call.start", "leg.secured"]


def test_pain_12_keys_in_an_answer_nobody_asked_for_are_ignored() -> None:
    scene = MachineScene(profile=Profile.LEGACY).calling().reply(200, answer("RTP/AVP", KEY))
    assert scene.responses[-1].status == 200
    assert not scene.relayed(SetKeys)
    assert scene.told(SetPeer)[-1].keyed is False
    assert "media.plain_rtp" in str(scene.record("leg.downgraded")["codes"])


def test_pain_13_the_offer_to_the_trunk_comes_from_its_policy_and_not_from_the_browser() -> None:
    suites = [line.split()[1] for line in lines(MachineScene().calling().invite.body, "a=crypto:")]
    assert suites == [suite.name for suite in SUITES]
    offer = lines(MachineScene(profile=Profile.LEGACY).calling().invite.body, "m=")[0].split()
    assert offer[2] == "RTP/AVP"


@pytest.mark.parametrize("padding", ["", "=="])
def test_pain_15_a_key_is_taken_with_and_without_its_padding(padding: str) -> None:
    key = base64.b64encode(bytes(range(28))).decode().rstrip("=")
    line = f"a=crypto:1 AEAD_AES_128_GCM inline:{key}{padding}"
    scene = inbound(Profile.STRICT, answer("RTP/SAVP", line)).calling().reply(200, BROWSER_ANSWER)
    assert scene.told(SetKeys)[-1].rx.reveal() == bytes(range(28))


def test_pain_16_the_answer_repeats_the_tag_of_the_offer() -> None:
    offer = answer("RTP/SAVP", KEY.replace(":1 ", ":1 X").replace("AES_CM", "NO_SUCH", 1), KEY.replace(":1 ", ":77 "))
    scene = inbound(Profile.STRICT, offer).calling().reply(200, BROWSER_ANSWER)
    assert len(lines(scene.responses[-1].body, "a=crypto:77 AES_CM_128_HMAC_SHA1_80 ")) == 1
    answered_wrong = MachineScene().calling()
    answered_wrong.reply(200, answer("RTP/SAVP", KEY.replace(":1 ", ":99 ")))
    assert finished(answered_wrong) is Termination.ENCRYPTION_IGNORED


def test_pain_17_a_trunk_without_encryption_is_never_offered_any_whatever_it_answers() -> None:
    scene = MachineScene(profile=Profile.LEGACY).calling().reply(200, answer("RTP/AVP", KEY)).ack()
    from_browser(scene, "INVITE", held(b"sendonly"))
    offers = [e.request.body for e in scene.all if isinstance(e, fx.SendRequest) and scene.kind(e.leg) is LegKind.TRUNK]
    assert len(offers) == 2
    assert not any(b"crypto" in body or b"SAVP" in body for body in offers)


@pytest.mark.parametrize("status", [415, 488, 606])
@pytest.mark.parametrize("profile", list(Profile))
def test_pain_18_a_refusal_of_srtp_is_retried_only_where_policy_says_so_and_never_unseen(
    profile: Profile, status: int
) -> None:
    scene = MachineScene(profile=profile).calling().reply(status)
    tries = [e.request.body for e in scene.all if isinstance(e, fx.SendRequest)]
    assert len(tries) == (2 if profile is Profile.PREFER else 1)
    if profile is Profile.PREFER:
        assert scene.record("leg.downgraded")["codes"] == ["media.savp_retry"]
    if profile is Profile.STRICT:
        assert finished(scene) is Termination.ENCRYPTION_REQUIRED


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("outbound", [True, False])
def test_pain_25_a_call_survives_a_refresh_every_quarter_of_an_hour(method: str, outbound: bool) -> None:
    offer = answer("RTP/SAVP", KEY)
    scene = established() if outbound else inbound(Profile.STRICT, offer).calling().reply(200, BROWSER_ANSWER).ack()
    for cseq in range(900, 930):
        body = offer if method == "INVITE" else b""
        from_trunk(scene, method, body, cseq)
        assert scene.responses[-1].status == 200
    assert finished(scene) is None
    assert [r for r in scene.records if r == "leg.violation"] == []


@pytest.mark.parametrize("profile", list(Profile))
def test_pain_27_an_invite_without_an_offer_gets_what_policy_would_offer(profile: Profile) -> None:
    ours = inbound(profile, b"").calling().reply(200, BROWSER_ANSWER).responses[-1].body
    assert (b"RTP/SAVP" in ours) is (profile is Profile.STRICT)  # what a 200 offers cannot be offered otherwise again
    assert (b"a=crypto" in ours) is (profile is not Profile.LEGACY)


def test_pain_27_and_so_does_a_reinvite_without_an_offer() -> None:
    scene = from_trunk(established(), "INVITE")
    ours = scene.responses[-1].body
    assert b"RTP/SAVP" in ours
    scene.ack_of(LegKind.TRUNK, 900, answer("RTP/AVP"))
    assert finished(scene) is not None
    assert not [e for e in scene.effects if isinstance(e, SetPeer)]


def test_pain_28_messages_without_a_body_leave_the_negotiation_alone() -> None:
    scene = MachineScene().calling()
    body = sdes_answer(scene.invite.body)
    scene.reply(180).reply(183, body).reply(180).reply(183).reply(200, body).ack().clear()
    for leg in LegKind:
        scene.inside(leg, "UPDATE", cseq=900).inside(leg, "OPTIONS", cseq=901)
    assert {type(e) for e in scene.effects} == {fx.Respond}
    assert scene.records == ["call.start", "leg.secured"]


def test_pain_28_a_200_without_a_body_ends_the_call_in_words_and_not_in_silence() -> None:
    scene = MachineScene().calling().reply(200)
    assert finished(scene) is Termination.BAD_SDP
    assert scene.responses[-1].status == 488
    assert [e.request.method for e in scene.all if isinstance(e, fx.SendRequest)] == ["INVITE", "BYE"]


def test_pain_29_another_fork_than_the_one_with_early_media_may_answer() -> None:
    scene = MachineScene().calling()
    offer = scene.invite.body
    scene.reply(183, sdes_answer(offer), tag="fork-a").clear()
    scene.reply(200, sdes_answer(offer, key="C" * 40).replace(b"audio 4002", b"audio 4900"), tag="fork-b")
    assert scene.responses[-1].status == 200
    assert scene.told(SetPeer)[-1].rtp.port == 4900
    keys = scene.relayed(SetKeys)
    assert keys[0].rx != keys[-1].rx
    assert keys[0].tx == keys[-1].tx
    assert len([e for e in scene.all if isinstance(e, fx.StartDtls)]) == 1


def test_pain_29_plain_early_media_never_opens_a_way_past_a_secure_answer() -> None:
    scene = MachineScene().calling().reply(183, answer(), tag="fork-a")
    assert scene.responses[-1].status == 180
    scene.reply(200, sdes_answer(scene.invite.body), tag="fork-b")
    assert [e.keyed for e in scene.relayed(SetPeer)][-1:] == [True]
    assert all(e.keyed for e in scene.relayed(SetPeer))


def test_pain_30_digits_keep_the_clock_of_the_codec_they_come_with() -> None:
    offered = MachineScene().calling().invite.body.decode()
    assert "telephone-event/8000" in offered
    scene = inbound(Profile.LEGACY, answer(), trunk_flow("udp")).calling()
    assert "telephone-event/8000" in scene.invite.body.decode()
    scene.reply(200, BROWSER_ANSWER)
    assert lines(scene.responses[-1].body, "a=rtpmap:101 ") == ["a=rtpmap:101 telephone-event/8000"]
    assert scene.keypads(LegKind.TRUNK, LegKind.BROWSER) == ({101: 8000}, {120: 8000})


def test_pain_30_events_have_the_clock_of_each_side_and_info_becomes_an_event() -> None:
    """Opus beside events at 8000 Hz only, as PBXs answer it; and the page tells its digits by INFO."""
    opus = (
        answer()
        .replace(b"RTP/AVP 0 101", b"RTP/AVP 107 101")
        .replace(b"a=rtpmap:0 PCMU/8000", b"a=rtpmap:107 opus/48000/2")
    )
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp")).calling().reply(200, opus).ack()
    assert scene.keypads(LegKind.TRUNK, LegKind.BROWSER)[1] == {110: 48000}
    assert scene.keypads(LegKind.BROWSER, LegKind.TRUNK)[1] == {101: 8000}
    scene.inside(LegKind.BROWSER, "INFO", b"Signal=1\r\n", cseq=9, extra=(("Content-Type", "application/dtmf-relay"),))
    assert [digit.leg for digit in scene.relayed(PlayDigit)] == [scene.id(LegKind.TRUNK)]


def test_pain_32_a_callee_cannot_make_us_follow_any_number_of_forks() -> None:
    scene = MachineScene().calling()
    for number in range(100):
        scene.reply(180, tag=f"fork-{number}")
    assert len({e.key for e in scene.all if isinstance(e, fx.TrackDialog) and scene.kind(e.leg) is LegKind.TRUNK}) <= 16
    scene.reply(200, sdes_answer(scene.invite.body), tag="winner")
    assert [e.key[2] for e in scene.all if isinstance(e, fx.TrackDialog)][-2:].count("winner") == 1
