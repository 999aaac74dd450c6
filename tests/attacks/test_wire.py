"""The wire itself: what was spoken is never readable on a keyed leg, and the peer's own key gives it back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.rig.browser import ScriptedBrowser
from tests.rig.capture import Capture, Packet
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear
from tests.rig.media import FROM_BROWSER, FROM_TRUNK
from tests.rig.srtp import CM_80, GCM_128, GCM_256, Profile, decrypt

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

SPOKEN = (FROM_BROWSER, FROM_TRUNK)
Address = tuple[str, int]


async def record_call(
    scene: HostedScene, alice: ScriptedBrowser, number: str, path: Path, profile: Profile, sdes: Profile | None
) -> tuple[list[Packet], Address, Address, list[tuple[Profile, bytes]], str]:
    """Packets of a call from before its INVITE to after its BYE; the peers' addresses; their receive and send keys."""
    capture = Capture(path / "wire.pcap", scene.setup.media_filter)  # others may speak on this machine too
    await asyncio.to_thread(capture.start)
    trunk = scene.answer_with(number, sdes)
    call = await alice.dial(number, profiles=(profile,))
    uid = scene.host.last_call()
    await both_hear(call, trunk, 20)
    await call.hang_up()
    trunk.hush()
    await scene.host.final(uid)
    packets = await asyncio.to_thread(capture.stop)
    ends = [call.media, trunk]
    keys = [(e.srtp.profile, k) for e in ends if e.srtp for k in (e.srtp.receive_key, e.srtp.send_key)]
    return packets, call.media.address, trunk.address, keys, uid


def spoken(packets: list[bytes]) -> set[bytes]:
    return {mark for mark in SPOKEN for packet in packets if mark in packet}


def between(packets: list[Packet], end: Address, *, out: bool) -> list[bytes]:
    """RTP to the end, or from it."""
    return [p.payload for p in packets if p.is_rtp and (p.source if out else p.destination) == end]


@pytest.mark.parametrize("browser_profile", [CM_80, GCM_128, GCM_256], ids=lambda p: p.sdes)
@pytest.mark.parametrize("sdes_profile", [CM_80, GCM_256], ids=lambda p: p.sdes)
async def test_keyed_legs_show_nothing_on_the_wire_and_decrypt_with_the_peers_own_keys(
    scene: HostedScene, alice: ScriptedBrowser, tmp_path: Path, browser_profile: Profile, sdes_profile: Profile
) -> None:
    packets, browser, trunk, keys, uid = await record_call(scene, alice, SDES, tmp_path, browser_profile, sdes_profile)
    assert spoken([p.payload for p in packets]) == set()
    (dtls, to_browser), (_, from_browser), (sdes, to_trunk), (_, from_trunk) = keys
    assert (dtls, sdes) == (browser_profile, sdes_profile)
    assert len({to_browser, from_browser, to_trunk, from_trunk}) == 4
    for profile, key, end, out, mark in (
        (dtls, to_browser, browser, False, FROM_TRUNK),
        (dtls, from_browser, browser, True, FROM_BROWSER),
        (sdes, to_trunk, trunk, False, FROM_BROWSER),
        (sdes, from_trunk, trunk, True, FROM_TRUNK),
    ):
        found = between(packets, end, out=out)
        assert len(found) >= 20
        assert spoken(decrypt(profile, key, found)) == {mark}
    suites = {r["leg"]: r["vector_after"]["suite"] for r in scene.host.records("leg.secured", uid)}
    assert suites == {"browser": browser_profile.sdes, "trunk": sdes_profile.sdes}


async def test_the_plain_leg_is_readable_and_the_log_said_so_while_the_browser_leg_is_not(
    scene: HostedScene, alice: ScriptedBrowser, tmp_path: Path
) -> None:
    packets, browser, trunk, keys, uid = await record_call(scene, alice, PLAIN, tmp_path, CM_80, None)
    assert spoken(between(packets, trunk, out=False)) == {FROM_BROWSER}
    assert spoken(between(packets, trunk, out=True)) == {FROM_TRUNK}
    others = [p.payload for p in packets if trunk not in (p.source, p.destination)]
    assert spoken(others) == set()
    assert len(keys) == 2
    (downgraded,) = scene.host.records("leg.downgraded", uid)
    assert (downgraded["leg"], downgraded["grade_after"]) == ("trunk", "CLEARTEXT")
    assert "media.plain_rtp" in downgraded["codes"]
    assert (await scene.host.final(uid))["grade_worst"] == "CLEARTEXT"
    assert between(packets, browser, out=True)
