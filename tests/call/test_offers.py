"""What our own descriptions say in the course of a call: version, keys, and what a refused one leaves behind."""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.media.relay_commands import Route, SetPeer
from gateway.sdp.description import SessionDescription
from tests.call.machine_scene import OTHER, MachineScene, answer, as_it_stands, sdes_answer, trunk_flow, vector
from tests.call.test_setup import finished

OFFER = vector("chromium_offer")
BROWSER_ANSWER = vector("chromium_answer_to_rtpengine")
KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40


def version(body: bytes) -> int:
    """The version in `o=`."""
    line = next(x for x in body.decode().splitlines() if x.startswith("o="))
    return int(line.split(" ")[2])


def attributes(body: bytes) -> list[str]:
    """Everything but `o=`."""
    return [x for x in body.decode().splitlines() if not x.startswith("o=")]


def outbound(profile: Profile = Profile.STRICT) -> MachineScene:
    scene = MachineScene(
        profile=profile, flow=trunk_flow() if profile is Profile.STRICT else trunk_flow("udp")
    ).calling()
    body = sdes_answer(scene.invite.body) if profile is Profile.STRICT else answer()
    scene.reply(200, body).ack()
    return scene.feed(scene.keyed()).clear()


def inbound(profile: Profile = Profile.STRICT) -> MachineScene:
    offer = answer("RTP/SAVP", KEY) if profile is Profile.STRICT else answer()
    flow = trunk_flow() if profile is Profile.STRICT else trunk_flow("udp")
    scene = MachineScene(profile=profile, outbound=False, offer=offer, flow=flow).calling()
    scene.reply(200, BROWSER_ANSWER).ack()
    return scene.feed(scene.keyed()).clear()


def our_requests(scene: MachineScene) -> list[tuple[str, str]]:
    return [(scene.kind(e.leg).value, e.request.method) for e in scene.take(fx.SendRequest)]


@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.LEGACY])
def test_hold_by_the_browser_reaches_a_trunk_that_called_us(profile: Profile) -> None:
    scene = inbound(profile)
    agreed = scene.trunk_leg.talk.ours.cryptos if scene.trunk_leg.talk.ours else ()
    held = BROWSER_ANSWER.replace(b"a=sendrecv", b"a=sendonly").replace(b"a=setup:active", b"a=setup:actpass")
    scene.inside(LegKind.BROWSER, "INVITE", held, cseq=2)
    assert scene.responses[-1].status == 200
    assert our_requests(scene) == [("trunk", "INVITE")]
    offer = scene.invite.body
    assert b"a=sendonly" in offer
    assert offer.count(b"a=crypto") == len(agreed) == (profile is Profile.STRICT)
    for line in agreed:
        assert line.to_line().encode() in offer


def test_a_reinvite_without_an_offer_from_a_trunk_that_called_us_gets_ours() -> None:
    scene = inbound().inside(LegKind.TRUNK, "INVITE", cseq=5)
    ours = scene.responses[-1]
    assert ours.status == 200
    assert b"RTP/SAVP" in ours.body
    assert ours.body.count(b"a=crypto:1 AES_CM_128_HMAC_SHA1_80") == 1
    scene.ack_of(LegKind.TRUNK, 5, answer("RTP/SAVP", KEY.replace("B" * 40, "C" * 40), port=4100))
    assert finished(scene) is None
    assert scene.told(SetPeer)[-1].rtp.port == 4100


@pytest.mark.parametrize(("make", "refresh"), [(outbound, OFFER)])
def test_a_refresh_without_a_change_is_answered_with_the_very_same_description(
    make: type[MachineScene], refresh: bytes
) -> None:
    scene = make()
    first = next(r.body for r in scene.responses if r.status == 200)
    for cseq in (2, 3):
        scene.inside(LegKind.BROWSER, "INVITE", refresh, cseq=cseq)
        assert scene.responses[-1].body == first
        assert our_requests(scene) == []


def test_a_refresh_by_the_trunk_is_answered_alike_and_leaves_the_browser_alone() -> None:
    scene = inbound()
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/SAVP", KEY), cseq=2)
    first = scene.responses[-1].body
    scene.inside(LegKind.TRUNK, "UPDATE", answer("RTP/SAVP", KEY), cseq=3)
    assert scene.responses[-1].body == first
    assert our_requests(scene) == []


