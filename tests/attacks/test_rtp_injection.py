"""RTP from whoever is not the peer (CVE-2017-14099, CVE-2025-53399): never relayed, never given the stream."""

from __future__ import annotations

import asyncio

import pytest

from gateway.sip.message import Request
from tests.attacks.conftest import Strangers
from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.counting import counted
from tests.rig.gateway import Record
from tests.rig.hosted_scene import ATTACKER_HOST, PLAIN, PLAIN_HOST, SDES, SDES_HOST, HostedScene, both_hear
from tests.rig.media import FROM_BROWSER, FROM_TRUNK, MediaEnd, frame, rtp
from tests.rig.trunk import Answer

pytestmark = [pytest.mark.attack, pytest.mark.asyncio(loop_scope="module")]

INJECTED = b"injected-by-a-stranger-123456789"
PACKETS = 60


async def inject(attacker: MediaEnd, target: tuple[str, int], count: int = PACKETS) -> None:
    """A well-formed stream of our own towards the gateway's trunk port."""
    attacker.target = target
    for _ in range(count):
        attacker.say()
        await asyncio.sleep(0.005)


def latches(scene: HostedScene, uid: str) -> list[tuple[str, str, tuple[str, ...]]]:
    found: list[Record] = scene.host.records("media.latch", uid)
    return [(r["address"], r["decision"], tuple(r["codes"])) for r in found]


@pytest.mark.parametrize(
    ("number", "host", "code", "counter"),
    [
        (PLAIN, ATTACKER_HOST, "media.latch_mismatch", "source_rejected"),
        (PLAIN, PLAIN_HOST, "media.mid_relatch", "source_rejected"),
        (SDES, ATTACKER_HOST, "media.plain_on_secure", "srtp_auth_failed"),
        (SDES, SDES_HOST, "media.plain_on_secure", "srtp_auth_failed"),
    ],
    ids=["plain, other address", "plain, other port", "sdes, other address", "sdes, other port"],
)
async def test_a_stranger_is_not_relayed_and_not_given_the_stream_that_flows(
    scene: HostedScene, alice: ScriptedBrowser, stranger: Strangers, number: str, host: str, code: str, counter: str
) -> None:
    call, trunk, uid = await scene.call(alice, number)
    await both_hear(call, trunk)
    assert trunk.target is not None
    attacker = stranger(host)
    await inject(attacker, trunk.target)
    await both_hear(call, trunk)
    nothing_of(INJECTED, call)
    assert attacker.heard == []
    told = latches(scene, uid)
    assert set(told) == {(f"{host}:{attacker.address[1]}", "refused", (code,))}
    floods = [record["flood"] for record in scene.host.records("media.latch", uid)]
    assert floods in ([False], [False, True])
    assert number == SDES or floods == [False]  # only what fails to authenticate is told once more, where it came fast
    await call.hang_up()
    assert counted((await scene.host.final(uid)), counter) >= PACKETS


async def test_a_packet_of_the_trunks_own_stream_from_elsewhere_does_not_move_it(
    scene: HostedScene, alice: ScriptedBrowser, stranger: Strangers
) -> None:
    call, trunk, uid = await scene.call(alice, PLAIN)
    await both_hear(call, trunk)
    assert trunk.target is not None
    attacker = stranger(ATTACKER_HOST)
    for ahead in range(1, PACKETS):
        attacker.send(rtp(trunk.sent + ahead, frame(INJECTED, ahead), ssrc=trunk.ssrc), trunk.target)
    await both_hear(call, trunk)
    nothing_of(INJECTED, call)
    assert attacker.heard == []
    await call.hang_up()
    assert counted((await scene.host.final(uid)), "source_rejected") >= PACKETS - 1


async def test_a_spray_over_all_trunk_ports_before_and_after_the_answer_gets_no_stream(
    scene: HostedScene, alice: ScriptedBrowser, stranger: Strangers
) -> None:
    ports = scene.host.gateway.sites.current.media.trunk_ports
    attacker = stranger(ATTACKER_HOST)

    def spray() -> None:
        for port in ports:
            for sequence in range(1, 5):
                attacker.send(rtp(sequence, frame(INJECTED, sequence)), ("127.0.0.1", port))

    loop = asyncio.get_running_loop()
    trunk = scene.answer_with(PLAIN)

    def slow(request: Request) -> list[Answer]:
        loop.call_soon_threadsafe(spray)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), loop).result()
        return [(200, trunk.answer(request))]

    scene.scripts[PLAIN] = slow
    call = await alice.dial(PLAIN)
    uid = scene.host.last_call()
    spray()
    await both_hear(call, trunk)
    spray()
    await both_hear(call, trunk)
    nothing_of(INJECTED, call)
    assert attacker.heard == []
    await call.hang_up()
    assert counted((await scene.host.final(uid)), "source_rejected") >= 4
    assert ("refused", ("media.latch_mismatch",)) in [found[1:] for found in latches(scene, uid)]


