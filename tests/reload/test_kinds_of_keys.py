"""Each kind of key takes effect when it is loaded: what begins then goes by it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway import process
from gateway.sip.message import Request, Response, create_response
from tests.reload.scene import ReloadScene, running
from tests.rig.browser import ScriptedBrowser
from tests.rig.gateway import PASSWORD
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, PLAIN_HOST, both_hear
from tests.rig.trunk import description

pytestmark = pytest.mark.asyncio


@pytest.fixture
def level() -> Iterator[None]:
    """The level of the process's log as it was before."""
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


async def page_config(scene: ReloadScene) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{scene.setup.origin}/config.json", ssl=False) as answer:
            found = await answer.json()
            assert isinstance(found, dict)
            return found


async def status_of(scene: ReloadScene, browser: ScriptedBrowser, number: str) -> int:
    """What the final answer to a call is; one that stands is ended."""
    scene.scripts[PLAIN] = lambda _request: [(200, description(PLAIN_HOST))]
    call = await browser.invite(number)
    response = await call.final()
    if response.status == 200:
        await call.hang_up()
    return response.status


@pytest.mark.usefixtures("level")
async def test_dialplan_limits_log_level_and_what_pages_are_told(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        gateway = scene.host.gateway
        gateway.reloader.on_loaded = process.adjust
        browser = await scene.browser()
        assert await status_of(scene, browser, "555") == 404
        scene.setup.outbound.append({"id": "new", "dialled": "555", "trunk": "plain"})
        scene.setup.log_level = "WARNING"
        await scene.reload(limits={"reconnect_seconds": 7, "connections": {"signed_in_per_user": 1}})
        assert logging.getLogger().level == logging.WARNING
        assert await status_of(scene, browser, "555") == 200
        assert (await page_config(scene))["reconnect_seconds"] == 7
        second = await ScriptedBrowser(scene.setup.origin).open()
        assert (await second.register()).status == 503  # one connection of hers at a time
        await second.close()
        held = await browser.invite("555")
        assert (await held.final()).status == 200
        await scene.reload(limits={"calls_per_user": 1})
        assert await status_of(scene, browser, "555") == 486
        await held.hang_up()
        await until(lambda: not gateway.manager._admission._caps.live, "her place is free again")
        assert await status_of(scene, browser, "555") == 200
        await browser.close()


async def test_origins_count_for_who_comes_then(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        browser = await scene.browser()
        listen = scene.setup._document()["listen"]
        changed = {**listen, "web": {**listen["web"], "origins": ["https://other.example.test"]}}
        assert scene.told(await scene.reload(listen=changed)) == [
            f"listen.web.origins: [{scene.setup.origin}] -> [https://other.example.test]"
        ]
        stranger = ScriptedBrowser(scene.setup.origin, "bob")
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await stranger.open()
        await stranger.close()
        assert (await browser.register()).status == 200  # who is there stays
        await browser.close()


async def test_a_user_who_is_taken_out_is_signed_out_and_her_calls_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        idle, talking = await scene.browser("bob"), await scene.browser()
        call, trunk, uid = await scene.call(talking, PLAIN)
        await both_hear(call, trunk)
        scene.setup.users = ()
        assert scene.host.gateway.manager.location.users == 2
        told = scene.told(await scene.reload(dialplan="plain.yaml")) if write_plan(tmp_path) else []
        assert {"users.alice: removed", "users.bob: removed"} < set(told)
        await both_hear(call, trunk)
        assert scene.host.gateway.manager.location.users == 0
        refused = await talking.invite(PLAIN)
        assert (await refused.final()).status == 401
        assert idle._reader is not None
        assert talking._reader is not None
        await until(idle._reader.done, "her connection without calls is closed at once")
        assert not talking._reader.done()
        trunk.hush()
        await call.hang_up()
        assert (await scene.host.final(uid))["termination"] == "hangup-browser"
        await until(talking._reader.done, "the other one when its last call is over")
        for browser in (idle, talking):
            await browser.close()


def write_plan(directory: Path) -> bool:
    """A dialplan that names no user."""
    (directory / "plain.yaml").write_text('outbound: [{id: plain, dialled: "700", trunk: plain}]\n')
    return True


async def test_a_password_that_was_changed_signs_out_who_used_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as scene:
        browser = await scene.browser("bob")
        monkeypatch.setattr("tests.rig.gateway.PASSWORD", PASSWORD + "-new")
        await scene.reload()
        assert browser._reader is not None
        await until(browser._reader.done, "signed out")
        await browser.close()
        again = await ScriptedBrowser(scene.setup.origin, "bob").open()
        assert (await again.register()).status == 401
        again.password = PASSWORD + "-new"
        assert (await again.register()).status == 200
        await again.close()


async def test_registrations_at_trunks_come_and_go(tmp_path: Path) -> None:
    bound: dict[str, int] = {}

    def registrar(request: Request) -> Response:
        user, expires = request.to.uri.user or "", int(request.headers.get("Expires") or "600")
        bound[user] = expires
        contact = (("Contact", f"{request.headers.get('Contact')};expires={expires}"),)
        return create_response(request, 200, to_tag="r", headers=contact)

    async with running(tmp_path) as scene:
        scene.trunks[PLAIN].registrar = registrar
        registrations = scene.host.gateway.registrations
        scene.setup.trunks["plain"]["registrations"] = [{"user": "one"}, {"user": "two"}]
        await scene.reload()
        await until(lambda: registrations.unbound == 0 and len(bound) == 2, "both are bound")
        scene.setup.trunks["plain"]["registrations"] = [{"user": "two"}, {"user": "three"}]
        await scene.reload()
        await until(lambda: bound.get("one") == 0 and bound.get("three"), lambda: bound)
        assert bound["two"] > 0
        scene.setup.trunks["plain"]["registrations"] = [{"user": "two", "expires": 1200}, {"user": "three"}]
        await scene.reload()
        await until(lambda: bound["two"] == 1200, "taken back, then asked for as it is now")
        del scene.setup.trunks["plain"]
        scene.setup.outbound = []
        await scene.reload()
        await until(lambda: bound == {"one": 0, "two": 0, "three": 0}, lambda: bound)
        assert registrations.shown() == []
        await until(lambda: not registrations.leaving, "nothing is waited for")


async def test_keepalives_follow_and_what_is_down_is_no_longer_asked_when_it_is_gone(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        manager = scene.host.gateway.manager
        kept = manager.probes._watched["sdes"]
        scene.trunks[PLAIN].deaf = True
        assert not await manager.probes.answers("plain")
        assert scene.host.gateway._gauges()["trunks_down"] == 1
        scene.setup.trunks["plain"]["keepalive"] = 0
        await scene.reload()
        assert set(manager.probes._watched) == {"sdes"}
        assert manager.probes.is_down("plain")
        del scene.setup.trunks["plain"]
        scene.setup.outbound = []
        await scene.reload()
        assert scene.host.gateway._gauges()["trunks_down"] == 0
        assert manager.probes._again == {}
        assert manager.probes._watched == {"sdes": kept}  # its own pause goes on
        await asyncio.sleep(0)
