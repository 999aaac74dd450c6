"""A trunk that is keyed by DTLS-SRTP (RFC 5763, RFC 8842): offers, answers, retries and changes, without sockets."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from gateway.base.codes import Code
from gateway.base.crypto_suite import AEAD_AES_128_GCM
from gateway.base.grades import Grade
from gateway.base.keying import Keying, Proto, Setup
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import HostPort, LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.media.relay_commands import DropKeys, SetIce, SetKeys, SetPeer
from gateway.policy.model import BUILT_IN, ProfileRules
from gateway.sdp.description import SessionDescription
from gateway.sdp.media import RemoteAudio, audio_lines
from gateway.sip.flow import Flow
from gateway.trunks.model import TrunkDtls
from tests.call.machine_scene import FINGERPRINT, MachineScene, answer, request, sdes_answer, trunk_flow
from tests.call.test_change import held
from tests.call.test_setup import finished
from tests.call.test_telling import BROWSER_ANSWER

DTLS, SDES = Keying.DTLS, Keying.SDES
THEIRS = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
OTHERS = "a=fingerprint:sha-256 " + ":".join(["CD"] * 32)
WEAK = "a=fingerprint:sha-1 " + ":".join(["AB"] * 20)
SAVP = "UDP/TLS/RTP/SAVP"
CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40
ICE = ("a=ice-ufrag:abcd", "a=ice-pwd:" + "p" * 22, "a=rtcp-mux")


def rules(profile: Profile, *ways: Keying, **more: object) -> ProfileRules:
    return replace(BUILT_IN[profile], ways=ways, **more)  # type: ignore[arg-type]


def calling(
    profile: Profile = Profile.STRICT, *ways: Keying, flow: Flow | None = None, dtls: TrunkDtls | None = None
) -> MachineScene:
    """Up to the INVITE of a trunk that is offered DTLS, or whatever the ways say."""
    scene = MachineScene(profile=profile, rules=rules(profile, *(ways or (DTLS,))), flow=flow or trunk_flow())
    return (scene.configure(dtls=dtls) if dtls is not None else scene).calling()


def inbound(
    body: bytes,
    profile: Profile = Profile.STRICT,
    flow: Flow | None = None,
    dtls: TrunkDtls | None = None,
    ways: tuple[Keying, ...] = (),
    **more: object,
) -> MachineScene:
    """A trunk calls with this offer."""
    scene = MachineScene(
        profile=profile, rules=rules(profile, *ways, **more), outbound=False, offer=body, flow=flow or trunk_flow()
    )
    return (scene.configure(dtls=dtls) if dtls is not None else scene).calling()


def handshake_over(scene: MachineScene, number: int = 1) -> MachineScene:
    leg = scene.id(LegKind.TRUNK)
    return scene.feed(events.DtlsConnected(leg, AEAD_AES_128_GCM, "DTLSv1.2", "sha-256", number))


def talking(*lines: str, flow: Flow | None = None, profile: Profile = Profile.STRICT) -> MachineScene:
    """A call over a trunk whose handshake is over; its answer had these lines."""
    scene = calling(profile, flow=flow).reply(200, answer(SAVP, *(lines or (THEIRS, "a=setup:active")))).ack()
    scene.feed(scene.keyed())
    return handshake_over(scene).clear()


def codes(scene: MachineScene, kind: str) -> list[str]:
    """What the last record of that kind says."""
    return [str(code) for code in cast(list[str], scene.record(kind)["codes"])]


def started(scene: MachineScene) -> list[fx.StartDtls]:
    """Handshakes of the trunk's leg that were begun."""
    leg = scene.id(LegKind.TRUNK)
    return [e for e in scene.all if isinstance(e, fx.StartDtls) and e.leg == leg]


def said(body: bytes) -> RemoteAudio:
    (line,) = audio_lines(SessionDescription.parse(body))
    return line


