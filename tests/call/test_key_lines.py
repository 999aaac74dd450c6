"""Why a key was not taken, and keys that come again: the record has the code, in offers, answers and changes."""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.media.relay_commands import SetKeys, SetPeer
from tests.call.machine_scene import MachineScene, answer, sdes_answer, trunk_flow, vector
from tests.call.test_agreed import at
from tests.call.test_change import from_trunk
from tests.call.test_setup import finished

OFFER = vector("chromium_offer")
BROWSER_ANSWER = vector("chromium_answer_to_rtpengine")
GOOD = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40
OTHER = GOOD.replace("B" * 40, "D" * 40)
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
LINES = {
    "suite.weak_tag": GOOD.replace("_80", "_32"),
    "suite.null": GOOD.replace("AES_CM_128", "NULL"),
    "suite.unknown": GOOD.replace("AES_CM_128", "SEED_CTR_128"),
    "suite.unencrypted_srtp": GOOD + " UNENCRYPTED_SRTP",
    "suite.unencrypted_srtcp": GOOD + "|2^31 UNENCRYPTED_SRTCP",
    "suite.unauthenticated_srtp": GOOD + " UNAUTHENTICATED_SRTP",
    "key.mki": GOOD + "|2^31|1:0",
    "key.lifetime": GOOD + "|2^11",
    "key.parameter_unknown": GOOD + " KDR=0",
    "media.keying_unknown": GOOD[:-4],
}
EACH = pytest.mark.parametrize(("code", "line"), LINES.items(), ids=LINES)
PROFILES = pytest.mark.parametrize("profile", list(Profile))
TOLERANT = pytest.mark.parametrize("profile", [Profile.PREFER, Profile.OSRTP, Profile.LEGACY])


def inbound(offer: bytes, profile: Profile = Profile.STRICT) -> MachineScene:
    return MachineScene(profile=profile, outbound=False, offer=offer, flow=trunk_flow()).calling()


def answered(scene: MachineScene) -> MachineScene:
    scene.reply(200, BROWSER_ANSWER).ack()
    return scene.feed(scene.keyed())


def outbound(profile: Profile = Profile.STRICT) -> MachineScene:
    scene = MachineScene(profile=profile).calling()
    scene.reply(200, sdes_answer(scene.invite.body)).ack()
    return scene.feed(scene.keyed()).clear()


def codes(scene: MachineScene, kind: str, leg: str = "trunk") -> list[object]:
    records = [e.record for e in scene.all if isinstance(e, fx.WriteAudit)]
    found = [r["codes"] for r in records if r["type"] == kind and r["leg"] == leg][-1]
    assert isinstance(found, list)
    return found


@EACH
@PROFILES
def test_an_offer_with_no_usable_key_is_refused_with_the_reason_of_its_line(
    code: str, line: str, profile: Profile
) -> None:
    scene = inbound(answer("RTP/SAVP", line), profile)
    assert codes(scene, "leg.violation") == [code]
    assert finished(scene) is Termination.ENCRYPTION_UNUSABLE
    assert scene.responses[-1].status == 488


@EACH
@TOLERANT
def test_an_offer_accepted_as_plain_keeps_the_reason_why_its_key_was_not_taken(
    code: str, line: str, profile: Profile
) -> None:
    scene = answered(inbound(answer("RTP/AVP", line), profile))
    assert codes(scene, "leg.downgraded") == sorted(["media.plain_rtp", code])
    assert finished(scene) is None


@EACH
def test_a_plain_offer_refused_keeps_it_too(code: str, line: str) -> None:
    assert codes(inbound(answer("RTP/AVP", line)), "leg.violation") == sorted(["media.plain_rtp", code])


@EACH
@PROFILES
def test_a_bad_line_beside_a_good_one_is_noted_and_costs_nothing(code: str, line: str, profile: Profile) -> None:
    scene = answered(inbound(answer("RTP/SAVP", line, OTHER.replace(":1 ", ":2 ")), profile))
    assert codes(scene, "leg.secured") == [code]
    assert "grade=HOP_BY_HOP" in (scene.invite.headers.get("Call-Security") or "")