@pytest.mark.parametrize("moment", ["before the trunk has spoken", "during hold", "after a re-INVITE"])
async def test_packets_from_another_port_of_the_trunk_are_too_early_while_the_signalled_one_may_still_speak(
    scene: HostedScene, alice: ScriptedBrowser, stranger: Strangers, moment: str
) -> None:
    call, trunk, uid = await scene.call(alice, PLAIN)
    if moment != "before the trunk has spoken":
        await both_hear(call, trunk)
        trunk.hush()
        direction = "inactive" if moment == "during hold" else "sendrecv"
        assert (await call.request("INVITE", call.media.description(direction=direction))).status == 200
    assert trunk.target is not None
    attacker = stranger(PLAIN_HOST)
    call.media.talk()
    await inject(attacker, trunk.target)
    if moment == "during hold":
        assert (await call.request("INVITE", call.media.description())).status == 200
        await inject(attacker, trunk.target)
    await both_hear(call, trunk)
    await inject(attacker, trunk.target)
    await both_hear(call, trunk)
    nothing_of(INJECTED, call)
    assert attacker.heard == []
    assert latches(scene, uid) == [(f"{PLAIN_HOST}:{attacker.address[1]}", "refused", ("media.mid_relatch",))]
    await call.hang_up()
    assert counted((await scene.host.final(uid)), "source_moved") == 0


async def test_another_port_of_the_trunk_stands_in_while_the_signalled_one_is_silent_and_not_longer(
    scene: HostedScene, alice: ScriptedBrowser, stranger: Strangers
) -> None:
    call, trunk, uid = await scene.call(alice, PLAIN)
    assert trunk.target is not None
    natted, thief = stranger(PLAIN_HOST, FROM_TRUNK), stranger(ATTACKER_HOST)
    natted.target = trunk.target
    natted.talk()
    call.media.talk()
    await asyncio.gather(inject(thief, trunk.target), call.media.hears(FROM_TRUNK), natted.hears(FROM_BROWSER))
    nothing_of(INJECTED, call)
    assert thief.heard == []
    natted.mark = INJECTED  # the real trunk wakes up, the other one goes on: it is nobody any more
    await both_hear(call, trunk)
    before, heard = len(natted.heard), len([p for p in call.media.payloads() if INJECTED in p])
    await both_hear(call, trunk, 20)
    assert len(natted.heard) == before
    assert len([p for p in call.media.payloads() if INJECTED in p]) == heard
    found = latches(scene, uid)
    assert (f"{PLAIN_HOST}:{natted.address[1]}", "allowed", ()) in found
    assert (f"{PLAIN_HOST}:{trunk.address[1]}", "allowed", ()) in found
    await call.hang_up()
    await scene.host.final(uid)


@pytest.mark.parametrize("leg", ["trunk", "browser"])
async def test_replayed_srtp_is_dropped_and_counted(scene: HostedScene, alice: ScriptedBrowser, leg: str) -> None:
    call, trunk, uid = await scene.call(alice, SDES)
    await both_hear(call, trunk, 20)
    sender, receiver = (trunk, call.media) if leg == "trunk" else (call.media, trunk)
    replayed = sender.wire[-15:]
    for packet in replayed:
        sender.send(packet)
    await both_hear(call, trunk)
    heard = [p for p in receiver.payloads() if p.startswith(sender.mark)]
    assert len(heard) == len(set(heard))
    await call.hang_up()
    assert counted((await scene.host.final(uid)), "srtp_replayed") == len(replayed)


@pytest.mark.parametrize("leg", ["trunk", "browser"])
async def test_plain_rtp_from_the_peer_itself_is_dropped_on_a_keyed_leg(
    scene: HostedScene, alice: ScriptedBrowser, leg: str
) -> None:
    call, trunk, uid = await scene.call(alice, SDES)
    await both_hear(call, trunk)
    sender, receiver = (trunk, call.media) if leg == "trunk" else (call.media, trunk)
    assert sender.target is not None
    for sequence in range(PACKETS):
        sender.send(rtp(30000 + sequence, frame(INJECTED, sequence), ssrc=sender.ssrc))
    await both_hear(call, trunk)
    assert not any(INJECTED in found.raw for found in receiver.heard)
    assert (f"{leg}", ["media.plain_on_secure"]) in [
        (r["leg"], r["codes"]) for r in scene.host.records("media.latch", uid)
    ]
    await call.hang_up()
    assert counted((await scene.host.final(uid)), "srtp_auth_failed") == PACKETS


def nothing_of(mark: bytes, call: BrowserCall) -> None:
    assert not any(mark in payload for payload in call.media.payloads())
