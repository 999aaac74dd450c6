"""The admin socket: a Unix socket of this machine, for the gateway's own user and root, and for nobody else.

Whatever comes over it, the gateway goes on: requests, answers, clients and time are bounded, and a mistake in serving
one is logged and ends that connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
import struct
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from gateway.admin import place
from gateway.admin.lines import MAX_REQUEST, AskError, Problem, Question, read_question, write, write_error
from gateway.admin.views import Row
from gateway.base.errors import ConfigError

log = logging.getLogger(__name__)

MAX_CLIENTS = 16
"""Connections at a time: commands that look on, and a few that monitor."""
REQUEST_SECONDS = 10.0
"""How long a client may take for its next request."""
WRITE_SECONDS = 10.0
"""How long a client may leave an answer unread."""
CONNECT_SECONDS = 1.0
"""How long a gateway that may have the socket already is asked."""
BACKLOG = 16
_CREDENTIALS = struct.Struct("3i")
"""pid, uid and gid of SO_PEERCRED (unix(7))."""

Answer = Callable[[Question], AsyncGenerator[Row]]


class AdminServer:
    """Serves one socket.

    Args:
        path: where it is.
        answer: gives the rows of a question, or raises `AskError`.
    """

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path, self._answer = path, answer
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._inode = 0

    async def start(self) -> None:
        """Open the socket; what a gateway that was killed has left there gives way.

        Raises:
            ConfigError: it cannot be opened, or another gateway answers there.
        """
        place.prepare(self.path)
        try:
            _give_way(self.path)
            opened = _open(self.path)
            self._inode = self.path.stat().st_ino
        except OSError as error:
            why = error.strerror or str(error)
            raise ConfigError(f"cannot open {self.path}: {why}", key="admin.socket") from error
        self._server = await asyncio.start_unix_server(self._connected, sock=opened, limit=MAX_REQUEST)

    async def stop(self) -> None:
        """Close the socket and every connection; nothing of the server runs after that."""
        if self._server is None:
            return
        self._server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        with contextlib.suppress(OSError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()
        self._server = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not _may_ask(writer):
                log.warning("admin state=refused reason=another user")
            elif len(self._clients) > MAX_CLIENTS:
                await _write(writer, write_error(AskError(Problem.BUSY, "too many clients")))
            else:
                await self._converse(reader, writer)
        except (OSError, TimeoutError):
            writer.transport.abort()  # what it has not read it does not want: closing would keep that until it does
            log.debug("admin state=closed reason=the client is gone")
        except Exception as error:  # a defect here must not be the gateway's
            log.error("admin cannot serve: %s", error, exc_info=error)
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request after the other; after one that cannot be read nothing is expected to be readable."""
        while True:
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    line = await reader.readline()
            except ValueError:  # longer than any request
                await _write(writer, write_error(AskError(Problem.MALFORMED, "the request is too long")))
                return
            if not line:
                return
            try:
                await self._reply(read_question(line), reader, writer)
            except AskError as error:
                await _write(writer, write_error(error))
                if error.problem is Problem.MALFORMED:
                    return

    async def _reply(self, question: Question, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        async with contextlib.aclosing(self._answer(question)) as rows:
            async for row in rows:
                if reader.at_eof():
                    return
                if row:
                    count += 1
                    await _write(writer, write(row=row))
        await _write(writer, write(done=count))


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    async with asyncio.timeout(WRITE_SECONDS):
        await writer.drain()


def _may_ask(writer: asyncio.StreamWriter) -> bool:
    """The mode of the socket keeps others out; this does where somebody has changed it."""
    connection = writer.get_extra_info("socket")
    _pid, uid, _gid = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return uid in (0, os.geteuid())


def _open(path: Path) -> socket.socket:
    """Bound with mode 0600 from its first moment on."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        opened.bind(str(path))
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    finally:
        os.umask(before)
    return opened


def _give_way(path: Path) -> None:
    """Remove a socket nobody listens on; whatever else has that name stays.

    Raises:
        OSError: it is in use.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(0, "there is something else of that name")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(CONNECT_SECONDS)
        try:
            asked.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise FileExistsError(0, "another gateway answers there")
