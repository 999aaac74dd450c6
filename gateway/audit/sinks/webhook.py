"""A web server that takes lines of the log by POST, signed, many together (JSON lines).

    POST <url>
    Content-Type: application/x-ndjson
    X-Audit-Sink: <name>
    X-Audit-Records: <first seq>-<last seq>
    X-Audit-Timestamp: <seconds since 1970>
    X-Audit-Signature: sha256=<HMAC-SHA-256 of timestamp + "." + body, hexadecimal>

Any 2xx says that they are taken; 400, 413 and 422, that the server will never take them as they are (RFC 9110 15.5);
everything else, and no answer in time, that they are to be sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence

import aiohttp

from gateway.audit.sinks.item import Item
from gateway.audit.sinks.link import ANSWER_SECONDS, RefusedError, SendError
from gateway.audit.sinks.plan import WebhookPlan
from gateway.audit.sinks.tls import client_context
from gateway.base.values import Secret

TAKEN = range(200, 300)
REFUSED = frozenset({400, 413, 422})
"""What a server says of the content of a request, not of who asks, or of its own state."""


def signature(secret: Secret[str], timestamp: str, body: bytes) -> str:
    """What proves that we sent this, at that time: a receiver refuses what is old, so nobody can send it again."""
    signed = timestamp.encode("ascii") + b"." + body
    return "sha256=" + hmac.new(secret.reveal().encode(), signed, hashlib.sha256).hexdigest()


class WebhookLink:
    """The way to one web server.

    Args:
        clock: seconds since 1970.
        answer_seconds: how long the server may take; shorter in tests.
    """

    most = 256
    octets = 512 * 1024
    linger_seconds = 1.0

    def __init__(
        self,
        name: str,
        plan: WebhookPlan,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - what a receiver compares with its own clock
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._name, self._plan, self._clock = name, plan, clock
        self._limit = aiohttp.ClientTimeout(total=answer_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, items: Sequence[Item]) -> None:
        """Send these as one request."""
        body = b"".join(item.line + b"\n" for item in items)
        if self._session is None:
            self._session = await self._open()
        try:
            status = await self._post(self._session, body, f"{items[0].seq}-{items[-1].seq}")
        except aiohttp.ClientError as error:
            await self.close()
            raise SendError(_reason(error)) from None
        except TimeoutError:
            await self.close()
            raise SendError("no answer") from None
        if status not in TAKEN:
            await self.close()
            raise (RefusedError if status in REFUSED else SendError)(f"answered {status}")

    async def _open(self) -> aiohttp.ClientSession:
        context = await asyncio.to_thread(client_context, self._plan.tls)
        connector = aiohttp.TCPConnector(ssl=context, limit=1)
        return aiohttp.ClientSession(connector=connector, timeout=self._limit, cookie_jar=aiohttp.DummyCookieJar())

    async def _post(self, session: aiohttp.ClientSession, body: bytes, records: str) -> int:
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/x-ndjson",
            "User-Agent": "sip-gateway",
            "X-Audit-Sink": self._name,
            "X-Audit-Records": records,
            "X-Audit-Timestamp": timestamp,
            "X-Audit-Signature": signature(self._plan.secret, timestamp, body),
        }
        url = self._plan.url.reveal()
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            return response.status

    async def close(self) -> None:
        """Let go of the connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _reason(error: aiohttp.ClientError) -> str:
    """In words that do not repeat the URL, which may have a token in it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate does not verify: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientOSError) and error.strerror:
        return error.strerror
    return type(error).__name__
