"""SIP over WebSocket (RFC 7118): browsers of allowed origins only, one SIP message per frame, answered on its flow."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from gateway.base.buckets import Bucket, Rate
from gateway.base.counters import Counter, Counters
from gateway.base.door import TurnedAway, untold
from gateway.base.transports import abort
from gateway.base.values import HostPort
from gateway.net.channel import MAX_WRITE_BUFFER, Pump, StreamLimits
from gateway.net.frames import FrameMeter
from gateway.net.opening import address_of, refusal, transport_of
from gateway.net.shares import Place, Shares, Watchable
from gateway.sip.flow import Flow
from gateway.sip.framing import PING, PONG
from gateway.site import ConnectionShares, WebListener
from gateway.trunks.model import NOBODY
from gateway.trunks.tls import inspect_peer

SUBPROTOCOL = "sip"
"""RFC 7118 4.1."""
MAX_MESSAGE = 64 * 1024
"""Octets of one WebSocket message, in however many frames."""
STRANGER_MESSAGES = Rate(per_second=10, burst=20)
"""Messages of a WebSocket that is not signed in: REGISTER, its answer to a challenge, and keepalives."""
ALL_STRANGERS = Rate(per_second=100, burst=50)
"""Messages of all those together: a tenth of what one core handles, fifty sign-ins a second. Each waits for its turn,
so that a newcomer is delayed by their number, not by what they send."""
USER_MESSAGES = Rate(per_second=200, burst=400)
"""Messages of a WebSocket that is signed in."""
PING_INTERVAL = 25.0
"""Seconds of silence before we ask whether the browser is still there: below the idle time of common NATs."""
PONG_DEADLINE = 10.0
"""Seconds it has to show any sign of life then."""
CLOSE_LIMIT = 1.0
"""Seconds a browser has to answer our close frame."""

log = logging.getLogger(__name__)

Welcome = Callable[[Flow, web.Request], Awaitable[None]]


class WebSocketChannel:
    """One open WebSocket: what the endpoint sends is queued here, and written by a task of the handler."""

    def __init__(
        self,
        flow: Flow,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        place: Place,
        shares: Shares,
        limits: StreamLimits,
        opened_at: float,
    ) -> None:
        self.flow, self._socket, self._transport = flow, socket, transport
        self._place, self._shares, self._limits, self._opened_at = place, shares, limits, opened_at
        self.meter = FrameMeter()
        self.had_message = False
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._code = int(WSCloseCode.GOING_AWAY)

    @property
    def is_signed_in(self) -> bool:
        return bool(self._place.user)

    @property
    def is_usable(self) -> bool:
        return not self._closing

    @property
    def is_dead(self) -> bool:
        """Only its browser can open another one."""
        return False

    def send(self, data: bytes) -> None:
        if self._closing:
            return
        self._queue.append(data)
        self._queued += len(data)
        self._wake.set()
        if self._queued > MAX_WRITE_BUFFER:
            log.info("flow=%s state=closing reason=the peer does not read", self.flow)
            self.abort()

    def close(self) -> None:
        self._closing = True
        self._wake.set()

    def abort(self) -> None:
        self._queue.clear()
        self.close()
        abort(self._transport)

    def signed_in(self, user: str) -> bool:
        return self._shares.sign_in(self._place, user)

    def check_limits(self, now: float) -> None:
        """End a connection that begins, or proves who it is, too slowly; silence is noticed by the handler's ping."""
        begun, limits, age = self.meter.pending_since, self._limits, now - self._opened_at
        if self._closing:
            return
        if begun is not None and now - begun > limits.message:
            self.turn_away(Counter.CONNECTION_TIMEOUT, "the message did not come to its end in time")
        elif not self.is_signed_in and age > limits.signed_in:
            self.turn_away(Counter.WEBSOCKET_NOT_SIGNED_IN, "not signed in in time")
        elif not self.is_signed_in and not self.had_message and age > limits.first_browser_message:
            self.turn_away(Counter.CONNECTION_TIMEOUT, "no message came in time")

    def turn_away(self, why: Counter, reason: str) -> None:
        """End it with a close code that says it broke a rule (RFC 6455 7.4.1), and soon, whatever the peer does."""
        if self._closing:
            return
        self._shares.tell(why, "flow=%s state=closing reason=%s", self.flow, reason)
        self._code = WSCloseCode.POLICY_VIOLATION
        self._queue.clear()
        self.close()
        asyncio.get_running_loop().call_later(2 * CLOSE_LIMIT, abort, self._transport)

    async def write(self) -> None:
        """Write what is queued until `close`, then close the WebSocket, which wakes its reader."""
        try:
            while await self._has_more():
                data = self._queue.popleft()
                await self._send(data)
                self._queued -= len(data)
        except ConnectionError as error:
            log.debug("flow=%s write=%s", self.flow, type(error).__name__)
        await self._socket.close(code=self._code)

    async def _has_more(self) -> bool:
        while not self._queue and not self._closing:
            self._wake.clear()
            await self._wake.wait()
        return bool(self._queue)

    async def _send(self, data: bytes) -> None:
        """As text when it is UTF-8, else as binary (RFC 7118 5.1)."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            await self._socket.send_bytes(data)
        else:
            await self._socket.send_str(text)


class SipWebSocket:
    """The `/ws` resource: admits browsers, and carries each one's flow until either side ends it."""

    def __init__(
        self,
        endpoint: Pump,
        settings: WebListener,
        counters: Counters,
        *,
        connections: ConnectionShares | None = None,
        limits: StreamLimits | None = None,
        ping_interval: float = PING_INTERVAL,
        pong_deadline: float = PONG_DEADLINE,
    ) -> None:
        self._endpoint, self._settings, self._counters = endpoint, settings, counters
        self._ping_interval, self._pong_deadline = ping_interval, pong_deadline
        self._limits = limits or StreamLimits()
        self.shares = Shares(connections or ConnectionShares(), counters, endpoint.now)
        self.welcome: Welcome | None = None
        """Told of each handshake before anything is read, where one may prove who the user is."""
        self.on_turned_away: TurnedAway = untold
        self._strangers = Bucket(ALL_STRANGERS)

    def use(self, settings: WebListener, connections: ConnectionShares) -> None:
        """Look at origins and shares of those who come from now on; whoever is there stays."""
        self._settings = settings
        self.shares.use(connections)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one WebSocket from its handshake to its end (RFC 6455 4.2, RFC 7118 4)."""
        transport = transport_of(request)
        remote = address_of(transport, "peername")
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            compress=False,
            autoping=False,
            max_msg_size=MAX_MESSAGE + 1,  # aiohttp refuses a message of just this size
            timeout=CLOSE_LIMIT,
        )
        if refused := refusal(request, socket, self._settings, SUBPROTOCOL, self.on_turned_away):
            words = "peer=%s websocket=refused status=%d reason=%s"
            self.shares.tell(Counter.WEBSOCKET_REFUSED, words, remote, refused.status, refused.text)
            return refused
        place = self.shares.enter(remote.host, lambda: abort(transport))
        try:
            await socket.prepare(request)
            await self._serve(socket, transport, place, request)
        finally:
            self.shares.leave(place)
        return socket

    async def _serve(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport, place: Place, request: web.Request
    ) -> None:
        flow = self._make_flow(transport, address_of(transport, "peername"))
        channel = WebSocketChannel(flow, socket, transport, place, self.shares, self._limits, self._endpoint.now())
        place.give_way = partial(channel.turn_away, Counter.WEBSOCKET_EVICTED, "others wait, and it is not signed in")
        self._watch(transport, channel.meter)
        writing = asyncio.create_task(channel.write())
        try:
            self._endpoint.channel_opened(channel)
            log.debug("flow=%s state=open", channel.flow)
            if self.welcome is not None:
                await self.welcome(flow, request)
            await self._read(channel, socket)
        finally:
            channel.close()
            self._endpoint.channel_closed(channel)
            log.debug("flow=%s state=closed", channel.flow)
            await _finish(writing)

    def _watch(self, transport: asyncio.Transport, meter: FrameMeter) -> None:
        """See every octet that comes in from now on, before the HTTP library has made a message of it."""
        protocol = transport.get_protocol()
        if isinstance(protocol, Watchable):
            protocol.upgraded(lambda data: meter.feed(data, self._endpoint.now()))

    def _make_flow(self, transport: asyncio.Transport, remote: HostPort) -> Flow:
        ssl_object = transport.get_extra_info("ssl_object")
        return Flow(
            self._endpoint.next_flow_id(),
            "ws" if ssl_object is None else "wss",
            address_of(transport, "sockname"),
            remote,
            tls=None if ssl_object is None else inspect_peer(ssl_object, NOBODY),
        )

    async def _read(self, channel: WebSocketChannel, socket: web.WebSocketResponse) -> None:
        pace = Bucket(STRANGER_MESSAGES)
        while (message := await self._receive(channel, socket)) is not None:
            if channel.is_signed_in and pace.rate is STRANGER_MESSAGES:
                pace = Bucket(USER_MESSAGES)
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                data = message.data.encode() if message.type is WSMsgType.TEXT else message.data
                self._take(channel, data)
            elif message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                self._note_end(channel, message)
                return
            await self._give_turn(channel, pace)

    async def _give_turn(self, channel: WebSocketChannel, pace: Bucket) -> None:
        """After each message the others have their turn; who sends too fast waits, and TCP makes the browser wait."""
        now = self._endpoint.now()
        wait = pace.reserve(now)
        if not channel.is_signed_in:
            wait = max(wait, self._strangers.reserve(now))
        await asyncio.sleep(wait)

    async def _receive(self, channel: WebSocketChannel, socket: web.WebSocketResponse) -> WSMessage | None:
        """The next message; after a silence the browser is asked for a sign of life, and None means it gave none."""
        try:
            async with asyncio.timeout(self._ping_interval):
                return await socket.receive()
        except TimeoutError:
            log.debug("flow=%s ping", channel.flow)
        try:
            async with asyncio.timeout(self._pong_deadline):
                await socket.ping()
                return await socket.receive()
        except (TimeoutError, ConnectionError):
            self.shares.tell(Counter.WEBSOCKET_DEAD, "flow=%s state=closing reason=no sign of life", channel.flow)
            channel.abort()
            return None

    def _take(self, channel: WebSocketChannel, data: bytes) -> None:
        """One SIP message per WebSocket message (RFC 7118 5.2); line ends alone are keepalives (RFC 5626 4.4.1)."""
        if data.strip(PONG):
            channel.had_message = True
            self._endpoint.receive(channel.flow, data, stream=False)
        elif data.startswith(PING):
            channel.send(PONG)

    def _note_end(self, channel: WebSocketChannel, message: WSMessage) -> None:
        if message.type is WSMsgType.ERROR:
            oversize = getattr(message.data, "code", None) == WSCloseCode.MESSAGE_TOO_BIG
            why = Counter.SIP_OVERSIZE if oversize else Counter.SIP_MALFORMED
            self.shares.tell(why, "flow=%s state=closing reason=%s", channel.flow, type(message.data).__name__)


async def _finish(task: asyncio.Task[None]) -> None:
    """Let a task end by itself for a moment, then cancel it; nothing of it is left behind."""
    await asyncio.wait({task}, timeout=CLOSE_LIMIT)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
