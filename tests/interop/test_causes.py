"""Why a call fails or ends, as it crosses the gateway over real sockets: Reason of a trunk and of a browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.rig.browser import ScriptedBrowser
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, PLAIN_HOST, HostedScene
from tests.rig.trunk import TrunkDialog, description

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostedScene]:
    made = await HostedScene(tmp_path_factory.mktemp("causes")).start()
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def alice(scene: HostedScene) -> AsyncIterator[ScriptedBrowser]:
    browser = await scene.browser()
    yield browser
    await browser.close()


@pytest.mark.parametrize(
    ("status", "reason", "termination"),
    [
        (503, "Q.850;cause=34", "congestion"),
        (480, 'SIP;cause=480;text="x", q.850 ;cause="20";text="call 0900"', "unavailable"),
        (486, "", "busy"),
        (503, "", "trunk-unavailable"),
    ],
)
async def test_a_refusal_reaches_the_browser_with_its_status_and_the_cause_as_a_number(
    scene: HostedScene, alice: ScriptedBrowser, status: int, reason: str, termination: str
) -> None:
    scene.scripts[PLAIN] = lambda _request: [(status, b"")]
    scene.trunks[PLAIN].more = (("Reason", reason),) if reason else ()
    try:
        response = await (await alice.invite(PLAIN)).final()
    finally:
        scene.trunks[PLAIN].more = ()
        del scene.scripts[PLAIN]
    final = await scene.host.final(scene.host.last_call())
    assert (response.status, final["termination"], final["sip_status"]) == (status, termination, status)
    told = response.headers.get("Reason") or ""
    assert told.startswith("Q.850;cause=") is bool(reason)
    assert "0900" not in told
    if "0900" in reason:
        assert final["cause"] == {"protocol": "Q.850", "number": 20, "text": "call 0900"}


async def test_a_call_another_phone_took_is_cancelled_as_that_at_the_browser(
    scene: HostedScene, alice: ScriptedBrowser
) -> None:
    trunk, gateway = scene.trunks[PLAIN], ("127.0.0.1", scene.setup.sip_port)
    dialog = TrunkDialog("elsewhere")
    trunk.request("INVITE", "100", gateway, dialog, description(PLAIN_HOST))
    async with asyncio.timeout(5):
        call = await alice.incoming.get()
    await call.refuse(180)  # it rings: before that no CANCEL may be sent (RFC 3261 9.1)
    await until(lambda: any(r.status == 180 for r in trunk.answers(dialog)), "180")
    said = ['Reason: SIP ;cause=200 ;text="Call completed elsewhere"']
    trunk.request("CANCEL", "100", gateway, dialog, more=said)
    cancel = await call.end()
    assert cancel.method == "CANCEL"
    assert cancel.headers.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    await until(lambda: any(r.status == 487 for r in trunk.answers(dialog)), "487")
    trunk.request("ACK", "100", gateway, dialog)
    final = await scene.host.final(scene.host.last_call())
    assert final["termination"] == "answered-elsewhere"


async def test_the_cause_of_a_bye_crosses_in_both_directions(scene: HostedScene, alice: ScriptedBrowser) -> None:
    call, _, uid = await scene.call(alice, PLAIN)
    await call.request("BYE", headers=(("Reason", 'Q.850;cause=31;text="own words"'),))
    call.media.close()
    final = await scene.host.final(uid)
    assert final["cause"] == {"protocol": "Q.850", "number": 31, "text": "own words"}
    await until(lambda: "BYE" in scene.trunks[PLAIN].methods(), "BYE")
    (bye,) = [r for r in scene.trunks[PLAIN].seen if r.method == "BYE"]
    assert bye.headers.get("Reason") == 'Q.850;cause=31;text="Normal, unspecified"'
