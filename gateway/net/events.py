"""The event socket: what becomes of a user's calls, their protection and their sound, told to her page as it happens.

A WebSocket of its own, because one that carries SIP may carry nothing else (RFC 7118 4.1); no SIP ever comes over it.
The page shows a ticket that its REGISTER brought (`call.run.listening`), gets the whole state, and from then on
everything that changes. Each message has the next number; who misses one asks for the whole again. A page sees the
calls of its own user and no others. Who does not read is told so and cut: nothing is kept for it but what is true now.

    page:     {"v":1,"type":"hello","ticket":"..."}
    gateway:  {"v":1,"type":"state","seq":1,"ts":"...","ticket":"...","calls":[...],"quality":[...]}
    gateway:  {"v":1,"type":"call.security","seq":2,"ts":"...","call":{...}}
    gateway:  {"v":1,"type":"call.quality","seq":3,"ts":"...","call":{...}}
    gateway:  {"v":1,"type":"call.ended","seq":4,"ts":"...","call_id":"c-81f","sip_call_id":"..."}
    page:     {"v":1,"type":"resync"}
"""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from functools import partial

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from gateway.base.buckets import Bucket, Rate
from gateway.base.counters import Counter, Counters
from gateway.base.door import TurnedAway, untold
from gateway.base.transports import abort
from gateway.call.run.bulletin import News, Shown, Sounds
from gateway.call.run.listening import Listening, Origin, Standing
from gateway.net.opening import address_of, refusal, transport_of
from gateway.net.shares import Place, Shares, Watchable
from gateway.policy.header import VERSION
from gateway.sip.flow import Flow
from gateway.site import ConnectionShares, WebListener

SUBPROTOCOL = "call-security"
MAX_MESSAGE = 512
"""Octets of a message of a page: a ticket and a few words."""
HELLO_SECONDS = 5.0
"""Seconds a page has to show its ticket: it has it before it opens the socket."""
MAX_WAITING = 64
"""Messages that wait for a page that does not read: eight calls that change eight times each."""
RESYNCS = Rate(per_second=0.2, burst=5)
"""How often one page may ask for the whole state; a number is missed once in a long while, if ever."""
PING_INTERVAL = 25.0
"""Seconds of silence before we ask whether the page is still there, as on the SIP connection."""
PONG_DEADLINE = 10.0
"""Seconds it has to show any sign of life then."""
CLOSE_LIMIT = 1.0
"""Seconds a page has to answer our close frame."""

log = logging.getLogger(__name__)


class Close(IntEnum):
    """Close codes of our own (RFC 6455 7.4.2), as docs/web-developers.md names them."""

    SIGNED_OUT = 4001
    """The SIP connection the ticket came over is closed, or its proof has run out."""
    TICKET = 4003
    """No ticket, or none that is good."""
    TOO_SLOW = 4008
    """It did not read what it was told."""
    TOO_MANY = 4009
    """This user, or this place, has as many event sockets as it may."""


