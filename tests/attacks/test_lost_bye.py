"""A trunk is gone and its BYE never came: no call stays up for ever, and none that lives is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.attacks.test_held_call_junk import hold, resume
from tests.rig.browser import ScriptedBrowser
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

SILENCE_SECONDS = 1.0
TRANSACTION_SECONDS = 32.0
"""64*T1: a request over UDP that nobody answers (RFC 3261 17.1.2.2)."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostedScene]:
    """A gateway that asks soon."""
    made = await HostedScene(tmp_path_factory.mktemp("silence"), silence_seconds=SILENCE_SECONDS).start()
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def alice(scene: HostedScene) -> AsyncIterator[ScriptedBrowser]:
    browser = await scene.browser()
    yield browser
    await browser.close()
    await until(lambda: scene.host.gateway.manager.live_calls == 0, "calls still live")


@pytest.mark.parametrize("number", [PLAIN, SDES], ids=["UDP", "TLS"])
async def test_a_trunk_that_forgot_the_call_is_asked_and_the_call_ends(
    scene: HostedScene, alice: ScriptedBrowser, number: str
) -> None:
    call, trunk, uid = await scene.call(alice, number)
    await both_hear(call, trunk)
    trunk.hush()
    scene.trunks[number].status = 481
    try:
        bye = await call.end(10.0)
    finally:
        scene.trunks[number].status = 200
    assert "no longer knows" in (bye.headers.get("Reason") or "")
    assert (await scene.host.final(uid))["termination"] == "peer-gone"


async def test_a_trunk_that_vanished_ends_its_call_when_the_question_is_not_answered(
    scene: HostedScene, alice: ScriptedBrowser
) -> None:
    call, trunk, uid = await scene.call(alice, PLAIN)
    await both_hear(call, trunk)
    trunk.hush()
    gone = scene.trunks.pop(PLAIN)
    await asyncio.to_thread(gone.stop)
    try:
        await call.end(TRANSACTION_SECONDS + 10.0)
        assert (await scene.host.final(uid))["termination"] == "peer-gone"
    finally:
        scene.trunks[PLAIN] = scene.new_trunk(PLAIN).start()


async def test_a_living_trunk_may_be_silent_muted_or_on_hold(scene: HostedScene, alice: ScriptedBrowser) -> None:
    call, trunk, uid = await scene.call(alice, PLAIN)
    await both_hear(call, trunk)
    trunk.hush()
    asked = len(scene.trunks[PLAIN].methods())
    await until(lambda: "OPTIONS" in scene.trunks[PLAIN].methods()[asked:], "asked")
    await both_hear(call, trunk)
    await hold(call, trunk)
    await asyncio.sleep(3 * SILENCE_SECONDS)
    assert not call.ended.done()
    await resume(call)
    await both_hear(call, trunk)
    await call.hang_up()
    assert (await scene.host.final(uid))["termination"] == "hangup-browser"
