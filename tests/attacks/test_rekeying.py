"""A running gateway whose trunk lets its key protect few packets: the key changes in the middle of a call, unheard."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

import pytest

from gateway.media.worker.wear import SOON
from gateway.sdp.keying import MIN_LIFETIME
from gateway.sip.message import Request
from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.hosted_scene import SDES, HostedScene, both_hear
from tests.rig.media import FROM_TRUNK, TrunkMedia
from tests.rig.srtp import CM_80
from tests.rig.trunk import Answer

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

BURST = 8
"""Packets sent at once; half of them must have been heard before the next ones leave."""


def with_lifetime(trunk: TrunkMedia, *, renews: bool) -> Callable[[Request], list[Answer]]:
    """What the trunk answers: its key, for the shortest lifetime there is; another one to each offer if it renews."""

    def script(request: Request) -> list[Answer]:
        if trunk.srtp is not None and renews:
            trunk.key = secrets.token_bytes(CM_80.master)
        inline = trunk.inline.encode()
        return [(200, trunk.answer(request).replace(inline, inline + b"|2^12"))]

    return script


async def spend(trunk: TrunkMedia, call: BrowserCall, packets: int) -> None:
    """Send until so many packets were heard, as fast as they are."""
    while len(call.media.payloads()) < packets:
        for _ in range(BURST):
            trunk.say()
        await call.media.hears(FROM_TRUNK, BURST // 2)


async def until_rekeyed(trunk: TrunkMedia, call: BrowserCall, key: bytes) -> None:
    """Talk, as phones do, until the gateway sends under another key than this."""
    trunk.talk()
    async with asyncio.timeout(10):
        while trunk.srtp is not None and trunk.srtp.receive_key == key:
            await call.media.hears(FROM_TRUNK, 1)


def codes_of(scene: HostedScene, uid: str) -> list[object]:
    return [record["codes"] for record in scene.host.records("leg.secured", uid) if record["leg"] == "trunk"]


async def worn(scene: HostedScene, alice: ScriptedBrowser, *, renews: bool) -> tuple[BrowserCall, TrunkMedia, str]:
    """A call whose trunk has used up most of its key, so that the gateway has changed its own."""
    trunk = scene.answer_with(SDES)
    scene.scripts[SDES] = with_lifetime(trunk, renews=renews)
    call = await alice.dial(SDES)
    uid = scene.host.last_call()
    assert trunk.srtp is not None
    ours = trunk.srtp.receive_key
    await both_hear(call, trunk)
    trunk.hush()
    await spend(trunk, call, int(MIN_LIFETIME * SOON) + BURST)
    await until_rekeyed(trunk, call, ours)
    await both_hear(call, trunk, 20)
    trunk.hush()
    return call, trunk, uid


async def test_both_keys_change_before_a_lifetime_ends_and_the_call_goes_on(
    scene: HostedScene, alice: ScriptedBrowser
) -> None:
    call, _, uid = await worn(scene, alice, renews=True)
    assert codes_of(scene, uid) == [[], ["key.lifetime"], []], "with both keys new it is what it was"
    await call.hang_up()
    assert (await scene.host.final(uid))["termination"] == "hangup-browser"


@pytest.mark.slow
async def test_a_trunk_that_keeps_its_key_beyond_its_lifetime_has_no_call_under_strict(
    scene: HostedScene, alice: ScriptedBrowser
) -> None:
    call, trunk, uid = await worn(scene, alice, renews=False)
    assert codes_of(scene, uid) == [[], ["key.lifetime"]]
    await spend(trunk, call, MIN_LIFETIME - 150)
    trunk.talk()
    assert (await scene.host.final(uid))["termination"] == "key-spent"
    (violation,) = scene.host.records("leg.violation", uid)
    assert violation["codes"] == ["key.lifetime"]
