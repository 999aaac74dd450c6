"""Nothing leaves either leg before its keys are set, however early the other side talks (asterisk issue 1260)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.sip.message import Request
from tests.attacks.conftest import Strangers
from tests.rig.browser import ScriptedBrowser
from tests.rig.browser_media import BrowserMedia
from tests.rig.capture import Capture
from tests.rig.counting import counted
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear
from tests.rig.media import FROM_BROWSER, FROM_TRUNK, frame, line, rtp
from tests.rig.trunk import Answer

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

EARLY_SECONDS = 0.6


@pytest.mark.parametrize("number", [PLAIN, SDES], ids=["plain", "sdes"])
@pytest.mark.parametrize("setup", ["active", "passive"], ids=["gateway is server", "gateway is client"])
async def test_nothing_passes_either_way_until_the_browser_leg_is_keyed(
    scene: HostedScene, alice: ScriptedBrowser, tmp_path: Path, number: str, setup: str
) -> None:
    capture = Capture(tmp_path / "wire.pcap", scene.setup.media_filter)
    await asyncio.to_thread(capture.start)
    trunk = scene.answer_with(number)
    media = BrowserMedia(setup=setup)
    media.before_dtls.clear()
    call = await alice.invite(number, media)
    assert (await call.final()).status == 200
    uid = scene.host.last_call()
    trunk.talk()
    media.talk()  # in clear: it has no keys either
    await asyncio.sleep(EARLY_SECONDS)
    packets = await asyncio.to_thread(capture.stop)
    assert (media.heard, trunk.heard) == ([], [])
    ours = {media.address, trunk.address}
    assert [p for p in packets if p.is_rtp and p.destination in ours] == []
    assert {p.source for p in packets if p.is_rtp} >= ours
    assert media.checks_answered > 0
    assert [r["leg"] for r in scene.host.records("leg.secured", uid) if r["leg"] == "browser"] == []
    media.before_dtls.set()
    await media.connected()
    await both_hear(call, trunk)
    await call.hang_up()
    assert counted((await scene.host.final(uid)), "unkeyed_dropped") >= 20


@pytest.mark.parametrize("number", [PLAIN, SDES], ids=["plain", "sdes"])
async def test_nothing_leaves_towards_a_trunk_that_has_not_answered(
    scene: HostedScene, alice: ScriptedBrowser, stranger: Strangers, number: str
) -> None:
    loop = asyncio.get_running_loop()
    trunk = scene.answer_with(number)

    async def early(port: int) -> None:
        for sequence in range(20):
            packet = rtp(sequence, frame(FROM_TRUNK, 50_000 + sequence))
            for sender in (trunk, thief):
                sender.send(packet, ("127.0.0.1", port))
            await asyncio.sleep(0.01)

    def slow(request: Request) -> list[Answer]:
        port = int(line(request.body.decode(), "m=audio").split()[0])
        asyncio.run_coroutine_threadsafe(early(port), loop).result()
        heard_before.extend(trunk.heard)
        return [(200, trunk.answer(request))]

    thief = stranger("127.0.2.66")
    heard_before: list[object] = []
    scene.scripts[number] = slow
    call = await alice.dial(number)
    uid = scene.host.last_call()
    await both_hear(call, trunk)
    assert (heard_before, thief.heard) == ([], [])
    assert not any(int.from_bytes(p[-4:], "big") >= 50_000 for p in call.media.payloads())
    assert {p[: len(FROM_BROWSER)] for p in trunk.payloads()} == {FROM_BROWSER}
    await call.hang_up()
    # What the browser says before its leg's record is in the log, and its keys may go to the relay, counts too.
    assert counted((await scene.host.final(uid)), "unkeyed_dropped") >= 40
