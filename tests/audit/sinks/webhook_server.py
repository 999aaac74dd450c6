"""An HTTPS server of the tests that takes lines of the log, when it is told to."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

from aiohttp import web

from tests.audit.sinks.receivers import CLOSING_SECONDS, HOST, WAIT_SECONDS


class HookServer:
    """Answers each request with the next of its statuses, then with 200."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self.statuses: list[int] = []
        self.refused: frozenset[int] = frozenset()
        """A request that has one of these numbers in it is answered with 422."""
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked: list[tuple[dict[str, str], bytes]] = []
        """Headers and body of each request."""
        self.places: list[str] = []
        """Method and path of each request."""
        self.taken: list[dict[str, Any]] = []
        """Records of the requests that were answered with 200."""
        self._changed = asyncio.Event()

    async def start(self) -> HookServer:
        application = web.Application(client_max_size=1 << 22)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0, ssl_context=self._context)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.places.append(f"{request.method} {request.path}")
        self.asked.append((dict(request.headers), body))
        self._changed.set()
        await self.answers.wait()
        status = self.statuses.pop(0) if self.statuses else 200
        records = [json.loads(line) for line in body.splitlines()]
        if any(record.get("n") in self.refused for record in records):
            status = 422
        if status == 200:
            self.taken += records
            self._changed.set()
        return web.Response(status=status, headers={"Location": f"https://localhost:{self.port}/other"})

    @property
    def numbers(self) -> list[int]:
        return [record["n"] for record in self.taken if "n" in record]

    async def when(self, true: Any) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def stop(self) -> None:
        self.answers.set()
        await self._runner.cleanup()
        await asyncio.sleep(CLOSING_SECONDS)
