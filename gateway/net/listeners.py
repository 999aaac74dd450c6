"""The sockets at which SIP comes in, as the configuration names them: opened together, or none of them."""

from __future__ import annotations

import ssl
from typing import Protocol

from gateway.base.counters import Counters
from gateway.base.errors import ConfigError
from gateway.base.values import HostPort
from gateway.net.channel import StreamLimits
from gateway.net.datagram import DatagramListener, DatagramPump
from gateway.net.listener import ListenerPump, StreamListener
from gateway.sip.flow import Flow
from gateway.sip.message import Message, Request
from gateway.sip.uri import DEFAULT_PORT
from gateway.site import Listeners, SipListener
from gateway.trunks.tls import server_context


class SocketPump(ListenerPump, DatagramPump, Protocol):
    """The endpoint as its listeners see it."""


class SipListeners:
    """Every UDP, TCP and TLS listener."""

    def __init__(self, pump: SocketPump, counters: Counters, limits: StreamLimits) -> None:
        self._pump, self._counters, self._limits = pump, counters, limits
        self.datagrams: list[DatagramListener] = []
        self.streams: list[StreamListener] = []

    async def open(self, listeners: Listeners) -> None:
        """Open all of them.

        Raises:
            ConfigError: an address cannot be bound or a certificate cannot be used; those opened before stay open.
        """
        for listener in listeners.sip:
            try:
                await self._open(listener, listeners)
            except OSError as error:
                place = f"{listener.transport}:{listener.address}"
                why, remedy = (
                    f"cannot listen on {place}: {error.strerror}",
                    "stop what uses the address, or choose another one",
                )
                raise ConfigError(why, key="listen.sip", remedy=remedy) from error

    async def _open(self, listener: SipListener, listeners: Listeners) -> None:
        if listener.transport == "udp":
            self.datagrams.append(await DatagramListener.open(self._pump, listener.address))
            return
        context = server_context(listeners.tls) if listener.transport == "tls" and listeners.tls else None
        stream = StreamListener(self._pump, self._counters, self._limits, context)
        stream.open(listener.address)
        self.streams.append(stream)

    def use(self, context: ssl.SSLContext) -> None:
        """Greet new TLS connections by this context."""
        for stream in self.streams:
            if stream.is_secure:
                stream.use(context)

    def limit(self, limits: StreamLimits) -> None:
        """Let in so many from now on; whoever is there stays."""
        self._limits = limits
        for stream in self.streams:
            stream.limits = limits

    @property
    def addresses(self) -> list[HostPort]:
        """Where they are, UDP first; a configured port 0 shows as the one chosen."""
        return [listener.local for listener in self.datagrams] + [listener.local for listener in self.streams]

    def carrying(self, flow: Flow) -> DatagramListener | None:
        """The UDP socket that is the local end of a flow."""
        return next((listener for listener in self.datagrams if listener.carries(flow)), None)

    def return_flow(self, flow: Flow, message: Message) -> Flow:
        """Where a datagram's answer goes: without rport to the port Via names (RFC 3261 18.2.2, RFC 3581 4)."""
        if flow.transport != "udp" or not isinstance(message, Request) or "rport" in message.via.params:
            return flow
        port = message.via.port or DEFAULT_PORT
        listener = self.carrying(flow)
        if listener is None or port == flow.remote.port:
            return flow
        return listener.flow_to(HostPort(flow.remote.host, port), flow.trunk, flow.also)

    async def close_streams(self) -> None:
        """Take no connections any more."""
        for stream in self.streams:
            await stream.close()
        self.streams = []

    async def close(self) -> None:
        """Take nothing any more."""
        await self.close_streams()
        for listener in self.datagrams:
            await listener.close()
        self.datagrams = []
