"""Record and relay follow one value: what a leg's record says is what its relay does, and each is said once."""

from __future__ import annotations

import itertools

import pytest

from gateway.base.profiles import Profile
from gateway.base.values import LegKind
from gateway.call.legs.agreed import Will
from gateway.call.machine import effects as fx
from gateway.call.machine.effects import Purpose
from gateway.media.relay_commands import Route, SetKeys, SetPeer
from gateway.sdp.direction import Direction
from tests.call.machine_scene import MachineScene, answer, as_it_stands, sdes_answer, trunk_flow, vector
from tests.call.test_change import from_browser, from_trunk, held
from tests.call.test_setup import finished
from tests.effort import SEARCHING

BROWSER_ANSWER = vector("chromium_answer_to_rtpengine")
KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "B" * 40
TOLERANT = (Profile.PREFER, Profile.OSRTP, Profile.LEGACY)
RELAY = (SetKeys, SetPeer, Route)


def plain(profile: Profile) -> MachineScene:
    """A call in clear from a trunk over verified TLS."""
    scene = MachineScene(profile=profile, outbound=False, offer=answer(), flow=trunk_flow()).calling()
    scene.reply(200, BROWSER_ANSWER).ack()
    return scene.feed(scene.keyed()).clear()


def keyed(profile: Profile = Profile.PREFER) -> MachineScene:
    scene = MachineScene(profile=profile).calling()
    body = sdes_answer(scene.invite.body) if b"a=crypto" in scene.invite.body else answer()
    proto = b"RTP/SAVP" if b"RTP/SAVP" in scene.invite.body else b"RTP/AVP"
    scene.reply(200, body.replace(b"RTP/SAVP", proto)).ack()
    return scene.feed(scene.keyed()).clear()


def at(body: bytes, address: str) -> bytes:
    return body.replace(b"c=IN IP4 127.0.0.2", b"c=IN " + address.encode())


def recorded(scene: MachineScene) -> str:
    """Keying of the trunk leg as its last accepting record has it."""
    kinds = ("leg.secured", "leg.downgraded")
    records = [e.record for e in scene.all if isinstance(e, fx.WriteAudit) and e.record["type"] in kinds]
    last = [r["vector_after"] for r in records if r["leg"] == "trunk" and r.get("vector_after")][-1]
    assert isinstance(last, dict)
    return str(last["keying"])


def agrees(scene: MachineScene) -> bool:
    return scene.relay(SetPeer).keyed == (recorded(scene) == "sdes")


HOLDS = {
    "the old way": at(answer("RTP/SAVP", KEY), "IP4 0.0.0.0"),
    "the old way, IPv6": at(answer("RTP/SAVP", KEY), "IP6 ::"),
    "the old way, sendonly": at(answer("RTP/SAVP", KEY, direction="sendonly"), "IP4 0.0.0.0"),
    "the old way, inactive": at(answer("RTP/SAVP", KEY, direction="inactive"), "IP4 0.0.0.0"),
    "the old way, optional keys": at(answer("RTP/AVP", KEY), "IP4 0.0.0.0"),
    "sendonly": answer("RTP/SAVP", KEY, direction="sendonly"),
    "inactive": answer("RTP/SAVP", KEY, direction="inactive"),
    "sendonly, elsewhere": answer("RTP/SAVP", KEY, direction="sendonly", port=4900),
}


@pytest.mark.parametrize("profile", TOLERANT)
@pytest.mark.parametrize("body", HOLDS.values(), ids=HOLDS)
def test_a_call_in_clear_that_becomes_keyed_by_a_hold_is_keyed_at_the_relay_too(profile: Profile, body: bytes) -> None:
    scene = from_trunk(plain(profile), "INVITE", body)
    assert scene.responses[-1].status == 200
    assert recorded(scene) == "sdes"
    assert agrees(scene)
    assert scene.relay(SetPeer).rtp.host == "127.0.0.2"
    steps = [type(e) for e in scene.done]
    assert steps.index(fx.WriteAudit) < steps.index(SetKeys) < steps.index(SetPeer)
    assert steps.index(SetPeer) < steps.index(fx.Respond)


@pytest.mark.parametrize("address", ["IP4 0.0.0.0", "IP6 ::"])
def test_a_keyed_call_that_becomes_clear_by_a_hold_is_clear_at_the_relay_too(address: str) -> None:
    scene = from_trunk(keyed(), "INVITE", at(answer(), address))
    assert recorded(scene) == "plain"
    assert agrees(scene)


@pytest.mark.parametrize("body", [answer(port=0), answer("RTP/SAVP", KEY, port=0)])
def test_a_hold_by_port_0_changes_neither(body: bytes) -> None:
    scene = from_trunk(plain(Profile.PREFER), "INVITE", body)
    assert scene.responses[-1].status == 488
    assert not [e for e in scene.done if isinstance(e, (*RELAY, fx.WriteAudit))]


def test_a_resume_at_the_same_address_brings_the_relay_no_new_keys() -> None:
    """It hears of the address again because it counts the peer's silence from each description (POLICY A2b)."""
    scene = from_trunk(keyed(), "INVITE", at(answer("RTP/SAVP", KEY), "IP4 0.0.0.0"))
    scene.reply(200, held(b"recvonly").replace(b"actpass", b"active"), purpose=Purpose.REINVITE).clear()
    from_trunk(scene, "INVITE", answer("RTP/SAVP", KEY), cseq=901)
    assert [type(e) for e in scene.done if isinstance(e, RELAY)] == [SetPeer, Route]


