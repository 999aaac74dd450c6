"""A peer known to encrypt is held to it: offers, answers, refusals and changes without keys; and what teaches."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from gateway.base.codes import Code
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine.effects import Purpose
from gateway.media.relay_events import LegVerified
from gateway.policy.pins import Pinning, Pins
from tests.call.machine_scene import MachineScene, answer, sdes_answer, trunk_flow, vector
from tests.call.office import Office, invite
from tests.policy.facts import NOON

OFFER = vector("chromium_offer")
BROWSER_ANSWER = OFFER.replace(b"setup:actpass", b"setup:active")
CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40
CHOOSING = (Profile.PREFER, Profile.OSRTP)


def invites(scene: MachineScene) -> list[fx.SendRequest]:
    return [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]


def codes(record: dict[str, object]) -> set[object]:
    found = record["codes"]
    assert isinstance(found, list)
    return set(found)


# --- what is offered, and what a refusal of it means


@pytest.mark.parametrize("transport", ["tls", "udp"])
@pytest.mark.parametrize("profile", CHOOSING)
def test_a_pinned_trunk_is_offered_savp(profile: Profile, transport: str) -> None:
    scene = MachineScene(profile, pinned=True, flow=trunk_flow(transport)).calling()
    assert b" RTP/SAVP " in scene.invite.body
    assert b"a=crypto:" in scene.invite.body


@pytest.mark.parametrize("status", [488, 415, 606])
@pytest.mark.parametrize("transport", ["tls", "udp"])
@pytest.mark.parametrize("profile", CHOOSING)
def test_a_refusal_of_a_pinned_trunk_is_no_reason_to_call_in_the_clear(
    profile: Profile, transport: str, status: int
) -> None:
    scene = MachineScene(profile, pinned=True, flow=trunk_flow(transport)).calling().reply(status)
    assert len(invites(scene)) == 1
    violation = scene.record("leg.violation")
    assert (violation["codes"], violation["kind"], violation["decision"]) == (["pin.bid_down"], "D3", "refused")
    assert violation["pinned"] is True
    assert scene.state.termination is Termination.ENCRYPTION_WITHDRAWN
    assert scene.responses[-1].status == 488
    assert (scene.responses[-1].headers.get("Warning") or "").startswith("302 ")


def test_without_a_pin_the_same_refusal_is_followed_by_a_call_in_the_clear() -> None:
    scene = MachineScene(Profile.PREFER).calling().reply(488)
    assert [b"RTP/AVP" in sent.request.body for sent in invites(scene)] == [False, True]


def test_a_strict_trunk_that_refuses_breaks_its_pin() -> None:
    violation = MachineScene(Profile.STRICT, pinned=True).calling().reply(488).record("leg.violation")
    assert (codes(violation), violation["kind"]) == ({"media.plain_rtp", "pin.bid_down"}, "D3")


def test_a_call_for_help_goes_on_in_the_clear_and_the_record_says_so_before_it_does() -> None:
    scene = MachineScene(Profile.PREFER, pinned=True, emergency=True).calling().reply(488)
    assert b"RTP/AVP" in scene.invite.body
    record = scene.record("leg.downgraded")
    assert (codes(record), record["kind"]) == ({"media.savp_retry", "pin.bid_down"}, "D3")
    scene.reply(200, answer()).ack().feed(lambda scene: scene.keyed())
    assert scene.state.termination is None


# --- answers


@pytest.mark.parametrize("body", [answer(), answer("RTP/SAVP")], ids=["as plain RTP", "without its keys"])
@pytest.mark.parametrize("profile", [Profile.STRICT, *CHOOSING])
def test_an_answer_that_was_stripped_of_its_keys_ends_the_call(profile: Profile, body: bytes) -> None:
    scene = MachineScene(profile, pinned=True).calling().reply(200, body)
    violation = scene.record("leg.violation")
    assert codes(violation) == {"media.crypto_ignored", "pin.bid_down"}
    assert (violation["kind"], violation["decision"]) == ("D3", "refused")
    assert scene.state.termination is not None
    assert not any("leg.downgraded" in str(r) for r in scene.records)


@pytest.mark.parametrize("profile", CHOOSING)
def test_a_bare_answer_to_an_emergency_call_is_taken_and_told(profile: Profile) -> None:
    scene = MachineScene(profile, pinned=True, emergency=True).calling().reply(200, answer())
    record = scene.record("leg.downgraded")
    assert "pin.bid_down" in codes(record)
    assert (record["kind"], record["grade_after"]) == ("D3", "CLEARTEXT")


def test_an_unpinned_osrtp_trunk_may_still_answer_in_the_clear() -> None:
    scene = MachineScene(Profile.OSRTP).calling().reply(200, answer())
    assert codes(scene.record("leg.downgraded")) == {"media.osrtp_fallback", "media.plain_rtp"}


# --- what a trunk sends


@pytest.mark.parametrize("transport", ["tls", "udp"])
@pytest.mark.parametrize("profile", CHOOSING)
def test_an_offer_that_was_stripped_of_its_keys_is_refused_before_a_phone_rings(
    profile: Profile, transport: str
) -> None:
    flow = trunk_flow(transport)
    scene = MachineScene(profile, pinned=True, outbound=False, offer=answer(), flow=flow).calling()
    assert not invites(scene)
    violation = scene.record("leg.violation")
    assert (codes(violation), violation["kind"]) == ({"media.plain_rtp", "pin.bid_down"}, "D3")
    assert (scene.responses[-1].status, scene.state.termination) == (488, Termination.ENCRYPTION_WITHDRAWN)


@pytest.mark.parametrize("profile", [Profile.STRICT, *CHOOSING])
def test_an_offer_that_says_savp_and_has_no_key_breaks_the_pin_too(profile: Profile) -> None:
    scene = MachineScene(profile, pinned=True, outbound=False, offer=answer("RTP/SAVP")).calling()
    assert codes(scene.record("leg.violation")) == {"media.crypto_ignored", "pin.bid_down"}


def test_a_keyed_offer_of_a_pinned_trunk_is_answered() -> None:
    scene = MachineScene(Profile.PREFER, pinned=True, outbound=False, offer=answer("RTP/SAVP", CRYPTO)).calling()
    scene.reply(200, BROWSER_ANSWER).ack().feed(scene.keyed())
    assert "leg.violation" not in scene.records
    assert scene.record("leg.secured")["pinned"] is True


def test_a_legacy_trunk_is_let_through_and_never_silently() -> None:
    scene = MachineScene(Profile.LEGACY, pinned=True, outbound=False, offer=answer()).calling()
    scene.reply(200, BROWSER_ANSWER).ack()
    record = scene.record("leg.downgraded")
    assert (codes(record), record["kind"]) == ({"media.plain_rtp", "pin.bid_down"}, "D3")


def test_what_we_never_asked_for_is_no_bid_down() -> None:
    scene = MachineScene(Profile.LEGACY, pinned=True).calling().reply(200, answer())
    assert codes(scene.record("leg.downgraded")) == {"media.plain_rtp"}


@pytest.mark.parametrize("profile", CHOOSING)
def test_a_pinned_trunk_that_drops_its_keys_in_mid_call_keeps_the_old_session(profile: Profile) -> None:
    scene = MachineScene(profile, pinned=True, outbound=False, offer=answer("RTP/SAVP", CRYPTO)).calling()
    scene.reply(200, BROWSER_ANSWER).ack().feed(scene.keyed())
    scene.clear().inside(LegKind.TRUNK, "INVITE", answer(), cseq=900)
    assert scene.responses[-1].status == 488
    assert {"mid.crypto_removed", "pin.bid_down"} <= codes(scene.record("leg.violation"))
    assert scene.state.live


def test_a_user_known_for_dtls_who_offers_something_else_breaks_her_pin() -> None:
    pins = Pins(MappingProxyType({"user:bob": NOON}), Pinning())
    scene = MachineScene(pins=pins, callee="alice", offer=answer("RTP/SAVP", CRYPTO))
    scene.state.caller.number = "bob"
    assert "pin.bid_down" in codes(scene.begin().record("leg.violation"))


# --- what teaches


def talking(profile: Profile, transport: str = "tls", pins: Pins | None = None) -> MachineScene:
    scene = MachineScene(profile, flow=trunk_flow(transport), pins=pins or Pins()).calling()
    body = sdes_answer(scene.invite.body)
    if profile is Profile.OSRTP:
        body = body.replace(b"RTP/SAVP", b"RTP/AVP")
    scene.reply(200, body).ack()
    return scene.feed(lambda scene: scene.keyed())


@pytest.mark.parametrize("profile", [Profile.STRICT, *CHOOSING])
def test_packets_that_authenticate_over_verified_signalling_pin_the_trunk_after_the_record(profile: Profile) -> None:
    scene = talking(profile)
    assert not scene.take(fx.Pin), "an answer alone proves nothing"
    scene.clear().feed(lambda scene: LegVerified(scene.id(LegKind.TRUNK), False))
    assert [type(effect) for effect in scene.effects] == [fx.WriteAudit, fx.Pin]
    assert scene.take(fx.Pin) == [fx.Pin("pbx")]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_whoever_can_forge_a_datagram_can_pin_nobody(transport: str) -> None:
    scene = talking(Profile.PREFER, transport).feed(lambda scene: LegVerified(scene.id(LegKind.TRUNK), True))
    assert scene.record("leg.verified")["grade_after"] == "KEY_EXPOSED"
    assert not scene.take(fx.Pin)


def test_a_trunk_that_is_let_off_is_not_learned() -> None:
    scene = talking(Profile.PREFER, pins=Pins(pinning=Pinning(off=frozenset({"pbx"}))))
    assert not scene.feed(lambda scene: LegVerified(scene.id(LegKind.TRUNK), True)).take(fx.Pin)


# --- through the manager: what was learned counts for the next call


async def answered(office: Office, number: str, key: str) -> int:
    """How many INVITEs a trunk that refuses SRTP is sent."""
    before = office.methods.count("INVITE")
    office.request(invite(number, call_id=key), key=key)
    await office.settle()
    office.reply("INVITE", 488)
    await office.settle()
    return office.methods.count("INVITE") - before


@pytest.mark.asyncio
async def test_a_trunk_tightens_itself_as_it_learns_and_loosens_when_the_pin_ends(tmp_path: Path) -> None:
    office = Office(tmp_path, calls=9)
    now = NOON
    object.__setattr__(office.services, "wall", lambda: now)
    assert await answered(office, "800", "call-1") == 2
    office.services.pins.learn("soft", now)
    assert await answered(office, "800", "call-2") == 1
    assert any(Code.PIN_BID_DOWN in r.get("codes", ()) for r in office.audit.records)  # type: ignore[operator]
    now += timedelta(days=91)
    assert await answered(office, "800", "call-3") == 2
    await office.manager.stop()


@pytest.mark.asyncio
async def test_a_new_pin_is_on_record_before_it_holds_and_a_known_one_is_not_recorded_again(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.call("800")
    await office.settle()
    (runner,) = office.manager.index.runners
    for _ in range(2):
        runner._carry_out(fx.Pin("soft"))
    learned = [r for r in office.audit.records if r["type"] == "pin.learned"]
    assert [(r["trunk"], r["seen_in"]) for r in learned] == [("soft", runner.state.facts.uid)]
    assert office.services.pins.knows("soft")
    await office.manager.stop()
