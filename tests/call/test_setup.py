"""From the caller's INVITE to its answer, without sockets: every profile against every kind of answer."""

from __future__ import annotations

import pytest

from gateway.base.crypto_suite import SUITES
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.media.relay_commands import SetKeys, SetPeer
from gateway.sip.flow import Flow
from tests.call.machine_scene import MachineScene, answer, sdes_answer, trunk_flow, vector


def finished(scene: MachineScene) -> Termination | None:
    ends = [e.termination for e in scene.all if isinstance(e, fx.Finished)]
    assert len(ends) <= 1
    return ends[0] if ends else None


def test_a_strict_call_over_verified_tls_is_offered_savp_only_and_secured_before_the_200() -> None:
    scene = MachineScene().calling()
    assert b"RTP/SAVP" in scene.invite.body
    assert scene.invite.body.count(b"a=crypto:") == len(SUITES)
    for secret in (b"ice-ufrag", b"candidate", b"fingerprint", b"msid", b"extmap", b"192.0.2.2"):
        assert secret not in scene.invite.body
    scene.reply(200, sdes_answer(scene.invite.body))
    order = scene.order(fx.WriteAudit, SetKeys, SetPeer, fx.Respond, fx.SendAck)
    assert order.index("WriteAudit", 1) < order.index("SetKeys") < order.index("Respond")
    assert scene.records == ["call.start", "leg.secured"]
    ok = scene.responses[-1]
    assert ok.status == 200
    assert "grade=HOP_BY_HOP" in (ok.headers.get("Call-Security") or "")
    assert b"a=crypto" not in ok.body
    assert b"a=setup:passive" in ok.body


def test_keys_leave_for_the_relay_only_after_the_browser_leg_is_recorded() -> None:
    scene = MachineScene().calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack()
    assert not [e for e in scene.all if isinstance(e, fx.ReleaseDtlsKeys)]
    scene.feed(scene.keyed())
    assert scene.order(fx.WriteAudit, fx.ReleaseDtlsKeys)[-2:] == ["WriteAudit", "ReleaseDtlsKeys"]
    assert scene.records == ["call.start", "leg.secured", "leg.secured"]


@pytest.mark.parametrize("status", [488, 415, 606])
def test_strict_passes_the_trunks_refusal_of_savp_on_and_never_retries(status: int) -> None:
    scene = MachineScene().calling().reply(status)
    assert finished(scene) is Termination.ENCRYPTION_REQUIRED
    assert scene.records == ["call.start", "leg.violation"]
    assert scene.responses[-1].status == 488
    assert "302" in (scene.responses[-1].headers.get("Warning") or "")
    assert len([e for e in scene.all if isinstance(e, fx.SendRequest)]) == 1


def test_strict_ends_a_call_whose_answer_agrees_to_savp_without_a_key() -> None:
    scene = MachineScene().calling().reply(200, answer("RTP/SAVP"))
    assert finished(scene) is Termination.ENCRYPTION_IGNORED
    assert scene.record("leg.violation")["codes"] == ["media.crypto_ignored"]
    assert [e.request.method for e in scene.all if isinstance(e, fx.SendRequest)] == ["INVITE", "BYE"]
    assert not scene.relayed(SetPeer)
    assert scene.responses[-1].status == 488


@pytest.mark.parametrize("flow", [trunk_flow("udp"), trunk_flow("tcp"), trunk_flow("tls", verified=False)])
def test_strict_sends_no_key_over_signalling_that_cannot_protect_it(flow: Flow) -> None:
    scene = MachineScene(flow=flow).begin().connect()
    assert finished(scene) is Termination.ENCRYPTION_IMPOSSIBLE
    assert scene.responses[-1].status == 403
    assert not [e for e in scene.all if isinstance(e, fx.SendRequest)]
    assert scene.records == ["call.start", "leg.violation"]


