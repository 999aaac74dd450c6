"""A relay worker hangs: calls made right away go to the other one, its own calls end within seconds, it is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from gateway.base.counters import Counter
from tests.attacks.test_worker_killed import worker_port
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear

pytestmark = [pytest.mark.attack, pytest.mark.asyncio]

SET_UP_SECONDS = 2.0
"""What the first call after the stop may take longer than usual; the others must not notice."""
END_SECONDS = 6.0
"""A second until the next heartbeat, three until it counts as dead, and time for a busy machine."""


async def test_a_hung_worker_delays_no_call_ends_its_own_and_is_replaced(tmp_path: Path) -> None:
    scene = await HostedScene(tmp_path, setup={"workers": 2}).start()
    loop = asyncio.get_running_loop()
    alice, bob = await scene.browser(), await scene.browser("bob")
    first, first_trunk, first_uid = await scene.call(alice, SDES)
    await both_hear(first, first_trunk)
    before = scene.host.gateway.pool.worker_pids
    hung = worker_port(first) - scene.setup.browser_port

    os.kill(before[hung], signal.SIGSTOP)
    stopped = loop.time()
    try:
        for number in (PLAIN, SDES, PLAIN):
            called = loop.time()
            call, trunk, uid = await scene.call(bob, number)
            assert loop.time() - called < SET_UP_SECONDS
            assert worker_port(call) != worker_port(first)
            await both_hear(call, trunk)
            await call.hang_up()
            assert (await scene.host.final(uid))["termination"] == "hangup-browser"
        bye = await first.end(END_SECONDS)
        assert loop.time() - stopped < END_SECONDS
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(before[hung], signal.SIGCONT)
    assert "media relay" in (bye.headers.get("Reason") or "")
    assert (await scene.host.final(first_uid))["termination"] == "worker-hung"
    counters = scene.host.gateway.counters
    await until(lambda: counters[Counter.WORKER_RESTARTED] == 1, "worker restarted")
    await until(lambda: len(set(scene.host.gateway.pool.worker_pids) - set(before)) == 1, "new worker")
    assert counters[Counter.WORKER_HUNG] == 1
    assert "state=silent->killed" in scene.host.log
    first_trunk.close()
    await scene.canary()
    await scene.canary(PLAIN)
    await alice.close()
    await bob.close()
    await scene.stop()
