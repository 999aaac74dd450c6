"""A real endpoint with a real stack on loopback sockets, and the requests its peers send."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from gateway.base.counters import Counter, Counters
from gateway.base.values import HostPort
from gateway.net.channel import StreamLimits
from gateway.net.endpoint import SipEndpoint
from gateway.sip.flow import Flow
from gateway.sip.message import Response, create_response, parse_message
from gateway.sip.stack import RequestReceived, SipStack, StackEvent
from gateway.trunks.model import Trunk
from tests import messages
from tests.sites import made_listeners, made_trunk

PATIENCE = 5.0
"""Seconds a test waits for what must happen."""

PBX = made_trunk("sip:127.0.0.1:9;transport=tcp", networks=("127.0.0.1/32",))


def options(
    *, call_id: str = "c1", transport: str = "TCP", via: str = "127.0.0.1:9;rport", to_tag: str = "", body: str = ""
) -> bytes:
    """An OPTIONS request with its own Call-ID and branch."""
    lines = messages.fields(
        "OPTIONS",
        via=f"SIP/2.0/{transport} {via};branch=z9hG4bK-{call_id}",
        from_="<sip:pbx@example.com>;tag=f",
        to=f"<sip:gateway@example.com>{to_tag}",
        call_id=call_id,
    )
    return messages.octets("OPTIONS", "sip:gateway@example.com", lines, body.encode())


MALFORMED = options(call_id="bad").replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE")
"""Framed well, wrong within, and with all that an error response copies."""


class Gateway:
    """An endpoint on 127.0.0.1 that answers every request with 200."""

    def __init__(
        self,
        *listeners: str,
        trunks: Mapping[str, Trunk] | None = None,
        tls: Mapping[str, Any] | None = None,
        limits: StreamLimits | None = None,
        answers: bool = True,
        nameservers: Sequence[HostPort] = (),
    ) -> None:
        self.counters = Counters()
        self.events: list[StackEvent] = []
        self.closed: list[Flow] = []
        self._answers = answers
        numbers = itertools.count()
        self.stack = SipStack(lambda length: f"{next(numbers):0{length}}", self.counters)
        self.endpoint = SipEndpoint(
            self.stack,
            self.counters,
            {"pbx": PBX} if trunks is None else trunks,
            self._on_event,
            limits=limits,
            nameservers=nameservers,
        )
        self.endpoint.on_flow_closed = self.closed.append
        self.listen = made_listeners(*listeners, tls=tls)

    async def __aenter__(self) -> Self:
        await self.endpoint.start(self.listen)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.endpoint.stop()

    def _on_event(self, event: StackEvent) -> None:
        self.events.append(event)
        if isinstance(event, RequestReceived) and self._answers:
            self.endpoint.respond(event.key, create_response(event.request, 200, to_tag="t"))

    @property
    def address(self) -> HostPort:
        return self.endpoint.addresses[0]

    @property
    def requests(self) -> list[RequestReceived]:
        return [event for event in self.events if isinstance(event, RequestReceived)]

    async def until_counted(self, counter: Counter, times: int = 1) -> None:
        """Wait until the counter got there."""
        await until(lambda: self.counters[counter] >= times)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - there is no event for every condition a test waits for
            await asyncio.sleep(0)


class SocketPeer:
    """The other end of a TCP or TLS connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, address: HostPort, **options_: Any) -> Self:
        return cls(*await asyncio.open_connection(address.host, address.port, **options_))

    def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.writer.write(chunk)

    async def response(self) -> Response:
        async with asyncio.timeout(PATIENCE):
            message = parse_message(await self.reader.readuntil(b"\r\n\r\n"), stream=True)
        assert isinstance(message, Response)
        return message

    async def responses(self, count: int) -> Sequence[Response]:
        return [await self.response() for _ in range(count)]

    async def rest(self) -> bytes:
        """Everything until the gateway closes the connection."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except OSError:  # a reset or a TLS alert
                return b""

    async def close(self) -> None:
        self.writer.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await self.writer.wait_closed()
        except OSError:
            return