def changed(scene: MachineScene, *lines: str, cseq: int = 900, port: int = 4002, proto: str = SAVP) -> MachineScene:
    """The trunk's re-INVITE."""
    return scene.inside(LegKind.TRUNK, "INVITE", answer(proto, *lines, port=port), cseq=cseq)


# Offers.


def test_a_trunk_that_is_offered_dtls_gets_our_fingerprint_and_the_choice_of_roles_and_no_key() -> None:
    ours = said(calling().invite.body)
    assert (ours.proto, ours.setup, ours.fingerprints) == (Proto.DTLS_SAVP, Setup.ACTPASS, (FINGERPRINT,))
    assert len(ours.tls_id) >= 20
    assert (ours.crypto_lines, ours.ice) == (0, None)


@pytest.mark.parametrize("proto", [Proto.DTLS_SAVP, Proto.DTLS_SAVPF, Proto.SAVPF])
def test_an_offer_of_dtls_is_written_as_the_trunk_wants_it(proto: Proto) -> None:
    ours = said(calling(dtls=TrunkDtls(transport=proto)).invite.body)
    assert (ours.proto, ours.fingerprints, ours.crypto_lines) == (proto, (FINGERPRINT,), 0)


def test_ice_is_offered_where_the_trunk_says_so_with_mux_and_a_candidate_that_is_our_port() -> None:
    body = calling(dtls=TrunkDtls(transport=Proto.DTLS_SAVPF, ice=True)).invite.body
    ours = said(body)
    assert ours.ice is not None
    assert (ours.ice.lite, ours.rtcp_mux) == (True, True)
    assert b"a=candidate:1 1 udp 2130706431 127.0.0.1 20000 typ host" in body


def test_osrtp_offers_both_kinds_of_keys_and_demands_none() -> None:
    """RFC 8643 3.1."""
    ours = said(calling(Profile.OSRTP, DTLS, SDES).invite.body)
    assert (ours.proto, ours.fingerprints, ours.setup) == (Proto.AVP, (FINGERPRINT,), Setup.ACTPASS)
    assert ours.cryptos


@pytest.mark.parametrize("flow", [trunk_flow("udp"), trunk_flow("tcp"), trunk_flow("tls", verified=False)])
def test_strict_offers_no_fingerprint_over_signalling_that_vouches_for_nothing(flow: Flow) -> None:
    scene = calling(flow=flow)
    assert finished(scene) is Termination.ENCRYPTION_IMPOSSIBLE
    assert codes(scene, "leg.violation") == ["key.dtls_fp_unauth"]
    assert not [e for e in scene.all if isinstance(e, fx.SendRequest)]


# Answers.


def test_the_record_comes_before_the_keys_and_nothing_is_sent_before_the_handshake() -> None:
    scene = calling().reply(200, answer(SAVP, THEIRS, "a=setup:active"))
    (peer,) = scene.relayed(SetPeer)
    assert (peer.keyed, peer.dtls, peer.ice, peer.rtp) == (True, True, False, HostPort("127.0.0.2", 4002))
    (begun,) = started(scene)
    assert (begun.role, begun.checks_paths, begun.rtcp) == ("server", False, True)
    assert not scene.relayed(SetKeys)
    assert "leg.secured" not in scene.records
    scene.ack().clear()
    handshake_over(scene)
    assert scene.order(fx.WriteAudit, fx.ReleaseDtlsKeys)[-2:] == ["WriteAudit", "ReleaseDtlsKeys"]
    vector = scene.trunk_leg.vector
    assert (vector.keying, vector.grade, vector.suite) == (DTLS, Grade.HOP_BY_HOP, AEAD_AES_128_GCM)


def test_over_udp_the_grade_is_unauthenticated_and_the_record_says_why() -> None:
    scene = calling(Profile.PREFER, flow=trunk_flow("udp")).reply(200, answer(SAVP, THEIRS, "a=setup:active"))
    handshake_over(scene.ack())
    assert scene.trunk_leg.vector.grade is Grade.UNAUTHENTICATED
    assert codes(scene, "leg.downgraded") == ["key.dtls_fp_unauth"]


