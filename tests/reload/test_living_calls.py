"""A reload changes nothing for the calls there are, and all for the next ones: over real signalling and media."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

from gateway.demo.certificates import create
from gateway.sip.message import Request
from gateway.site import Site
from tests.reload.scene import ReloadScene, running
from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.hosted import until
from tests.rig.hosted_scene import MORE, PLAIN, PLAIN_HOST, SDES, both_hear
from tests.rig.trunk import FakeTrunk, TrunkDialog, description

pytestmark = pytest.mark.asyncio

LIVING = 50


async def many(scene: ReloadScene, browser: ScriptedBrowser, count: int) -> list[BrowserCall]:
    """So many calls that stand, over the trunk in clear."""
    scene.scripts[PLAIN] = lambda request: [(488, b"") if b"SAVP" in request.body else (200, description(PLAIN_HOST))]
    calls = []
    for number in range(count):
        call = await browser.invite(f"{MORE}{number}")
        assert (await call.final()).status == 200
        calls.append(call)
    return calls


async def test_fifty_living_calls_notice_nothing_and_the_next_one_is_under_the_new_policy(tmp_path: Path) -> None:
    limits = {"calls": 100, "calls_per_user": 60, "reconnect_seconds": 0}
    async with running(tmp_path, setup={"overrides": {"limits": limits}}) as scene:
        before = scene.host.holdings()
        browser = await scene.browser()
        calls = await many(scene, browser, LIVING)
        states = [runner.state for runner in scene.host.gateway.manager.index.runners]
        kept, asked = [(state.site, state.policy) for state in states], len(scene.trunks[PLAIN].seen)
        scene.setup.trunks["plain"]["security"] = "prefer"
        reloaded = await scene.reload()
        assert scene.told(reloaded) == ["trunks.plain.security: legacy -> prefer"]
        last = await browser.invite(f"{MORE}99")
        assert (await last.final()).status == 200
        offers = [b"RTP/SAVP" in request.body for request in scene.trunks[PLAIN].seen if request.method == "INVITE"]
        assert offers == [*[False] * LIVING, True, False]  # encryption is tried first now
        assert [(state.site, state.policy) for state in states] == kept
        assert all(state.live for state in states)
        assert [call.seen for call in calls] == [[]] * LIVING
        own = ["INVITE", "ACK", "INVITE", "ACK"]  # of the last call, and nothing of the others
        await until(lambda: scene.trunks[PLAIN].methods()[asked:] == own, lambda: scene.trunks[PLAIN].methods()[asked:])
        for call in (*calls, last):
            await call.hang_up()
        finals = scene.host.records("call.final")
        assert sorted({record["termination"] for record in finals}) == ["hangup-browser"]
        loaded = scene.host.records("policy.loaded")
        assert loaded[-1]["changes"] == ["trunks.plain.security: legacy -> prefer"]
        assert loaded[-1]["config_sha256"] == reloaded.sha256 != loaded[0]["config_sha256"]
        await browser.close()
        await scene.host.returned_to(before, 15)


async def test_a_call_over_a_trunk_that_is_taken_out_goes_on_and_the_trunk_may_end_it(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        browser = await scene.browser()
        call, trunk, uid = await scene.call(browser, PLAIN)
        await both_hear(call, trunk)
        without_plain(scene)
        told = scene.told(await scene.reload())
        assert "trunks.plain: removed" in told
        assert (await (await browser.invite(PLAIN)).final()).status == 404
        await both_hear(call, trunk)
        invite = next(r for r in scene.trunks[PLAIN].seen if r.method == "INVITE")
        calling_in = TrunkDialog("in-1")
        gateway = ("127.0.0.1", scene.setup.sip_port)
        scene.trunks[PLAIN].request("INVITE", "100", gateway, calling_in, description(PLAIN_HOST))
        await until(lambda: scene.trunks[PLAIN].answers(calling_in), "an answer")
        assert scene.trunks[PLAIN].answers(calling_in)[-1].status == 403
        trunk.hush()
        hang_up_from_trunk(scene.trunks[PLAIN], invite, gateway)
        await call.end()
        assert (await scene.host.final(uid))["termination"] == "hangup-trunk"
        await until(lambda: not scene.host.gateway.endpoint.changes._table.former, "nothing of it left")
        scene.trunks[PLAIN].responses.clear()
        scene.trunks[PLAIN].request("INVITE", "100", gateway, TrunkDialog("in-2"), description(PLAIN_HOST))
        await until(lambda: scene.host.gateway.counters.snapshot()["sip_unknown_source"], "a datagram that is not read")
        await browser.close()


def without_plain(scene: ReloadScene) -> None:
    """The files without the trunk in clear."""
    del scene.setup.trunks["plain"]
    scene.setup.outbound = [rule for rule in scene.setup.outbound if rule["trunk"] != "plain"]


def hang_up_from_trunk(trunk: FakeTrunk, invite: Request, gateway: tuple[str, int]) -> None:
    """BYE of the callee, in the dialog of this INVITE."""
    tag = next(r for r in trunk.seen if r.method == "ACK" and r.call_id == invite.call_id).to.tag
    lines = [
        f"BYE {invite.contact.uri if invite.contact else ''} SIP/2.0",
        f"Via: SIP/2.0/UDP {trunk.host}:{trunk.port};branch=z9hG4bKbye1;rport",
        "Max-Forwards: 70",
        f"From: {invite.headers.get('To')};tag={tag}",
        f"To: {invite.headers.get('From')}",
        f"Call-ID: {invite.call_id}",
        "CSeq: 9 BYE",
        "Content-Length: 0",
    ]
    trunk.datagram(("\r\n".join(lines) + "\r\n\r\n").encode(), gateway)


async def test_a_verified_connection_goes_on_for_its_call_and_the_next_call_is_verified_by_what_counts_now(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as scene:
        browser = await scene.browser()
        call, trunk, uid = await scene.call(browser, SDES)
        await both_hear(call, trunk)
        endpoint = scene.host.gateway.endpoint
        (flow,) = endpoint.flows_of("sdes")
        scene.setup.trunks["sdes"]["tls"]["names"] = ["another.demo.test"]
        assert scene.told(await scene.reload()) == ["trunks.sdes.tls.names: changed"]
        assert (await (await browser.invite(SDES)).final()).status == 503
        assert endpoint.is_open(flow)
        await both_hear(call, trunk)
        trunk.hush()
        await call.hang_up()
        assert (await scene.host.final(uid))["grade_worst"] == "HOP_BY_HOP"
        await until(lambda: not endpoint.is_open(flow), "the connection is closed when its call is over", 5)
        await browser.close()


@pytest.mark.slow
async def test_a_reload_every_100_ms_under_calls_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        gateway = scene.host.gateway
        await scene.canary(PLAIN)
        await scene.canary(SDES)
        browser = await scene.browser()
        await asyncio.sleep(0.2)
        before = scene.host.holdings()
        loaded: list[weakref.ref[Site]] = []
        for number in range(20):
            scene.setup.trunks["plain"]["security"] = ("prefer", "legacy")[number % 2]
            scene.setup.trunks[f"new{number}"] = {"target": f"sip:192.0.2.{number + 1}", "security": "legacy"}
            scene.setup.trunks.pop(f"new{number - 1}", None)
            call = (await scene.call(browser, SDES))[0] if number % 5 == 0 else None
            await scene.reload()
            loaded.append(weakref.ref(gateway.sites.current))
            await asyncio.sleep(0.1)
            if call is not None:
                await call.hang_up()
        assert len(scene.host.records("policy.loaded")) == 21
        await scene.host.returned_to(before, 15)
        assert not gateway.endpoint.changes._table.former
        assert not gateway.endpoint.changes.retiring
        gc.collect()
        assert [site() for site in loaded if site() is not None] == [gateway.sites.current]  # nothing holds the others
        assert set(gateway.manager.probes._watched) == set(gateway.sites.current.trunks)
        assert set(gateway.endpoint._flows.hops._found_for) == set(gateway.sites.current.trunks)
        await browser.close()


async def test_certificates_that_are_named_anew_are_shown_to_who_comes_then(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        browser = await scene.browser()
        other = create(tmp_path / "other", ["127.0.0.1"])
        web = {**scene.setup._document()["listen"]["web"], "certificate": str(other.web.certificate)}
        listen = {**scene.setup._document()["listen"], "web": {**web, "key": str(other.web.key)}}
        told = scene.told(await scene.reload(listen=listen))
        assert [change.partition(":")[0] for change in told] == ["listen.web.certificate", "listen.web.key"]
        assert f"certificates=listen.web state=loaded files={other.web.certificate}" in await logged(scene)
        assert (await browser.register()).status == 200
        await browser.close()


async def logged(scene: ReloadScene) -> str:
    await until(lambda: "other" in scene.host.log, "a line")
    return scene.host.log
