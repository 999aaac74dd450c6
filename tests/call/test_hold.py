"""Hold in every form there is, by either side and by both: directions follow, keys, ICE and DTLS stay as they are.

RFC 3264 8.4, RFC 6337 5.3; `c=0.0.0.0` is the old way (RFC 2543). Pains 4 to 7.
"""

from __future__ import annotations

import pytest

from gateway.base.profiles import Profile
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.call.machine.direction import of
from gateway.call.machine.effects import Purpose
from gateway.media.relay_commands import SetIce, SetKeys, SetPeer
from gateway.sdp.direction import Direction
from tests.call.machine_scene import MachineScene, answer, sdes_answer, vector

TRUNK, BROWSER = LegKind.TRUNK, LegKind.BROWSER
OFFER = vector("chromium_offer")
KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40
NOWHERE = b"c=IN IP4 0.0.0.0"


def talking(profile: Profile = Profile.LEGACY) -> MachineScene:
    scene = MachineScene(profile=profile).calling()
    body = sdes_answer(scene.invite.body) if profile is Profile.STRICT else answer()
    return scene.reply(200, body).ack().feed(scene.keyed()).clear()


def trunk_offer(direction: str = "sendrecv", *, old_way: bool = False, profile: Profile = Profile.LEGACY) -> bytes:
    body = answer("RTP/SAVP", KEY, direction=direction) if profile is Profile.STRICT else answer(direction=direction)
    return body.replace(b"c=IN IP4 127.0.0.2", NOWHERE) if old_way else body


def browser_offer(direction: str) -> bytes:
    return OFFER.replace(b"a=sendrecv", b"a=" + direction.encode())


def changes(scene: MachineScene, leg: LegKind, body: bytes, cseq: int, *, other: str = "sendrecv") -> str:
    """That side re-INVITEs, and the other agrees to what it hears of it; gives the direction of our answer.

    Args:
        other: what the other side wants itself.
    """
    scene.clear().inside(leg, "INVITE", body, cseq=cseq)
    (response,) = [e.response for e in scene.take(fx.Respond)]
    assert response.status == 200, response.status
    scene.ack_of(leg, cseq)
    agrees(scene, Direction(other))
    return _direction(response.body)


def agrees(scene: MachineScene, wants: Direction = Direction.SENDRECV) -> None:
    """Whoever was sent a re-INVITE of ours answers as far as it wants to send and receive itself."""
    for sent in [e for e in scene.take(fx.SendRequest) if e.purpose is Purpose.REINVITE]:
        offered = Direction(_direction(sent.request.body))
        said = of(wants.sends and offered.receives, wants.receives and offered.sends).value
        if scene.kind(sent.leg) is BROWSER:
            body = browser_offer(said).replace(b"setup:actpass", b"setup:active")
        elif b"RTP/SAVP" in sent.request.body:
            body = sdes_answer(sent.request.body).replace(b"sendrecv", said.encode())
        else:
            body = answer(direction=said)
        scene.feed(scene.answer_to(sent, 200, body))


def _direction(body: bytes) -> str:
    found = [
        line for line in body.decode().splitlines() if line[2:] in ("sendrecv", "sendonly", "recvonly", "inactive")
    ]
    return found[-1][2:]


def is_untouched(scene: MachineScene) -> bool:
    """Nothing of the browser's association was begun anew, and no key changed."""
    begun = [*scene.take(fx.StartDtls), *scene.take(fx.ReleaseDtlsKeys)]
    return not begun and not scene.told(SetIce) and not scene.told(SetKeys)


BY_THE_TRUNK = [
    ("sendonly", False, "recvonly", (False, True)),
    ("inactive", False, "inactive", (False, False)),
    ("recvonly", False, "sendonly", (True, False)),
    ("sendrecv", True, "recvonly", (False, True)),
    ("sendonly", True, "recvonly", (False, True)),
    ("inactive", True, "inactive", (False, False)),
]


