"""Consent (RFC 7675): a browser that stops confirming is sent nothing more, and the call ends by that name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.rig.counting import counted
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

CONSENT_SECONDS = 2.0
SWEEP_SECONDS = 1.5
"""How much later than the consent's end the relay may notice, and the call be over."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostedScene]:
    """A gateway whose consent is short."""
    made = await HostedScene(tmp_path_factory.mktemp("consent"), consent_seconds=CONSENT_SECONDS).start()
    await made.canary(PLAIN)
    await made.canary(SDES)
    yield made
    await made.stop()


async def ends_for_want_of_consent(scene: HostedScene, number: str, consent: float) -> None:
    before = scene.host.holdings()
    browser = await scene.browser()
    call, trunk, uid = await scene.call(browser, number)
    await both_hear(call, trunk)
    call.media.stop_checks()
    loop = asyncio.get_running_loop()
    began = loop.time()
    bye = await call.end(consent + SWEEP_SECONDS)
    assert consent - 0.5 < loop.time() - began
    reason = 'SIP;cause=408;text="The browser stopped confirming that it wants media"'
    assert bye.headers.get("Reason") == reason
    assert (await scene.host.final(uid))["termination"] == "consent-lost"
    await until(lambda: scene.trunks[number].methods()[-1] == "BYE", "BYE to the trunk")
    assert scene.trunks[number].seen[-1].headers.get("Reason") == reason
    await browser.close()
    trunk.close()
    await scene.canary()
    scene.media[SDES].close()
    await scene.host.returned_to(before)


@pytest.mark.parametrize("number", [PLAIN, SDES], ids=["plain", "sdes"])
async def test_a_call_whose_browser_stops_its_checks_ends_as_consent_lost(scene: HostedScene, number: str) -> None:
    await ends_for_want_of_consent(scene, number, CONSENT_SECONDS)


async def test_a_call_whose_browser_goes_on_with_its_checks_lives(scene: HostedScene) -> None:
    browser = await scene.browser()
    call, trunk, _ = await scene.call(browser, SDES)
    await asyncio.sleep(2 * CONSENT_SECONDS)
    await both_hear(call, trunk)
    await call.hang_up()
    await browser.close()
    trunk.close()


async def test_checks_without_the_password_are_no_consent(scene: HostedScene) -> None:
    browser = await scene.browser()
    call, trunk, uid = await scene.call(browser, SDES)
    await both_hear(call, trunk)
    call.media.remote_password = "guessed-" + "x" * 24
    await call.end(CONSENT_SECONDS + SWEEP_SECONDS)
    final = await scene.host.final(uid)
    assert final["termination"] == "consent-lost"
    assert counted(final, "stun_rejected") > 0
    await browser.close()
    trunk.close()


@pytest.mark.slow
async def test_consent_lasts_thirty_seconds_by_default(tmp_path_factory: pytest.TempPathFactory) -> None:
    scene = await HostedScene(tmp_path_factory.mktemp("default")).start()
    await scene.canary(PLAIN)
    await scene.canary(SDES)
    await ends_for_want_of_consent(scene, PLAIN, 30.0)
    await scene.stop()