@pytest.mark.parametrize("status", [488, 415, 606])
def test_prefer_records_the_retry_before_the_plain_invite_leaves(status: int) -> None:
    scene = MachineScene(profile=Profile.PREFER).calling()
    first = scene.invite
    scene.reply(status)
    second = scene.invite
    assert (second.call_id, second.from_.tag) == (first.call_id, first.from_.tag)
    assert second.cseq.number == first.cseq.number + 1
    assert b"RTP/AVP" in second.body
    assert b"a=crypto" not in second.body
    assert scene.order(fx.WriteAudit, fx.SendRequest) == ["WriteAudit", "SendRequest", "WriteAudit", "SendRequest"]
    assert scene.record("leg.downgraded")["codes"] == ["media.savp_retry"]
    scene.reply(200, answer("RTP/AVP"))
    assert scene.responses[-1].status == 200
    assert "grade=CLEARTEXT" in (scene.responses[-1].headers.get("Call-Security") or "")
    assert "media.plain_rtp" in str(scene.record("leg.downgraded")["codes"])


def test_prefer_retries_once_only() -> None:
    scene = MachineScene(profile=Profile.PREFER).calling().reply(488).reply(488)
    assert finished(scene) is Termination.NOT_ACCEPTABLE
    assert len([e for e in scene.all if isinstance(e, fx.SendRequest)]) == 2


def test_osrtp_lets_the_answer_decide_and_names_the_fallback() -> None:
    scene = MachineScene(profile=Profile.OSRTP).calling()
    assert b"RTP/AVP" in scene.invite.body
    assert b"a=crypto" in scene.invite.body
    scene.reply(200, answer("RTP/AVP"))
    assert {"media.osrtp_fallback", "media.plain_rtp"} <= set(scene.record("leg.downgraded")["codes"])  # type: ignore[call-overload]


def test_osrtp_with_keys_in_the_answer_over_verified_tls_is_secured() -> None:
    scene = MachineScene(profile=Profile.OSRTP).calling()
    tag = next(
        line.split()[0].split(":")[1] for line in scene.invite.body.decode().splitlines() if "AES_CM_128_HMAC" in line
    )
    scene.reply(200, answer("RTP/AVP", f"a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}"))
    assert scene.records == ["call.start", "leg.secured"]


def test_legacy_offers_plain_and_says_so() -> None:
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp")).calling()
    assert b"a=crypto" not in scene.invite.body
    scene.reply(180)
    ringing = scene.responses[-1]
    assert ringing.status == 180
    assert "grade=CLEARTEXT" in (ringing.headers.get("Call-Security") or "")
    scene.reply(200, answer())
    assert scene.records == ["call.start", "leg.downgraded"]
    assert scene.responses[-1].status == 200


def test_an_emergency_call_over_a_strict_trunk_connects_in_clear_after_a_refusal() -> None:
    scene = MachineScene(emergency=True, flow=trunk_flow("udp")).calling().reply(488).reply(200, answer())
    assert finished(scene) is None
    assert scene.responses[-1].status == 200


@pytest.mark.parametrize(
    "broken",
    [
        vector("chromium_offer").replace(b"a=rtcp-mux\r\n", b""),
        vector("chromium_offer").replace(b"UDP/TLS/RTP/SAVPF", b"RTP/AVP"),
        vector("chromium_offer").replace(b"a=ice-ufrag", b"a=x-ufrag"),
        vector("chromium_offer").replace(
            b"a=setup", b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"A" * 40 + b"\r\na=setup"
        ),
    ],
)
def test_a_browser_offer_that_is_not_webrtc_is_refused(broken: bytes) -> None:
    scene = MachineScene(offer=broken).begin()
    assert finished(scene) is Termination.BROWSER_OFFER_INSECURE
    assert scene.responses[-1].status == 488
    assert "leg.violation" in scene.records


def test_early_media_is_answered_with_183_and_the_200_brings_the_same_session() -> None:
    scene = MachineScene().calling()
    early = sdes_answer(scene.invite.body)
    scene.reply(183, early)
    assert scene.responses[-1].status == 183
    progress = scene.responses[-1].body
    scene.reply(200, early)
    assert scene.responses[-1].status == 200
    assert scene.responses[-1].body == progress
    assert scene.records == ["call.start", "leg.secured"]
    assert len([e for e in scene.all if isinstance(e, fx.StartDtls)]) == 1


