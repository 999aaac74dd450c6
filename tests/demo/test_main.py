"""The demonstration from start to end, with a stand-in for the gateway."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from gateway.demo import layout as layout_module
from gateway.demo import phones as phones_module
from gateway.demo.main import AuditTail, DemoOptions, following, run, telling_refusals
from gateway.demo.phones import NO_PJSUA2

PROGRAM = """
import sys
from pathlib import Path
from gateway.process import serve
from gateway.config.load import load_config
from gateway.demo import layout
from gateway.demo.main import DemoOptions, main
layout.SIP_PORT, layout.BROWSER_MEDIA_PORT, layout.TRUNK_MEDIA_PORTS = 15760, 15710, "15720-15739"
layout.local_address = lambda: None
async def serve_file(path, ready):
    await serve(load_config(path), ready=ready)
sys.exit(main(DemoOptions(Path(sys.argv[1]), 15743), serve_file))
"""

RECORD = {
    "v": 1,
    "seq": 1,
    "ts": "2030-01-02T03:04:05.000000Z",
    "type": "auth.fail",
    "user": "mallory",
    "source": "127.0.0.1:5",
    "reason": "wrong",
}


@pytest.fixture(autouse=True)
def ports_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_module, "SIP_PORT", 15560)
    monkeypatch.setattr(layout_module, "BROWSER_MEDIA_PORT", 15510)
    monkeypatch.setattr(layout_module, "local_address", lambda: "127.0.0.2")


def recording_console() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=160, highlight=False), text


def line(**changes: object) -> bytes:
    return json.dumps(RECORD | changes).encode() + b"\n"


class FakeGateway:
    """Takes calls at once, writes one audit record, and stops."""

    def __init__(self) -> None:
        self.config: Path | None = None

    async def serve(self, config: Path, ready: Callable[[], None]) -> None:
        self.config = config
        audit = config.parent / "audit"
        audit.mkdir()
        ready()
        (audit / "audit.jsonl").write_bytes(line())


async def demonstrate(directory: Path) -> tuple[str, FakeGateway]:
    console, text = recording_console()
    gateway = FakeGateway()
    await run(DemoOptions(directory, 15543), gateway.serve, console)
    return text.getvalue(), gateway


@pytest.mark.asyncio
async def test_says_where_to_sign_in_and_what_to_dial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones_module, "has_pjsua2", lambda: False)
    shown, gateway = await demonstrate(tmp_path / "demo")
    assert gateway.config == tmp_path / "demo" / "gateway.yaml"
    assert "https://127.0.0.1:15543/" in shown
    assert (tmp_path / "demo" / "password").read_text().strip() in shown
    for number in ("600", "601", "602", "603", "604", "bob"):
        assert number in shown
    assert "--address 127.0.0.2" in shown


@pytest.mark.asyncio
async def test_without_pjsua2_the_gateway_runs_alone_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phones_module, "has_pjsua2", lambda: False)
    shown, gateway = await demonstrate(tmp_path / "demo")
    assert NO_PJSUA2 in shown
    assert "not running" in shown
    assert gateway.config is not None


@pytest.mark.asyncio
async def test_audit_records_are_shown_until_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones_module, "has_pjsua2", lambda: False)
    shown, _ = await demonstrate(tmp_path / "demo")
    assert "mallory from 127.0.0.1:5: wrong" in shown


@pytest.mark.asyncio
async def test_cancelling_ends_the_following(tmp_path: Path) -> None:
    console, text = recording_console()
    path = tmp_path / "audit.jsonl"

    async def follow() -> None:
        async with following(path, console):
            path.write_bytes(line(user="late"))
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await follow()
    assert "late from" in text.getvalue()


def test_tail_shows_new_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(line(user="old"))
    tail = AuditTail(path)
    assert tail.read() == []
    new = line(user="new")
    with path.open("ab") as file:
        file.write(new[:10])
    assert tail.read() == []
    with path.open("ab") as file:
        file.write(new[10:])
    assert tail.read() == [new.rstrip(b"\n")]
    assert tail.read() == []


def test_tail_of_a_file_that_comes_later_starts_at_its_beginning(tmp_path: Path) -> None:
    tail = AuditTail(tmp_path / "audit.jsonl")
    assert tail.read() == []
    (tmp_path / "audit.jsonl").write_bytes(line() * 2)
    assert len(tail.read()) == 2


def test_a_file_that_a_new_day_began_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(line() * 3)
    tail = AuditTail(path)
    path.write_bytes(line())
    assert len(tail.read()) == 1
    assert tail.read() == []


def test_endless_line_is_shown_in_pieces_instead_of_waiting_for_ever(tmp_path: Path) -> None:
    tail = AuditTail(tmp_path / "audit.jsonl")
    (tmp_path / "audit.jsonl").write_bytes(b"x" * 100_000)
    assert len(tail.read()[0]) == 65536


@pytest.fixture
def demonstration(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The whole demonstration with the real gateway, in a process group of its own."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "demo")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    yield process
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def children_of(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@pytest.mark.interop
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_gateway_and_phones_and_nothing_is_left(
    demonstration: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    assert demonstration.stdout is not None
    before = next(line for line in demonstration.stdout if line.startswith("Open"))
    assert "https://127.0.0.1:15743/" in before
    page = ssl.create_default_context(cafile=tmp_path / "demo" / "certs" / "ca.pem")
    with urllib.request.urlopen("https://127.0.0.1:15743/config.json", context=page, timeout=10) as response:
        assert json.load(response)["realm"] == "demo.test"
    children = children_of(demonstration.pid)
    os.killpg(demonstration.pid, number)  # a terminal sends Ctrl-C to the whole group
    rest = demonstration.stdout.read()
    assert demonstration.wait(20) == 0
    assert "Demonstration ended." in rest
    assert "ended by itself" not in rest
    assert children
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_a_refused_websocket_is_told_because_its_page_is_told_nothing() -> None:
    shown = io.StringIO()
    log = logging.getLogger("gateway.net.websocket")
    with telling_refusals(Console(file=shown, width=200)):
        log.info("peer=%s websocket=refused status=%d reason=%s", "127.0.0.1:5", 403, "Origin not allowed")
        log.info("flow=%s state=closing", "wss:1")
    log.info("peer=%s websocket=refused", "127.0.0.1:6")
    assert shown.getvalue().count("\n") == 1
    assert "reason=Origin not allowed (a page of your own: --origin" in shown.getvalue()
