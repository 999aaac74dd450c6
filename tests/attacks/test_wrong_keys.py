"""A trunk that agrees to SRTP and sends something else: never heard, recorded, shown, and no reason to hang up."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from tests.rig.browser import ScriptedBrowser
from tests.rig.hosted import until
from tests.rig.hosted_scene import SDES, HostedScene
from tests.rig.media import FROM_BROWSER
from tests.rig.srtp import CM_80, Srtp

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

CHECK_SECONDS = 10.0
"""What the relay waits for a packet that authenticates (docs/policy.md)."""


@pytest.mark.parametrize(
    ("plain", "code", "grade"),
    [(True, "media.plain_on_secure", "CLEARTEXT"), (False, "media.key_mismatch", "UNAUTHENTICATED")],
    ids=["plain RTP", "another key"],
)
async def test_a_trunk_that_does_not_send_what_it_agreed_to_is_found_out(
    scene: HostedScene, alice: ScriptedBrowser, plain: bool, code: str, grade: str
) -> None:
    call, trunk, uid = await scene.call(alice, SDES)
    assert trunk.srtp is not None
    agreed = trunk.srtp
    wrong = Srtp(CM_80, secrets.token_bytes(CM_80.master), agreed.receive_key)
    call.media.talk()
    trunk.srtp = None if plain else wrong

    async def keep_sending() -> None:
        while True:
            trunk.say()
            await asyncio.sleep(0.02)

    sending = asyncio.create_task(keep_sending())
    try:
        await until(lambda: bool(scene.host.records("leg.violation", uid)), "a D4 record", seconds=CHECK_SECONDS + 10.0)
    finally:
        sending.cancel()
    (record,) = scene.host.records("leg.violation", uid)
    assert (record["kind"], record["codes"], record["grade_after"]) == ("D4", [code], grade)
    assert (record["checkpoint"], record["leg"]) == ("P6", "trunk")
    assert call.media.payloads() == []
    assert not call.ended.done()
    await until(
        lambda: any(f"grade={grade};" in str(r.headers.get("Call-Security")) for r in call.seen), "the browser is told"
    )
    trunk.srtp = agreed
    trunk.talk()
    await asyncio.gather(call.media.hears(trunk.mark), trunk.hears(FROM_BROWSER))
    await until(lambda: scene.host.records("leg.secured", uid)[-1]["checkpoint"] == "P6", "what was agreed again")
    await call.hang_up()
    final = await scene.host.final(uid)
    assert (final["termination"], final["grade_worst"]) == ("hangup-browser", grade)
