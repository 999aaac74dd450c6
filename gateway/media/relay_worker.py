"""One relay worker seen from the gateway: its process, its control socket, its end.

The socket is read and written from the event loop with `add_reader` and `add_writer`; nothing here ever blocks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gateway.base.errors import MediaError
from gateway.media.relay_codec import decode_event, dialect, encode, encode_config
from gateway.media.relay_commands import Command
from gateway.media.relay_events import Event, WorkerReady
from gateway.media.relay_packet import apart, together
from gateway.media.relay_protocol import MAX_CONTROL_PACKET, WorkerConfig

START_SECONDS = 10.0
"""A worker that has not bound its port by then will not."""
STOP_SECONDS = 2.0
"""A worker closes in milliseconds; a stuck one is killed after this."""
READ_BATCH = 64
"""Events taken per turn of the event loop, so that a busy worker does not hold it up."""
MAX_BACKLOG = 4096
"""Commands waiting for a worker that does not read. One that lets so many wait is stuck, and is given up."""
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TZ")
"""What a worker inherits besides PYTHON*; the gateway's environment may hold trunk passwords."""

PROGRAM = Path(__file__).parents[2]
"""The directory this package is in."""

_log = logging.getLogger(__name__)


class RelayWorker:
    """A running worker process.

    Args:
        config: start configuration; `control_fd` is filled in here.
        on_event: called with the call and every event after `WorkerReady`.
    """

    def __init__(self, config: WorkerConfig, on_event: Callable[[int, Event], None]) -> None:
        self.config = config
        self.browser_port = 0
        self.version = ""
        """Of the program it runs."""
        self._on_event = on_event
        self._backlog: deque[bytes] = deque()
        self._socket: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[int] | None = None
        self._gone = asyncio.Event()
        self.hung = False
        """It was given up because it did not answer or did not read."""

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        return self._socket is not None and self.browser_port != 0

    async def start(self) -> None:
        """Start the process and wait until its browser port is bound; raises MediaError when it does not get there."""
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        try:
            await self._spawn()
            async with asyncio.timeout(START_SECONDS):
                self.browser_port = await self._ready
        except (OSError, TimeoutError) as error:
            await self.stop()
            raise MediaError("a relay worker did not start") from error
        except (MediaError, asyncio.CancelledError):
            await self.stop()
            raise

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        with theirs:
            ours.setblocking(False)
            argument = encode_config(replace(self.config, control_fd=theirs.fileno(), dialect=dialect()))
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the directory the gateway was started in may be anybody's, and has no say in what is run
                "-m",
                "gateway.media.worker",
                argument,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=_environment(),
            )
        asyncio.get_running_loop().add_reader(ours.fileno(), self._readable)

    async def lost(self) -> None:
        """Return when the worker is gone, whatever the reason; `stop` then waits for its process."""
        await self._gone.wait()

    async def stop(self) -> None:
        """End the worker: closing the control socket tells it to exit. Returns when its process is gone."""
        self._hang_up()
        self._gone.set()
        await self._reap()

    def kill(self) -> None:
        """Give up a worker that hangs: what is stopped or stuck does not read that its socket was closed."""
        self.hung = True
        self._hang_up()
        self._gone.set()
        self._kill_process()

    def send(self, call: int, command: Command) -> None:
        """Queue a command; commands to a worker that is gone are dropped, as its calls have been told."""
        if self._socket is None:
            return
        self._backlog.append(encode(call, command))
        if len(self._backlog) > MAX_BACKLOG:
            self.kill()
        elif len(self._backlog) == 1:
            # What else is said in this turn of the event loop goes with it: a call begins with half a dozen commands.
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        while self._socket is not None and self._backlog:
            packet, count = together(self._backlog)
            try:
                self._socket.send(packet)
            except BlockingIOError:
                asyncio.get_running_loop().add_writer(self._socket.fileno(), self._writable)
                return
            except OSError:
                self._hang_up()
                return
            for _ in range(count):
                self._backlog.popleft()

    def _writable(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_writer(self._socket.fileno())
        self._flush()

    def _readable(self) -> None:
        for _ in range(READ_BATCH):
            if self._socket is None:
                return
            try:
                packet = self._socket.recv(MAX_CONTROL_PACKET)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._hang_up()
                return
            self._received(packet)

    def _received(self, packet: bytes) -> None:
        try:
            for message in apart(packet):
                self._take(*decode_event(message))
        except MediaError:
            self._hang_up()

    def _take(self, call: int, event: Event) -> None:
        if isinstance(event, WorkerReady):
            self.version = event.version
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(event.browser_port)
            return
        self._on_event(call, event)

    def _hang_up(self) -> None:
        """Close the control socket; idempotent."""
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket.fileno())
        loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._backlog.clear()
        self._gone.set()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(MediaError("a relay worker ended before it was ready; its message is above"))
            # Nobody may be waiting any more (cancelled start); then the exception is not news.
            self._ready.exception()

    async def _reap(self) -> None:
        process = self._process
        if process is None or await _ended(process):
            return
        self._kill_process()
        if not await _ended(process):
            _log.error("worker=%d pid=%d does not die: it waits inside the kernel", self.config.browser_port, self.pid)

    def _kill_process(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


async def _ended(process: asyncio.subprocess.Process) -> bool:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        return False
    return True


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ENVIRONMENT or name.startswith("PYTHON")}
    # Where this program is, should it not be installed but run from its own directory.
    path = [kept["PYTHONPATH"]] if kept.get("PYTHONPATH") else []
    return kept | {"PYTHONPATH": os.pathsep.join([*path, str(PROGRAM)])}
