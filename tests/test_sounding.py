"""A call on a line that loses packets, from end to end: real packets, a real worker, all who are told of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.admin.lines import Ask, Question
from gateway.quality.watch import Marks
from tests.rig.browser import ScriptedBrowser
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, HostedScene
from tests.rig.media import MediaEnd

pytestmark = pytest.mark.asyncio

SECONDS = 0.3
PACKET_SECONDS = 0.004
"""Faster than anybody speaks, so that a stretch has enough of them."""


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[HostedScene]:
    made = HostedScene(tmp_path)
    sites = made.host.gateway.sites
    sites.current = replace(sites.current, quality=Marks(seconds=SECONDS))
    await made.start()
    yield made
    await made.stop()


class Lossy:
    """Sends on a line that loses one packet of three, while it is bad."""

    def __init__(self, end: MediaEnd) -> None:
        self.end, self.is_bad = end, False

    async def run(self) -> None:
        for number in range(100_000):
            if self.is_bad and number % 3 == 0:
                self.end.sent += 1
            else:
                self.end.say()
            await asyncio.sleep(PACKET_SECONDS)


@asynccontextmanager
async def events_of(scene: HostedScene, browser: ScriptedBrowser) -> AsyncIterator[list[dict[str, Any]]]:
    """What a page of the user is told on its event socket."""
    ticket = (await browser.register()).headers.get("Call-Security-Ticket")
    heard: list[dict[str, Any]] = []
    url = scene.setup.origin.replace("http", "ws", 1) + "/events"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
        async with session.ws_connect(url, protocols=["call-security"], origin=scene.setup.origin) as socket:
            await socket.send_str(json.dumps({"v": 1, "type": "hello", "ticket": ticket}))
            reading = asyncio.create_task(_keep(socket, heard))
            try:
                yield heard
            finally:
                reading.cancel()


async def _keep(socket: aiohttp.ClientWebSocketResponse, heard: list[dict[str, Any]]) -> None:
    async for message in socket:
        heard.append(json.loads(message.data))


async def shown(scene: HostedScene) -> dict[str, dict[str, Any]]:
    """The legs of the one call, as `sip-gateway calls` has them."""
    (row,) = [row async for row in scene.host.gateway.desk.rows(Question(Ask.CALLS, {}))]
    return {leg["kind"]: leg for leg in row["legs"]}  # type: ignore[attr-defined]


async def test_a_line_that_turns_bad_and_is_mended_is_told_to_the_log_the_page_the_table_and_the_board(
    scene: HostedScene,
) -> None:
    host = scene.host
    browser = await scene.browser("alice")
    async with events_of(scene, browser) as heard:
        call, trunk, uid = await scene.call(browser, PLAIN)
        line = Lossy(trunk)
        talking = [asyncio.create_task(Lossy(call.media).run()), asyncio.create_task(line.run())]

        def told() -> list[dict[str, Any]]:
            return [message["call"] for message in heard if message["type"] == "call.quality"]

        def turns() -> list[object]:
            return [found["quality"] for found in host.records("leg.quality", uid)]

        await until(lambda: told(), "the page is told that it sounds good")
        assert told()[-1]["quality"] == "good"

        line.is_bad = True
        await until(lambda: turns() == ["bad"], turns)
        (record,) = host.records("leg.quality", uid)
        assert (record["leg"], record["way"], record["cause"]) == ("trunk", "heard", "loss")
        assert 20 < record["heard"]["loss_percent"] < 40
        await until(lambda: told()[-1]["quality"] == "bad", told)
        assert (told()[-1]["where"], told()[-1]["hears"]) == ("trunk", "you")
        assert host.gateway._gauges()["legs_bad"] == 1
        legs = await shown(scene)
        assert (legs["trunk"]["quality"], legs["browser"]["quality"]) == ("bad", "good")
        assert legs["trunk"]["packets"]["received"] > 50
        assert legs["trunk"]["sound"]["heard"]["loss_percent"] > 3
        assert legs["browser"]["sound"]["heard"]["loss_percent"] == 0

        line.is_bad = False
        await until(lambda: turns() == ["bad", "good"], turns)
        await until(lambda: told()[-1]["quality"] == "good", told)
        assert host.gateway._gauges()["legs_bad"] == 0
        for task in talking:
            task.cancel()
        await call.hang_up()
        final = await host.final(uid)
    await browser.close()
    trunk_leg, browser_leg = final["quality"]["trunk"], final["quality"]["browser"]
    assert trunk_leg["mos_lowest"] < trunk_leg["mos"] < browser_leg["mos"]
    assert trunk_leg["bad_seconds"] > 0 == browser_leg["bad_seconds"]
    assert trunk_leg["heard"]["lost"] > 20
    metrics = host.gateway.web._metrics.render().decode()
    assert 'sip_gateway_leg_mos_count{leg="trunk",trunk="plain"} 1.0' in metrics
    assert 'sip_gateway_quality_turns_total{leg="trunk",quality="bad",trunk="plain"} 1.0' in metrics
