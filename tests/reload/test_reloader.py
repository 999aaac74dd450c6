"""All of a configuration, or nothing: mistakes keep the one there was, turns are taken, and records come first."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.base.counters import Counter
from gateway.cli.commands import cli
from gateway.config.load import LoadedConfig, load_config
from gateway.reload import reloader as module
from gateway.reload.reloader import ReloadError
from tests.reload.scene import running
from tests.rig.gateway import GatewayProcess, GatewaySetup
from tests.rig.hosted import until
from tests.rig.ports import free_port

pytestmark = pytest.mark.asyncio


async def test_of_a_broken_file_every_mistake_is_told_and_the_old_one_stays_in_force(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        gateway, path = scene.host.gateway, tmp_path / "gateway.yaml"
        before, loaded = gateway.sites.current, scene.host.records("policy.loaded")
        good = path.read_text()
        path.write_text(good.replace("security: legacy", "security: maybe").replace("realm:", "relm: x\nrealm:"))
        told = await scene.mistakes()
        assert "trunks.plain.security" in told
        assert f"{path}:1: relm" in told
        assert "remedy:" in told
        assert gateway.sites.current is before
        assert scene.host.records("policy.loaded") == loaded
        assert "reload by=test state=kept" in scene.host.log
        path.write_text(good)
        (tmp_path / "dialplan.yaml").write_text("outbound: 7\n")
        (tmp_path / "users.yaml").chmod(0o644)
        told = await scene.mistakes()
        assert f"{tmp_path}/dialplan.yaml:1: outbound" in told
        assert "others can read the users file" in told
        await scene.canary()
        assert (await scene.reload()).changes == ()
        assert [gateway.counters[name] for name in (Counter.RELOADS, Counter.RELOADS_REFUSED)] == [1, 2]


async def test_what_needs_a_restart_is_named_with_file_and_line_and_nothing_else_is_loaded(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        before = scene.host.gateway.sites.current
        scene.setup.sip_port = free_port()
        scene.setup.trunks["plain"]["security"] = "prefer"
        scene.setup.overrides["audit"] = {**scene.setup._document()["audit"], "directory": "elsewhere"}
        path = scene.setup.write()
        told = await scene.mistakes()
        assert told.count("restart needed") == 2
        lines = path.read_text().splitlines()
        for key in ("listen.sip", "audit.directory"):
            (line,) = [one for one in told.splitlines() if f": {key}: " in one]
            number = int(line.partition(f"{path}:")[2].partition(":")[0])
            assert lines[number - 1].strip().startswith(key.partition(".")[2])
        assert scene.host.gateway.sites.current is before


async def test_a_certificate_that_is_none_is_a_mistake_like_any_other(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        broken = tmp_path / "broken.pem"
        broken.write_text("no certificate")
        scene.setup.trunks["sdes"]["tls"]["ca"] = str(broken)
        scene.setup.write()
        assert "trunks.sdes.tls.ca" in await scene.mistakes()
        await scene.canary()


async def test_two_at_once_take_turns_and_the_second_reads_what_is_there_then(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        reloader = scene.host.gateway.reloader
        reading, may_go_on, read = threading.Event(), threading.Event(), []

        def slow() -> LoadedConfig:
            read.append(1)
            reading.set()
            may_go_on.wait(5)
            return load_config(tmp_path / "gateway.yaml")

        reloader._read = slow
        first = asyncio.create_task(reloader.reload("one"))
        await until(reading.is_set, "the first one reads")
        second = asyncio.create_task(reloader.reload("two"))
        reloader.signalled()
        reloader.signalled()  # one more signal is the same wish
        scene.setup.trunks["plain"]["security"] = "prefer"
        scene.setup.write()
        may_go_on.set()
        found = await asyncio.gather(first, second)
        assert sorted(len(one.changes) for one in found) == [0, 1]
        await until(lambda: len(read) == 3 and not reloader._tasks, "two who asked, and one signal")
        assert len(scene.host.records("policy.loaded")) == 2


async def test_more_than_may_wait_are_told_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    async with running(tmp_path) as scene:
        reloader = scene.host.gateway.reloader
        asked = [asyncio.create_task(reloader.reload(str(number))) for number in range(5)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one).__name__ for one in found] == [*["Reloaded"] * 3, *["ReloadError"] * 2]


async def test_a_gateway_that_stops_loads_nothing_any_more(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        reloader, may_go_on = scene.host.gateway.reloader, threading.Event()

        def hung() -> LoadedConfig:
            may_go_on.wait(5)
            return load_config(tmp_path / "gateway.yaml")

        reloader._read = hung
        scene.setup.trunks["plain"]["security"] = "prefer"
        scene.setup.write()
        asked = asyncio.create_task(reloader.reload("test"))
        await asyncio.sleep(0)
        await scene.host.gateway.stop()
        may_go_on.set()
        assert isinstance((await asyncio.gather(asked, return_exceptions=True))[0], asyncio.CancelledError)
        with pytest.raises(ReloadError, match="stopping"):
            await reloader.reload("test")
        reloader.signalled()
        assert not reloader._tasks
        assert len(scene.host.records("policy.loaded")) == 1


async def test_files_that_cannot_be_read_in_time_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.05)
    async with running(tmp_path) as scene:
        reloader, may_go_on = scene.host.gateway.reloader, threading.Event()
        read, reloader._read = reloader._read, lambda: may_go_on.wait(5) and read()  # type: ignore[assignment, return-value]
        with pytest.raises(ReloadError, match="in time"):
            await reloader.reload("test")
        may_go_on.set()
        reloader._read = read
        monkeypatch.setattr(module, "READ_SECONDS", 10.0)
        assert (await reloader.reload("test")).changes == ()


async def test_the_record_comes_before_the_new_site_and_without_it_there_is_none(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        gateway = scene.host.gateway
        before = gateway.sites.current
        seen: list[tuple[bool, int]] = []
        use = gateway.reloader._parts.certificates.use

        def looked(*arguments: object) -> None:
            seen.append((gateway.sites.current is not before, len(scene.host.records("policy.loaded"))))
            use(*arguments)  # type: ignore[arg-type]

        gateway.certificates.use = looked  # type: ignore[assignment, method-assign]
        scene.setup.trunks["plain"]["security"] = "prefer"
        await scene.reload()
        assert seen == [(True, 2)]  # what was loaded was in the log by then
        now = gateway.sites.current
        gateway.audit._fail("no room")
        scene.setup.trunks["plain"]["security"] = "legacy"
        with pytest.raises(ReloadError, match="audit log"):
            await scene.reload()
        assert gateway.sites.current is now


# --- as an administrator asks


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], prog_name="sip-gateway", env={"COLUMNS": "300"})


async def test_the_command_and_the_signal_reload_a_running_process(tmp_path: Path) -> None:
    setup = GatewaySetup(tmp_path, trunks={"pbx": {"target": "sip:192.0.2.1", "security": "legacy"}}, outbound=[])
    setup.overrides["admin"] = {"socket": "run/admin.sock"}
    process = await asyncio.to_thread(GatewayProcess(setup).start)
    try:
        setup.trunks["pbx"]["security"] = "prefer"
        config = setup.write()
        done = await asyncio.to_thread(run, "reload", "-c", config)
        assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "trunks.pbx.security: legacy -> prefer")
        assert "loaded: 1 change, configuration " in done.stdout
        config.write_text(config.read_text().replace("security: prefer", "security: maybe"))
        done = await asyncio.to_thread(run, "reload", "-c", config)
        assert done.exit_code == 2
        assert "trunks.pbx.security" in done.stderr
        assert "remedy:" in done.stderr
        setup.trunks["pbx"]["max_calls"] = 3
        setup.write()
        os.kill(process.pid, signal.SIGHUP)
        records = await asyncio.to_thread(process.wait_records, "policy.loaded", 3)
        assert [record["by"] for record in records] == ["start", "admin", "SIGHUP"]
        assert records[-1]["changes"] == ["trunks.pbx.max_calls: added"]
        setup.workers = 2
        setup.write()
        done = await asyncio.to_thread(run, "reload", "-c", config, "--json")
        assert '"key": "media.workers"' in done.stdout
        assert "restart needed" in done.stdout
        assert done.exit_code == 2
    finally:
        assert await asyncio.to_thread(process.stop) == 0
