"""Bad days of the disk under the audit log, with a gateway that runs: it hangs, it is full, the process is killed."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.log import DEADLINE_SECONDS
from tests.attacks.target import CALLED_IN, HOSTS, NUMBERS, Target
from tests.audit.chained import verified
from tests.audit.disk import FailingDisk
from tests.rig.browser import BrowserCall, ScriptedBrowser
from tests.rig.hosted import HostedGateway, until
from tests.rig.hosted_scene import EMERGENCY, PLAIN, SDES, HostedScene, both_hear
from tests.rig.media import TrunkMedia
from tests.rig.trunk import FakeTrunk, TrunkDialog, description

pytestmark = [pytest.mark.attack, pytest.mark.asyncio]

AT_ONCE = 0.25
"""Seconds in which a gateway answers whatever needs no record, in the middle of a set of tries."""
TRIES = 5
STOPPED = 12.0
"""Seconds in which a gateway with a hanging disk has stopped, calls included."""


def unaccounted(records: Iterable[dict[str, Any]]) -> set[int]:
    """Sequence numbers neither in the log nor told of as lost."""
    listed = list(records)
    seqs = [r["seq"] for r in listed]
    assert seqs == sorted(set(seqs)), "a number was used twice, or out of order"
    told: set[int] = set()
    for record in listed:
        if record["type"] == "log.dropped":
            span = set(range(record["first_seq"], record["last_seq"] + 1))
            assert len(span) == record["dropped"]
            assert not span & set(seqs), "told of as lost, and there"
            told |= span
    return set(range(1, max(seqs) + 1)) - set(seqs) - told


def without_end(records: list[dict[str, Any]]) -> list[str]:
    """Calls that have not exactly one final record."""
    begun = [r["call_uid"] for r in records if r["type"] == "call.start"]
    ended = [r["call_uid"] for r in records if r["type"] == "call.final"]
    return [uid for uid in begun if ended.count(uid) != 1]


def available(scene: HostedScene) -> bool:
    """Whether the log can be written, as far as the gateway knows."""
    return scene.host.gateway.audit.available


async def answered_at_once(call: BrowserCall, method: str) -> None:
    """A live call's own signalling: the middle one of some tries, so that a busy machine proves nothing."""
    loop, taken = asyncio.get_running_loop(), []
    for _ in range(TRIES):
        began = loop.time()
        assert (await call.request(method)).status == 200
        taken.append(loop.time() - began)
    assert sorted(taken)[TRIES // 2] < AT_ONCE, taken


@pytest.mark.parametrize(
    ("policy", "status"), [("refuse_new", 503), ("buffer_then_refuse_new", 200)], ids=["refuse", "buffer"]
)
async def test_a_hanging_disk_delays_only_who_must_wait_for_a_record_and_them_until_the_deadline(
    tmp_path: Path, disk: FailingDisk, policy: str, status: int
) -> None:
    audit = {"directory": "audit", "on_unavailable": policy}
    scene = await HostedScene(tmp_path, setup={"overrides": {"audit": audit}}).start()
    alice, bob = await scene.browser(), await scene.browser("bob")
    live, trunk, uid = await scene.call(alice, SDES)
    await both_hear(live, trunk)
    scene.answer_with(PLAIN)
    try:
        disk.answers.clear()
        new = await bob.invite(PLAIN)
        await asyncio.to_thread(disk.asked.wait, 5)
        began = asyncio.get_running_loop().time()

        for method in ("OPTIONS", "UPDATE"):
            await answered_at_once(live, method)
        await (await scene.browser(name="another-page")).close()
        assert available(scene), "all that was within the deadline"
        assert "INVITE" not in scene.trunks[PLAIN].methods(), "the new call waits for its record"

        assert (await new.final()).status == status
        assert asyncio.get_running_loop().time() - began > DEADLINE_SECONDS / 2
        assert not available(scene)
        for method in ("OPTIONS", "UPDATE"):
            await answered_at_once(live, method)
        await both_hear(live, trunk)
        if status == 200:
            await new.media.connected()
            await new.hang_up()
        emergency = await bob.dial(EMERGENCY)
        await both_hear(emergency, scene.media[PLAIN])
        await emergency.hang_up()
        await live.hang_up()
        await until(lambda: "BYE" in scene.trunks[SDES].methods(), "BYE to the trunk while the disk hangs", 1.0)
        assert scene.host.records("call.final") == []
    finally:
        disk.answers.set()

    await until(lambda: bool(scene.host.records("log.recovered")), "log.recovered")
    assert scene.host.records("log.recovered")[0]["reason"] == "the disk does not answer"
    await until(lambda: scene.host.gateway.audit.accepting_calls, "new calls are taken")
    assert (await scene.host.final(uid))["termination"] == "hangup-browser"
    trunk.hush()
    await scene.canary()
    await alice.close()
    await bob.close()
    await scene.stop()
    records = scene.host.records()
    assert (unaccounted(records), without_end(records)) == (set(), [])


async def test_a_hanging_disk_does_not_keep_the_gateway_from_stopping_and_the_next_start_tells_of_it(
    tmp_path: Path, disk: FailingDisk
) -> None:
    scene = await HostedScene(tmp_path).start()
    alice = await scene.browser()
    _, trunk, _ = await scene.call(alice, SDES)
    try:
        disk.answers.clear()
        await asyncio.wait_for(scene.host.stop(), STOPPED)
        assert "BYE" in scene.trunks[SDES].methods(), "the peer was told"
    finally:
        disk.answers.set()
    await alice.close()
    trunk.close()

    again = HostedGateway(scene.setup)
    await until_free(tmp_path / "audit" / "audit.jsonl")
    await again.start()
    scene.host = again
    await scene.canary()
    await scene.stop()
    records = again.records()
    assert (unaccounted(records), without_end(records)) == (set(), [])


async def until_free(path: Path) -> None:
    """Wait until what hung in the disk has come back and its thread let go of the log."""

    def is_free() -> bool:
        with path.open("rb") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    await until(is_free, "the log given back")


async def test_a_full_disk_a_stop_and_a_start_lose_records_but_no_number_and_no_end(
    tmp_path: Path, disk: FailingDisk
) -> None:
    scene = await HostedScene(tmp_path).start()
    alice = await scene.browser()
    live, trunk, uid = await scene.call(alice, SDES)
    await both_hear(live, trunk)
    disk.error = errno.ENOSPC
    for _ in range(3):
        scene.scripts[PLAIN] = lambda _request: [(486, b"")]
        assert (await (await alice.invite(PLAIN)).final()).status == 486
    await live.hang_up()
    trunk.close()
    await alice.close()
    await asyncio.wait_for(scene.host.stop(), STOPPED)
    disk.error = 0

    del scene.scripts[PLAIN]
    again = HostedGateway(scene.setup)
    await again.start()
    scene.host = again
    (dropped,) = again.records("log.dropped")
    assert dropped["dropped"] >= 7, "two of each refused call and the end of the live one"
    (final,) = again.records("call.final", uid)
    assert final["termination"] == "crash", "its own end was lost; that is said"
    await scene.canary()
    await scene.stop()
    records = again.records()
    assert (unaccounted(records), without_end(records)) == (set(), [])


async def test_a_gateway_that_starts_after_a_full_disk_goes_on_when_there_is_room(
    tmp_path: Path, disk: FailingDisk
) -> None:
    """An orderly log needs no room to be opened: what a full disk means for calls is then for policy to say."""
    scene = await HostedScene(tmp_path).start()
    await scene.host.stop()
    disk.error = errno.ENOSPC
    again = HostedGateway(scene.setup)
    await again.start()
    scene.host = again
    assert not available(scene)
    disk.error = 0
    await until(lambda: available(scene), "log.recovered")
    await scene.canary()
    await scene.stop()
    assert unaccounted(again.records()) == set()


async def test_calls_of_a_killed_gateway_get_one_end_at_the_next_start_and_their_peers_a_481(tmp_path: Path) -> None:
    target = Target(tmp_path)
    target.start()
    host, port = HOSTS["udp"], target.ports["udp"]
    trunk = FakeTrunk(host, port, lambda request: [(200, media.answer(request))]).start()
    media = TrunkMedia(host)
    alice = await ScriptedBrowser(target.setup.origin).sign_in()
    bob = await ScriptedBrowser(target.setup.origin, "bob").sign_in()
    out = await alice.dial(NUMBERS["udp"])
    await both_hear(out, media)
    called = TrunkDialog("orphan")
    gateway = ("127.0.0.1", target.setup.sip_port)
    trunk.request("INVITE", CALLED_IN, gateway, called, description(host))
    incoming = await asyncio.wait_for(bob.incoming.get(), 5)
    await incoming.accept()
    await until(lambda: any(r.status == 200 for r in trunk.answers(called)), "answer to the trunk")
    await asyncio.to_thread(target.process.wait_records, "call.start", 2)

    await asyncio.to_thread(target.process.kill)
    assert target.process.records("call.final") == []
    await alice.close()
    await bob.close()

    await asyncio.to_thread(target.process.start)
    await asyncio.to_thread(target.process.kill)
    await asyncio.to_thread(target.process.start)
    finals = target.process.records("call.final")
    assert [r["termination"] for r in finals] == ["crash", "crash"], "once, at the first start"
    assert {r["grade_worst"] for r in finals} == {"CLEARTEXT"}
    assert {(r["answered"], r["duration"]) for r in finals} == {(None, None)}
    records = target.process.records()
    assert without_end(records) == []
    order = [r["type"] for r in records]
    assert order[order.index("call.final") :][:3] == ["call.final", "call.final", "admin.start"], (
        "before calls are taken"
    )

    called.number = 2
    trunk.request("BYE", CALLED_IN, gateway, called)
    await until(lambda: any(r.status == 481 and r.cseq.method == "BYE" for r in trunk.responses), "481 to the orphan")
    await asyncio.to_thread(trunk.stop)
    media.close()
    await asyncio.to_thread(target.canary, "udp")
    await asyncio.to_thread(target.stop)
    lines = target.process.audit_path.read_bytes().splitlines(keepends=True)
    stopped, covered = json.loads(lines[-2]), json.loads(lines[-1])
    assert (stopped["type"], stopped["all_ended"]) == ("admin.stop", True)
    assert (covered["type"], covered["head"]) == ("log.checkpoint", stopped["hash"])
    assert unaccounted(target.process.records()) == set()
    assert verified(lines, target.process.audit_path.with_name("audit.key")) == []