@pytest.mark.parametrize(("setup", "role"), [("active", "server"), ("passive", "client")])
def test_the_role_is_what_the_answer_leaves_us(setup: str, role: str) -> None:
    (begun,) = started(calling().reply(200, answer(SAVP, THEIRS, f"a=setup:{setup}")))
    assert begun.role == role


@pytest.mark.parametrize("setup", ["actpass", "holdconn"])
def test_an_answer_that_chooses_no_role_is_no_answer(setup: str) -> None:
    scene = calling().reply(200, answer(SAVP, THEIRS, f"a=setup:{setup}"))
    assert finished(scene) is Termination.BAD_SDP
    assert not started(scene)


@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.PREFER])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(answer(SAVP, "a=setup:active"), Code.MEDIA_CRYPTO_IGNORED, id="no fingerprint"),
        pytest.param(answer(SAVP, WEAK, "a=setup:active"), Code.DTLS_FP_WEAK, id="SHA-1"),
        pytest.param(answer("RTP/AVP"), Code.MEDIA_CRYPTO_IGNORED, id="AVP"),
        pytest.param(answer("RTP/AVP", THEIRS, "a=setup:active"), Code.MEDIA_CRYPTO_IGNORED, id="AVP, fingerprint"),
        pytest.param(answer("RTP/SAVP", CRYPTO), Code.MEDIA_CRYPTO_IGNORED, id="SDES"),
        pytest.param(answer(SAVP, CRYPTO), Code.MEDIA_MIXED_KEYING, id="SDES for DTLS"),
        pytest.param(answer(SAVP, CRYPTO, THEIRS, "a=setup:active"), Code.MEDIA_MIXED_KEYING, id="both"),
    ],
)
def test_an_answer_that_does_not_keep_to_dtls_ends_the_call(profile: Profile, body: bytes, code: Code) -> None:
    scene = calling(profile).reply(200, body)
    assert code in codes(scene, "leg.violation")
    assert finished(scene) in (
        Termination.ENCRYPTION_IGNORED,
        Termination.ENCRYPTION_UNUSABLE,
        Termination.BAD_SDP,
    )
    assert not started(scene)
    assert not scene.relayed(SetPeer)


def test_a_policy_that_names_hashes_believes_no_other() -> None:
    scene = MachineScene(rules=rules(Profile.STRICT, DTLS, fingerprints=("sha-512",))).calling()
    scene.reply(200, answer(SAVP, THEIRS, "a=setup:active"))
    assert codes(scene, "leg.violation") == ["dtls.fp_weak"]


@pytest.mark.parametrize("line", [THEIRS, CRYPTO])
def test_osrtp_is_answered_with_one_kind_of_keys_or_none(line: str) -> None:
    scene = calling(Profile.OSRTP, DTLS, SDES)
    ours = said(scene.invite.body)
    answered = answer("RTP/AVP", THEIRS, "a=setup:active")
    if line is CRYPTO:
        answered = sdes_answer(scene.invite.body).replace(b"RTP/SAVP", b"RTP/AVP")
    scene.reply(200, answered)
    assert ours.has_keys
    assert bool(started(scene)) == (line is THEIRS)
    assert bool(scene.relayed(SetKeys)) == (line is CRYPTO)
    assert scene.relayed(SetPeer)[-1].keyed


def test_osrtp_that_is_not_taken_up_is_plain_and_says_so() -> None:
    scene = calling(Profile.OSRTP, DTLS, SDES).reply(200, answer("RTP/AVP"))
    assert "media.osrtp_fallback" in codes(scene, "leg.downgraded")
    assert not started(scene)


