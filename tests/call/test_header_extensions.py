"""Header extensions of RTP: agreed on where the configuration names them and both sides have them, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.base.profiles import Profile
from gateway.base.values import LegKind
from gateway.media.relay_commands import ExtensionMap
from tests.call import machine_scene
from tests.call.machine_scene import MachineScene, answer, vector

LEVEL, MID = "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "urn:ietf:params:rtp-hdrext:sdes:mid"
OFFER = vector("chromium_offer")
TO_TRUNK, TO_BROWSER = (LegKind.BROWSER, LegKind.TRUNK), (LegKind.TRUNK, LegKind.BROWSER)


@pytest.fixture
def _level(monkeypatch: pytest.MonkeyPatch) -> None:
    site = replace(machine_scene.SITE, header_extensions=(MID, LEVEL))
    monkeypatch.setattr(machine_scene, "SITE", site)


def extmaps(body: bytes) -> list[str]:
    return [line.removeprefix("a=extmap:") for line in body.decode().splitlines() if line.startswith("a=extmap:")]


def outbound(*lines: str) -> MachineScene:
    """A browser's call to a trunk that answers with these lines."""
    scene = MachineScene(profile=Profile.LEGACY).calling()
    return scene.reply(200, answer("RTP/AVP", *lines))


def answered(scene: MachineScene) -> bytes:
    """What the caller was answered."""
    (found,) = [response.body for response in scene.responses if response.status == 200]
    return bytes(found)


@pytest.mark.usefixtures("_level")
def test_what_both_have_is_agreed_with_each_under_its_own_numbers_and_passes() -> None:
    scene = outbound(f"a=extmap:2 {LEVEL}")
    assert extmaps(bytes(scene.invite.body)) == [f"1 {MID}", f"2 {LEVEL}"], "the browser has these two among others"
    assert extmaps(answered(scene)) == [f"1 {LEVEL}"], "the number is the browser's"
    assert scene.way(*TO_TRUNK).extensions == (ExtensionMap(1, 2),)
    assert scene.way(*TO_BROWSER).extensions == (ExtensionMap(2, 1),)


@pytest.mark.usefixtures("_level")
def test_what_one_side_sends_and_does_not_take_passes_one_way() -> None:
    scene = outbound(f"a=extmap:2/recvonly {LEVEL}")
    assert scene.way(*TO_TRUNK).extensions == (ExtensionMap(1, 2),)
    assert scene.way(*TO_BROWSER).extensions == ()


@pytest.mark.usefixtures("_level")
@pytest.mark.parametrize("line", ["", f"a=extmap:5 {LEVEL}", "a=extmap:2 urn:x:other"])
def test_what_the_answer_does_not_take_as_it_was_offered_passes_no_way(line: str) -> None:
    scene = outbound(*([line] if line else []))
    assert scene.way(*TO_TRUNK).extensions == scene.way(*TO_BROWSER).extensions == ()


def test_without_a_word_in_the_configuration_none_is_offered_answered_or_passed_on() -> None:
    scene = outbound(f"a=extmap:1 {LEVEL}")
    assert extmaps(bytes(scene.invite.body)) == extmaps(answered(scene)) == []
    assert scene.way(*TO_TRUNK).extensions == scene.way(*TO_BROWSER).extensions == ()


@pytest.mark.usefixtures("_level")
def test_a_call_from_a_trunk_offers_the_browser_what_the_trunk_has() -> None:
    body = answer("RTP/AVP", f"a=extmap:9 {LEVEL}", "a=extmap:3 urn:x:other")
    scene = MachineScene(profile=Profile.LEGACY, outbound=False, offer=body).calling()
    assert extmaps(bytes(scene.invite.body)) == [f"1 {LEVEL}"]
    scene.reply(200, OFFER.replace(b"setup:actpass", b"setup:active"))
    assert extmaps(answered(scene)) == [f"9 {LEVEL}"]
    assert scene.way(*TO_TRUNK).extensions == (ExtensionMap(1, 9),)