def test_every_change_counts_the_version_up_by_one() -> None:
    scene = outbound()
    before = version(next(r.body for r in scene.responses if r.status == 200))
    trunk = version(scene.invite.body)
    for step, direction in enumerate((b"sendonly", b"sendrecv", b"inactive"), start=1):
        scene.inside(LegKind.BROWSER, "INVITE", OFFER.replace(b"a=sendrecv", b"a=" + direction), cseq=1 + step)
        assert version(scene.responses[-1].body) == before + step
        assert version(scene.invite.body) == trunk + step
        scene.reply(200, sdes_answer(scene.invite.body), purpose=fx.Purpose.REINVITE)


def test_a_line_more_in_the_offer_changes_the_answer_and_its_version() -> None:
    scene = outbound()
    before = version(next(r.body for r in scene.responses if r.status == 200))
    video = b"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n"
    scene.inside(LegKind.BROWSER, "INVITE", OFFER + video, cseq=2)
    assert b"m=video 0 " in scene.responses[-1].body
    assert version(scene.responses[-1].body) == before + 1


@pytest.mark.parametrize(
    "offer",
    [
        answer("RTP/SAVP", KEY, direction="sendonly").replace(b" 0 101", b" 18").replace(b"0 PCMU", b"18 G729"),
        answer("RTP/AVP", direction="sendonly"),
        answer("RTP/SAVP", direction="sendonly"),
        b"v=0\r\n",
    ],
)
def test_a_refused_change_of_the_trunk_leaves_everything_as_it_was(offer: bytes) -> None:
    scene = inbound()
    before = as_it_stands(scene.trunk_leg)
    scene.inside(LegKind.TRUNK, "INVITE", offer, cseq=2)
    assert scene.responses[-1].status == 488
    assert as_it_stands(scene.trunk_leg) == before
    assert not scene.told(Route)
    assert finished(scene) is None


@pytest.mark.parametrize(
    "offer",
    [
        OFFER.replace(b"a=rtpmap:0 PCMU", b"a=rtpmap:0 XYZ").replace(b"a=sendrecv", b"a=inactive"),
        OFFER.replace(b"a=rtcp-mux\r\n", b""),
        OFFER.replace(b"a=setup:actpass", b"a=setup:passive").replace(b"a=sendrecv", b"a=sendonly"),
    ],
)
def test_a_refused_change_of_the_browser_leaves_everything_as_it_was(offer: bytes) -> None:
    scene = outbound()
    before = as_it_stands(scene.browser_leg)
    scene.inside(LegKind.BROWSER, "INVITE", offer, cseq=2)
    assert scene.responses[-1].status == 488
    assert as_it_stands(scene.browser_leg) == before
    assert our_requests(scene) == []


@pytest.mark.parametrize("leg", list(LegKind))
def test_an_offer_of_ours_that_is_refused_counts_for_nothing(leg: LegKind) -> None:
    """RFC 3261 14.1: the session goes on as if nothing had been asked."""
    scene = outbound()
    side, asking = scene.leg(leg), OTHER[leg]
    assert side is not None
    before = side.talk.session
    body = OFFER if asking is LegKind.BROWSER else sdes_answer(scene.invite.body, key="C" * 40)
    scene.inside(asking, "INVITE", body.replace(b"a=sendrecv", b"a=sendonly"), cseq=900)
    assert our_requests(scene) == [(leg.value, "INVITE")]
    sent = version(scene.invite.body)
    scene.reply(488, purpose=fx.Purpose.REINVITE)
    assert side.talk.session is before
    scene.inside(asking, "INVITE", body.replace(b"a=sendrecv", b"a=inactive"), cseq=901)
    assert version(scene.invite.body) == sent + 1


def test_a_retry_after_early_media_forgets_the_keys_of_the_refused_offer() -> None:
    """Only an emergency call is retried after that."""
    scene = MachineScene(profile=Profile.PREFER, emergency=True).calling()
    scene.reply(183, sdes_answer(scene.invite.body)).reply(488)
    assert b"RTP/AVP" in scene.invite.body
    assert b"a=crypto" not in scene.invite.body
    scene.reply(200, answer())
    assert scene.responses[-1].status == 200
    assert [e.keyed for e in scene.relayed(SetPeer)][-1] is False