@EACH
@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.PREFER, Profile.OSRTP])
def test_an_answer_with_no_usable_key_is_refused_with_the_reason_of_its_line(
    code: str, line: str, profile: Profile
) -> None:
    scene = MachineScene(profile=profile).calling()
    proto = "RTP/AVP" if profile is Profile.OSRTP else "RTP/SAVP"
    scene.reply(200, answer(proto, line.replace("crypto:1", "crypto:3")))
    assert codes(scene, "leg.violation") == [code]
    assert finished(scene) is Termination.ENCRYPTION_UNUSABLE


@EACH
@PROFILES
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_change_to_no_usable_key_is_refused_with_the_reason_of_its_line(
    code: str, line: str, profile: Profile, method: str
) -> None:
    scene = answered(inbound(answer("RTP/SAVP", OTHER), profile)).clear()
    scene.inside(LegKind.TRUNK, method, answer("RTP/SAVP", line), cseq=2)
    assert scene.responses[-1].status == 488
    assert codes(scene, "leg.violation") == [code]
    assert finished(scene) is None


@EACH
@TOLERANT
def test_a_change_to_plain_keeps_the_reason_why_its_key_was_not_taken(code: str, line: str, profile: Profile) -> None:
    scene = answered(inbound(answer("RTP/SAVP", OTHER), profile)).clear()
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/AVP", line), cseq=2)
    assert codes(scene, "leg.downgraded") == sorted(["media.plain_rtp", "mid.crypto_removed", code])


@EACH
@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.PREFER, Profile.OSRTP])
def test_the_answer_in_an_ack_is_refused_with_the_reason_of_its_line(code: str, line: str, profile: Profile) -> None:
    scene = inbound(b"", profile).reply(200, BROWSER_ANSWER)
    proto = "RTP/SAVP" if b"RTP/SAVP" in scene.responses[-1].body else "RTP/AVP"
    scene.ack(answer(proto, line.replace("crypto:1", "crypto:3")))
    assert codes(scene, "leg.violation") == [code]
    assert finished(scene) is Termination.ENCRYPTION_UNUSABLE


@EACH
def test_an_emergency_call_goes_on_in_clear_and_keeps_the_reason_of_its_line(code: str, line: str) -> None:
    scene = MachineScene(emergency=True).calling().reply(200, answer("RTP/SAVP", line.replace("crypto:1", "crypto:3")))
    assert finished(scene) is None
    reason = "media.crypto_ignored" if code == "suite.weak_tag" else code  # usable now, but it was not offered
    assert {"media.plain_rtp", reason} <= set(codes(scene, "leg.downgraded"))


@pytest.mark.parametrize("where", ["offer", "answer"])
def test_our_own_key_is_never_used_in_an_emergency_call_either(where: str) -> None:
    scene = MachineScene(emergency=True).calling()
    ours = answer("RTP/SAVP", our_line(scene))
    if where == "answer":
        scene.reply(200, ours)
        assert not scene.told(SetKeys)
        assert "key.reuse" in codes(scene, "leg.downgraded")
    else:
        scene.reply(200, sdes_answer(scene.invite.body)).ack().clear()
        from_trunk(scene, "INVITE", ours)
        from_trunk(scene, "INVITE", ours, cseq=901)
        assert [r.status for r in scene.responses[-2:]] == [488, 488]
        assert not scene.told(SetKeys)
    assert finished(scene) is None


@PROFILES
def test_a_trunk_that_offers_dtls_over_tcp_is_refused_as_keyed_in_a_way_we_do_not_take(profile: Profile) -> None:
    scene = inbound(answer("TCP/DTLS/RTP/SAVP", FINGERPRINT), profile)
    assert codes(scene, "leg.violation") == ["media.keying_unknown"]


@PROFILES
def test_two_kinds_of_keys_in_an_offer_are_noted_and_answered_with_one(profile: Profile) -> None:
    scene = answered(inbound(answer("RTP/SAVP", GOOD, FINGERPRINT), profile))
    assert codes(scene, "leg.secured") == ["media.mixed_keying"]
    assert b"fingerprint" not in next(r.body for r in scene.responses if r.status == 200)


SHA1 = b"a=fingerprint:sha-1 " + b":".join([b"AB"] * 20)


def with_lines(body: bytes, *lines: bytes) -> bytes:
    """The description with its fingerprints replaced."""
    kept = [x for x in body.split(b"\r\n") if not x.startswith(b"a=fingerprint")]
    where = next(n for n, x in enumerate(kept) if x.startswith(b"a=setup"))
    return b"\r\n".join([*kept[:where], *lines, *kept[where:]])


