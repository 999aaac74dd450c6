"""Calls of users who signed in by token: in REGISTER, or with the handshake of the WebSocket (header or cookie)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from gateway.base.counters import Counter
from tests.rig.browser import ScriptedBrowser
from tests.rig.hosted_scene import SDES, HostedScene, both_hear
from tests.rig.issuing import AUDIENCE, ISSUER, ec_jwk, ec_key, issue, jwks

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]
COOKIE = "__Host-session"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostedScene]:
    """A gateway with one issuer, whose keys are in a file."""
    directory: Path = tmp_path_factory.mktemp("tokens")
    keys = directory / "keys.json"
    keys.write_bytes(jwks(ec_jwk("e1")))
    issuer = {"issuer": ISSUER, "audience": AUDIENCE, "keys_file": str(keys), "users": "any", "cookie": COOKIE}
    made = await HostedScene(directory / "gateway", setup={"overrides": {"tokens": [issuer]}}).start()
    yield made
    await made.stop()


async def talks(scene: HostedScene, browser: ScriptedBrowser) -> None:
    call, trunk, uid = await scene.call(browser, SDES)
    await both_hear(call, trunk)
    trunk.hush()
    await call.hang_up()
    final = await scene.host.final(uid)
    assert (final["termination"], final["user"]) == ("hangup-browser", browser.user)


async def test_a_user_only_the_issuer_knows_registers_with_a_token_and_calls(scene: HostedScene) -> None:
    browser = ScriptedBrowser(scene.setup.origin, "dora", password="")
    browser.token = issue(sub="dora")
    try:
        await browser.sign_in()
        await talks(scene, browser)
        assert browser.token not in scene.host.log
        assert browser.token not in str(scene.host.records())
    finally:
        await browser.close()


@pytest.mark.parametrize("way", ["header", "cookie"])
async def test_the_handshake_may_bring_the_token_and_nothing_is_challenged_then(scene: HostedScene, way: str) -> None:
    token = issue(sub="emil")
    headers = {"Authorization": f"Bearer {token}"} if way == "header" else {"Cookie": f"a=b; {COOKIE}={token}"}
    browser = ScriptedBrowser(scene.setup.origin, "emil", password="")
    try:
        await browser.open(headers=headers)
        assert (await browser.register()).status == 200
        await talks(scene, browser)
    finally:
        await browser.close()


async def test_a_password_is_as_good_as_ever(scene: HostedScene) -> None:
    browser = await scene.browser("bob")
    await talks(scene, browser)
    await browser.close()


async def test_another_sites_page_cannot_use_the_cookie_and_a_wrong_one_is_a_strangers(scene: HostedScene) -> None:
    cookie = {"Cookie": f"{COOKIE}={issue(sub='emil')}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(
                f"{scene.setup.origin}/ws", protocols=["sip"], origin="https://evil.example", headers=cookie
            )
    assert refused.value.status == 403
    before = scene.host.gateway.counters[Counter.TOKENS_REFUSED]
    browser = ScriptedBrowser(scene.setup.origin, "emil", password="")
    await browser.open(headers={"Cookie": f"{COOKIE}={issue(sub='emil', key=ec_key(7))}"})
    assert (await browser.register()).status == 401
    assert scene.host.gateway.counters[Counter.TOKENS_REFUSED] == before + 1
    await browser.close()