@pytest.mark.parametrize("profile", [Profile.LEGACY, Profile.STRICT])
@pytest.mark.parametrize(("direction", "old_way", "answered", "ways"), BY_THE_TRUNK)
def test_a_hold_of_the_trunk_in_each_form(
    profile: Profile, direction: str, old_way: bool, answered: str, ways: tuple[bool, bool]
) -> None:
    scene = talking(profile)
    assert changes(scene, TRUNK, trunk_offer(direction, old_way=old_way, profile=profile), 40) == answered
    assert scene.ways == ways, "to the trunk, and to the browser"
    assert is_untouched(scene)
    assert not [c for c in scene.told(SetPeer) if c.rtp.host == "0.0.0.0"], "nothing is sent to no address"
    assert changes(scene, TRUNK, trunk_offer(profile=profile), 41) == "sendrecv"
    assert scene.ways == (True, True)
    assert is_untouched(scene)
    assert scene.state.live


@pytest.mark.parametrize("profile", [Profile.LEGACY, Profile.STRICT])
@pytest.mark.parametrize(
    ("direction", "answered", "ways"),
    [
        ("sendonly", "recvonly", (True, False)),
        ("inactive", "inactive", (False, False)),
        ("recvonly", "sendonly", (False, True)),
    ],
)
def test_a_hold_of_the_browser_in_each_form(
    profile: Profile, direction: str, answered: str, ways: tuple[bool, bool]
) -> None:
    scene = talking(profile)
    assert changes(scene, BROWSER, browser_offer(direction), 40) == answered
    assert scene.ways == ways
    assert is_untouched(scene)
    assert changes(scene, BROWSER, OFFER, 41) == "sendrecv"
    assert scene.ways == (True, True)
    assert is_untouched(scene)


def test_no_address_in_a_browsers_offer_is_no_hold() -> None:
    """Browsers write `c=IN IP4 0.0.0.0` before they know better; where media goes is the affair of ICE."""
    scene = talking()
    lines = [b"c=IN IP4 0.0.0.0" if line.startswith(b"c=") else line for line in OFFER.split(b"\r\n")]
    assert changes(scene, BROWSER, b"\r\n".join(lines), 40) == "sendrecv"
    assert scene.ways == (True, True)


@pytest.mark.parametrize("first", [TRUNK, BROWSER])
@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
def test_when_both_hold_nobody_is_heard_until_both_have_resumed(first: LegKind, direction: str) -> None:
    scene = talking()
    second = BROWSER if first is TRUNK else TRUNK
    bodies = {TRUNK: trunk_offer(direction), BROWSER: browser_offer(direction)}
    whole = {TRUNK: trunk_offer(), BROWSER: OFFER}
    changes(scene, first, bodies[first], 40)
    changes(scene, second, bodies[second], 41, other=direction)
    assert scene.ways == (False, False)
    assert changes(scene, first, whole[first], 42, other=direction) == direction, "as far as the other one wants it"
    assert scene.ways != (True, True), "the other one still holds"
    changes(scene, second, whole[second], 43)
    assert scene.ways == (True, True)
    assert scene.state.live


def test_holds_that_cross_end_in_both_being_on_hold() -> None:
    """Ours, which passes the browser's hold on, meets the trunk's: theirs is 491, ours comes again or is agreed to."""
    scene = talking()
    scene.inside(BROWSER, "INVITE", browser_offer("sendonly"), cseq=40).ack_of(BROWSER, 40)
    scene.inside(TRUNK, "INVITE", trunk_offer("sendonly"), cseq=41)
    refused = [e.response.status for e in scene.take(fx.Respond) if e.key == f"{TRUNK}-41"]
    assert refused == [491]
    agrees(scene)
    changes(scene, TRUNK, trunk_offer("sendonly"), 42, other="sendonly")
    assert scene.ways == (False, False)
    assert is_untouched(scene)


def test_a_hold_answered_with_more_than_was_offered_opens_nothing() -> None:
    """Phones answer sendrecv to anything (RFC 6337 5.3)."""
    scene = talking()
    scene.inside(BROWSER, "INVITE", browser_offer("inactive"), cseq=40).ack_of(BROWSER, 40)
    scene.reply(200, answer(), purpose=Purpose.REINVITE)
    assert scene.ways == (False, False)


