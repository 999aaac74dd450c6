"""The commands that ask a running gateway: tables, JSON, traces; one clear line where nothing is."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.admin import place
from gateway.call.run.pins import PinStore
from gateway.call.run.services import utc_now
from gateway.cli import asking
from gateway.cli.commands import cli
from gateway.sip.auth import compute_ha1
from tests.rig.browser import ScriptedBrowser
from tests.rig.gateway import PASSWORD, REALM, GatewayProcess, GatewaySetup
from tests.rig.hosted import until
from tests.rig.hosted_scene import PLAIN, SDES, HostedScene, both_hear

TABLES = ("trunks", "users", "registrations", "calls", "pins", "workers")
DIGITS = "739184"


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments], prog_name="sip-gateway", env={"COLUMNS": "200"})
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def rows(*arguments: str | Path) -> list[dict[str, Any]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


async def asked(*arguments: str | Path) -> list[dict[str, Any]]:
    return await asyncio.to_thread(rows, *arguments)


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Something listens there, which answers the first request with these octets and goes."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=_answer, args=(listener, answer))
        thread.start()
        try:
            yield
        finally:
            thread.join(5)


def _answer(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(answer)


@pytest.mark.parametrize("command", [*TABLES, "trace c-1"])
def test_without_a_gateway_there_is_one_line_and_exit_code_3(command: str, tmp_path: Path) -> None:
    result = run(*command.split(), "--socket", tmp_path / "none.sock")
    assert result.exit_code == asking.NOT_RUNNING
    assert result.stderr.count("\n") == 1
    assert "no gateway is running" in result.stderr


def test_without_any_gateway_on_the_machine_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "candidates", lambda *_: [tmp_path / "none"])
    result = run("calls")
    assert (result.exit_code, result.stderr.count("\n")) == (asking.NOT_RUNNING, 1)


def test_a_socket_of_somebody_else_is_one_line_and_exit_code_4(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    result = run("calls", "--socket", "/run/x.sock")
    assert (result.exit_code, result.stderr.count("\n")) == (asking.NOT_ALLOWED, 1)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400\r\n\r\n", b"[1]\n", b'{"row":{"id":"c"}}\n', b"\xff\n"])
def test_what_answers_as_no_gateway_does_is_told_in_one_line(answer: bytes, tmp_path: Path) -> None:
    with answering(tmp_path / "a.sock", answer):
        result = run("calls", "--socket", tmp_path / "a.sock")
    assert result.exit_code in (asking.NOT_RUNNING, asking.NO_ANSWER)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["c-1", "--next", "pbx"]])
def test_a_trace_wants_one_call_or_the_next(arguments: list[str]) -> None:
    assert run("trace", *arguments).exit_code == 2


def test_several_gateways_must_be_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "candidates", lambda *_: [tmp_path])
    listeners = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    for number, listener in enumerate(listeners):
        listener.bind(str(tmp_path / f"{number}.sock"))
        listener.listen()
    result = run("calls")
    for listener in listeners:
        listener.close()
    assert result.exit_code == 2
    assert "0.sock" in result.stderr


def test_a_configuration_says_which_gateway_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "candidates", lambda *_: [tmp_path])
    config = tmp_path / "gateway.yaml"
    config.write_text("realm: x\n")
    assert asking.find_socket(config, None) == tmp_path / place.name(config)
    config.write_text("admin: {socket: run/a.sock}\n")
    assert asking.find_socket(config, None) == tmp_path / "run/a.sock"


# --- a gateway and its calls


async def scene_at(directory: Path) -> tuple[HostedScene, Path]:
    scene = await HostedScene(directory).start()
    return scene, scene.host.gateway.admin.path


async def a_running_gateway(directory: Path) -> None:
    scene, path = await scene_at(directory)
    try:
        found = {row["trunk"]: row for row in await asked("trunks", "--socket", path)}
        assert (found["sdes"]["state"], found["sdes"]["calls_total"]) == ("unheard", 0)
        assert await asked("calls", "--socket", path) == []
        assert (await asyncio.to_thread(run, "calls", "--socket", path)).stdout == "no calls\n"
        browser = await scene.browser("bob")
        await check_people(path)
        call, trunk, uid = await scene.call(browser, SDES)
        await both_hear(call, trunk)
        await check_call(path, uid)
        await check_pins(path, scene.host.gateway.pins)
        trunk.hush()
        await call.hang_up()
        await scene.host.final(uid)
        await browser.close()
    finally:
        await scene.stop()


async def check_people(path: Path) -> None:
    users = {row["user"]: row["state"] for row in await asked("users", "--socket", path)}
    assert users == {"alice": "away", "bob": "registered"}
    (bound,) = await asked("registrations", "--socket", path)
    assert (bound["user"], bound["transport"], bound["node"]) == ("bob", "wss", "this one")
    assert 0 <= bound["flow_age"] < 60


async def check_pins(path: Path, pins: PinStore) -> None:
    """Who has been seen to encrypt is held to that, until an administrator lets it off."""
    for peer in ("sdes", "user:bob"):
        pins.learn(peer, utc_now())
    held = await asked("pins", "--socket", path)
    assert {row["peer"]: row["state"] for row in held} == {"sdes": "held", "user:bob": "held"}
    assert "held" in (await asyncio.to_thread(run, "pins", "--socket", path)).stdout
    cleared = await asyncio.to_thread(run, "pins", "clear", "sdes", "--socket", path)
    assert cleared.stdout == "sdes is held to encryption no more\n"
    assert [row["peer"] for row in await asked("pins", "--socket", path)] == ["user:bob"]
    again = await asyncio.to_thread(run, "pins", "clear", "sdes", "--socket", path)
    assert (again.exit_code, "is not pinned" in again.stderr) == (1, True)


async def check_call(path: Path, uid: str) -> None:
    (row,) = await asked("calls", "--socket", path)
    assert (row["uid"], row["user"], row["to"], row["state"]) == (uid, "bob", SDES, "established")
    assert (row["grade"], [leg["grade"] for leg in row["legs"]]) == ("HOP_BY_HOP", ["HOP_BY_HOP"] * 2)
    trunk = {found["trunk"]: found for found in await asked("trunks", "--socket", path)}["sdes"]
    assert (trunk["state"], trunk["calls_live"], trunk["verified_name"]) == ("up", 1, "pbx.demo.test")
    table = (await asyncio.to_thread(run, "calls", "--socket", path)).stdout
    assert "HOP_BY_HOP" in table
    assert row["id"] in table


def test_a_running_gateway_shows_its_trunks_users_registrations_and_calls(tmp_path: Path) -> None:
    asyncio.run(a_running_gateway(tmp_path))


async def command(*arguments: str) -> asyncio.subprocess.Process:
    """`sip-gateway` as a process: the one way to run two of them at a time."""
    run = (sys.executable, "-m", "gateway", *arguments)
    return await asyncio.create_subprocess_exec(*run, stdout=asyncio.subprocess.PIPE)


async def traced(directory: Path, *wish: str) -> tuple[str, str, list[str]]:
    """The output of `trace` over one call to the SDES trunk, as JSON and as a ladder, and every secret of the call."""
    scene, path = await scene_at(directory)
    try:
        made = [await command("trace", *wish, "--socket", str(path), more) for more in ("--json", "--full")]
        recorder = scene.host.gateway.desk.recorder
        await until(lambda: len(vars(recorder)["_traces"]) == 2, "two traces")
        secrets = await a_call_with_secrets(scene)
        told = [(await process.communicate())[0].decode() for process in made]
        assert [process.returncode for process in made] == [0, 0]
        assert not scene.host.gateway.endpoint.taps
        return told[0], told[1], secrets
    finally:
        await scene.stop()


async def a_call_with_secrets(scene: HostedScene) -> list[str]:
    browser = ScriptedBrowser(scene.setup.origin, "bob")
    await browser.sign_in()
    call, trunk, uid = await scene.call(browser, SDES)
    await both_hear(call, trunk)
    trunk.hush()
    body = f"Signal={DIGITS}\r\nDuration=160\r\n".encode()
    await call.request("INFO", body, (("Content-Type", "application/dtmf-relay"),))
    ha1 = compute_ha1("bob", REALM, PASSWORD, "MD5")
    keys = [base64.b64encode(trunk.key).decode()]
    keys += [line.split("inline:")[1].split("|")[0].strip() for line in _key_lines(scene)]
    await call.hang_up()
    await scene.host.final(uid)
    await browser.close()
    return [PASSWORD, ha1, DIGITS, call.media.password, call.media.remote_password, *keys]


def _key_lines(scene: HostedScene) -> list[str]:
    bodies = [request.body.decode() for request in scene.trunks[SDES].seen if request.method == "INVITE"]
    return [line for body in bodies for line in body.splitlines() if "inline:" in line]


def test_the_trace_of_the_next_call_has_all_of_it_and_none_of_its_secrets(tmp_path: Path) -> None:
    as_json, ladder, secrets = asyncio.run(traced(tmp_path, "--next", "bob"))
    found = [json.loads(line) for line in as_json.splitlines()]
    assert found[0]["event"] == "waiting"
    assert found[-1]["event"] == "ended"
    assert found[-1]["reason"] == "hangup-browser"
    messages = [row for row in found if row["event"] == "message"]
    said = [(row["leg"], row["direction"], row["summary"]) for row in messages]
    for expected in (
        (1, "received", "INVITE"),
        (2, "sent", "INVITE"),
        (2, "received", "200 OK"),
        (1, "sent", "200 OK"),
        (1, "received", "ACK"),
        (1, "received", "BYE"),
        (2, "sent", "BYE"),
    ):
        assert expected in said
    assert "gateway" in ladder
    assert "inline:***" in ladder
    assert len(secrets) > 5
    assert [secret for secret in secrets if secret in as_json or secret in ladder] == []


def test_a_call_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    async def ask() -> list[Result]:
        scene, path = await scene_at(tmp_path)
        try:
            wishes = [("c-nothing",), ("--next", "nobody")]
            return [await asyncio.to_thread(run, "trace", *wish, "--socket", path) for wish in wishes]
        finally:
            await scene.stop()

    for result in asyncio.run(ask()):
        assert (result.exit_code, result.stderr.count("\n")) == (asking.REFUSED, 1)


def test_the_prefix_of_a_call_is_enough_and_a_reader_that_goes_leaves_nothing(tmp_path: Path) -> None:
    async def look() -> None:
        scene, path = await scene_at(tmp_path)
        browser = await scene.browser("bob")
        call, _trunk, uid = await scene.call(browser, PLAIN)
        (row,) = await asked("calls", "--socket", path)
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(json.dumps({"ask": "trace", "call": row["id"][:6]}).encode() + b"\n")
        assert json.loads(await reader.readline())["row"]["id"] == row["id"]
        writer.close()
        await until(lambda: not scene.host.gateway.endpoint.taps, "the tap is gone")
        await call.hang_up()
        await scene.host.final(uid)
        await browser.close()
        await scene.stop()

    asyncio.run(look())


def test_a_gateway_process_is_found_by_its_configuration_and_its_socket_goes_with_it(tmp_path: Path) -> None:
    process = GatewayProcess(GatewaySetup(tmp_path, trunks={}, outbound=[])).start()
    try:
        assert {row["user"] for row in rows("users", "--config", process.config)} == {"alice", "bob"}
        path = asking.find_socket(process.config, None)
        assert path.exists()
    finally:
        process.stop()
    assert not path.exists()