def test_plain_early_media_under_strict_is_not_played() -> None:
    """POLICY early.plain: muted, the caller hears local ringback."""
    scene = MachineScene().calling().reply(183, answer("RTP/AVP"))
    assert scene.responses[-1].status == 180
    assert not scene.responses[-1].body
    assert not scene.relayed(SetPeer)


def test_the_losing_fork_is_acknowledged_and_released() -> None:
    scene = MachineScene().calling()
    body = sdes_answer(scene.invite.body)
    scene.reply(200, body, tag="winner").clear().reply(200, body, tag="loser")
    assert len(scene.take(fx.SendAck)) == 1
    (bye,) = scene.take(fx.SendRequest)
    assert bye.request.method == "BYE"
    assert bye.request.to.tag == "loser"


def test_a_repeated_200_is_acknowledged_again_and_changes_nothing() -> None:
    scene = MachineScene().calling()
    body = sdes_answer(scene.invite.body)
    scene.reply(200, body).clear().reply(200, body)
    assert [type(e) for e in scene.effects] == [fx.SendAck]


def test_no_common_codec_is_488() -> None:
    scene = MachineScene().calling()
    body = sdes_answer(scene.invite.body).replace(b"audio 4002 RTP/SAVP 0 101", b"audio 4002 RTP/SAVP 18 101")
    scene.reply(200, body.replace(b"a=rtpmap:0 PCMU/8000", b"a=rtpmap:18 G729/8000"))
    assert finished(scene) is Termination.NO_COMMON_CODEC
    assert scene.responses[-1].status == 488


def test_cancel_ends_the_callees_invite_and_answers_487() -> None:
    scene = MachineScene().calling().reply(180).feed(events.CancelIn())
    assert scene.responses[-1].status == 487
    assert scene.order(fx.CancelInvite) == ["CancelInvite"]
    assert finished(scene) is Termination.CANCELLED


def test_a_200_that_crosses_the_cancel_is_acknowledged_and_ended() -> None:
    scene = MachineScene().calling().reply(180).feed(events.CancelIn()).clear()
    scene.reply(200, sdes_answer(scene.invite.body))
    assert [type(e) for e in scene.effects if isinstance(e, fx.SendAck | fx.SendRequest)] == [
        fx.SendAck,
        fx.SendRequest,
    ]


@pytest.mark.parametrize(
    ("status", "expected"), [(486, 486), (404, 404), (603, 603), (401, 502), (503, 503), (500, 500), (302, 480)]
)
def test_the_callees_refusal_reaches_the_caller(status: int, expected: int) -> None:
    scene = MachineScene().calling().reply(status)
    assert scene.responses[-1].status == expected
    assert len([e for e in scene.all if isinstance(e, fx.Forget)]) == 1


@pytest.mark.parametrize(
    ("verification", "termination"),
    [("", Termination.TRUNK_UNREACHABLE), ("certificate has expired", Termination.TRUNK_UNVERIFIED)],
)
def test_a_trunk_that_cannot_be_reached_or_verified_is_503_with_a_reason(
    verification: str, termination: Termination
) -> None:
    scene = MachineScene().begin().unreachable("no way", verification)
    assert finished(scene) is termination
    assert scene.responses[-1].status == 503
    assert termination.words in (scene.responses[-1].headers.get("Warning") or "")
    assert scene.responses[-1].headers.get("Retry-After") is None


def test_a_fingerprint_mismatch_ends_the_call_and_no_key_is_released() -> None:
    scene = MachineScene().calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack().clear()
    scene.feed(events.DtlsFailed(scene.id(LegKind.BROWSER), Termination.FINGERPRINT_MISMATCH))
    assert not scene.take(fx.ReleaseDtlsKeys)
    assert [e.request.method for e in scene.take(fx.SendRequest)] == ["BYE", "BYE"]
    assert all("cause=488" in (e.request.headers.get("Reason") or "") for e in scene.take(fx.SendRequest))
    assert scene.record("leg.violation")["codes"] == ["dtls.fp_mismatch"]