# What a PBX does in mid-call.


def music(port: int, direction: str = "sendonly") -> bytes:
    """The PBX plays music from a port of its own."""
    return answer(port=port, direction=direction).replace(b"127.0.0.2", b"127.0.0.3")


def test_music_on_hold_from_another_address_is_followed_and_the_browser_hears_it() -> None:
    scene = talking()
    changes(scene, TRUNK, music(9000), 40)
    assert (scene.relay(SetPeer).rtp.host, scene.relay(SetPeer).rtp.port) == ("127.0.0.3", 9000)
    assert scene.ways == (False, True)
    assert is_untouched(scene)


def test_direct_media_is_followed_to_the_phone_and_back_and_the_browser_is_not_asked() -> None:
    scene = talking()
    for cseq, port in ((40, 9000), (41, 9002)):
        scene.clear().inside(TRUNK, "INVITE", music(port, "sendrecv"), cseq=cseq).ack_of(TRUNK, cseq)
        assert scene.relay(SetPeer).rtp.port == port
        assert scene.ways == (True, True)
        assert not [e for e in scene.take(fx.SendRequest) if e.purpose is Purpose.REINVITE]
        assert is_untouched(scene)


def test_direct_media_by_a_reinvite_without_an_offer_is_followed_when_the_ack_says_where() -> None:
    scene = talking()
    scene.inside(TRUNK, "INVITE", cseq=40)
    (response,) = [e.response for e in scene.take(fx.Respond)]
    assert response.status == 200
    assert response.body
    scene.clear().ack_of(TRUNK, 40, music(9000, "sendrecv"))
    assert scene.relay(SetPeer).rtp.port == 9000
    assert is_untouched(scene)
    assert scene.state.live


def test_direct_media_with_a_new_key_at_the_new_address_is_followed_and_gets_a_new_key_of_ours() -> None:
    scene = talking(Profile.STRICT)
    ours = scene.relay(SetKeys).tx.reveal()
    moved = trunk_offer(profile=Profile.STRICT).replace(b"A" * 40, b"C" * 40).replace(b"4002", b"9000")
    scene.inside(TRUNK, "INVITE", moved, cseq=40)
    assert [e.response.status for e in scene.take(fx.Respond)] == [200]
    assert scene.relay(SetPeer).rtp.port == 9000
    assert scene.relay(SetPeer).keyed
    assert scene.relay(SetKeys).tx.reveal() != ours, "who was there before has the old one"
    assert not scene.take(fx.StartDtls)


# Fax.

T38 = (
    b"v=0\r\no=- 1 2 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
    b"m=image 4500 udptl t38\r\na=T38FaxVersion:0\r\n"
)
WITH_AUDIO_REFUSED = T38.replace(b"m=image", b"m=audio 0 RTP/AVP 0\r\nm=image")
BESIDE_AUDIO = answer() + b"m=image 4500 udptl t38\r\na=T38FaxVersion:0\r\n"


@pytest.mark.parametrize("body", [T38, WITH_AUDIO_REFUSED], ids=["alone", "audio refused"])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_t38_in_place_of_audio_is_488_each_time_and_the_audio_lives(body: bytes, method: str) -> None:
    scene = talking()
    for cseq in (40, 41, 42):
        scene.clear().inside(TRUNK, method, body, cseq=cseq)
        assert [e.response.status for e in scene.take(fx.Respond)] == [488]
        assert not scene.told(SetPeer)
    assert scene.ways == (True, True)
    assert changes(scene, TRUNK, trunk_offer(), 50) == "sendrecv", "the PBX goes back to audio"
    assert scene.state.live


def test_t38_beside_audio_is_refused_by_its_line_alone() -> None:
    scene = talking()
    scene.inside(TRUNK, "INVITE", BESIDE_AUDIO, cseq=40)
    (response,) = [e.response for e in scene.take(fx.Respond)]
    assert response.status == 200
    assert b"m=image 0 udptl t38" in response.body
    assert scene.ways == (True, True)
