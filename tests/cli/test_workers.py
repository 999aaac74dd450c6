"""`sip-gateway workers`: what relays the media of a running gateway is shown, relieved and restarted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.base.counters import Counter
from gateway.cli.commands import cli
from tests.attacks.test_worker_killed import worker_port
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear

pytestmark = pytest.mark.asyncio


class Administrator:
    """Whoever asks this gateway."""

    def __init__(self, scene: HostedScene) -> None:
        self._socket = str(scene.host.gateway.admin.path)

    async def __call__(self, *words: str) -> Result:
        arguments = ["workers", *words, "--socket", self._socket]
        return await asyncio.to_thread(CliRunner().invoke, cli, arguments, env={"COLUMNS": "200"})

    async def rows(self, *words: str) -> list[dict[str, Any]]:
        result = await self(*words, "--json")
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]


async def test_calls_go_on_in_a_drained_worker_and_begin_in_the_fresh_one_until_a_restart_ends_them(
    tmp_path: Path,
) -> None:
    scene = await HostedScene(tmp_path, setup={"spare": 1}).start()
    ask = Administrator(scene)
    alice, bob = await scene.browser(), await scene.browser("bob")
    first, first_trunk, first_uid = await scene.call(alice, SDES)
    await both_hear(first, first_trunk)
    port = worker_port(first)
    (row,) = await ask.rows()
    assert (row["worker"], row["state"], row["calls_live"], row["left"]) == (port, "running", 1, None)

    drained = await ask("drain", str(port))
    assert drained.exit_code == 0
    assert drained.stdout == f"worker {port} begins no calls any more: a fresh one does\n"
    second, second_trunk, second_uid = await scene.call(bob, PLAIN)
    assert worker_port(second) == port + 1
    await both_hear(second, second_trunk)
    await both_hear(first, first_trunk)
    states = {row["worker"]: (row["state"], row["calls_live"]) for row in await ask.rows()}
    assert states == {port: ("draining", 1), port + 1: ("running", 1)}
    assert "draining" in (await ask()).stdout
    again = await ask("drain", str(port))
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)
    assert "draining already" in again.stderr

    await first.hang_up()
    await until(lambda: scene.host.gateway.counters[Counter.WORKER_RELIEVED] == 1, "the old worker gone")
    assert (await scene.host.final(first_uid))["termination"] == "hangup-browser"
    await until(lambda: scene.host.gateway.pool._crew._spare, "its ports rested", 10.0)

    assert await ask.rows("restart", "all") == [{"worker": port + 1, "outcome": "relieved"}]
    bye = await second.end()
    assert "taken out of service" in (bye.headers.get("Reason") or "")
    final = await scene.host.final(second_uid)
    assert final["termination"] == "worker-drained"
    assert final["counters"], "the worker was there to the last"
    for trunk in (first_trunk, second_trunk):
        trunk.close()
    third, third_trunk, _ = await scene.call(alice, SDES)
    assert worker_port(third) == port
    await both_hear(third, third_trunk)
    await third.hang_up()
    third_trunk.close()
    await alice.close()
    await bob.close()
    await scene.stop()


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("drain", "4"), 1, "there is no worker 4"),
        (("drain", "first"), 1, "name a worker by its number"),
        (("drain", "all"), 1, "no port to spare"),
        (("drain", "all", "--within", "-1"), 2, "--within"),
    ],
)
async def test_what_cannot_be_is_told_in_words_and_changes_nothing(
    words: tuple[str, ...], code: int, why: str, tmp_path: Path
) -> None:
    scene = await HostedScene(tmp_path).start()
    ask = Administrator(scene)
    before = await ask.rows()
    result = await ask(*words)
    assert (result.exit_code, why in result.stderr) == (code, True), result.output
    assert [row["pid"] for row in await ask.rows()] == [row["pid"] for row in before]
    await scene.stop()