BODIES = {
    "plain": answer(),
    "keyed": answer("RTP/SAVP", KEY),
    "keyed anew": answer("RTP/SAVP", KEY.replace("B" * 40, "C" * 40)),
    "optional": answer("RTP/AVP", KEY),
    "weak": answer("RTP/AVP", KEY.replace("_80", "_32")),
    "old hold": at(answer("RTP/SAVP", KEY), "IP4 0.0.0.0"),
    "old hold, plain": at(answer(), "IP4 0.0.0.0"),
    "hold": answer("RTP/SAVP", KEY, direction="inactive"),
    "refused": answer("RTP/SAVP"),
}


@pytest.mark.parametrize("first", BODIES)
@pytest.mark.parametrize("outbound", [True, False])
def test_whatever_follows_whatever_record_and_relay_say_the_same(first: str, outbound: bool) -> None:
    for rest in itertools.product(BODIES, repeat=2 if SEARCHING else 1):
        scene = keyed() if outbound else plain(Profile.PREFER)
        for cseq, name in enumerate((first, *rest), start=900):
            from_trunk(scene, "INVITE", BODIES[name], cseq=cseq)
            for sent in [e for e in scene.take(fx.SendRequest) if scene.kind(e.leg) is LegKind.BROWSER]:
                good = held(b"sendrecv").replace(b"actpass", b"active") if outbound else BROWSER_ANSWER
                scene.feed(scene.answer_to(sent, 200, b"" if sent.purpose is Purpose.UPDATE else good))
            scene.clear()
            assert agrees(scene), (first, *rest)


@pytest.mark.parametrize("profile", list(Profile))
def test_an_answer_keys_the_relay_once(profile: Profile) -> None:
    """Keys cross the process border once for each agreement."""
    scene = keyed(profile)
    commands = [e for e in scene.everything if isinstance(e, RELAY)]
    assert len(commands) == len({(type(e), e.source if isinstance(e, Route) else e.leg) for e in commands})


def test_a_hold_by_the_browser_brings_the_relay_no_new_keys() -> None:
    scene = from_browser(keyed(Profile.STRICT), "INVITE", held(b"sendonly"))
    scene.reply(200, sdes_answer(scene.invite.body).replace(b"sendrecv", b"recvonly"), purpose=Purpose.REINVITE)
    assert [type(e) for e in scene.done if isinstance(e, RELAY)] == [Route, SetPeer]


@pytest.mark.parametrize("address", ["IP4 0.0.0.0", "IP6 ::"])
@pytest.mark.parametrize("way", ["answer to our hold", "ACK"])
def test_an_answer_without_an_address_keeps_keys_and_place(way: str, address: str) -> None:
    scene = keyed()
    before = scene.relay(SetPeer)
    if way == "ACK":
        from_trunk(scene, "INVITE")
        scene.ack_of(LegKind.TRUNK, 900, at(sdes_answer(scene.responses[-1].body), address))
    else:
        from_browser(scene, "INVITE", held(b"sendonly"))
        body = sdes_answer(scene.invite.body).replace(b"sendrecv", b"recvonly")
        scene.reply(200, at(body, address), purpose=Purpose.REINVITE)
    assert finished(scene) is None
    assert agrees(scene)
    assert scene.relay(SetPeer) == before


def test_a_trunk_that_calls_on_hold_without_an_address_is_told_to_the_relay_when_it_gives_one() -> None:
    offer = at(answer("RTP/SAVP", KEY), "IP4 0.0.0.0")
    scene = MachineScene(outbound=False, offer=offer, flow=trunk_flow()).calling().reply(200, BROWSER_ANSWER).ack()
    assert scene.told(SetKeys)
    assert not scene.told(SetPeer)
    from_trunk(scene, "INVITE", answer("RTP/SAVP", KEY), cseq=2)
    assert scene.relay(SetPeer).keyed
    assert finished(scene) is None


def test_reading_an_offer_changes_nothing_of_the_leg() -> None:
    trunk = keyed().trunk_leg
    assert trunk is not None
    before = as_it_stands(trunk)
    trunk.inspect_offer(answer("RTP/SAVP", KEY, port=4900))
    assert as_it_stands(trunk) == before


@pytest.mark.parametrize(
    ("answered", "offered", "will"),
    [
        (Direction.SENDRECV, Direction.SENDRECV, Will(True, True)),
        (Direction.RECVONLY, Direction.SENDRECV, Will(False, True)),
        (Direction.INACTIVE, Direction.SENDRECV, Will(False, False)),
        (Direction.RECVONLY, Direction.SENDONLY, Will(True, True)),
        (Direction.INACTIVE, Direction.SENDONLY, Will(True, False)),
        (Direction.INACTIVE, Direction.RECVONLY, Will(False, True)),
        (Direction.INACTIVE, Direction.INACTIVE, Will(True, True)),
    ],
)
def test_an_answer_tells_of_the_peers_will_only_what_our_offer_left_open(
    answered: Direction, offered: Direction, will: Will
) -> None:
    """RFC 3264 6.1: who answers a hold with recvonly has not put us on hold."""
    assert Will().after_answer(answered, offered) == will


@pytest.mark.parametrize("direction", Direction)
def test_an_offer_tells_of_the_peers_will_all_there_is(direction: Direction) -> None:
    assert Will.of_offer(direction) == Will(direction.sends, direction.receives)


def test_a_change_that_is_read_and_refused_leaves_the_peers_will_as_it_was() -> None:
    scene = keyed()
    trunk = scene.trunk_leg
    read = trunk.read_offer(answer("RTP/SAVP", KEY, direction="inactive"))
    assert (read.will, trunk.will) == (Will(False, False), Will(True, True))
    other_codec = (
        answer("RTP/SAVP", KEY, direction="inactive").replace(b" 0 101", b" 18").replace(b"0 PCMU", b"18 G729")
    )
    from_trunk(scene, "INVITE", other_codec, cseq=2)
    assert scene.responses[-1].status == 488
    assert trunk.will == Will(True, True)
