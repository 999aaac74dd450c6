"""A certificate that is not the signalled one: somebody sits between (RFC 5763 6.7.1), so the call ends at once."""

from __future__ import annotations

import asyncio

import pytest

from tests.rig.browser import ScriptedBrowser
from tests.rig.counting import counted
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene
from tests.rig.media import rtp
from tests.rig.srtp import CM_32, Certificate

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

LIMIT_SECONDS = 1.0


@pytest.mark.parametrize("number", [PLAIN, SDES], ids=["plain", "sdes"])
@pytest.mark.parametrize("setup", ["active", "passive"], ids=["gateway is server", "gateway is client"])
async def test_a_wrong_fingerprint_ends_the_call_within_a_second_and_no_media_passes(
    scene: HostedScene, alice: ScriptedBrowser, number: str, setup: str
) -> None:
    trunk = scene.answer_with(number)
    legs = len(scene.trunks[number].seen)
    call = await alice.invite(number, setup=setup, claimed=Certificate().fingerprint)
    response = await call.final()
    assert response.status == 200
    uid = scene.host.last_call()
    began = asyncio.get_running_loop().time()
    trunk.talk()
    bye = await call.end(LIMIT_SECONDS)
    assert asyncio.get_running_loop().time() - began < LIMIT_SECONDS
    reason = 'SIP;cause=488;text="The certificate does not match the signalled fingerprint"'
    assert bye.headers.get("Reason") == reason
    final = await scene.host.final(uid)
    assert final["termination"] == "fingerprint-mismatch"
    assert counted(final, "rtp_tx") == 0
    assert (call.media.heard, trunk.heard) == ([], [])
    (violation,) = scene.host.records("leg.violation", uid)
    assert (violation["leg"], violation["codes"]) == ("browser", ["dtls.fp_mismatch"])
    assert [r for r in scene.host.records("leg.secured", uid) if r["leg"] == "browser"] == []
    await until(lambda: scene.trunks[number].methods()[legs:] == ["INVITE", "ACK", "BYE"], "BYE to the trunk")
    assert scene.trunks[number].seen[-1].headers.get("Reason") == reason
    trunk.hush()


async def test_a_browser_that_knows_only_the_short_tag_gets_no_keys_and_no_media(
    scene: HostedScene, alice: ScriptedBrowser
) -> None:
    trunk = scene.answer_with(PLAIN)
    call = await alice.invite(PLAIN, setup="active", profiles=(CM_32,))
    assert (await call.final()).status == 200
    uid = scene.host.last_call()
    trunk.talk()
    for sequence in range(20):
        call.media.send(rtp(sequence, b"in clear after a failed handshake"))
    assert "no SRTP protection profile" in str((await call.end()).headers.get("Reason"))
    final = await scene.host.final(uid)
    assert (final["termination"], final["party"]) == ("browser-suite-unknown", "browser")
    assert counted(final, "rtp_tx") == 0
    (violation,) = scene.host.records("leg.violation", uid)
    assert (violation["leg"], violation["codes"]) == ("browser", ["suite.unknown"])
    assert (call.media.heard, trunk.heard) == ([], [])
    trunk.hush()
