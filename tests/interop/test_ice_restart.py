"""A browser whose network changes in mid-call: new credentials both ways, the same keys, and nobody goes silent."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear
from tests.rig.media import line

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]
CHECKS = 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostedScene]:
    made = await HostedScene(tmp_path_factory.mktemp("restart")).start()
    yield made
    await made.stop()


@pytest.mark.parametrize("number", [PLAIN, SDES])
async def test_both_hear_each_other_before_and_after_an_ice_restart(scene: HostedScene, number: str) -> None:
    browser = await scene.browser()
    try:
        call, trunk, uid = await scene.call(browser, number)
        await both_hear(call, trunk)
        media, before, keys = call.media, call.media.remote_password, call.media.srtp
        media.ufrag, media.password = secrets.token_hex(4), secrets.token_hex(16)
        response = await call.request("INVITE", media.description())
        assert response.status == 200
        assert line(response.body.decode(), "a=ice-pwd:") != before
        media.read(response.body)
        answered = media.checks_answered
        async with asyncio.timeout(5):
            while media.checks_answered < answered + CHECKS:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await both_hear(call, trunk, count=20)
        assert media.srtp is keys, "no other handshake"
        trunk.hush()
        await call.hang_up()
        assert (await scene.host.final(uid))["termination"] == "hangup-browser"
        assert scene.host.records("leg.violation", uid) == []
    finally:
        await browser.close()
