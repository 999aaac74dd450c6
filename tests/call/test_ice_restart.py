"""An ICE restart: a browser whose network changed asks for new credentials, and the call goes on (RFC 8839 4.4)."""

from __future__ import annotations

import re

import pytest

from gateway.base.profiles import Profile
from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from gateway.media.relay_commands import IcePort, OpenLeg, SetIce
from tests.call.machine_scene import MachineScene, answer, browser_answer, trunk_flow, vector
from tests.call.test_setup import finished

OFFER = vector("chromium_offer")
UFRAG, PWD = re.compile(rb"a=ice-ufrag:(\S+)"), re.compile(rb"a=ice-pwd:(\S+)")


def credentials(body: bytes) -> tuple[bytes, bytes]:
    ufrag, pwd = UFRAG.search(body), PWD.search(body)
    assert ufrag is not None
    assert pwd is not None
    return ufrag[1], pwd[1]


def restarting(offer: bytes, mark: bytes = b"New") -> bytes:
    """The same offer after the browser's network changed."""
    return PWD.sub(b"a=ice-pwd:" + mark + b"x" * 24, UFRAG.sub(b"a=ice-ufrag:" + mark + b"x", offer))


def outbound() -> MachineScene:
    scene = MachineScene(profile=Profile.LEGACY, flow=trunk_flow("udp")).calling().reply(200, answer()).ack()
    return scene.feed(scene.keyed()).clear()


def inbound() -> MachineScene:
    scene = MachineScene(profile=Profile.LEGACY, outbound=False, offer=answer(), flow=trunk_flow("udp")).calling()
    scene.reply(200, browser_answer(scene.invite.body)).ack()
    return scene.feed(scene.keyed()).clear()


def offer_of(scene: MachineScene) -> bytes:
    """What the browser of the scene offers in mid-call."""
    if scene.state.facts.outbound:
        return OFFER
    return browser_answer(scene.invite.body).replace(b"a=setup:active", b"a=setup:actpass")


def ours(scene: MachineScene) -> tuple[bytes, bytes]:
    """Our credentials as the relay first got them."""
    place = next(c.place for c in scene.relayed(OpenLeg) if isinstance(c.place, IcePort))
    return place.ufrag.encode(), place.pwd.reveal().encode()


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("make", [outbound, inbound])
def test_a_restart_is_answered_with_new_credentials_which_the_relay_hears_first(
    make: type[MachineScene], method: str
) -> None:
    scene = make()
    scene.inside(LegKind.BROWSER, method, restarting(offer_of(scene)), cseq=2)
    reply = scene.responses[-1]
    assert reply.status == 200
    assert [type(e) for e in scene.done if isinstance(e, SetIce | fx.Respond)] == [SetIce, fx.Respond]
    told = scene.told(SetIce)[0]
    assert credentials(reply.body) == (told.ufrag.encode(), told.pwd.reveal().encode())
    assert not set(credentials(reply.body)) & set(ours(scene))
    assert finished(scene) is None


def test_a_restart_leaves_dtls_roles_fingerprint_and_the_trunk_alone() -> None:
    """RFC 8842 4: the association goes on, with the keys it has."""
    scene = outbound()
    first = next(r.body for r in scene.responses if r.status == 200)
    scene.inside(LegKind.BROWSER, "INVITE", restarting(OFFER), cseq=2)
    body = scene.responses[-1].body
    kept = [x for x in first.splitlines() if x.startswith((b"a=fingerprint", b"a=setup", b"a=candidate", b"m="))]
    assert kept == [x for x in body.splitlines() if x.startswith((b"a=fingerprint", b"a=setup", b"a=candidate", b"m="))]
    assert not scene.take(fx.StartDtls)
    assert not scene.take(fx.ReleaseDtlsKeys)
    assert not scene.take(fx.SendRequest)


@pytest.mark.parametrize(
    "change", [lambda o: UFRAG.sub(b"a=ice-ufrag:Othr", o), lambda o: PWD.sub(b"a=ice-pwd:" + b"q" * 24, o)]
)
def test_one_of_the_two_credentials_is_enough(change: type) -> None:
    scene = outbound()
    scene.inside(LegKind.BROWSER, "INVITE", change(OFFER), cseq=2)
    assert len(scene.told(SetIce)) == 1


def test_the_same_credentials_again_are_no_restart() -> None:
    scene = outbound()
    more = OFFER + b"a=candidate:9 1 udp 1 192.0.2.77 5000 typ host\r\n"
    for cseq, offer in enumerate((OFFER, more, OFFER.replace(b"a=sendrecv", b"a=sendonly")), start=2):
        scene.inside(LegKind.BROWSER, "INVITE", offer, cseq=cseq)
        assert credentials(scene.responses[-1].body) == ours(scene)
    assert not scene.told(SetIce)


def test_each_restart_has_credentials_of_its_own_and_our_own_offers_keep_the_last() -> None:
    scene = outbound()
    seen = {ours(scene)}
    for cseq, mark in enumerate((b"One", b"Two", b"Six"), start=2):
        scene.inside(LegKind.BROWSER, "INVITE", restarting(OFFER, mark), cseq=cseq)
        seen.add(credentials(scene.responses[-1].body))
    assert len(seen) == 4
    scene.ack_of(LegKind.BROWSER, 4).clear()
    scene.inside(LegKind.TRUNK, "INVITE", answer(direction="sendonly"), cseq=9)
    sent = [e.request.body for e in scene.take(fx.SendRequest) if scene.kind(e.leg) is LegKind.BROWSER]
    assert credentials(sent[-1]) == credentials([r.body for r in scene.responses if b"a=ice-ufrag" in r.body][-1])


def test_a_restart_that_is_refused_changes_nothing() -> None:
    scene = outbound()
    refused = restarting(OFFER).replace(b"a=fingerprint:sha-256 C6", b"a=fingerprint:sha-256 00")
    refused = refused if refused != restarting(OFFER) else re.sub(rb"sha-256 ..", b"sha-256 00", refused)
    scene.inside(LegKind.BROWSER, "INVITE", refused, cseq=2)
    assert scene.responses[-1].status == 488
    assert not scene.told(SetIce)
    scene.inside(LegKind.BROWSER, "INVITE", OFFER, cseq=3)
    assert credentials(scene.responses[-1].body) == ours(scene)