def test_osrtp_by_dtls_is_graded_by_its_signalling_and_noted_as_avp() -> None:
    scene = calling(Profile.OSRTP, DTLS, SDES).reply(200, answer("RTP/AVP", THEIRS, "a=setup:active"))
    handshake_over(scene.ack())
    assert scene.trunk_leg.vector.grade is Grade.HOP_BY_HOP
    assert "media.avp_with_crypto" in codes(scene, "leg.secured")


# Retries.


def test_other_keys_are_tried_before_none_and_each_plain_retry_is_on_record() -> None:
    scene = calling(Profile.PREFER, DTLS, SDES)
    assert said(scene.invite.body).proto is Proto.DTLS_SAVP
    scene.reply(488)
    assert (said(scene.invite.body).proto, bool(said(scene.invite.body).cryptos)) == (Proto.SAVP, True)
    assert "leg.downgraded" not in scene.records
    scene.reply(488)
    assert said(scene.invite.body).proto is Proto.AVP
    assert codes(scene, "leg.downgraded") == ["media.savp_retry"]
    scene.reply(488)
    assert finished(scene) is Termination.NOT_ACCEPTABLE


def test_strict_tries_other_keys_and_then_gives_up() -> None:
    scene = calling(Profile.STRICT, SDES, DTLS).reply(488)
    assert said(scene.invite.body).proto is Proto.DTLS_SAVP
    scene.reply(488)
    assert finished(scene) is Termination.ENCRYPTION_REQUIRED


def test_keys_that_this_connection_would_expose_are_not_tried_either() -> None:
    asked = rules(Profile.PREFER, DTLS, SDES, require=Grade.UNAUTHENTICATED, sdes_needs_verified_tls=True)
    scene = MachineScene(profile=Profile.PREFER, rules=asked, flow=trunk_flow("udp")).calling().reply(488)
    assert finished(scene) is Termination.ENCRYPTION_REQUIRED
    assert len([e for e in scene.all if isinstance(e, fx.SendRequest)]) == 1


def test_a_trunk_that_agreed_to_dtls_in_an_18x_is_not_called_in_the_clear_afterwards() -> None:
    scene = calling(Profile.PREFER).reply(183, answer(SAVP, THEIRS, "a=setup:active")).reply(488)
    assert finished(scene) is Termination.ENCRYPTION_WITHDRAWN
    assert "pin.bid_down" in codes(scene, "leg.violation")


# Offers of the trunk.


