"""Every way to take the encryption of a call away while it lasts: refused, or tolerated, recorded and shown at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.profiles import Profile
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine.effects import Purpose
from gateway.policy import model
from gateway.policy.catalogue import Alert, alert_of
from tests.call.drivers import good
from tests.call.machine_scene import MachineScene, answer
from tests.call.test_key_lines import OFFER

Way = Callable[[MachineScene], MachineScene]


def keyed(profile: Profile) -> MachineScene:
    """A call of the browser whose trunk has taken our keys."""
    scene = MachineScene(profile=profile).calling()
    return scene.reply(200, good(scene)).ack().feed(scene.keyed()).clear()


def by_reinvite(scene: MachineScene) -> MachineScene:
    return scene.inside(LegKind.TRUNK, "INVITE", answer(), cseq=2)


def by_update(scene: MachineScene) -> MachineScene:
    return scene.inside(LegKind.TRUNK, "UPDATE", answer(), cseq=2)


def by_its_answer(scene: MachineScene) -> MachineScene:
    """The browser holds, so we offer again, and the trunk answers without a key."""
    scene.inside(LegKind.BROWSER, "INVITE", OFFER.replace(b"a=sendrecv", b"a=sendonly"), cseq=2)
    return scene.reply(200, answer(direction="recvonly"), purpose=Purpose.REINVITE)


def by_its_ack(scene: MachineScene) -> MachineScene:
    """The trunk asks for our offer, and answers it in the ACK without a key."""
    scene.inside(LegKind.TRUNK, "INVITE", cseq=2)
    return scene.ack_of(LegKind.TRUNK, 2, answer())


OFFERS: dict[str, Way] = {"re-INVITE": by_reinvite, "UPDATE": by_update}
ANSWERS: dict[str, Way] = {"answer": by_its_answer, "ACK": by_its_ack}
WAYS = {**OFFERS, **ANSWERS}


def told(scene: MachineScene) -> str:
    """The last report that left for the browser."""
    sent = [e.request for e in scene.effects if isinstance(e, fx.SendRequest) and scene.kind(e.leg) is LegKind.BROWSER]
    return sent[-1].headers.get("Call-Security") or ""


@pytest.mark.parametrize("way", OFFERS.values(), ids=list(OFFERS))
def test_an_offer_without_keys_is_refused_where_protection_is_required_and_the_call_goes_on(way: Way) -> None:
    scene = way(keyed(Profile.STRICT))
    record = scene.record("leg.violation")
    assert record["kind"] == "D2"
    assert "mid.crypto_removed" in str(record["codes"])
    assert scene.responses[-1].status == 488
    assert scene.state.live
    assert scene.state.posture.current is Grade.HOP_BY_HOP
    assert told(scene).startswith("grade=HOP_BY_HOP;")


@pytest.mark.parametrize("way", ANSWERS.values(), ids=list(ANSWERS))
@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.PREFER])
def test_an_answer_without_the_keys_that_were_agreed_ends_the_call_as_a_regression(way: Way, profile: Profile) -> None:
    scene = way(keyed(profile))
    record = scene.record("leg.violation")
    assert (record["kind"], record["codes"]) == ("D2", ["media.crypto_ignored"])
    assert not scene.state.live


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_what_is_tolerated_is_recorded_as_a_regression_and_shown_in_the_same_step(way: Way) -> None:
    scene = way(keyed(Profile.OSRTP))
    record = scene.record("leg.downgraded")
    assert (record["kind"], record["grade_before"], record["grade_after"]) == ("D2", "HOP_BY_HOP", "CLEARTEXT")
    assert "mid.crypto_removed" in str(record["codes"])
    assert Code.MID_CRYPTO_REMOVED in scene.state.posture.codes_seen, "the final record has it too"
    assert told(scene).startswith("grade=CLEARTEXT;")
    assert scene.state.live


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_what_is_denied_is_refused_or_ends_the_call_however_it_comes(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    denying = replace(model.BUILT_IN[Profile.OSRTP], deny=frozenset({Code.MID_CRYPTO_REMOVED}))
    monkeypatch.setitem(model.BUILT_IN, Profile.OSRTP, denying)
    scene = way(keyed(Profile.OSRTP))
    assert scene.record("leg.violation")["kind"] == "D2"
    assert "leg.downgraded" not in scene.records
    assert scene.state.live == (way in OFFERS.values())


@pytest.mark.parametrize(("wanted", "heard"), [("", "medium"), ("low", "medium"), ("high", "high")])
def test_a_downgrade_is_as_loud_as_its_policy_wants_it_at_least(
    wanted: str, heard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = replace(model.BUILT_IN[Profile.PREFER], alert=wanted)
    monkeypatch.setitem(model.BUILT_IN, Profile.PREFER, rules)
    assert by_reinvite(keyed(Profile.PREFER)).record("leg.downgraded")["alert"] == heard
    assert alert_of([], required=False, least=Alert.LOW) is Alert.LOW


def test_early_media_weaker_than_policy_allows_is_recorded_once_and_the_call_may_still_be_answered_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    denying = replace(model.BUILT_IN[Profile.OSRTP], deny=frozenset({Code.MEDIA_PLAIN_RTP}))
    monkeypatch.setitem(model.BUILT_IN, Profile.OSRTP, denying)
    scene = MachineScene(profile=Profile.OSRTP).calling()
    for _ in range(3):
        scene.reply(183, answer())
    assert scene.records.count("leg.violation") == 1
    record = scene.record("leg.violation")
    assert (record["checkpoint"], record["sip_sent"]) == ("P2", None)
    assert record["codes"] == ["early.plain", "media.osrtp_fallback", "media.plain_rtp"]
    assert {response.status for response in scene.responses} == {180}, "the caller hears ringing"
    scene.reply(200, good(scene)).ack()
    assert scene.record("leg.secured")["leg"] == "trunk"


def test_an_unprotected_stream_a_browser_adds_is_refused_and_recorded() -> None:
    plain = b"m=audio 4010 RTP/AVP 0\r\nc=IN IP4 192.0.2.99\r\n"
    scene = keyed(Profile.STRICT).inside(LegKind.BROWSER, "INVITE", OFFER + plain, cseq=2)
    assert scene.responses[-1].status == 200
    assert b"m=audio 0 RTP/AVP" in scene.responses[-1].body
    record = scene.record("leg.secured")
    assert (record["leg"], record["codes"]) == ("browser", ["mid.stream_added_plain"])
