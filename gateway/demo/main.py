"""The demonstration: a gateway, its softphone page and five phones to call, all on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.audit.archive import parsed
from gateway.audit.coloured import coloured
from gateway.audit.naming import Names
from gateway.audit.query import is_pulse
from gateway.audit.render import MAX_RENDERED
from gateway.base.profiles import Profile
from gateway.demo.layout import LOOPBACK, OTHER, USER, Layout, prepare
from gateway.demo.machine import alone
from gateway.demo.phones import Phones
from gateway.net import websocket

Ready = Callable[[], None]
ServeFile = Callable[[Path, Ready], Awaitable[None]]
"""Runs the gateway of a configuration file until SIGINT or SIGTERM; calls the second once it takes calls.

Handed in by the command line: the composition root stands beside the demonstration, not below it.
"""

DIRECTORY: Final = Path("run/demo")
WEB_PORT: Final = 8443
AUDIT_FILE: Final = "audit.jsonl"
POLL_SECONDS: Final = 0.25
"""How often the audit log is looked at for new records."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line may choose."""

    directory: Path = DIRECTORY
    port: int = WEB_PORT
    address: str = LOOPBACK
    """Where the page is served: another address of this machine lets other machines in."""
    origins: tuple[str, ...] = ()
    """Origins of other pages that may connect, as browsers send them."""


def main(options: DemoOptions, serve_file: ServeFile) -> int:
    """Run until Ctrl-C; the exit status.

    Raises:
        GatewayError: it could not start; the message says what to do.
    """
    console = Console(highlight=False)
    try:
        asyncio.run(run(options, serve_file, console))
    except KeyboardInterrupt:
        return 130
    return 0


async def run(options: DemoOptions, serve_file: ServeFile, console: Console) -> None:
    """Start the phones, then the gateway; end both together."""
    with alone(options.directory):
        await _run(options, serve_file, console)


async def _run(options: DemoOptions, serve_file: ServeFile, console: Console) -> None:
    layout = prepare(options.directory, options.address, options.port, options.origins)
    for sentence in layout.ports.moved(options.port):
        _warn(console, sentence)
    phones = Phones(layout, lambda sentence: _warn(console, sentence))
    try:
        await phones.start()
        for sentence in _problems(phones):
            _warn(console, sentence)
        await _serve(layout, serve_file, console, phones)
    finally:
        await phones.stop()


def _problems(phones: Phones) -> list[str]:
    if phones.problem:
        return [phones.problem]
    return [f"phone {p.role.number} cannot be called: {p.problem}" for p in phones.phones if p.problem]


async def _serve(layout: Layout, serve_file: ServeFile, console: Console, phones: Phones) -> None:
    with telling_refusals(console):
        async with following(layout.audit / AUDIT_FILE, console):
            await serve_file(layout.config, lambda: _welcome(layout, console, phones))
    console.print("Demonstration ended.")


@contextlib.contextmanager
def telling_refusals(console: Console) -> Iterator[None]:
    """Prints why WebSockets are refused meanwhile: the page that opened them is told nothing by its browser."""
    handler = _Refusals(console)
    source = logging.getLogger(websocket.__name__)
    source.addHandler(handler)
    source.setLevel(logging.INFO)
    try:
        yield
    finally:
        source.removeHandler(handler)


class _Refusals(logging.Handler):
    """Passes on the lines of refused WebSockets."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage()
        if "websocket=refused" in words:
            _warn(self._console, f"{words} (a page of your own: --origin, docs/web-developers.md)")


@contextlib.asynccontextmanager
async def following(path: Path, console: Console) -> AsyncIterator[None]:
    """Prints the audit records written meanwhile, the last ones included."""
    log = AuditTail(path)
    task = asyncio.get_running_loop().create_task(_follow(log, console))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        _print_records(log, console)


async def _follow(log: AuditTail, console: Console) -> None:
    while True:
        _print_records(log, console)
        await asyncio.sleep(POLL_SECONDS)


def _print_records(log: AuditTail, console: Console) -> None:
    for line in log.read():
        if not is_pulse(parsed(line)):
            console.print(coloured(line), soft_wrap=True)


class AuditTail:
    """The lines added to the audit log since this object was made; whole ones only."""

    def __init__(self, path: Path) -> None:
        self._path, self._names = path, Names(path)
        self._offset = path.stat().st_size if path.exists() else 0

    def read(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:  # a new day has a file of its own
                    self._offset = 0
                file.seek(self._offset)
                data = file.read(MAX_RENDERED)
        except FileNotFoundError:  # the gateway makes it when it starts
            return []
        whole, newline, _ = data.rpartition(b"\n")
        if not newline and len(data) == MAX_RENDERED:  # longer than any record: show it as it is
            whole, newline = data, b""
        self._offset += len(whole) + len(newline)
        return [self._names.restore(line) for line in whole.split(b"\n")] if whole else []


def _welcome(layout: Layout, console: Console, phones: Phones) -> None:
    console.print()
    for name, value in (("Open", layout.url), ("User", USER), ("Password", layout.password)):
        console.print(Text.assemble(f"{name:<10}", (value, "bold")), soft_wrap=True)
    console.print(
        f"The browser warns of the certificate: go on, or trust {layout.certificates.ca.certificate}\n",
        soft_wrap=True,
        markup=False,
    )
    console.print(_table(phones))
    for sentence in _hints(layout):
        console.print(sentence, soft_wrap=True, markup=False)
    console.print("\nAudit log, one line for each record; Ctrl-C ends everything:\n")


def _table(phones: Phones) -> Table:
    table = Table(title="What to dial", title_justify="left", title_style="bold")
    for heading in ("Number", "Profile", "What happens"):
        table.add_column(heading, overflow="fold")
    table.add_column("Trunk", no_wrap=True)  # a URI cut in two cannot be copied
    for phone in phones.phones:
        role = phone.role
        happens = role.what if not (phone.problem or phones.problem) else "not running"
        table.add_row(role.number, role.security.value, Text(happens), Text(role.target))
    there = f"Rings a page you signed in as {OTHER}, with the same password; that one dials {USER}: green"
    table.add_row(OTHER, Profile.STRICT.value, Text(there), Text("none"))
    return table


def _hints(layout: Layout) -> list[str]:
    if layout.web_host != LOOPBACK:
        return []
    other = next((host for host in layout.media_hosts if host != LOOPBACK), None)
    if other is None:
        return ["This machine has no address besides loopback: Firefox does no ICE to loopback, Chromium does."]
    return [f"For other machines too: {sys.argv[0]} demo --address {other}"]


def _warn(console: Console, sentence: str) -> None:
    console.print(Text.assemble(("warning: ", "yellow"), sentence), soft_wrap=True)