@pytest.mark.parametrize("body", [answer("RTP/SAVP"), answer("RTP/AVP")])
def test_an_emergency_call_goes_on_in_clear_when_the_answer_brings_no_key(body: bytes) -> None:
    """No policy blocks an emergency number; what was wrong stands in the record."""
    scene = MachineScene(emergency=True).calling().reply(200, body)
    assert finished(scene) is None
    assert scene.responses[-1].status == 200
    assert "media.crypto_ignored" in str(scene.record("leg.downgraded")["codes"])
    assert "grade=CLEARTEXT" in (scene.responses[-1].headers.get("Call-Security") or "")


def test_the_direction_of_early_media_is_kept_when_the_200_says_nothing_more() -> None:
    scene = MachineScene().calling()
    scene.reply(183, sdes_answer(scene.invite.body).replace(b"a=sendrecv", b"a=sendonly"))
    assert b"a=sendonly" in scene.responses[-1].body
    scene.reply(200)
    assert scene.ways == (False, True)


def test_no_description_of_one_side_shows_anything_of_the_other() -> None:
    """Threat C-32: addresses, names and credentials stay on their side."""
    scene = outbound(Profile.LEGACY)
    scene.inside(LegKind.BROWSER, "INVITE", OFFER.replace(b"a=sendrecv", b"a=sendonly"), cseq=2)
    scene.reply(200, answer(), purpose=fx.Purpose.REINVITE)
    scene.inside(LegKind.TRUNK, "INVITE", answer(direction="sendonly", port=4100), cseq=3)
    to_trunk = b"".join(
        bytes(e.request) for e in scene.all if isinstance(e, fx.SendRequest) and scene.kind(e.leg) is LegKind.TRUNK
    )
    to_browser = b"".join(bytes(r) for r in scene.responses if r.call_id == "caller-call-id")
    to_browser += b"".join(
        bytes(e.request) for e in scene.all if isinstance(e, fx.SendRequest) and scene.kind(e.leg) is LegKind.BROWSER
    )
    description = SessionDescription.parse(OFFER)
    pwd = description.media[0].attr("ice-pwd") or description.attr("ice-pwd") or "?"
    for private in (pwd.encode(), b"ice-", b"candidate", b"fingerprint", b"192.0.2.", b"client.invalid", b"msid"):
        assert private not in to_trunk
    for private in (b"127.0.0.", b"pbx.example", scene.callee_call_id.encode()):
        assert private not in to_browser


def test_every_codec_of_the_trunks_answer_is_agreed_with_the_browser_in_the_trunks_order() -> None:
    """The trunk may send any codec it answered with (RFC 3264 7); what it prefers comes first."""
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp")).calling()
    both = (
        answer()
        .replace(b"RTP/AVP 0 101", b"RTP/AVP 8 0 101")
        .replace(b"a=rtpmap:0", b"a=rtpmap:8 PCMA/8000\r\na=rtpmap:0")
    )
    scene.reply(200, both)
    line = next(x for x in scene.responses[-1].body.decode().splitlines() if x.startswith("m=audio"))
    assert line.split()[3:] == ["8", "0", "126"]
    assert {(8, 8), (0, 0)} <= set(scene.mapped(LegKind.TRUNK, LegKind.BROWSER).items())
    assert scene.keypads(LegKind.TRUNK, LegKind.BROWSER)[1] == {126: 8000}


def test_the_relay_learns_what_the_timestamps_of_each_payload_type_count() -> None:
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp")).calling()
    scene.reply(200, answer())
    trunk = scene.way(LegKind.TRUNK, LegKind.BROWSER).payloads
    assert {(0, 8000), (111, 48000)} <= {(m.payload_type, m.clock_rate) for m in trunk}
    browser = scene.way(LegKind.BROWSER, LegKind.TRUNK).payloads
    assert (0, 8000) in {(m.payload_type, m.clock_rate) for m in browser}
    heard, played = scene.keypads(LegKind.BROWSER, LegKind.TRUNK)
    assert heard == {126: 8000, 110: 48000}
    assert played == {101: 8000}
