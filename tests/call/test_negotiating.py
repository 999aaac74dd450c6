"""Offer and answer of one leg: what it agreed on, and that what is refused changes nothing."""

from __future__ import annotations

from gateway.base.values import LegKind
from gateway.call.machine import effects as fx
from tests.call.machine_scene import MachineScene, answer, sdes_answer, vector

TURNED = vector("chromium_offer").replace(b"a=sendrecv", b"a=sendonly")


def talking() -> MachineScene:
    scene = MachineScene().calling()
    return scene.reply(200, sdes_answer(scene.invite.body)).ack()


def versions(scene: MachineScene) -> list[int]:
    """Of our descriptions to the browser, in their order."""
    sent = [e.response.body.decode() for e in scene.all if isinstance(e, fx.Respond) and e.response.body]
    return [int(line.split()[2]) for body in sent for line in body.splitlines() if line.startswith("o=")]


def test_the_same_description_has_the_same_version_and_another_one_the_next() -> None:
    """RFC 3264 8."""
    scene = talking().inside(LegKind.BROWSER, "UPDATE", vector("chromium_offer"), cseq=30)
    scene.inside(LegKind.BROWSER, "UPDATE", TURNED, cseq=31)
    first, again, other = versions(scene)
    assert (again, other) == (first, first + 1)


def test_a_leg_is_agreed_when_both_have_spoken() -> None:
    scene = MachineScene().calling()
    assert not scene.trunk_leg.is_agreed
    scene.reply(200, sdes_answer(scene.invite.body))
    assert scene.trunk_leg.is_agreed


def test_early_media_is_early_until_the_callee_picks_up() -> None:
    scene = MachineScene().calling()
    body = sdes_answer(scene.invite.body)
    early = scene.reply(183, body).trunk_leg.early_media
    assert (early, scene.reply(200, body).trunk_leg.early_media) == (True, False)


def test_an_offer_that_is_refused_leaves_the_session_the_very_same() -> None:
    scene = talking()
    before = scene.trunk_leg.talk.session
    scene.inside(LegKind.TRUNK, "INVITE", answer("RTP/SAVP"), cseq=30)
    assert scene.trunk_leg.talk.session is before
