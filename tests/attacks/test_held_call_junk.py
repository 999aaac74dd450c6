"""Junk while a call is on hold: silence of the peer and noise of strangers are both no reason to end it."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from tests.attacks.conftest import Strangers
from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.hosted_scene import ATTACKER_HOST, PLAIN, PLAIN_HOST, SDES, HostedScene, both_hear
from tests.rig.media import MediaEnd, TrunkMedia, frame, rtp

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

HELD_SECONDS = 15.0
PAUSE_SECONDS = 0.05


def junk(sequence: int) -> tuple[bytes, ...]:
    return (
        secrets.token_bytes(60),
        rtp(sequence, frame(b"junk-of-a-stranger", sequence)),
        rtp(sequence, frame(b"junk-of-a-stranger", sequence), kind=96),
        b"\x80\xc9\x00\x01\x00\x00\x00\x01",  # RTCP receiver report
        b"\x81\xcb\x00\x01\x00\x00\x5e\xed",  # RTCP BYE
        b"\x16\xfe\xfd" + bytes(60),
        b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
        b"",
    )


async def hold(call: BrowserCall, trunk: TrunkMedia) -> None:
    call.media.hush()
    trunk.hush()
    response = await call.request("INVITE", call.media.description(direction="inactive"))
    assert response.status == 200
    assert b"a=inactive" in response.body


async def resume(call: BrowserCall) -> None:
    response = await call.request("INVITE", call.media.description())
    assert response.status == 200
    assert b"a=sendrecv" in response.body


async def test_fifteen_seconds_of_junk_do_not_end_held_calls_and_both_resume(
    scene: HostedScene, alice: ScriptedBrowser, stranger: Strangers
) -> None:
    calls = [await scene.call(alice, number) for number in (PLAIN, SDES)]
    for call, trunk, _ in calls:
        await both_hear(call, trunk)
        await hold(call, trunk)
    sources: list[MediaEnd] = [stranger(ATTACKER_HOST), stranger(PLAIN_HOST), *(trunk for _, trunk, _ in calls)]
    before = {id(call): len(call.media.payloads()) for call, _, _ in calls}
    async with asyncio.timeout(HELD_SECONDS + 5):
        for sequence in range(int(HELD_SECONDS / PAUSE_SECONDS)):
            for _, trunk, _ in calls:
                assert trunk.target is not None
                for port in (trunk.target[1], trunk.target[1] + 1, scene.setup.browser_port):
                    for source in sources:
                        source.send(secrets.choice(junk(sequence)), ("127.0.0.1", port))
            await asyncio.sleep(PAUSE_SECONDS)
    for call, trunk, uid in calls:
        assert not call.ended.done()
        assert len(call.media.payloads()) == before[id(call)]
        await resume(call)
        await both_hear(call, trunk)
        await call.hang_up()
        assert (await scene.host.final(uid))["termination"] == "hangup-browser"
        assert scene.host.records("leg.violation", uid) == []
    assert [source.heard for source in sources[:2]] == [[], []]