@pytest.mark.parametrize("proto", [SAVP, "UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "RTP/SAVP"])
@pytest.mark.parametrize(("wanted", "role"), [(Setup.PASSIVE, "server"), (Setup.ACTIVE, "client")])
def test_an_offer_of_dtls_is_answered_by_its_own_transport_with_the_role_that_is_configured(
    proto: str, wanted: Setup, role: str
) -> None:
    scene = inbound(answer(proto, THEIRS, "a=setup:actpass"), dtls=TrunkDtls(wanted)).reply(200, BROWSER_ANSWER)
    ours = said(scene.responses[-1].body)
    assert (ours.proto.value, ours.setup, ours.fingerprints) == (proto, wanted, (FINGERPRINT,))
    assert (ours.tls_id, ours.ice, ours.crypto_lines) == ("", None, 0)
    (begun,) = started(scene)
    assert begun.role == role


@pytest.mark.parametrize(("offered", "ours"), [("active", Setup.PASSIVE), ("passive", Setup.ACTIVE)])
def test_an_offer_that_has_chosen_its_role_leaves_us_the_other(offered: str, ours: Setup) -> None:
    scene = inbound(answer(SAVP, THEIRS, f"a=setup:{offered}")).reply(200, BROWSER_ANSWER)
    assert said(scene.responses[-1].body).setup is ours


def test_attributes_of_the_session_count_as_those_of_the_stream() -> None:
    """RFC 8122 5, RFC 4145 4: baresip writes both before the m-line, and the hash in capitals."""
    body = answer("UDP/TLS/RTP/SAVPF")
    body = body.replace(b"t=0 0\r\n", f"t=0 0\r\na=setup:actpass\r\n{THEIRS.replace('sha', 'SHA')}\r\n".encode())
    scene = inbound(body).reply(200, BROWSER_ANSWER)
    (begun,) = started(scene)
    assert [one.algorithm for one in begun.fingerprints] == ["sha-256"]


def test_who_names_its_association_hears_the_name_of_ours() -> None:
    scene = inbound(answer(SAVP, THEIRS, "a=setup:actpass", "a=tls-id:" + "x" * 20)).reply(200, BROWSER_ANSWER)
    assert len(said(scene.responses[-1].body).tls_id) >= 20


def test_an_offer_with_ice_is_answered_with_ice_lite_and_waits_for_a_path() -> None:
    scene = inbound(answer(SAVP, THEIRS, "a=setup:actpass", *ICE)).reply(200, BROWSER_ANSWER)
    ours = said(scene.responses[-1].body)
    assert ours.ice is not None
    assert (ours.ice.lite, ours.rtcp_mux) == (True, True)
    (names,) = scene.relayed(SetIce)
    assert names.ufrag == ours.ice.ufrag
    assert scene.relayed(SetPeer)[-1].ice
    (begun,) = started(scene)
    assert (begun.checks_paths, begun.rtcp) == (True, False)


@pytest.mark.parametrize("lines", [ICE[:2], (*ICE, "a=ice-lite")])
def test_ice_that_an_ice_lite_end_cannot_do_is_left_out_of_the_answer(lines: tuple[str, ...]) -> None:
    body = answer(SAVP, THEIRS, "a=setup:actpass", *lines)
    if "a=ice-lite" in lines:
        body = body.replace(b"\r\na=ice-lite", b"").replace(b"t=0 0\r\n", b"t=0 0\r\na=ice-lite\r\n")
    scene = inbound(body).reply(200, BROWSER_ANSWER)
    assert said(scene.responses[-1].body).ice is None
    assert not scene.relayed(SetPeer)[-1].ice


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (answer(SAVP, "a=setup:actpass"), Code.MEDIA_CRYPTO_IGNORED),
        (answer(SAVP, WEAK, "a=setup:actpass"), Code.DTLS_FP_WEAK),
        (answer("TCP/DTLS/RTP/SAVP", THEIRS, "a=setup:actpass"), Code.MEDIA_KEYING_UNKNOWN),
    ],
)
def test_an_offer_of_dtls_that_cannot_be_taken_is_refused_by_every_profile(
    profile: Profile, body: bytes, code: Code
) -> None:
    scene = inbound(body, profile)
    assert scene.responses[-1].status == 488
    assert codes(scene, "leg.violation") == [code]


@pytest.mark.parametrize(("answers", "way"), [((), SDES), ((DTLS, SDES), DTLS), ((SDES,), SDES), ((DTLS,), DTLS)])
def test_of_two_kinds_of_keys_in_one_offer_the_policy_takes_one(answers: tuple[Keying, ...], way: Keying) -> None:
    body = answer("RTP/SAVP", CRYPTO, THEIRS, "a=setup:actpass")
    scene = inbound(body, answers=answers).reply(200, BROWSER_ANSWER)
    ours = said(scene.responses[-1].body)
    assert (bool(ours.cryptos), bool(ours.fingerprints)) == (way is SDES, way is DTLS)


@pytest.mark.parametrize(
    ("answers", "body"),
    [((SDES,), answer(SAVP, THEIRS, "a=setup:actpass")), ((DTLS,), answer("RTP/SAVP", CRYPTO))],
)
def test_a_kind_of_keys_that_the_policy_does_not_take_is_refused(answers: tuple[Keying, ...], body: bytes) -> None:
    scene = inbound(body, answers=answers)
    assert codes(scene, "leg.violation") == ["media.keying_unknown"]


def test_strict_takes_no_fingerprint_that_came_over_udp() -> None:
    scene = inbound(answer(SAVP, THEIRS, "a=setup:actpass"), flow=trunk_flow("udp"))
    assert scene.responses[-1].status in (403, 488)
    assert "key.dtls_fp_unauth" in codes(scene, "leg.violation")


