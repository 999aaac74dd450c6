"""Media by IPv6 on either leg of a call, and on both: signalling need not be."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.base.values import HostPort
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear
from tests.rig.media import MediaEnd, frame, rtp

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]

HOST = "::1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostedScene]:
    """Browsers reach it by either protocol; its trunks have their media on IPv6."""
    setup = {"browser_bind": ("127.0.0.1", HOST)}
    made = await HostedScene(tmp_path_factory.mktemp("ipv6"), setup=setup, media_host=HOST).start()
    yield made
    await made.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", HOST], ids=["browser by IPv4", "browser by IPv6"])
@pytest.mark.parametrize("number", [PLAIN, SDES], ids=["plain trunk", "keyed trunk"])
async def test_both_hear_each_other(scene: HostedScene, number: str, host: str) -> None:
    browser = await scene.browser()
    try:
        call, trunk, uid = await scene.call(browser, number, host=host)
        await both_hear(call, trunk)
        assert trunk.target is not None
        assert {trunk.target[0], *(heard.source[0] for heard in trunk.heard)} == {HOST}
        assert {heard.source[0] for heard in call.media.heard} == {host}
        await call.hang_up()
        final = await scene.host.final(uid)
        assert final["termination"] == "hangup-browser"
    finally:
        await browser.close()


async def test_a_stranger_by_ipv6_is_not_heard_counted_and_on_record(scene: HostedScene) -> None:
    browser, attacker = await scene.browser(), MediaEnd(b"injected-by-a-stranger-123456789", HOST)
    try:
        call, trunk, uid = await scene.call(browser, PLAIN)
        await both_hear(call, trunk)
        assert trunk.target is not None
        for sequence in range(30):
            attacker.send(rtp(sequence, frame(attacker.mark, sequence)), trunk.target[:2])
        await both_hear(call, trunk)
        assert not any(payload.startswith(attacker.mark) for payload in call.media.payloads())
        assert attacker.heard == []
        await call.hang_up()
        await scene.host.final(uid)
        told = [(record["address"], record["codes"]) for record in scene.host.records("media.latch", uid)]
        assert told == [(str(HostPort(*attacker.address)), ["media.mid_relatch"])]
    finally:
        attacker.close()
        await browser.close()
