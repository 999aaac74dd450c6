"""The admin socket: its owner is answered, whoever else is not, and nothing that comes over it hurts the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.admin import server as admin_server
from gateway.admin.lines import MAX_REQUEST, Ask, AskError, Problem, Question
from gateway.admin.server import MAX_CLIENTS, AdminServer
from gateway.admin.views import Row
from gateway.base.errors import ConfigError
from tests.rig.hosted import until

pytestmark = pytest.mark.asyncio
WAIT = 5.0


class Answers:
    """What stands behind the socket."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.filling = ""
        """Said again and again to who asks for a trace."""

    async def __call__(self, question: Question) -> AsyncGenerator[Row]:
        if question.ask is Ask.USERS:
            raise AskError(Problem.UNAVAILABLE, "not now")
        if question.ask is Ask.TRUNKS:
            raise ZeroDivisionError("a defect")
        try:
            yield {"asked": question.ask.value}
            while question.ask is Ask.TRACE:
                await asyncio.sleep(0 if self.filling else 0.01)
                yield {"filling": self.filling} if self.filling else {}
        finally:
            self.closed.set()


@contextlib.asynccontextmanager
async def serving(path: Path) -> AsyncIterator[AdminServer]:
    made = AdminServer(path, Answers())
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def ask(path: Path, data: bytes) -> list[dict[str, Any]]:
    """Everything that comes back for these octets until the other side closes or an answer is complete."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(data)
    found: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(WAIT):
            while line := await reader.readline():
                found.append(json.loads(line))
                if not found[-1].keys() & {"row"}:
                    break
    finally:
        writer.close()
    return found


async def test_rows_come_one_a_line_and_their_number_last(tmp_path: Path) -> None:
    async with serving(tmp_path / "a.sock") as made:
        assert await ask(made.path, b'{"ask":"calls"}\n') == [{"row": {"asked": "calls"}}, {"done": 1}]


async def test_the_socket_is_its_owner_s_alone_and_gone_after_the_stop(tmp_path: Path) -> None:
    async with serving(tmp_path / "a.sock") as made:
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert not made.path.exists()


async def test_a_question_without_an_answer_is_told_why_and_the_next_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path / "a.sock") as made:
        reader, writer = await asyncio.open_unix_connection(str(made.path))
        writer.write(b'{"ask":"users"}\n{"ask":"nonsense"}\n{"ask":"calls"}\n')
        lines = [json.loads(await reader.readline()) for _ in range(4)]
        assert [line.get("error") for line in lines] == ["unavailable", "unknown", None, None]
        assert lines[-1] == {"done": 1}
        writer.close()


@pytest.mark.parametrize(
    "junk", [b"\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100 + b"\n", b"x" * (3 * MAX_REQUEST), b"[" * 3000 + b"\n"]
)
async def test_junk_is_refused_and_hurts_nobody(tmp_path: Path, junk: bytes) -> None:
    async with serving(tmp_path / "a.sock") as made:
        (answer,) = await ask(made.path, junk)
        assert answer["error"] == "malformed"
        assert (await ask(made.path, b'{"ask":"calls"}\n'))[-1] == {"done": 1}


async def test_a_defect_in_an_answer_ends_that_connection_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path / "a.sock") as made:
        with caplog.at_level(logging.ERROR):
            assert await ask(made.path, b'{"ask":"trunks"}\n') == []
        assert "a defect" in caplog.text
        assert (await ask(made.path, b'{"ask":"calls"}\n'))[-1] == {"done": 1}


async def test_a_reader_that_goes_ends_its_answer(tmp_path: Path) -> None:
    answers = Answers()
    made = AdminServer(tmp_path / "a.sock", answers)
    await made.start()
    reader, writer = await asyncio.open_unix_connection(str(made.path))
    writer.write(b'{"ask":"trace"}\n')
    await reader.readline()
    writer.close()
    async with asyncio.timeout(WAIT):
        await answers.closed.wait()
    await made.stop()


async def test_clients_beyond_the_limit_are_told_so_and_one_may_come_when_one_goes(tmp_path: Path) -> None:
    async with serving(tmp_path / "a.sock") as made:
        held = [await asyncio.open_unix_connection(str(made.path)) for _ in range(MAX_CLIENTS)]
        (refused,) = await ask(made.path, b'{"ask":"calls"}\n')
        assert refused["error"] == "busy"
        for _, writer in held:
            writer.close()
        async with asyncio.timeout(WAIT):
            while (await ask(made.path, b'{"ask":"calls"}\n'))[-1] != {"done": 1}:
                pass


async def test_a_client_that_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_server, "REQUEST_SECONDS", 0.05)
    async with serving(tmp_path / "a.sock") as made:
        reader, writer = await asyncio.open_unix_connection(str(made.path))
        writer.write(b'{"ask"')
        async with asyncio.timeout(WAIT):
            assert await reader.read() == b""
        writer.close()


async def test_a_reader_that_stands_still_is_let_go_with_what_it_has_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_server, "WRITE_SECONDS", 0.05)
    answers = Answers()
    answers.filling = "x" * 10_000
    made = AdminServer(tmp_path / "a.sock", answers)
    await made.start()
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.connect(str(made.path))
        stuck.sendall(b'{"ask":"trace"}\n')
        async with asyncio.timeout(WAIT):
            await answers.closed.wait()
        await until(lambda: _is_gone(stuck), "the connection is gone")
    await made.stop()


def _is_gone(asked: socket.socket) -> bool:
    """Whether the other side has let go of its end."""
    try:
        asked.send(b"\n")
    except BrokenPipeError:
        return True
    return False


async def test_a_stop_waits_for_no_reader(tmp_path: Path) -> None:
    async with serving(tmp_path / "a.sock") as made:
        reader, writer = await asyncio.open_unix_connection(str(made.path))
        writer.write(b'{"ask":"trace"}\n')
        await reader.readline()
    async with asyncio.timeout(WAIT):
        assert await reader.read() == b""
    writer.close()


async def test_what_a_killed_gateway_left_gives_way(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with serving(path) as made:
        assert (await ask(made.path, b'{"ask":"calls"}\n'))[-1] == {"done": 1}


async def test_a_socket_another_gateway_answers_on_is_left_to_it(tmp_path: Path) -> None:
    async with serving(tmp_path / "a.sock") as made:
        with pytest.raises(ConfigError, match="another gateway answers there"):
            await AdminServer(made.path, Answers()).start()
        assert (await ask(made.path, b'{"ask":"calls"}\n'))[-1] == {"done": 1}


async def test_a_file_of_that_name_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="something else of that name"):
        await AdminServer(path, Answers()).start()
    assert path.read_text() == "precious"


async def test_a_path_too_long_for_a_socket_is_a_mistake_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long"):
        await AdminServer(tmp_path / ("x" * 120), Answers()).start()


OTHER_USER = """
import os, socket, sys
os.setuid(12345)
with socket.socket(socket.AF_UNIX) as asked:
    asked.settimeout(5)
    asked.connect(sys.argv[1])
    print("connected", flush=True)
    asked.sendall(b'{"ask":"calls"}\\n')
    print(asked.recv(100))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_another_user_gets_nothing_even_where_the_mode_would_let_him() -> None:
    with tempfile.TemporaryDirectory() as place:
        await asyncio.to_thread(os.chmod, place, 0o711)
        await refuses_others(Path(place) / "a.sock")


async def refuses_others(path: Path) -> None:
    async with serving(path) as made:
        run = [sys.executable, "-c", OTHER_USER, str(made.path)]
        shut = await asyncio.to_thread(subprocess.run, run, capture_output=True, text=True, timeout=10)
        assert "PermissionError" in shut.stderr
        made.path.chmod(0o666)
        let = await asyncio.to_thread(subprocess.run, run, capture_output=True, text=True, timeout=10)
        assert let.stdout.startswith("connected")
        assert "row" not in let.stdout
