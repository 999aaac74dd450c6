"""Receivers of the log with real sockets: a syslog server over TLS, and what it has read."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.certificates import Credential, dns, make_authority, make_certificate

NAME = "logs.example.com"
HOST = "127.0.0.1"
LIMIT = 4 << 20
"""What is read ahead: asyncio's TLS forgets what a paused reader has not taken when the other side says goodbye."""

CLOSING_SECONDS = 0.05
"""For handshakes under way: the loop is not closed over them."""

WAIT_SECONDS = 20.0
"""Longer than a loaded machine needs."""

MESSAGE = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<ts>\S+) (?P<host>\S+) (?P<app>\S+) (?P<pid>\S+) (?P<id>\S+) "
    rb'(?P<sd>-|\[(?:[^"\]]|"(?:[^"\\\]]|\\["\\\]])*")*\]) \xef\xbb\xbf(?P<text>.*)\Z',
    re.DOTALL,
)
"""RFC 5424 6, as somebody reads it who did not write the messages."""


@dataclass(frozen=True)
class Papers:
    """An authority, and what it has signed for a server and a client."""

    directory: Path
    authority: Credential = field(default_factory=make_authority)

    @property
    def ca(self) -> Path:
        return self.authority.write(self.directory, "ca")[0]

    def server_context(self, name: str = NAME, *, asks: bool = False, foreign: bool = False) -> ssl.SSLContext:
        issuer = make_authority("Another CA") if foreign else self.authority
        credential = make_certificate(alternative_names=dns(name), issuer=issuer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*credential.write(self.directory, f"server-{name}"))
        if asks:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self) -> tuple[Path, Path]:
        return make_certificate("gateway", issuer=self.authority).write(self.directory, "client")


class SyslogServer:
    """Reads messages behind their length, until told to go away."""

    def __init__(self, context: ssl.SSLContext, port: int = 0) -> None:
        self._context, self.port = context, port
        self.messages: list[re.Match[bytes]] = []
        self.lengths: list[int] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.connections = 0
        self._changed = asyncio.Event()
        self._open: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> SyslogServer:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, ssl=self._context, limit=LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.append(writer)
        self._changed.set()
        try:
            while True:
                await self.reads.wait()
                length = int(await reader.readuntil(b" "))
                text = await reader.readexactly(length)
                found = MESSAGE.match(text)
                assert found is not None, text
                self.messages.append(found)
                self.lengths.append(length)
                self._changed.set()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(found["text"]) for found in self.messages]

    @property
    def numbers(self) -> list[int]:
        return [record["n"] for record in self.records if "n" in record]

    async def until(self, number: int) -> None:
        """Wait for so many messages."""
        await self.when(lambda: len(self.messages) >= number)

    async def when(self, true: Any) -> None:
        """Wait until something is true, looked at whenever something comes."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def stop(self) -> None:
        """Close everything, as a server that ends."""
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()
        self.reads.set()
        await asyncio.sleep(CLOSING_SECONDS)
