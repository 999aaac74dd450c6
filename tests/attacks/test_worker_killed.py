"""A relay worker is killed: its calls end with a final record, the other worker's go on, and it comes back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from gateway.base.counters import Counter
from tests.rig.browser import BrowserCall
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear

pytestmark = [pytest.mark.attack, pytest.mark.asyncio]


def worker_port(call: BrowserCall) -> int:
    """The port the call's worker has for all its browsers; workers have theirs in order."""
    assert call.media.target is not None
    return call.media.target[1]


async def test_only_the_calls_of_a_killed_worker_end_and_it_is_restarted(tmp_path: Path) -> None:
    scene = await HostedScene(tmp_path, setup={"workers": 2}).start()
    alice, bob = await scene.browser(), await scene.browser("bob")
    first, first_trunk, first_uid = await scene.call(alice, SDES)
    second, second_trunk, second_uid = await scene.call(bob, PLAIN)
    await both_hear(first, first_trunk)
    await both_hear(second, second_trunk)
    assert first.media.target != second.media.target, "each worker has one of the calls"
    ports = {worker_port(call): (call, uid) for call, uid in ((first, first_uid), (second, second_uid))}
    doomed_port, safe_port = sorted(ports)
    before = scene.host.gateway.pool.worker_pids

    os.kill(before[0], signal.SIGKILL)

    doomed, doomed_uid = ports[doomed_port]
    bye = await doomed.end()
    assert "media relay" in (bye.headers.get("Reason") or "")
    assert (await scene.host.final(doomed_uid))["termination"] == "worker-lost"
    safe, safe_uid = ports[safe_port]
    safe_trunk = first_trunk if safe is first else second_trunk
    await both_hear(safe, safe_trunk)
    assert scene.host.records("call.final", safe_uid) == []
    await safe.hang_up()

    await until(lambda: scene.host.gateway.counters[Counter.WORKER_RESTARTED] == 1, "worker restarted")
    await until(lambda: len(set(scene.host.gateway.pool.worker_pids) - set(before)) == 1, "new worker")
    for trunk in (first_trunk, second_trunk):
        trunk.close()
    await scene.canary()
    await scene.canary(PLAIN)
    await alice.close()
    await bob.close()
    await scene.stop()
