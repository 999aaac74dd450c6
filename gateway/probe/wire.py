"""One SIP connection of a probe, over the gateway's own stack: WebSocket, UDP, TCP or TLS. Every wait has an end."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable

import aiohttp

from gateway.base.counters import Counters
from gateway.base.errors import SipError, TransportError
from gateway.base.signalling import TlsInfo, TransportName
from gateway.base.values import HostPort
from gateway.sip.digest_client import FIELDS, Login, credentials
from gateway.sip.events import (
    AckReceived,
    CancelReceived,
    RequestReceived,
    RequestTimeout,
    ResponseReceived,
    StackEvent,
    TransportFailed,
)
from gateway.sip.flow import Flow
from gateway.sip.framing import StreamFramer
from gateway.sip.message import Request, Response, create_response, parse_message
from gateway.sip.stack import SipStack

CONNECT_SECONDS = 5.0
"""How long a connection may take, TLS included."""
MAX_MESSAGE = 64 * 1024
MAX_EVENTS = 256
"""Requests of the other side that wait to be looked at; a probe has one call."""
MAX_TRIES = 2
"""How often a request goes out because of a challenge: once without a password, once with it."""
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def token(length: int) -> str:
    """Random lower-case letters and digits (a `TokenSource`)."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


class Wire(ABC):
    """A connection to a gateway or a trunk; what comes in and goes out passes through one transaction stack."""

    def __init__(self) -> None:
        self.stack = SipStack(token, Counters())
        self.flow: Flow | None = None
        self.requests: asyncio.Queue[RequestReceived] = asyncio.Queue(MAX_EVENTS)
        """What the other side asks; ACKs and CANCELs come to `acknowledged` and `cancelled`."""
        self.acknowledged = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.closed = asyncio.Event()
        self._answers: dict[str, asyncio.Queue[StackEvent]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Put one message on the wire."""

    @abstractmethod
    async def close(self) -> None:
        """End the connection."""

    @property
    def open_flow(self) -> Flow:
        """The flow, once there is one.

        Raises:
            TransportError: the connection was never opened.
        """
        if self.flow is None:
            raise TransportError("not connected")
        return self.flow

    async def ask(
        self,
        request: Request,
        seconds: float,
        *,
        login: Login | None = None,
        heard: Callable[[Response], None] = lambda _response: None,
    ) -> tuple[Request, Response]:
        """Send a request and wait for its final response; a challenge is answered once.

        Args:
            heard: told each provisional response.

        Returns:
            The request as it went out last, and its response.

        Raises:
            TransportError: there was no final response in time.
        """
        async with _within(seconds, f"no answer to {request.method} within {seconds:g} s"):
            for attempt in range(MAX_TRIES):
                response = await self._answer(request, heard)
                if attempt + 1 == MAX_TRIES or login is None or response.status not in FIELDS:
                    break
                fields = credentials(response, request, login, token)
                if not fields:
                    break
                number = request.cseq.number + 1
                request = request.with_header("CSeq", f"{number} {request.method}").with_added(fields)
        return request, response

    async def _answer(self, request: Request, heard: Callable[[Response], None]) -> Response:
        key = self.stack.send_request(request, self.open_flow, time.monotonic())
        self._answers[key] = asyncio.Queue()
        self.pump()
        try:
            while True:
                event = await self._answers[key].get()
                if not isinstance(event, ResponseReceived):
                    lost = isinstance(event, TransportFailed)
                    raise TransportError("the connection is gone" if lost else f"no answer to {request.method}")
                if event.response.status >= 200:
                    return event.response
                heard(event.response)
        except asyncio.CancelledError:
            if request.method == "INVITE":
                self.stack.cancel(key, time.monotonic())
                self.pump()
            raise
        finally:
            self._answers.pop(key, None)

    def acknowledge(self, request: Request) -> None:
        """Send the ACK of a 2xx."""
        self.stack.send_ack(request, self.open_flow, time.monotonic())
        self.pump()

    def respond(self, key: str, response: Response) -> None:
        """Answer a request of the other side."""
        with contextlib.suppress(SipError):
            self.stack.respond(key, response, time.monotonic())
        self.pump()

    def receive(self, data: bytes, *, stream: bool = False) -> None:
        """One message came in; what cannot be read is dropped, as the gateway would notice."""
        if not data.strip(b"\r\n\0 "):
            return
        try:
            message = parse_message(data, stream=stream)
        except SipError:
            return
        self.stack.receive(self.open_flow, message, time.monotonic())
        self.pump()

    def pump(self) -> None:
        """Send and tell what there is, and set the one timer."""
        for _flow, data in self.stack.take_transmissions():
            self.send(data)
        for event in self.stack.take_events():
            self._tell(event)
        self._arm()

    def _tell(self, event: StackEvent) -> None:
        match event:
            case RequestReceived():
                with contextlib.suppress(asyncio.QueueFull):
                    self.requests.put_nowait(event)
            case ResponseReceived() | RequestTimeout() | TransportFailed():
                if event.key in self._answers:
                    self._answers[event.key].put_nowait(event)
            case AckReceived():
                self.acknowledged.set()
            case CancelReceived():
                self.cancelled.set()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.stack.next_deadline()
        if due is not None and not self.closed.is_set():
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()), self._due)

    def _due(self) -> None:
        self.stack.handle_timers(time.monotonic())
        self.pump()

    def ended(self) -> None:
        """The connection is gone: whoever waits for an answer is told."""
        if self.closed.is_set():
            return
        self.closed.set()
        if self.flow is not None:
            self.stack.flow_closed(self.flow, time.monotonic())
            self.pump()

    def refuse(self, event: RequestReceived, status: int) -> None:
        """Answer with a status and nothing else."""
        tag = "" if event.request.to.tag else token(10)
        self.respond(event.key, create_response(event.request, status, to_tag=tag))


class WebSocketWire(Wire):
    """SIP over a WebSocket, as a browser speaks it (RFC 7118)."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, secure: bool) -> None:
        super().__init__()
        self._session, self._socket = session, socket
        self.flow = Flow(1, "wss" if secure else "ws", _client_name(), HostPort("gateway.invalid", 443))
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(MAX_EVENTS)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read()), loop.create_task(self._write())]

    @classmethod
    async def open(cls, url: str, origin: str, tls: ssl.SSLContext | aiohttp.Fingerprint | bool) -> WebSocketWire:
        """Connect.

        Raises:
            TransportError: it cannot be reached, is not who it should be, or refuses the page.
        """
        session = aiohttp.ClientSession()
        try:
            async with _within(CONNECT_SECONDS, f"{url} does not answer within {CONNECT_SECONDS:g} s"):
                socket = await session.ws_connect(
                    url, protocols=["sip"], origin=origin, ssl=tls, compress=0, max_msg_size=MAX_MESSAGE
                )
        except aiohttp.WSServerHandshakeError as error:
            await session.close()
            raise TransportError(f"{url} refuses the WebSocket: {error.status} {error.message}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            await session.close()
            raise TransportError(f"{url} cannot be reached: {_words(error)}") from error
        except TransportError:
            await session.close()
            raise
        return cls(session, socket, url.startswith("wss:"))

    def send(self, data: bytes) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(data)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.ended()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._socket.close()
        await self._session.close()

    async def _write(self) -> None:
        while True:
            data = await self._queue.get()
            with contextlib.suppress(ConnectionError):
                await self._socket.send_str(data.decode("utf-8", "surrogateescape"))

    async def _read(self) -> None:
        try:
            async for frame in self._socket:
                if frame.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    self.receive(frame.data.encode() if isinstance(frame.data, str) else frame.data)
        finally:
            self.ended()


class DatagramWire(Wire, asyncio.DatagramProtocol):
    """SIP over UDP, from a port of our own."""

    def __init__(self) -> None:
        super().__init__()
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(cls, source: HostPort, remote: HostPort) -> DatagramWire:
        """Bind and connect.

        Raises:
            TransportError: the source is no address of this machine, or there is no way.
        """
        made = cls()
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: made, local_addr=(source.host, source.port), remote_addr=(remote.host, remote.port)
            )
        except OSError as error:
            raise TransportError(f"udp from {source.host} to {remote}: {_words(error)}") from error
        made._transport = transport
        made.flow = Flow(1, "udp", _name(transport, "sockname"), remote)
        return made

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.sendto(data)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.receive(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there (ICMP): the request times out, or the other side comes up meanwhile."""

    async def close(self) -> None:
        self.ended()
        if self._transport is not None:
            self._transport.close()


class StreamWire(Wire):
    """SIP over TCP or TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Flow) -> None:
        super().__init__()
        self._reader, self._writer, self.flow = reader, writer, flow
        self._task = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def open(
        cls,
        source: HostPort,
        remote: HostPort,
        tls: ssl.SSLContext | None = None,
        *,
        server_name: str = "",
        inspect: Callable[[ssl.SSLObject], TlsInfo] | None = None,
    ) -> StreamWire:
        """Connect.

        Raises:
            TransportError: it cannot be reached, or its certificate is not valid (`verification`).
        """
        transport: TransportName = "tls" if tls is not None else "tcp"
        local = (source.host, source.port) if source.host else None
        try:
            async with _within(CONNECT_SECONDS, f"{remote} does not answer within {CONNECT_SECONDS:g} s"):
                reader, writer = await asyncio.open_connection(
                    remote.host, remote.port, ssl=tls, server_hostname=server_name if tls else None, local_addr=local
                )
        except ssl.SSLCertVerificationError as error:
            raise TransportError("its certificate is not valid", verification=error.verify_message) from error
        except OSError as error:
            raise TransportError(f"{transport} to {remote}: {_words(error)}") from error
        secured = writer.get_extra_info("ssl_object")
        info = inspect(secured) if inspect is not None and secured is not None else None
        here = HostPort(*writer.get_extra_info("sockname")[:2])
        return cls(reader, writer, Flow(1, transport, here, remote, tls=info, initiated=True))

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def _read(self) -> None:
        framer = StreamFramer()
        try:
            while data := await self._reader.read(MAX_MESSAGE):
                for message in framer.feed(data, time.monotonic()):
                    self.receive(message, stream=True)
        except (OSError, SipError):
            return
        finally:
            self.ended()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.ended()
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def _within(seconds: float, why: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TransportError(why) from None


def _client_name() -> HostPort:
    """What a browser writes into Via: a name that leads nowhere (RFC 7118 5)."""
    return HostPort(f"{token(12)}.invalid", 443)


def _name(transport: asyncio.DatagramTransport, which: str) -> HostPort:
    return HostPort(*transport.get_extra_info(which)[:2])


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
