"""Starts and stops the phones of the demonstration PBX, each a process that dies with this one."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from gateway.demo.layout import Layout
from gateway.demo.machine import is_free
from gateway.demo.roles import Role

START_SECONDS: Final = 15.0
"""A phone is up in half a second; a busy machine gets more."""
STOP_SECONDS: Final = 5.0
"""After SIGTERM; then the process is killed."""
MAX_LINE: Final = 4096

NO_PJSUA2: Final = (
    "pjsua2 is not installed (it exists for Python 3.11 and 3.12 on Linux): pip install 'sip-gateway[demo]'. "
    "The gateway runs alone: every call fails because no phone answers."
)


@dataclass(slots=True)
class Phone:
    """One phone and whether it can be called."""

    role: Role
    process: asyncio.subprocess.Process | None = None
    problem: str = ""


class Phones:
    """The demonstration PBX.

    Args:
        layout: where everything listens.
        tell: called with a sentence when a phone ends by itself.
    """

    def __init__(self, layout: Layout, tell: Callable[[str], None]) -> None:
        self._layout = layout
        self._tell = tell
        self._watchers: list[asyncio.Task[None]] = []
        self.phones: list[Phone] = [Phone(role) for role in layout.roles]

    @property
    def problem(self) -> str:
        """Why there is no PBX at all; empty when pjsua2 can be found."""
        return "" if has_pjsua2() else NO_PJSUA2

    async def start(self) -> None:
        """Start every phone at once; one that cannot start says why in its `problem`."""
        if self.problem:
            return
        await asyncio.gather(*(self._start(phone) for phone in self.phones))
        loop = asyncio.get_running_loop()
        self._watchers = [loop.create_task(self._watch(phone)) for phone in self.phones if not phone.problem]

    async def stop(self) -> None:
        """End every phone, politely first."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await asyncio.gather(*(_end(phone.process) for phone in self.phones if phone.process))

    async def _start(self, phone: Phone) -> None:
        if not is_free(phone.role.address, "udp" if phone.role.transport == "udp" else "tcp"):
            phone.problem = f"{phone.role.address} is taken"
            return
        with self._open_log(phone.role) as log:
            phone.process = await asyncio.create_subprocess_exec(
                *self._command(phone.role),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this process; it ends the phones in order
                limit=MAX_LINE,
            )
        phone.problem = await _wait_ready(phone.process)

    def _open_log(self, role: Role) -> BinaryIO:
        return (self._layout.directory / f"pbx-{role.name}.log").open("wb")

    def _command(self, role: Role) -> Sequence[str]:
        pair = self._layout.certificates.pbx
        tls = ["--certificate", str(pair.certificate), "--key", str(pair.key)] if role.transport == "tls" else []
        module = [sys.executable, "-m", "gateway.demo.pbx", "--role", role.name, "--address", str(role.address)]
        return [*module, "--gateway", str(self._layout.sip), "--parent", str(os.getpid()), *tls]

    async def _watch(self, phone: Phone) -> None:
        if phone.process is not None:
            status = await phone.process.wait()
            self._tell(f"phone {phone.role.number} ended by itself (status {status})")


def has_pjsua2() -> bool:
    """True when the phones can load it; this process never does."""
    return importlib.util.find_spec("pjsua2") is not None


async def _wait_ready(process: asyncio.subprocess.Process) -> str:
    """Empty once the phone says `ready`, else why it cannot be called."""
    try:
        async with asyncio.timeout(START_SECONDS):
            return await _read_until_ready(process)
    except TimeoutError:
        await _end(process)
        return f"not ready after {START_SECONDS:.0f} s"


async def _read_until_ready(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        return "no standard output"
    while line := await process.stdout.readline():  # PJSIP's banner comes first
        text = line.decode(errors="replace").strip()
        if text == "ready":
            return ""
        if text.startswith("error: "):
            return text.removeprefix("error: ")
    return f"it ended with status {await process.wait()}, see its log beside gateway.yaml"


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
