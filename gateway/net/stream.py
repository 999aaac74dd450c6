"""SIP over one TCP or TLS connection (RFC 3261 18, RFC 5626 4.4.1): framed, answered, and cut when it stalls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from gateway.base.buckets import Bucket
from gateway.base.counters import Counter, Counters
from gateway.base.errors import SipError
from gateway.base.signalling import TlsInfo
from gateway.base.transports import abort
from gateway.base.values import HostPort
from gateway.net.admission import Claim, normal_host
from gateway.net.channel import MAX_WRITE_BUFFER, TURN_SECONDS, Pump, StreamLimits
from gateway.net.keepalive import Due, Keepalive
from gateway.net.sockets import notice_dead_peer
from gateway.sip.flow import Flow
from gateway.sip.framing import PING, PONG, StreamFramer
from gateway.trunks.tls import inspect_peer

log = logging.getLogger(__name__)

LOTS = 1024
"""Into how many parts the span is cut in which a connection's pauses lie."""
LAST_WORDS_SECONDS = 0.1
"""How long a peer that broke the framing may read our answer before the connection closes."""


class StreamChannel(asyncio.Protocol):
    """One TCP or TLS connection, from the finished handshake to its end."""

    def __init__(
        self,
        pump: Pump,
        counters: Counters,
        limits: StreamLimits,
        *,
        remote: HostPort,
        claims: Sequence[Claim],
        initiated: bool = False,
        keepalive: float = 0.0,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._pump, self._counters, self._limits = pump, counters, limits
        self._remote, self._claims = remote, claims
        self._initiated, self._on_end = initiated, on_end
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._opened_at = pump.now()
        self._keepalive = Keepalive(keepalive, secrets.randbelow(LOTS) / LOTS, self._opened_at)
        self._closing_since: float | None = None
        self._last_words: asyncio.TimerHandle | None = None
        self._had_message = False
        self._is_proved = initiated or not all(claim.must_prove for claim in claims)
        self._inbox: deque[bytes] = deque()
        self._pace = Bucket(limits.messages)
        self._turn: asyncio.TimerHandle | None = None
        self._lost = False
        self.flow: Flow
        self.rejection = ""
        """Why the peer of a connection we opened was not believed, else ""."""
        self.is_dead = False
        """The peer stopped answering: what it wants to tell us needs another connection."""

    @property
    def is_made(self) -> bool:
        """Whether the connection came to be; then its end is reported through `on_end`."""
        return self._transport is not None

    @property
    def is_usable(self) -> bool:
        """Whether something sent now has a chance to arrive."""
        if self._transport is None or self._closing_since is not None:
            return False
        return not self._transport.is_closing() and not self.rejection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        notice_dead_peer(transport)
        self.flow = self._make_flow(self._transport)
        self._is_proved = self._is_proved or bool(self.flow.proved)
        tls = self.flow.tls
        if self._initiated and tls is not None and not tls.verified:
            self.rejection = tls.reason
            shown = (self.flow.trunk, tls.spki_sha256 or "none", tls.certificate_sha256 or "none", tls.reason)
            log.warning("trunk=%s refused spki_sha256=%s certificate_sha256=%s reason=%s", *shown)
            abort(self._transport)
            return
        log.debug("flow=%s state=open", self.flow)
        self._pump.channel_opened(self)

    def reclaim(self, claims: Sequence[Claim]) -> None:
        """The peer can be these trunks now, and must prove itself to them: the flow says what it does prove.

        It stays the same flow, so that calls over it notice nothing.
        """
        if tuple(claims) == tuple(self._claims) or self._transport is None:
            return
        self._claims, before = claims, self.flow
        trunk, tls, proved = self._identify(self._transport.get_extra_info("ssl_object"))
        also = frozenset(claim.trunk for claim in claims) - {trunk}
        self.flow = replace(before, trunk=trunk, tls=tls, also=also, proved=proved)
        self._pump.channel_reclaimed(self, before)

    def _make_flow(self, transport: asyncio.Transport) -> Flow:
        host, port = (transport.get_extra_info("sockname") or ("", 0))[:2]
        ssl_object: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        trunk, tls, proved = self._identify(ssl_object)
        return Flow(
            self._pump.next_flow_id(),
            "tcp" if ssl_object is None else "tls",
            HostPort(normal_host(host), port),
            self._remote,
            trunk,
            tls,
            self._initiated,
            frozenset(claim.trunk for claim in self._claims) - {trunk},
            proved,
        )

    def _identify(self, ssl_object: ssl.SSLObject | None) -> tuple[str, TlsInfo | None, frozenset[str]]:
        """Who of those it can be the peer is: the first whose name it proves, else the first (see `TrunkSources`)."""
        first = self._claims[0]
        if ssl_object is None:
            return first.trunk, None, frozenset()
        seen = {claim.trunk: inspect_peer(ssl_object, claim.expected) for claim in self._may_prove}
        proved = [trunk for trunk, info in seen.items() if info.verified]
        trunk = next(iter(proved), first.trunk)
        return trunk, seen[trunk], frozenset(proved)

    @property
    def _may_prove(self) -> Sequence[Claim]:
        """Where we connected to a trunk, that trunk alone: another one's certificate is the wrong one."""
        return self._claims[:1] if self._initiated else self._claims

    def connection_lost(self, exc: Exception | None) -> None:
        if self._last_words is not None:
            self._last_words.cancel()
        self._lost = True
        self.is_dead = self.is_dead or (exc is not None and self._keepalive.has_asked(self._pump.now()))
        if not self._inbox:
            self._end()

    def _end(self) -> None:
        """The connection is gone, and what it brought has been heard."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._on_end()
        if not self.rejection:
            log.debug("flow=%s state=closed", self.flow)
            self._pump.channel_closed(self)

    def data_received(self, data: bytes) -> None:
        if self._closing_since is not None or self.rejection:
            return
        self._keepalive.heard(data, self._pump.now(), between_messages=self._framer.pending_since is None)
        with contextlib.suppress(SipError):  # `failure` tells
            self._inbox.extend(self._framer.feed(data, self._pump.now()))
        if self._turn is None:
            self._work()

    def _work(self) -> None:
        """Hear messages for one turn. What is left waits for the next one, and until then nothing more is read."""
        self._turn, wait = None, 0.0
        began = self._pump.now()
        while self._inbox and wait == 0 and self._pump.now() - began < TURN_SECONDS:
            self._take(self._inbox.popleft())
            wait = self._pace.reserve(self._pump.now())
        if self._inbox or wait > 0:
            self._pause(wait)
        else:
            self._rest()

    def _rest(self) -> None:
        """All that came in has been heard."""
        if self._lost:
            self._end()
            return
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        if self._framer.failure is not None and self._closing_since is None:
            self._refuse(self._framer.failure)

    def _pause(self, seconds: float) -> None:
        if self._transport is not None and not self._transport.is_closing():  # then TLS can do neither
            self._transport.pause_reading()
        self._turn = asyncio.get_running_loop().call_later(seconds, self._work)

    def _take(self, message: bytes) -> None:
        if message == PING:
            self.send(PONG)
        elif self._closing_since is None:
            self._had_message = True
            self._pump.receive(self.flow, message, stream=True)

    def _refuse(self, error: SipError) -> None:
        """After broken framing nothing on this connection can be believed: answer if possible, then close."""
        log.info("flow=%s state=closing reason=%s", self.flow, error.why)
        if self._pump.refuse(self.flow, self._framer.refused, error) or self._had_message:
            self._close_after_reading()
        else:
            self.close()

    def _close_after_reading(self) -> None:
        """Close once the peer had time to read our answer; what it still sends is read and thrown away meanwhile.

        Closing a socket with unread octets resets the connection, and a reset takes the answer away from the peer.
        """
        self._closing_since = self._pump.now()
        self._inbox.clear()
        if self._transport is not None:
            self._last_words = asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self._transport.close)

    def send(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_WRITE_BUFFER:
            self._cut("the peer does not read")

    def close(self) -> None:
        if self._transport is not None and self._closing_since is None:
            self._closing_since = self._pump.now()
            self._inbox.clear()
            self._transport.close()

    def abort(self) -> None:
        self._inbox.clear()
        if self._transport is not None:
            abort(self._transport)

    def signed_in(self, user: str) -> bool:
        """The trunk behind the connection has proved who it is."""
        self._is_proved = True
        return True

    def check_limits(self, now: float) -> None:
        """Cut a connection that closes, sends or begins too slowly, or whose peer is dead; else keep it alive."""
        begun, limits = self._framer.pending_since, self._limits
        if self._closing_since is not None:
            if now - self._closing_since > limits.closing:
                self.abort()
        elif begun is not None and now - begun > limits.message:
            self._cut("the message did not come to its end in time")
        elif not self._had_message and not self._initiated and now - self._opened_at > limits.first_message:
            self._cut("no message came in time")
        elif not self._is_proved and now - self._opened_at > limits.signed_in:
            self._cut("it did not prove to be the trunk in time")
        else:
            self._keep_alive(now)

    def _keep_alive(self, now: float) -> None:
        if self._turn is not None:
            return  # we read no faster than allowed: a pong may be waiting
        match self._keepalive.due(now):
            case Due.PING:
                self.send(PING)
            case Due.DEAD:
                self.is_dead = True
                log.warning("trunk=%s flow=%s state=dead reason=no pong", self.flow.trunk, self.flow)
                self._counters.add(Counter.KEEPALIVE_LOST)
                self.abort()
            case Due.NOTHING:
                pass

    def _cut(self, reason: str) -> None:
        self._counters.add(Counter.CONNECTION_TIMEOUT)
        log.info("flow=%s state=closing reason=%s", self.flow, reason)
        self.abort()