class EventChannel:
    """One page that looks on."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport, counters: Counters) -> None:
        self._socket, self._transport, self._counters = socket, transport, counters
        self._waiting: deque[str] = deque()
        self._wake = asyncio.Event()
        self._seq = 0
        self._code, self._reason = int(WSCloseCode.GOING_AWAY), ""
        self._closing = False

    @property
    def is_open(self) -> bool:
        """Whether anything said now may be heard."""
        return not self._closing

    def say(self, kind: str, **fields: object) -> None:
        """Queue a message; a page that has not read the last ones is cut off rather than waited for."""
        if self._closing:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._counters.add(Counter.EVENTS_CUT)
            self.close(Close.TOO_SLOW, "too slow")
            return
        self._seq += 1
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = {"v": VERSION, "type": kind, "seq": self._seq, "ts": now, **fields}
        self._waiting.append(json.dumps(message, ensure_ascii=False, separators=(",", ":")))
        self._wake.set()

    def close(self, code: int, reason: str = "") -> None:
        """End it with a code, and soon, whatever the page does: what waits is not said any more."""
        if self._closing:
            return
        self._closing, self._code, self._reason = True, int(code), reason
        self._waiting.clear()
        self._wake.set()
        asyncio.get_running_loop().call_later(2 * CLOSE_LIMIT, abort, self._transport)

    async def write(self) -> None:
        """Write what waits until `close`, then close the WebSocket, which wakes its reader."""
        try:
            while not self._closing:
                while self._waiting:
                    await self._socket.send_str(self._waiting.popleft())
                self._wake.clear()
                if not (self._waiting or self._closing):
                    await self._wake.wait()
        except ConnectionError as error:
            log.debug("events write=%s", type(error).__name__)
        await self._socket.close(code=self._code, message=self._reason.encode())


class EventSockets:
    """The `/events` resource: admits pages by their tickets, and tells each of its user's calls.

    Args:
        listening: knows tickets, and what there is to see.
        settings: the origins there are now.
        connections: how many event sockets strangers, sources and users may have; counted apart from those for SIP.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        listening: Listening,
        settings: Callable[[], WebListener],
        counters: Counters,
        clock: Callable[[], float],
        *,
        connections: ConnectionShares | None = None,
        hello_seconds: float = HELLO_SECONDS,
        ping_interval: float = PING_INTERVAL,
        pong_deadline: float = PONG_DEADLINE,
    ) -> None:
        self.on_turned_away: TurnedAway = untold
        self._listening, self._settings, self._counters, self._clock = listening, settings, counters, clock
        self._hello_seconds, self._ping_interval, self._pong_deadline = hello_seconds, ping_interval, pong_deadline
        self.shares = Shares(connections or ConnectionShares(), counters, clock)
        self._channels: dict[EventChannel, Standing | None] = {}
        listening.on_void = self._void

    def __len__(self) -> int:
        """Event sockets that are open."""
        return len(self._channels)

    def use(self, connections: ConnectionShares) -> None:
        """Let in so many from now on; whoever is there stays."""
        self.shares.use(connections)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one event socket from its handshake to its end (RFC 6455 4.2)."""
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,), compress=False, autoping=False, max_msg_size=MAX_MESSAGE + 1, timeout=CLOSE_LIMIT
        )
        transport = transport_of(request)
        remote = address_of(transport, "peername")
        if refused := refusal(request, socket, self._settings(), SUBPROTOCOL, self.on_turned_away):
            words = "peer=%s events=refused status=%d reason=%s"
            self.shares.tell(Counter.WEBSOCKET_REFUSED, words, remote, refused.status, refused.text)
            return refused
        place = self.shares.enter(remote.host, lambda: abort(transport))
        try:
            await socket.prepare(request)
            await self._serve(socket, transport, place)
        finally:
            self.shares.leave(place)
        return socket

    def stop(self) -> None:
        """The gateway stops: every page is told."""
        for channel in tuple(self._channels):
            channel.close(WSCloseCode.GOING_AWAY, "the gateway stops")

    def _void(self, flow: Flow) -> None:
        """A SIP connection is nobody's any more: who came by a ticket of it sees nothing from now on."""
        for channel, standing in tuple(self._channels.items()):
            if standing is not None and standing.flow.id == flow.id:
                channel.close(Close.SIGNED_OUT, "signed out")

    async def _serve(self, socket: web.WebSocketResponse, transport: asyncio.Transport, place: Place) -> None:
        protocol = transport.get_protocol()
        if isinstance(protocol, Watchable):
            protocol.upgraded(lambda _data: None)
        channel = EventChannel(socket, transport, self._counters)
        place.give_way = partial(channel.close, WSCloseCode.POLICY_VIOLATION, "others wait")
        self._channels[channel] = None
        writing = asyncio.create_task(channel.write())
        try:
            standing = await self._greeted(socket, channel, place)
            if standing is not None:
                await self._look_on(socket, channel, standing)
        finally:
            channel.close(WSCloseCode.GOING_AWAY)
            del self._channels[channel]
            await asyncio.wait({writing}, timeout=CLOSE_LIMIT)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _greeted(self, socket: web.WebSocketResponse, channel: EventChannel, place: Place) -> Standing | None:
        """Who the page is, by the ticket in its first message; None when it was turned away."""
        try:
            async with asyncio.timeout(self._hello_seconds):
                message = await socket.receive()
        except TimeoutError:
            self._turn_away(channel, place, Close.TICKET, "no ticket in time")
            return None
        said = _read(message)
        ticket = said.get("ticket") if said.get("type") == "hello" else None
        standing = self._listening.admit(ticket) if isinstance(ticket, str) else None
        if standing is None:
            self._turn_away(channel, place, Close.TICKET, "no good ticket")
        elif not self.shares.sign_in(place, standing.user):
            self._turn_away(channel, place, Close.TOO_MANY, "too many event sockets")
            return None
        return standing

    def _turn_away(self, channel: EventChannel, place: Place, code: Close, reason: str) -> None:
        self.shares.tell(Counter.EVENTS_REFUSED, "source=%s events=closing reason=%s", place.source, reason)
        channel.close(code, reason)

    async def _look_on(self, socket: web.WebSocketResponse, channel: EventChannel, standing: Standing) -> None:
        self._channels[channel] = standing
        leave = self._listening.bulletin.listen(standing.user, lambda news: self._tell(channel, standing, news))
        try:
            self._tell_all(channel, standing, ticket=self._listening.ticket(standing.flow, Origin.EVENTS))
            await self._read_on(socket, channel, standing)
        finally:
            leave()

    async def _read_on(self, socket: web.WebSocketResponse, channel: EventChannel, standing: Standing) -> None:
        resyncs = Bucket(RESYNCS)
        while channel.is_open and (message := await self._receive(socket, channel, standing)) is not None:
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                if _read(message).get("type") != "resync" or not resyncs.take(self._clock()):
                    channel.close(WSCloseCode.POLICY_VIOLATION, "not understood, or too often")
                    return
                self._tell_all(channel, standing)
            elif message.type is not WSMsgType.PONG:
                return

    async def _receive(
        self, socket: web.WebSocketResponse, channel: EventChannel, standing: Standing
    ) -> WSMessage | None:
        """The next message; None when the page gave no sign of life, or is that user's no longer."""
        try:
            async with asyncio.timeout(self._ping_interval):
                return await socket.receive()
        except TimeoutError:
            if not self._holds(channel, standing):
                return None
        try:
            async with asyncio.timeout(self._pong_deadline):
                await socket.ping()
                return await socket.receive()
        except (TimeoutError, ConnectionError):
            self._counters.add(Counter.WEBSOCKET_DEAD)
            return None

    def _holds(self, channel: EventChannel, standing: Standing) -> bool:
        """Whether the page still is that user's; else it is told and cut before anything more is said."""
        if self._listening.holds(standing):
            return True
        channel.close(Close.SIGNED_OUT, "signed out")
        return False

    def _tell_all(self, channel: EventChannel, standing: Standing, ticket: str | None = None) -> None:
        if not self._holds(channel, standing):
            return
        calls = [shown.as_dict() for shown in self._listening.bulletin.shown_to(standing.user)]
        sounds = [found.as_dict() for found in self._listening.bulletin.sounds_to(standing.user)]
        more = {"ticket": ticket} if ticket is not None else {}
        channel.say("state", calls=calls, quality=sounds, **more)

    def _tell(self, channel: EventChannel, standing: Standing, news: News) -> None:
        if not self._holds(channel, standing):
            return
        if isinstance(news, Shown):
            channel.say("call.security", call=news.as_dict())
        elif isinstance(news, Sounds):
            channel.say("call.quality", call=news.as_dict())
        else:
            channel.say("call.ended", call_id=news.call_id, sip_call_id=news.sip_call_id)


def _read(message: WSMessage) -> dict[str, object]:
    """An object of JSON in a text message; {} for whatever else it is."""
    if message.type is not WSMsgType.TEXT:
        return {}
    try:
        found = json.loads(message.data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