@PROFILES
@pytest.mark.parametrize("line", [SHA1, b"a=fingerprint:md5 " + b":".join([b"AB"] * 16)])
def test_a_browser_known_by_a_weak_hash_alone_is_refused_as_that(profile: Profile, line: bytes) -> None:
    scene = MachineScene(profile=profile, offer=with_lines(OFFER, line)).begin()
    assert codes(scene, "leg.violation", "browser") == ["dtls.fp_weak"]
    answering = MachineScene(
        profile=profile, outbound=False, offer=answer("RTP/SAVP", GOOD), flow=trunk_flow()
    ).calling()
    answering.reply(200, with_lines(BROWSER_ANSWER, line))
    assert codes(answering, "leg.violation", "browser") == ["dtls.fp_weak"]


def test_a_weak_hash_beside_a_good_one_is_no_weakness() -> None:
    good = next(x for x in OFFER.split(b"\r\n") if x.startswith(b"a=fingerprint"))
    assert "leg.violation" not in MachineScene(offer=with_lines(OFFER, SHA1, good)).calling().records


@PROFILES
def test_a_browser_with_sdes_beside_its_fingerprint_is_refused_as_both(profile: Profile) -> None:
    offer = OFFER.replace(b"a=setup", GOOD.encode() + b"\r\na=setup")
    scene = MachineScene(profile=profile, offer=offer).begin()
    assert codes(scene, "leg.violation", "browser") == ["brw.sdes_or_avp", "media.mixed_keying"]


# Keys that come again (RFC 4568 6.1, 7).


def our_line(scene: MachineScene, suite: str = " AES_CM_128_HMAC_SHA1_80 ") -> str:
    return next(x for x in scene.invite.body.decode().splitlines() if suite in x)


@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.PREFER])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_our_own_key_in_an_offer_is_refused_and_insisting_ends_the_call(profile: Profile, method: str) -> None:
    scene = outbound(profile)
    from_trunk(scene, method, answer("RTP/SAVP", our_line(scene)))
    assert scene.responses[-1].status == 488
    assert codes(scene, "leg.violation") == ["key.reuse"]
    assert not scene.told(SetKeys)
    from_trunk(scene, method, answer("RTP/SAVP", our_line(scene)), cseq=901)
    assert finished(scene) is Termination.ENCRYPTION_UNUSABLE


def test_a_key_of_ours_that_was_offered_once_and_not_taken_is_ours_all_the_same() -> None:
    scene = outbound()
    unused = our_line(scene, " AEAD_AES_128_GCM ").split("inline:")[1]
    assert unused
    line = our_line(scene, " AEAD_AES_128_GCM ")
    from_trunk(scene, "INVITE", answer("RTP/SAVP", line))
    assert codes(scene, "leg.violation") == ["key.reuse"]


@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.PREFER, Profile.OSRTP])
def test_our_own_key_in_an_answer_ends_the_call(profile: Profile) -> None:
    scene = MachineScene(profile=profile).calling()
    scene.reply(200, answer("RTP/AVP" if profile is Profile.OSRTP else "RTP/SAVP", our_line(scene)))
    assert codes(scene, "leg.violation") == ["key.reuse"]


MOVED = {
    "port": answer("RTP/SAVP", GOOD, port=4900),
    "address": at(answer("RTP/SAVP", GOOD), "IP4 127.0.0.9"),
    "port, in hold": answer("RTP/SAVP", GOOD, port=4900, direction="inactive"),
}


@pytest.mark.parametrize("body", MOVED.values(), ids=MOVED)
def test_an_old_key_at_a_new_address_is_refused_where_protection_is_required(body: bytes) -> None:
    scene = answered(inbound(answer("RTP/SAVP", GOOD))).clear()
    scene.inside(LegKind.TRUNK, "INVITE", body, cseq=2)
    assert scene.responses[-1].status == 488
    assert codes(scene, "leg.violation") == ["key.reuse"]
    assert not scene.told(SetPeer)


@TOLERANT
@pytest.mark.parametrize("body", MOVED.values(), ids=MOVED)
def test_an_old_key_at_a_new_address_is_recorded_elsewhere(body: bytes, profile: Profile) -> None:
    scene = answered(inbound(answer("RTP/SAVP", GOOD), profile)).clear()
    scene.inside(LegKind.TRUNK, "INVITE", body, cseq=2)
    assert scene.responses[-1].status == 200
    assert codes(scene, "leg.secured") == ["key.reuse"]