# Changes.


def test_a_change_by_the_same_certificate_and_role_keeps_the_association_and_its_keys() -> None:
    scene = changed(talking(), THEIRS, "a=setup:actpass")
    assert scene.responses[-1].status == 200
    assert said(scene.responses[-1].body).setup is Setup.PASSIVE
    assert len(started(scene)) == 1
    assert not scene.told(DropKeys)
    assert scene.trunk_leg.vector.keying is DTLS


@pytest.mark.parametrize(
    ("lines", "port"),
    [
        pytest.param((OTHERS, "a=setup:actpass"), 4002, id="certificate"),
        pytest.param((THEIRS, OTHERS, "a=setup:actpass"), 4002, id="one more certificate"),
        pytest.param((THEIRS, "a=setup:passive"), 4002, id="role"),
        pytest.param((THEIRS, "a=setup:actpass", "a=tls-id:" + "y" * 20), 4002, id="name"),
        pytest.param((THEIRS, "a=setup:actpass"), 4010, id="address"),
    ],
)
def test_another_certificate_role_name_or_address_is_another_association(lines: tuple[str, ...], port: int) -> None:
    """RFC 8842 4: what was agreed on before has no keys for it, and nothing is sent under the old ones."""
    scene = changed(talking(), *lines, port=port)
    assert scene.responses[-1].status == 200
    done = [type(e).__name__ for e in scene.done if isinstance(e, DropKeys | SetPeer | fx.StartDtls | fx.Respond)]
    assert done == ["DropKeys", "SetPeer", "StartDtls", "Respond"]
    assert [begun.number for begun in started(scene)] == [1, 2]
    assert scene.trunk_leg.vector.keying is Keying.PENDING
    handshake_over(scene, 1)
    assert scene.trunk_leg.awaits_keys, "an outcome of the one before means nothing"
    handshake_over(scene, 2)
    assert scene.trunk_leg.vector.keying is DTLS
    assert scene.take(fx.ReleaseDtlsKeys)


def test_a_peer_that_names_its_association_may_move_under_it() -> None:
    named = (THEIRS, "a=tls-id:" + "x" * 20)
    scene = changed(talking(*named, "a=setup:active"), *named, "a=setup:actpass", port=4010)
    assert len(started(scene)) == 1
    assert scene.relayed(SetPeer)[-1].rtp.port == 4010


def test_our_own_change_repeats_the_association_and_leaves_the_roles_open() -> None:
    scene = talking()
    before = said(scene.invite.body)
    scene.inside(LegKind.BROWSER, "INVITE", held(b"sendonly"), cseq=2)
    ours = said(scene.invite.body)
    assert (ours.setup, ours.tls_id, ours.fingerprints) == (Setup.ACTPASS, before.tls_id, before.fingerprints)
    scene.reply(200, answer(SAVP, THEIRS, "a=setup:active", "a=recvonly"), purpose=fx.Purpose.REINVITE)
    assert len(started(scene)) == 1


@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.PREFER])
def test_dropping_dtls_in_mid_call_is_what_dropping_any_keys_is(profile: Profile) -> None:
    scene = changed(talking(profile=profile), proto="RTP/AVP")
    if profile is Profile.STRICT:
        assert scene.responses[-1].status == 488
        assert "mid.crypto_removed" in codes(scene, "leg.violation")
        assert scene.trunk_leg.vector.keying is DTLS
        return
    assert "mid.crypto_removed" in codes(scene, "leg.downgraded")
    assert not scene.relayed(SetPeer)[-1].keyed