def test_media_that_is_not_keyed_in_time_ends_the_call() -> None:
    scene = MachineScene().calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack()
    assert [e.seconds for e in scene.all if isinstance(e, fx.SetTimer) and e.name is fx.Timer.KEYED] == [10.0]
    scene.feed(scene.fires(fx.Timer.KEYED))
    assert finished(scene) is Termination.MEDIA_NOT_KEYED


def test_the_bye_after_an_unacknowledged_200_waits_for_the_ack() -> None:
    """RFC 3261 15: no BYE on a dialog whose 200 is not acknowledged yet."""
    scene = MachineScene().calling()
    scene.reply(200, sdes_answer(scene.invite.body)).clear()
    scene.feed(events.Lost(Termination.CONSENT_LOST))
    assert [scene.kind(e.leg).value for e in scene.take(fx.SendRequest)] == ["trunk"]
    scene.reply(200, purpose=fx.Purpose.BYE)
    assert not scene.take(fx.Forget)
    scene.clear().ack()
    assert [scene.kind(e.leg).value for e in scene.take(fx.SendRequest)] == ["browser"]
    scene.clear().ack()
    assert not scene.take(fx.SendRequest)
    scene.reply(200, purpose=fx.Purpose.BYE)
    assert len(scene.take(fx.Forget)) == 1


def test_copies_of_call_security_from_the_trunk_never_reach_the_browser() -> None:
    """Abuse C-22: only the gateway's own header is believed."""
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp")).calling()
    scene.reply(200, answer())
    values = scene.responses[-1].headers.get_all("Call-Security")
    assert len(values) == 1
    assert "CLEARTEXT" in values[0]


def test_a_refused_leg_is_graded_as_what_was_refused() -> None:
    scene = MachineScene().calling().reply(488)
    violation = scene.record("leg.violation")
    assert (violation["grade_after"], violation["checkpoint"]) == ("CLEARTEXT", "P3")
    ignored = MachineScene().calling().reply(200, answer("RTP/SAVP")).record("leg.violation")
    assert ignored["grade_after"] == "CLEARTEXT"


def test_early_media_is_recorded_at_its_own_checkpoint() -> None:
    scene = MachineScene().calling()
    scene.reply(183, sdes_answer(scene.invite.body))
    assert scene.record("leg.secured")["checkpoint"] == "P2"


@pytest.mark.parametrize("profile", list(Profile))
def test_a_browser_that_is_never_keyed_has_a_record_that_says_so(profile: Profile) -> None:
    scene = MachineScene(profile=profile).calling()
    scene.reply(200, sdes_answer(scene.invite.body) if b"RTP/SAVP" in scene.invite.body else answer()).ack()
    scene.feed(scene.fires(fx.Timer.KEYED))
    record = scene.record("leg.violation")
    assert (record["leg"], record["codes"]) == ("browser", ["early.unkeyed"])
    assert scene.order(fx.WriteAudit, fx.Finished)[-1] == "Finished"


@pytest.mark.parametrize("outbound", [True, False])
def test_a_call_that_ends_before_its_browser_is_keyed_leaves_a_pending_record_before_its_end(outbound: bool) -> None:
    key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40
    scene = MachineScene(
        outbound=outbound, offer=vector("chromium_offer") if outbound else answer("RTP/SAVP", key)
    ).calling()
    scene.reply(200, sdes_answer(scene.invite.body) if outbound else vector("chromium_answer_to_rtpengine")).ack()
    scene.feed(events.Lost(Termination.CONSENT_LOST))
    assert scene.record("leg.pending")["leg"] == "browser"
    assert scene.records.count("leg.pending") == 1
    assert scene.order(fx.WriteAudit, fx.Finished)[-1] == "Finished"


def test_a_call_that_was_never_answered_has_no_leg_to_record() -> None:
    scene = MachineScene().calling().reply(180).feed(events.CancelIn())
    assert scene.records == ["call.start"]