def test_a_key_that_comes_back_to_another_address_after_a_second_one_is_seen() -> None:
    scene = answered(inbound(answer("RTP/SAVP", GOOD))).clear()
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/SAVP", OTHER, port=4900), cseq=2)
    assert scene.responses[-1].status == 200
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/SAVP", GOOD, port=4950), cseq=3)
    assert codes(scene, "leg.violation") == ["key.reuse"]


def test_the_same_key_at_the_same_address_is_no_reuse_through_hold_and_return() -> None:
    scene = answered(inbound(answer("RTP/SAVP", GOOD))).clear()
    bodies = (
        at(answer("RTP/SAVP", GOOD), "IP4 0.0.0.0"),
        answer("RTP/SAVP", GOOD),
        answer("RTP/SAVP", OTHER, port=4900),
        answer("RTP/SAVP", GOOD),
    )
    for cseq, body in enumerate(bodies, start=2):
        scene.inside(LegKind.TRUNK, "UPDATE", body, cseq=cseq)
        assert scene.responses[-1].status in (200, 491)
    assert "leg.violation" not in scene.records


@pytest.mark.parametrize(("profile", "ended"), [(Profile.STRICT, True), (Profile.PREFER, False)])
def test_two_forks_with_one_key_are_seen(profile: Profile, ended: bool) -> None:
    scene = MachineScene(profile=profile).calling()
    body = sdes_answer(scene.invite.body)
    scene.reply(183, body, tag="one").reply(200, body.replace(b"audio 4002", b"audio 4900"), tag="two")
    expected = ["fork.mixed", "key.reuse"] if ended else ["key.reuse"]
    assert codes(scene, "leg.violation" if ended else "leg.secured") == expected


@PROFILES
def test_one_key_on_two_lines_of_an_offer_is_noted_because_one_line_is_taken(profile: Profile) -> None:
    second = f"m=audio 4010 RTP/SAVP 0\r\n{GOOD}\r\n".encode()
    assert codes(answered(inbound(answer("RTP/SAVP", GOOD) + second, profile)), "leg.secured") == ["key.reuse"]


def test_a_hold_with_a_new_key_is_noted() -> None:
    scene = answered(inbound(answer("RTP/SAVP", GOOD))).clear()
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/SAVP", OTHER, direction="sendonly"), cseq=2)
    assert codes(scene, "leg.secured") == ["mid.hold_rekey"]


@pytest.mark.parametrize("line", [b"m=image 4010 udptl t38\r\n", b"m=video 4010 RTP/AVP 96\r\n"])
def test_an_unprotected_stream_added_in_mid_call_is_refused_and_noted(line: bytes) -> None:
    scene = answered(inbound(answer("RTP/SAVP", GOOD))).clear()
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/SAVP", GOOD) + line, cseq=2)
    assert line.split()[0] + b" 0 " in scene.responses[-1].body
    assert codes(scene, "leg.secured") == ["mid.stream_added_plain"]


def test_a_stream_that_was_refused_from_the_start_is_not_added_by_being_offered_again() -> None:
    offer = answer("RTP/SAVP", GOOD) + b"m=video 4010 RTP/AVP 96\r\n"
    scene = answered(inbound(offer)).clear()
    scene.inside(LegKind.TRUNK, "INVITE", offer, cseq=2)
    assert not scene.take(fx.WriteAudit)


def test_plain_early_media_before_a_keyed_answer_stays_known() -> None:
    scene = MachineScene(profile=Profile.OSRTP).calling()
    scene.reply(183, answer()).reply(200, sdes_answer(scene.invite.body).replace(b"SAVP", b"AVP"))
    assert "early.plain" in codes(scene, "leg.downgraded")
    header = next(r for r in scene.responses if r.status == 200).headers.get("Call-Security") or ""
    assert header.startswith("grade=PARTIAL;worst=CLEARTEXT;")


def test_no_record_of_any_of_these_shows_a_key() -> None:
    scene = outbound()
    from_trunk(scene, "INVITE", answer("RTP/SAVP", our_line(scene)))
    from_trunk(scene, "INVITE", answer("RTP/SAVP", GOOD, port=4900), cseq=901)
    text = str([e.record for e in scene.all if isinstance(e, fx.WriteAudit)]) + str(scene.trunk_leg)
    for key in (our_line(scene).split("inline:")[1], "B" * 40):
        assert key not in text