def test_a_handshake_of_another_method_means_nothing_any_more() -> None:
    scene = calling(Profile.PREFER).reply(200, answer(SAVP, THEIRS, "a=setup:active")).ack()
    changed(scene, CRYPTO, proto="RTP/SAVP")
    assert scene.trunk_leg.vector.keying is SDES
    scene.clear()
    handshake_over(scene)
    scene.feed(events.DtlsFailed(scene.id(LegKind.TRUNK), Termination.DTLS_FAILED))
    assert not scene.take(fx.ReleaseDtlsKeys)
    assert finished(scene) is None


# Handshakes that fail.


def test_another_certificate_than_the_announced_one_ends_even_a_call_for_help() -> None:
    scene = MachineScene(rules=rules(Profile.STRICT, DTLS), emergency=True).calling()
    scene.reply(200, answer(SAVP, THEIRS, "a=setup:active")).ack()
    wrong = Termination.FINGERPRINT_MISMATCH
    scene.feed(events.DtlsFailed(scene.id(LegKind.TRUNK), wrong, Code.DTLS_FP_MISMATCH))
    assert finished(scene) is Termination.TRUNK_FINGERPRINT
    assert "dtls.fp_mismatch" in codes(scene, "leg.violation")
    assert not scene.relayed(SetKeys)


@pytest.mark.parametrize(("code", "ends"), [(Code.EARLY_UNKEYED, False), (Code.DTLS_FP_MISMATCH, True)])
def test_rtcp_of_its_own_may_be_without_keys_but_not_with_somebody_else(code: Code, ends: bool) -> None:
    scene = talking()
    failed = events.DtlsFailed(scene.id(LegKind.TRUNK), Termination.DTLS_FAILED, code, rtcp=True)
    scene.feed(failed)
    assert (finished(scene) is not None) == ends


@pytest.mark.parametrize(
    ("failed", "ends", "code"),
    [
        (Termination.DTLS_FAILED, Termination.TRUNK_DTLS_FAILED, Code.DTLS_OLD),
        (Termination.BROWSER_SUITE_UNKNOWN, Termination.ENCRYPTION_UNUSABLE, Code.SUITE_UNKNOWN),
    ],
)
def test_a_trunks_handshake_that_fails_is_not_called_a_browsers(
    failed: Termination, ends: Termination, code: Code
) -> None:
    scene = calling().reply(200, answer(SAVP, THEIRS, "a=setup:active")).ack()
    scene.feed(events.DtlsFailed(scene.id(LegKind.TRUNK), failed, code))
    assert finished(scene) is ends
    assert codes(scene, "leg.violation") == [code]


def test_keys_that_never_come_end_the_call_after_the_answer() -> None:
    scene = calling().reply(200, answer(SAVP, THEIRS, "a=setup:active")).ack()
    scene.feed(scene.keyed())
    scene.feed(events.TimerFired(fx.Timer.KEYED, scene.id(LegKind.TRUNK)))
    assert finished(scene) is Termination.TRUNK_NOT_KEYED
    assert "early.unkeyed" in codes(scene, "leg.violation")


def test_the_keys_of_a_change_are_waited_for_as_long_as_those_of_an_answer() -> None:
    scene = changed(talking(), OTHERS, "a=setup:actpass")
    trunk = scene.id(LegKind.TRUNK)
    assert (fx.Timer.KEYED, trunk) in [(e.name, e.leg) for e in scene.take(fx.SetTimer)]


# Early media, forks, offers in answers.


def test_early_media_is_keyed_by_its_own_handshake_which_the_same_phone_goes_on_with() -> None:
    early = answer(SAVP, THEIRS, "a=setup:active")
    scene = calling().reply(183, early, tag="one")
    assert [begun.number for begun in started(scene)] == [1]
    handshake_over(scene)
    scene.reply(200, early, tag="one").ack()
    assert (len(started(scene)), scene.trunk_leg.awaits_keys) == (1, False)
    assert not scene.relayed(DropKeys)


