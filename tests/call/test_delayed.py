"""Delayed offer: trunks that are called without one, and other ways in which it comes late (RFC 3261 13.2.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.counters import Counter
from gateway.base.profiles import Profile
from gateway.base.termination import Termination
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.call.machine.effects import Purpose
from gateway.media.relay_commands import SetKeys, SetPeer
from gateway.sdp.offer_answer import State
from tests.call.machine_scene import MachineScene, answer, trunk_flow, vector

KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40
KEYED, OPTIONAL = answer("RTP/SAVP", KEY), answer("RTP/AVP", KEY)


def calling(profile: Profile = Profile.LEGACY, offer: bytes | None = None) -> MachineScene:
    """A browser calls a trunk that wants to make the offer."""
    scene = MachineScene(profile=profile, offer=vector("chromium_offer") if offer is None else offer)
    return scene.configure(delayed_offer=True).calling()


def ack(scene: MachineScene) -> bytes:
    """The body of the last ACK of ours."""
    return [e.request.body for e in scene.all if isinstance(e, fx.SendAck)][-1]


def test_the_invite_has_no_description_and_says_nothing_of_one() -> None:
    invite = calling().invite
    assert invite.body == b""
    assert "Content-Type" not in invite.headers
    assert "100rel" not in invite.tokens("Supported"), (
        "a reliable 18x would bring the offer before anybody has answered"
    )


def test_the_offer_in_the_200_is_answered_in_the_ack_and_the_caller_hears_of_it() -> None:
    scene = calling().reply(180).reply(200, answer())
    assert b"m=audio 20000 RTP/AVP 0" in ack(scene)
    assert [r.status for r in scene.responses] == [180, 200]
    assert b"PCMU" in scene.responses[-1].body
    assert scene.relay(SetPeer).rtp.port == 4002
    scene.ack().feed(scene.keyed())
    assert scene.ways == (True, True)
    assert scene.trunk_leg.talk.state is State.STABLE


def test_the_record_stands_before_the_relay_and_both_before_the_ack() -> None:
    scene = calling(Profile.STRICT).clear().reply(200, KEYED)
    kinds = [type(e).__name__ for e in scene.done if isinstance(e, fx.WriteAudit | SetKeys | SetPeer | fx.SendAck)]
    assert kinds[:4] == ["WriteAudit", "SetKeys", "SetPeer", "SendAck"]


def test_keys_they_offer_are_answered_with_ours_under_their_tag() -> None:
    scene = calling(Profile.STRICT).reply(200, KEYED)
    assert b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" in ack(scene)
    assert b"A" * 40 not in ack(scene)
    assert scene.relay(SetPeer).keyed
    assert "leg.secured" in scene.records


@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.PREFER, Profile.OSRTP, Profile.LEGACY])
def test_a_plain_offer_is_what_policy_says_of_it(profile: Profile) -> None:
    scene = calling(profile).reply(200, answer())
    allowed = profile is not Profile.STRICT
    assert scene.state.live is allowed
    assert bool(ack(scene)) is allowed
    if not allowed:
        assert "leg.violation" in scene.records
        assert [r.status for r in scene.responses] == [488]


@pytest.mark.parametrize(
    ("body", "termination"),
    [
        (b"", Termination.BAD_SDP),
        (b"v=0\r\n", Termination.BAD_SDP),
        (answer("RTP/SAVP"), Termination.ENCRYPTION_IGNORED),
        (answer().replace(b" 0 101", b" 18").replace(b"0 PCMU", b"18 G729"), Termination.NO_COMMON_CODEC),
        (answer().replace(b"c=IN IP4 127.0.0.2", b"c=IN IP4 224.0.0.1"), Termination.BAD_SDP),
    ],
    ids=["none", "garbage", "without keys", "another codec", "a group"],
)
def test_an_offer_nobody_can_take_is_acknowledged_and_hung_up_on_with_the_reason(
    body: bytes, termination: Termination
) -> None:
    scene = calling().clear().reply(200, body)
    assert scene.state.termination is termination
    sent = [type(e).__name__ for e in scene.effects if isinstance(e, fx.SendAck | fx.SendRequest)]
    assert sent == ["SendAck", "SendRequest"]
    assert ack(scene) == b""
    assert [e.request.method for e in scene.take(fx.SendRequest)] == ["BYE"]
    assert not scene.told(SetPeer)


def test_a_200_nobody_can_read_is_acknowledged_and_hung_up_on() -> None:
    scene = calling()
    sent = [e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE][-1]
    event = scene.answer_to(sent, 200, answer())
    assert isinstance(event, events.ResponseIn)
    scene.feed(replace(event, response=replace(event.response, unreadable="Unbalanced quote")))
    assert scene.state.termination is Termination.ANSWER_UNREADABLE
    assert len(scene.take(fx.SendAck)) == 1


def test_the_same_200_again_gets_the_same_ack_again() -> None:
    scene = calling().reply(200, answer()).clear().reply(200, answer())
    (again,) = [e.request for e in scene.take(fx.SendAck)]
    assert again.body == scene.trunk_leg.answered_in_ack != b""
    assert not scene.take(fx.SendRequest)


def test_a_second_phone_that_answers_is_acknowledged_without_an_answer_and_hung_up_on() -> None:
    scene = calling().reply(180, tag="one").reply(180, tag="two").reply(200, answer(), tag="one").clear()
    scene.reply(200, answer(port=4444), tag="two")
    (late,) = [e.request for e in scene.take(fx.SendAck)]
    assert (late.body, late.to.tag) == (b"", "two")
    assert [e.request.method for e in scene.take(fx.SendRequest)] == ["BYE"]
    assert scene.relay(SetPeer).rtp.port == 4002


def test_a_200_that_crosses_the_cancel_is_acknowledged_and_hung_up_on() -> None:
    scene = calling().reply(180).feed(events.CancelIn()).clear().reply(200, answer())
    assert ack(scene) == b""
    assert [e.request.method for e in scene.take(fx.SendRequest)] == ["BYE"]


def test_a_description_in_an_18x_is_no_answer_and_the_caller_hears_ringing() -> None:
    scene = calling().reply(183, answer())
    assert [r.status for r in scene.responses] == [180]
    assert scene.reply(200, answer()).state.live


@pytest.mark.parametrize("status", [415, 488, 606])
def test_a_refusal_is_no_reason_to_offer_less_for_nothing_was_offered(status: int) -> None:
    scene = calling(Profile.PREFER).reply(status)
    assert len([e for e in scene.all if isinstance(e, fx.SendRequest) and e.purpose is Purpose.INVITE]) == 1
    assert scene.state.termination is Termination.NOT_ACCEPTABLE
    assert "leg.violation" not in scene.records


def test_an_update_with_an_offer_before_the_200_is_491() -> None:
    scene = calling().reply(180)
    scene.inside(LegKind.TRUNK, "UPDATE", answer(), cseq=40)
    assert [e.response.status for e in scene.take(fx.Respond) if e.key == "trunk-40"] == [491]


def test_a_caller_without_an_offer_is_not_joined_with_a_callee_without_one() -> None:
    scene = calling(offer=b"")
    assert scene.invite.body, "somebody has to begin"


def test_changes_after_the_answer_go_on_as_ever() -> None:
    scene = calling().reply(200, answer()).ack()
    scene.feed(scene.keyed())
    held = vector("chromium_offer").replace(b"a=sendrecv", b"a=sendonly")
    scene.clear().inside(LegKind.BROWSER, "INVITE", held, cseq=40)
    (again,) = [e.request for e in scene.take(fx.SendRequest) if e.purpose is Purpose.REINVITE]
    assert b"a=sendonly" in again.body
    assert b"o=" in again.body


def test_an_emergency_call_takes_what_it_gets() -> None:
    scene = MachineScene(profile=Profile.STRICT, emergency=True).configure(delayed_offer=True).calling()
    assert scene.reply(200, answer()).state.live


def test_nothing_of_it_is_counted_as_a_surprise() -> None:
    scene = calling().reply(180).reply(200, answer()).reply(200, answer()).ack()
    surprises = (Counter.OFFER_UNEXPECTED, Counter.INVITE_UNEXPECTED)
    assert not [e for e in scene.all if isinstance(e, fx.Count) and e.name in surprises]


# The other ways.


def test_a_trunk_without_an_offer_calls_a_trunk_that_wants_one_or_none() -> None:
    """Both ends of a call between trunks may want the other one to begin: then we do."""
    scene = MachineScene(profile=Profile.LEGACY, outbound=False, offer=b"", flow=trunk_flow())
    scene.configure(delayed_offer=True)
    scene.state.hunt.targets = [scene.target]
    scene.begin().connect().open_media()
    assert scene.invite.body


def test_a_browser_without_an_offer_gets_ours_and_answers_in_the_ack() -> None:
    scene = MachineScene(profile=Profile.LEGACY, offer=b"").calling().reply(200, answer())
    (answered,) = [r for r in scene.responses if r.status == 200]
    assert b"UDP/TLS/RTP/SAVPF" in answered.body
    assert b"setup:actpass" in answered.body
    scene.ack(vector("chromium_offer").replace(b"setup:actpass", b"setup:active")).feed(scene.keyed())
    assert scene.ways == (True, True)
