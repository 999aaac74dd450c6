"""A trunk that swallows everything, over real sockets: down after seconds, and up again at its first word."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.trunks.health import PROBE_SECONDS, SILENT_SECONDS, TRY_SECONDS
from tests.rig.browser import ScriptedBrowser
from tests.rig.hosted import until
from tests.rig.hosted_scene import EMERGENCY, PLAIN, HostedScene

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

SLACK = 6.0
"""Seconds a loaded machine may add; without the question it would be 32 s."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostedScene]:
    made = await HostedScene(tmp_path_factory.mktemp("silent")).start()
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def alice(scene: HostedScene) -> AsyncIterator[ScriptedBrowser]:
    browser = await scene.browser()
    yield browser
    await browser.close()


async def refused(scene: HostedScene, alice: ScriptedBrowser, number: str) -> tuple[int, str, float]:
    """Status, Warning and how long it took."""
    began = time.monotonic()
    call = await alice.invite(number)
    response = await call.final()
    return response.status, response.headers.get("Warning") or "", time.monotonic() - began


async def test_a_trunk_that_swallows_everything_is_down_after_seconds_and_up_at_its_first_word(
    scene: HostedScene, alice: ScriptedBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.rig.browser.WAIT_SECONDS", SILENT_SECONDS + PROBE_SECONDS + SLACK)
    probes = scene.host.gateway.manager.probes
    trunk = scene.trunks[PLAIN]
    trunk.deaf = True
    status, warning, seconds = await refused(scene, alice, PLAIN)
    assert (status, warning) == (504, '399 gw "The trunk does not answer"')
    assert seconds < SILENT_SECONDS + PROBE_SECONDS + SLACK
    assert probes.down == 1
    assert "trunk=plain state=up->down" in scene.host.log
    status, _, seconds = await refused(scene, alice, EMERGENCY)
    assert status == 504
    status, _, seconds = await refused(scene, alice, PLAIN)
    assert (status, seconds < TRY_SECONDS + SLACK / 2) == (504, True)
    scene.answer_with(PLAIN)
    trunk.deaf = False
    await until(lambda: probes.down == 0, "the trunk is still down", 70.0)
    assert "trunk=plain state=down->up" in scene.host.log
    await until(lambda: "BYE" in trunk.methods(), "a phone that answered too late is not hung up on")
    call, _, _ = await scene.call(alice, PLAIN)
    await call.hang_up()