def test_another_phone_that_answers_has_no_use_for_the_keys_of_the_first() -> None:
    """RFC 3261 13.2.2.4: a fork rings with early media, another picks up."""
    scene = calling().reply(183, answer(SAVP, THEIRS, "a=setup:active"), tag="one")
    handshake_over(scene)
    scene.reply(200, answer(SAVP, OTHERS, "a=setup:active", port=4010), tag="two").ack()
    assert [begun.number for begun in started(scene)] == [1, 2]
    assert scene.relayed(DropKeys)
    assert scene.trunk_leg.awaits_keys
    handshake_over(scene, 2)
    assert scene.trunk_leg.vector.grade is Grade.HOP_BY_HOP


def test_a_trunk_that_makes_the_offer_in_its_200_is_answered_in_the_ack() -> None:
    scene = MachineScene(rules=rules(Profile.STRICT, DTLS))
    scene.configure(delayed_offer=True).calling()
    assert not scene.invite.body
    scene.reply(200, answer(SAVP, THEIRS, "a=setup:actpass"))
    (ack,) = [e.request for e in scene.all if isinstance(e, fx.SendAck)]
    assert (said(ack.body).setup, said(ack.body).fingerprints) == (Setup.PASSIVE, (FINGERPRINT,))
    assert [begun.role for begun in started(scene)] == ["server"]


@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.PREFER])
def test_a_trunk_that_calls_without_an_offer_hears_ours_and_its_answer_comes_in_the_ack(profile: Profile) -> None:
    scene = inbound(b"", profile, ways=(DTLS,)).reply(200, BROWSER_ANSWER)
    ours = said(scene.responses[-1].body)
    assert (ours.proto.keyed, ours.fingerprints) == (profile is Profile.STRICT, (FINGERPRINT,))
    body = answer(ours.proto.value, THEIRS, "a=setup:active")
    scene.feed(events.AckIn("invite-key", request("ACK", body, to_tag="gw-trunk")))
    (begun,) = started(scene)
    trunk = scene.id(LegKind.TRUNK)
    assert (fx.Timer.KEYED, trunk) in [(e.name, e.leg) for e in scene.all if isinstance(e, fx.SetTimer)]
    handshake_over(scene)
    assert scene.trunk_leg.vector.keying is DTLS
    assert begun.role == "server"


def test_a_call_for_help_takes_whatever_comes_of_its_secure_offer() -> None:
    scene = MachineScene(rules=rules(Profile.STRICT, DTLS), emergency=True, flow=trunk_flow("udp")).calling()
    assert said(scene.invite.body).proto is Proto.DTLS_SAVP
    scene.reply(488)
    assert said(scene.invite.body).proto is Proto.AVP
    scene.reply(200, answer("RTP/AVP"))
    assert scene.responses[-1].status == 200


def test_a_peer_that_wants_another_handshake_by_the_old_association_is_on_record() -> None:
    scene = talking()
    scene.feed(events.DtlsAskedAgain(scene.id(LegKind.TRUNK)))
    assert "dtls.reneg" in codes(scene, scene.records[-1])


def test_another_association_together_with_a_hold_is_noted() -> None:
    scene = changed(talking(), OTHERS, "a=setup:actpass", "a=sendonly")
    handshake_over(scene, 2)
    assert "mid.hold_rekey" not in codes(scene, "leg.secured"), "a=sendrecv stands before it: nothing has turned"
    body = answer(SAVP, THEIRS, "a=setup:actpass", direction="sendonly")
    scene.inside(LegKind.TRUNK, "INVITE", body, cseq=901)
    handshake_over(scene, 3)
    assert "mid.hold_rekey" in codes(scene, "leg.secured")


def test_a_browser_that_renames_its_association_in_a_change_keeps_it() -> None:
    scene = talking()
    renamed = held(b"sendonly").replace(b"a=setup:", b"a=tls-id:" + b"z" * 20 + b"\r\na=setup:")
    scene.inside(LegKind.BROWSER, "INVITE", renamed, cseq=2)
    assert scene.responses[-1].status == 200
    assert not scene.browser_leg.awaits_keys
    assert not scene.take(fx.StartDtls)
