"""A browser that changes its network in mid-call: a new WebSocket, the same device, a restart of ICE: it talks on."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.call.legs.leg import Leg
from gateway.media.relay_protocol import CONSENT_SECONDS
from gateway.site import CallLimits
from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]
GRACE_SECONDS = 2
ELSEWHERE = "127.0.4.4"
"""The browser's address in the other network."""
BACK_SECONDS = 2.0
"""How soon both sides hear each other after the new connection is open."""


async def made(directory: Path, **options: float) -> HostedScene:
    setup = {"reconnect_seconds": GRACE_SECONDS, "browser_bind": ("127.0.0.1",)}
    return await HostedScene(directory, setup=setup, **options).start()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostedScene]:
    found = await made(tmp_path_factory.mktemp("recovery"))
    yield found
    await found.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forgetful(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostedScene]:
    """Consent runs out before the time does in which a browser may come back."""
    found = await made(tmp_path_factory.mktemp("consent"), consent_seconds=0.8)
    yield found
    await found.stop()


async def alice(scene: HostedScene, instance: str = "A", name: str = "") -> ScriptedBrowser:
    return await ScriptedBrowser(scene.setup.origin, instance=instance, name=name).sign_in()


async def restart(call: BrowserCall) -> None:
    """What a page does in another network."""
    media = call.media
    media.ufrag, media.password = secrets.token_hex(4), secrets.token_hex(16)
    response = await call.request("INVITE", media.description())
    assert response.status == 200
    media.read(response.body)


def legs(scene: HostedScene) -> list[Leg]:
    return [leg for runner in scene.host.gateway.manager.index.runners for leg in runner.state.legs.values()]


def is_away(scene: HostedScene) -> bool:
    return any(leg.is_away for leg in legs(scene))


def is_unheard(scene: HostedScene) -> bool:
    return any(leg.is_unheard for leg in legs(scene))


def trunk_hangs_up(scene: HostedScene) -> None:
    trunk = scene.trunks[PLAIN]
    invite = [request for request in trunk.seen if request.method == "INVITE"][-1]
    lines = [
        f"BYE {invite.contact.uri if invite.contact else ''} SIP/2.0",
        f"Via: SIP/2.0/UDP {trunk.host}:{trunk.port};branch=z9hG4bK{secrets.token_hex(8)};rport",
        "Max-Forwards: 70",
        f"From: {invite.to};tag=faketrunk",
        f"To: {invite.from_}",
        f"Call-ID: {invite.call_id}",
        "CSeq: 900 BYE",
        "Content-Length: 0",
    ]
    trunk.datagram(("\r\n".join(lines) + "\r\n\r\n").encode(), ("127.0.0.1", scene.setup.sip_port))


@pytest.mark.parametrize("number", [PLAIN, SDES])
@pytest.mark.parametrize("noticed", [True, False], ids=["its end was noticed", "the old connection looks alive"])
@pytest.mark.parametrize("instance", ["A", ""], ids=["JsSIP", "SIP.js"])
async def test_both_hear_each_other_again_within_two_seconds_of_the_new_connection(
    scene: HostedScene, number: str, noticed: bool, instance: str
) -> None:
    browser = await alice(scene, instance, name="x7k2")
    try:
        call, trunk, uid = await scene.call(browser, number)
        await both_hear(call, trunk)
        keys, media = call.media.srtp, call.media
        media.move(ELSEWHERE)
        if noticed:
            await browser.lose()
            await until(lambda: is_away(scene), "the loss")
        await browser.come_back()
        began = time.monotonic()
        await restart(call)
        await both_hear(call, trunk)
        assert time.monotonic() - began < BACK_SECONDS
        assert media.srtp is keys, "no other handshake"
        trunk.hush()
        await call.hang_up()
        assert (await scene.host.final(uid))["termination"] == "hangup-browser"
        assert [r["was_lost"] for r in scene.host.records("leg.moved", uid)] == [noticed]
        assert scene.host.records("leg.violation", uid) == []
    finally:
        await browser.close()


async def test_a_call_nobody_comes_back_for_ends_once_and_the_trunk_is_told(scene: HostedScene) -> None:
    before = scene.host.holdings()
    browser = await alice(scene)
    call, trunk, uid = await scene.call(browser, PLAIN)
    await both_hear(call, trunk)
    await browser.vanish()
    final = await scene.host.final(uid)
    assert final["termination"] == "flow-lost"
    await until(lambda: scene.trunks[PLAIN].methods()[-1] == "BYE", "BYE to the trunk")
    trunk.close()
    await scene.host.returned_to(before)


@pytest.mark.parametrize(("user", "instance", "name"), [("bob", "A", "x7k2"), ("alice", "B", "x7k2")])
async def test_nobody_else_takes_the_call_that_waits(scene: HostedScene, user: str, instance: str, name: str) -> None:
    browser = await alice(scene, name="x7k2")
    call, _, uid = await scene.call(browser, PLAIN)
    await browser.lose()
    await until(lambda: is_away(scene), "the loss")
    thief = await ScriptedBrowser(scene.setup.origin, user, instance=instance, name=name).sign_in()
    call.browser = thief
    thief.calls[call.call_id] = call
    assert (await call.request("BYE")).status == 481
    assert (await call.request("INVITE", call.media.description())).status == 481
    assert (await scene.host.final(uid))["termination"] == "flow-lost"
    assert len(scene.host.records("leg.violation", uid)) == 2
    await thief.close()
    await browser.close()


async def test_the_trunk_may_hang_up_meanwhile_and_the_page_hears_of_it_when_it_is_back(scene: HostedScene) -> None:
    browser = await alice(scene)
    call, _, uid = await scene.call(browser, PLAIN)
    await browser.lose()
    await until(lambda: is_away(scene), "the loss")
    trunk_hangs_up(scene)
    assert (await scene.host.final(uid))["termination"] == "hangup-trunk"
    await browser.come_back()
    assert (await call.request("INVITE", call.media.description())).status == 481
    await browser.close()


@pytest.mark.slow
async def test_media_is_back_although_consent_had_run_out_meanwhile(forgetful: HostedScene) -> None:
    browser = await alice(forgetful)
    try:
        call, trunk, uid = await forgetful.call(browser, PLAIN)
        await both_hear(call, trunk)
        call.media.stop_checks()
        await browser.lose()
        await until(lambda: is_unheard(forgetful), "the end of consent")
        await browser.come_back()
        call.media.move(ELSEWHERE)
        await restart(call)
        call.media.go_on_checking()
        await both_hear(call, trunk)
        await asyncio.sleep(GRACE_SECONDS + 0.5)  # what was to end the call must have been called off
        await both_hear(call, trunk)
        await call.hang_up()
        assert (await forgetful.host.final(uid))["termination"] == "hangup-browser"
    finally:
        await browser.close()


async def test_who_is_back_and_restarts_nothing_is_lost_for_want_of_media(forgetful: HostedScene) -> None:
    browser = await alice(forgetful)
    call, _, uid = await forgetful.call(browser, PLAIN)
    call.media.stop_checks()
    await browser.lose()
    await until(lambda: is_unheard(forgetful), "the end of consent")
    await browser.come_back()
    bye = await call.end(GRACE_SECONDS + 3)
    assert "stopped confirming" in str(bye.headers.get("Reason"))
    assert (await forgetful.host.final(uid))["termination"] == "consent-lost"
    await browser.close()


async def test_the_default_time_to_come_back_is_the_life_of_consent() -> None:
    """So a connection that dies unnoticed leaves a call standing as long as one whose end is seen."""
    assert CallLimits().reconnect_seconds == CONSENT_SECONDS
