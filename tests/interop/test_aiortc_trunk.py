"""aiortc as a trunk that speaks WebRTC's media over SIP (ICE, DTLS, rtcp-mux): it is called, and it calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.probe.webrtc import BrowserEnd
from gateway.sip.message import Request
from tests.rig.browser import ScriptedBrowser
from tests.rig.counting import counted
from tests.rig.gateway import Record
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, HostedScene
from tests.rig.trunk import Answer, TrunkDialog

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]

PACKETS = 10


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostedScene]:
    webrtc = {"security": "prefer", "keying": ["dtls"], "dtls": {"ice": True}}
    made = await HostedScene(tmp_path_factory.mktemp("aiortc"), plain=webrtc).start()
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def peer() -> AsyncIterator[BrowserEnd]:
    made = BrowserEnd(700.0, "PCMU")
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def alice(scene: HostedScene) -> AsyncIterator[ScriptedBrowser]:
    made = await scene.browser()
    yield made
    await made.close()


def kept(scene: HostedScene, uid: str) -> Record:
    """What the log says of the trunk's leg."""
    (found,) = [r for r in scene.host.records("leg.downgraded", uid) if r["leg"] == "trunk"]
    return found


async def test_it_is_called_with_ice_and_both_sides_are_heard(
    scene: HostedScene, alice: ScriptedBrowser, peer: BrowserEnd
) -> None:
    loop = asyncio.get_running_loop()

    def answers(request: Request) -> list[Answer]:
        return [(200, asyncio.run_coroutine_threadsafe(peer.reply(request.body), loop).result(10))]

    scene.scripts[PLAIN] = answers
    call = await alice.dial(PLAIN)
    uid = scene.host.last_call()
    await peer.connected()
    call.media.talk()
    await until(lambda: len(call.media.heard) >= PACKETS, "packets of the trunk")
    await asyncio.wait_for(asyncio.shield(peer.first_audio), 5.0)
    await call.hang_up()
    final = await scene.host.final(uid)
    assert (final["termination"], final["grade_worst"]) == ("hangup-browser", "UNAUTHENTICATED")
    assert kept(scene, uid)["codes"] == ["key.dtls_fp_unauth"]
    assert scene.host.records("leg.violation", uid) == []


@pytest.mark.slow
async def test_it_calls_with_ice_and_is_answered_with_ice_lite(
    scene: HostedScene, alice: ScriptedBrowser, peer: BrowserEnd
) -> None:
    trunk, gateway, dialog = scene.trunks[PLAIN], ("127.0.0.1", scene.setup.sip_port), TrunkDialog("aiortc-in")
    trunk.request("INVITE", "100", gateway, dialog, await peer.offer())
    async with asyncio.timeout(5):
        call = await alice.incoming.get()
    await call.accept()
    await until(lambda: any(r.status == 200 for r in trunk.answers(dialog)), "the answer")
    body = next(r.body for r in trunk.answers(dialog) if r.status == 200)
    assert b"a=ice-lite\r\n" in body
    await peer.accept(body)
    trunk.request("ACK", "100", gateway, dialog)
    uid = scene.host.last_call()
    await peer.connected()
    call.media.talk()
    await until(lambda: len(call.media.heard) >= PACKETS, "packets of the trunk")
    await asyncio.wait_for(asyncio.shield(peer.first_audio), 5.0)
    assert kept(scene, uid)["codes"] == ["key.dtls_fp_unauth"]
    await call.hang_up()


async def test_another_certificate_than_it_announced_ends_the_call_before_any_media(
    scene: HostedScene, alice: ScriptedBrowser, peer: BrowserEnd
) -> None:
    loop = asyncio.get_running_loop()

    def answers(request: Request) -> list[Answer]:
        body = asyncio.run_coroutine_threadsafe(peer.reply(request.body), loop).result(10)
        return [(200, re.sub(rb"a=fingerprint:sha-\d+ ..", b"a=fingerprint:sha-256 00", body))]

    scene.scripts[PLAIN] = answers
    call = await alice.dial(PLAIN)
    uid = scene.host.last_call()
    call.media.talk()
    await call.end()
    final = await scene.host.final(uid)
    assert final["termination"] == "trunk-fingerprint-mismatch"
    assert counted(final, "rtp_tx") == 0
    (violation,) = scene.host.records("leg.violation", uid)
    assert (violation["leg"], violation["codes"]) == ("trunk", ["dtls.fp_mismatch"])
    assert call.media.heard == []
