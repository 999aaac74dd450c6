"""Requests in a dialog that is not answered yet: who may end a call that rings, what else may come (RFC 3261 15)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.counters import Counter
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.call.machine.state import Phase
from gateway.media.relay_commands import SetPeer
from gateway.sip.events import CancelReceived
from gateway.sip.message import Headers, Request
from tests.call.machine_scene import MachineScene, answer, sdes_answer, trunk_flow, vector
from tests.call.office import Office

CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40


def ringing(*, outbound: bool, early_media: bool = False) -> MachineScene:
    offer = vector("chromium_offer") if outbound else answer("RTP/SAVP", CRYPTO)
    scene = MachineScene(profile=Profile.STRICT, outbound=outbound, offer=offer).calling()
    body = sdes_answer(scene.invite.body) if early_media and outbound else b""
    return scene.reply(183 if body else 180, body)


def statuses(scene: MachineScene, key: str) -> list[int]:
    return [e.response.status for e in scene.all if isinstance(e, fx.Respond) and e.key == key]


@pytest.mark.parametrize("outbound", [True, False])
@pytest.mark.parametrize("early_media", [True, False])
def test_bye_of_the_caller_in_an_early_dialog_ends_the_call_as_a_cancel_would(
    outbound: bool, early_media: bool
) -> None:
    scene = ringing(outbound=outbound, early_media=early_media)
    caller = scene.state.caller.kind
    scene.inside(caller, "BYE", cseq=2)
    assert statuses(scene, f"{caller}-2") == [200]
    assert statuses(scene, "invite-key")[-1] == 487
    assert scene.order(fx.CancelInvite, fx.Finished) == ["Finished", "CancelInvite"]
    assert scene.state.termination is Termination.CANCELLED


@pytest.mark.parametrize("outbound", [True, False])
def test_the_callers_dialog_is_known_from_our_first_answer_with_a_tag_and_once(outbound: bool) -> None:
    scene = ringing(outbound=outbound)
    tracked = [e.key for e in scene.all if isinstance(e, fx.TrackDialog) and e.leg == scene.state.caller.id]
    first = next(r for r in scene.responses if r.status == 180)
    assert tracked == [("caller-call-id", first.to.tag, "caller")]
    scene.reply(180).reply(183)
    tracked = [e.key for e in scene.all if isinstance(e, fx.TrackDialog) and e.leg == scene.state.caller.id]
    assert len(tracked) == 1


def test_a_cancel_that_crosses_the_bye_changes_nothing() -> None:
    scene = ringing(outbound=False).inside(LegKind.TRUNK, "BYE", cseq=2)
    scene.feed(events.CancelIn()).inside(LegKind.TRUNK, "BYE", cseq=3)
    assert scene.order(fx.Finished) == ["Finished"]
    assert statuses(scene, "trunk-3") == [200]
    assert statuses(scene, "invite-key")[1:] == [487]


def test_a_bye_that_crosses_a_cancel_is_answered() -> None:
    scene = ringing(outbound=False).feed(events.CancelIn()).inside(LegKind.TRUNK, "BYE", cseq=2)
    assert statuses(scene, "trunk-2") == [200]
    assert scene.order(fx.Finished) == ["Finished"]


def test_an_answer_that_crosses_the_bye_is_acknowledged_and_hung_up_on() -> None:
    scene = ringing(outbound=True).inside(LegKind.BROWSER, "BYE", cseq=2)
    scene.clear().reply(200, sdes_answer(scene.invite.body))
    assert [type(e) for e in scene.take(fx.SendAck)] == [fx.SendAck]
    assert [e.request.method for e in scene.take(fx.SendRequest)] == ["BYE"]
    assert statuses(scene, "invite-key")[-1] == 487


def test_a_bye_that_crosses_our_200_ends_the_answered_call() -> None:
    scene = ringing(outbound=True).reply(200, sdes_answer(ringing(outbound=True).invite.body))
    scene.inside(LegKind.BROWSER, "BYE", cseq=2)
    assert scene.state.termination is Termination.HANGUP_BROWSER
    assert [e.request.method for e in scene.take(fx.SendRequest) if e.purpose is Purpose.BYE] == ["BYE"]
    assert statuses(scene, "browser-2") == [200]


@pytest.mark.parametrize(("cseq", "status"), [(1, 200), (0, 500)])
def test_a_request_older_than_the_invite_is_out_of_order(cseq: int, status: int) -> None:
    scene = ringing(outbound=False)
    scene.inside(LegKind.TRUNK, "OPTIONS", cseq=cseq)
    assert statuses(scene, f"trunk-{cseq}") == [status]
    assert scene.state.live


@pytest.mark.parametrize(("method", "status"), [("PRACK", 400), ("INFO", 200), ("OPTIONS", 200), ("UPDATE", 200)])
def test_other_requests_in_an_early_dialog_are_answered_and_the_browser_rings_on(method: str, status: int) -> None:
    scene = ringing(outbound=False)
    scene.clear().inside(LegKind.TRUNK, method, cseq=2)
    assert statuses(scene, "trunk-2") == [status]
    assert [type(e) for e in scene.effects] == [fx.Respond]
    scene.inside(LegKind.TRUNK, "BYE", cseq=3)  # BYE before PRACK, after it, instead of it
    assert statuses(scene, "invite-key")[-1] == 487


# The callee must not send BYE before it has answered. If it does, that phone is gone and no other.


def test_bye_of_the_only_phone_that_rings_ends_the_call() -> None:
    scene = ringing(outbound=True).inside(LegKind.TRUNK, "BYE", cseq=1)
    assert statuses(scene, "trunk-1") == [200]
    assert statuses(scene, "invite-key")[-1] == 480
    assert scene.state.termination is Termination.REJECTED
    assert scene.take(fx.CancelInvite)


def test_bye_of_one_phone_of_several_leaves_the_others_ringing() -> None:
    scene = ringing(outbound=True).reply(180, tag="second")
    scene.clear().inside(LegKind.TRUNK, "BYE", cseq=1)
    assert scene.state.live
    assert [type(e) for e in scene.effects] == [fx.Respond]
    scene.reply(200, sdes_answer(scene.invite.body), tag="second")
    assert scene.responses[-1].status == 200


def test_the_answer_of_a_phone_that_has_said_bye_is_hung_up_on() -> None:
    scene = ringing(outbound=True).reply(180, tag="second").inside(LegKind.TRUNK, "BYE", cseq=1)
    scene.clear().reply(200, sdes_answer(scene.invite.body))
    assert scene.state.live
    assert [e.request.method for e in scene.take(fx.SendRequest)] == ["BYE"]


# The same through the manager, which looks dialogs up.


def inbound(method: str, cseq: int, to: str, body: bytes = b"") -> Request:
    headers = [("Via", f"SIP/2.0/TLS 127.0.0.2;branch=z9hG4bK{method}{cseq}"), ("Max-Forwards", "70")]
    headers.append(("From", "<sip:4711@pbx.example>;tag=pbx"))
    headers.append(("To", to))
    headers.append(("Call-ID", "in-call"))
    headers.append(("CSeq", f"{cseq} {method}"))
    headers.append(("Contact", "<sip:pbx@127.0.0.2:5061>"))
    if body:
        headers.append(("Content-Type", "application/sdp"))
    return Request(method, "sip:100@example.test", Headers(headers), body)


async def called(directory: Path) -> tuple[Office, str]:
    office = Office(directory)
    office.bind()
    invite = inbound("INVITE", 1, "<sip:100@example.test>", answer("RTP/SAVP", CRYPTO))
    office.request(invite, key="in", flow=trunk_flow())
    await office.settle()
    assert office.methods == ["INVITE"]
    office.reply("INVITE", 180)
    ring = [r for key, r in office.sip.answers if key == "in"][-1]
    assert ring.status == 180
    return office, str(ring.to)


@pytest.mark.asyncio
async def test_the_trunk_hangs_up_while_the_browser_rings(tmp_path: Path) -> None:
    office, to = await called(tmp_path)
    office.request(inbound("BYE", 2, to), key="bye", flow=trunk_flow())
    await office.settle()
    assert office.statuses("bye") == [200]
    assert office.statuses("in")[-1] == 487
    assert len(office.sip.cancelled) == 1
    assert office.audit.types().count("call.final") == 1
    office.reply("INVITE", 487)
    await office.settle()
    assert office.manager.live_calls == 0
    office.request(inbound("BYE", 3, to), key="again", flow=trunk_flow())
    assert office.statuses("again") == [481]


@pytest.mark.asyncio
async def test_cancel_and_bye_together_end_the_call_once(tmp_path: Path) -> None:
    office, to = await called(tmp_path)
    office.manager.on_event(CancelReceived("in"))
    office.request(inbound("BYE", 2, to), key="bye", flow=trunk_flow())
    await office.settle()
    assert office.statuses("bye") == [200]
    assert office.statuses("in").count(487) == 1
    assert office.audit.types().count("call.final") == 1
    office.reply("INVITE", 487)
    await office.settle()


def test_a_bye_of_a_phone_that_rang_before_the_retry_leaves_the_second_invite_alone() -> None:
    """Its dialog went with the refused INVITE: the second one has no place for a BYE yet, and it is counted."""
    scene = MachineScene(profile=Profile.PREFER).calling().reply(180).reply(488).clear()
    assert scene.invite.cseq.number == 2
    scene.inside(LegKind.TRUNK, "BYE", cseq=1)
    assert [e.response.status for e in scene.take(fx.Respond)] == [200]
    assert scene.take(fx.Count) == [fx.Count(Counter.INVITE_UNEXPECTED)]
    assert not scene.take(fx.CancelInvite)
    scene.reply(200, answer())
    assert scene.responses[-1].status == 200


def test_an_ack_before_our_answer_is_counted_and_does_not_establish_the_call() -> None:
    scene = MachineScene().calling().reply(180).clear().ack()
    assert scene.take(fx.Count) == [fx.Count(Counter.INVITE_UNEXPECTED)]
    assert scene.state.phase is Phase.CALLING


# Ringing for a long time.


def rung_on(scene: MachineScene, minutes: int) -> MachineScene:
    for _ in range(minutes):
        scene.now += [e.seconds for e in scene.all if isinstance(e, fx.SetTimer) and e.name is fx.Timer.RING_ON][-1]
        scene.feed(scene.fires(fx.Timer.RING_ON))
    return scene


@pytest.mark.parametrize("outbound", [True, False])
@pytest.mark.parametrize("early_media", [False, True])
def test_a_caller_hears_each_minute_that_it_rings_on(outbound: bool, early_media: bool) -> None:
    """RFC 3261 13.3.1.1: else a proxy on the way gives the call up after three minutes (timer C)."""
    scene = ringing(outbound=outbound, early_media=early_media)
    begun = scene.now
    rung_on(scene, 2)
    assert scene.now - begun == 120.0
    said = [r for r in scene.responses if 100 < r.status < 200]
    assert len(said) == 3
    assert len({bytes(r) for r in said}) == 1


def test_a_caller_that_wants_it_reliably_gets_a_new_number_each_minute() -> None:
    scene = MachineScene(profile=Profile.LEGACY, outbound=False, offer=answer())
    assert scene.state.caller.invite is not None
    scene.state.caller.invite = scene.state.caller.invite.with_added((("Require", "100rel"),))
    scene.calling().reply(180)
    (first,) = [r for r in scene.responses if r.status == 180]
    scene.inside(LegKind.TRUNK, "PRACK", cseq=9, extra=(("RAck", f"{first.headers.get('RSeq')} 1 INVITE"),))
    rung_on(scene, 1)
    numbers = [int(r.headers.get("RSeq") or 0) for r in scene.responses if r.status == 180]
    assert numbers[1] == numbers[0] + 1
    rung_on(scene, 1)
    assert len([r for r in scene.responses if r.status == 180]) == 2, "the last one is repeated by its own clock"
    assert not scene.state.caller.provisionals.waiting


def test_nothing_rings_on_after_the_answer_or_the_end() -> None:
    scene = ringing(outbound=True)
    scene.clear().reply(200, sdes_answer(scene.invite.body))
    assert fx.ClearTimer(fx.Timer.RING_ON, scene.state.caller.id) in scene.effects
    assert rung_on(scene.clear(), 1).effects == []
    ended = ringing(outbound=True).feed(events.CancelIn())
    assert fx.ClearTimer(fx.Timer.RING_ON, ended.state.caller.id) in ended.effects


# Early media that changes.


def test_of_several_183_of_one_phone_the_last_is_heard_and_the_caller_is_told_each_time() -> None:
    scene = MachineScene(profile=Profile.LEGACY).calling()
    scene.reply(183, answer(port=4002)).reply(183, answer(port=4010)).reply(183)
    assert [r.status for r in scene.responses] == [183, 183, 180]
    assert scene.relay(SetPeer).rtp.port == 4010
    assert scene.state.live


@pytest.mark.parametrize("body", [b"", answer(port=4020)], ids=["as before", "elsewhere"])
def test_what_the_200_says_counts_and_where_it_says_nothing_the_183_does(body: bytes) -> None:
    """Pain 29: the description changes between 183 and 200."""
    scene = MachineScene(profile=Profile.LEGACY).calling().reply(183, answer(port=4010)).reply(200, body)
    assert scene.relay(SetPeer).rtp.port == (4020 if body else 4010)
    assert [r.status for r in scene.responses] == [183, 200]
    assert scene.responses[-1].body
    assert len([e for e in scene.all if isinstance(e, fx.StartDtls)]) == 1, "the browser's handshake is its own"


def test_other_codecs_in_the_200_than_in_the_183_are_what_the_caller_gets() -> None:
    scene = MachineScene(profile=Profile.LEGACY).calling().reply(183, answer())
    other = answer().replace(b" 0 101", b" 8 101").replace(b"0 PCMU", b"8 PCMA")
    scene.reply(200, other)
    assert b"PCMU" in scene.responses[0].body
    assert b"PCMA" in scene.responses[-1].body
    assert b"PCMU" not in scene.responses[-1].body


def test_keys_in_the_200_after_plain_early_media_take_its_place_and_the_change_is_noted() -> None:
    scene = MachineScene(profile=Profile.PREFER).calling()
    offer = scene.invite.body
    keyed = sdes_answer(offer) if b"RTP/SAVP" in offer else sdes_answer(offer).replace(b"RTP/SAVP", b"RTP/AVP")
    scene.reply(183, answer()).reply(200, keyed)
    assert scene.relay(SetPeer).keyed


# Changes before the 2xx, of what a reliable 18x has settled (RFC 3311 5.1).


def settled(profile: Profile = Profile.LEGACY, *, rseq: str = "7", tag: str = "callee") -> MachineScene:
    """A trunk has early media, acknowledged."""
    scene = MachineScene(profile=profile).calling()
    body = sdes_answer(scene.invite.body) if profile is Profile.STRICT else answer()
    return rings_reliably(scene, rseq, body, tag=tag).clear()


def rings_reliably(scene: MachineScene, rseq: str, body: bytes = b"", *, tag: str = "callee") -> MachineScene:
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE][-1]
    event = scene.answer_to(sent, 183 if body else 180, body, tag=tag)
    assert isinstance(event, events.ResponseIn)
    fields = (("Require", "100rel"), ("RSeq", rseq)) if rseq else ()
    return scene.feed(replace(event, response=event.response.with_added(fields)))


def test_an_update_after_reliable_early_media_moves_it_and_the_200_stands_on_that() -> None:
    scene = settled().inside(LegKind.TRUNK, "UPDATE", answer(port=4010), cseq=40)
    (answered,) = scene.take(fx.Respond)
    assert answered.response.status == 200
    assert b"m=audio 20000" in answered.response.body
    assert scene.relay(SetPeer).rtp.port == 4010
    scene.reply(200)
    assert scene.state.live
    assert scene.relay(SetPeer).rtp.port == 4010
    scene.ack().feed(scene.keyed())
    assert scene.ways == (True, True)


def test_a_200_that_repeats_the_183_from_before_the_update_changes_nothing() -> None:
    scene = settled().inside(LegKind.TRUNK, "UPDATE", answer(port=4010), cseq=40).reply(200, answer())
    assert scene.relay(SetPeer).rtp.port == 4010
    assert scene.state.live


def test_another_phone_may_answer_after_the_update_of_the_first() -> None:
    scene = settled().reply(180, tag="other").inside(LegKind.TRUNK, "UPDATE", answer(port=4010), cseq=40)
    scene.reply(200, answer(port=4444), tag="other")
    assert scene.relay(SetPeer).rtp.port == 4444
    assert scene.state.live


def test_an_early_change_of_a_phone_whose_early_media_is_not_heard_is_491() -> None:
    scene = settled().reply(180, tag="other").clear()
    scene.inside(LegKind.TRUNK, "UPDATE", answer(port=4444), cseq=40, tag="other")
    assert [e.response.status for e in scene.take(fx.Respond)] == [491]
    assert not scene.told(SetPeer)


def test_an_early_change_where_nothing_is_settled_is_491() -> None:
    scene = settled(rseq="").inside(LegKind.TRUNK, "UPDATE", answer(port=4010), cseq=40)
    assert [e.response.status for e in scene.take(fx.Respond)] == [491]


@pytest.mark.parametrize("body", [answer(), answer("RTP/SAVP")], ids=["plain", "without keys"])
def test_an_early_change_that_weakens_is_488_and_leaves_what_was_settled(body: bytes) -> None:
    scene = settled(Profile.STRICT)
    before = scene.trunk_leg.talk.session
    scene.inside(LegKind.TRUNK, "UPDATE", body, cseq=40)
    assert [e.response.status for e in scene.take(fx.Respond)] == [488]
    assert scene.trunk_leg.talk.session is before
    assert "leg.violation" in scene.records
    assert not scene.told(SetPeer)
    scene.reply(200)
    assert scene.state.live


def test_an_early_hold_is_answered_and_kept() -> None:
    scene = settled().inside(LegKind.TRUNK, "UPDATE", answer(direction="sendonly"), cseq=40)
    (answered,) = scene.take(fx.Respond)
    assert b"a=recvonly" in answered.response.body
    scene.reply(200).ack().feed(scene.keyed())
    assert scene.ways == (False, True)


def test_an_early_change_moves_where_our_next_requests_go() -> None:
    scene = settled()
    scene.inside(LegKind.TRUNK, "UPDATE", answer(), cseq=40, contact="<sip:moved@127.0.0.2:5071>")
    rings_reliably(scene, "8")
    pracks = [e.request.uri for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.PRACK]
    assert pracks == ["sip:callee@127.0.0.2:5061", "sip:moved@127.0.0.2:5071"]
