"""SIP over UDP (RFC 3261 18): one socket, and a flow for each address it talks with."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict
from dataclasses import replace
from typing import Protocol, cast

from gateway.base.values import HostPort
from gateway.net.admission import normal_host
from gateway.net.channel import MAX_WRITE_BUFFER
from gateway.net.sockets import bind, family_of, is_unspecified
from gateway.sip.flow import Flow
from gateway.sip.uri import DEFAULT_PORT

MAX_FLOWS = 4096
"""Remote addresses remembered per socket; a forgotten one gets a new flow id, nothing else."""

log = logging.getLogger(__name__)


class DatagramPump(Protocol):
    """The endpoint as a UDP socket sees it."""

    def next_flow_id(self) -> int:
        """A number no other flow has or had."""

    def receive_datagram(self, listener: DatagramListener, data: bytes, source: HostPort) -> None:
        """One datagram came in."""


class DatagramListener(asyncio.DatagramProtocol):
    """A UDP socket of the gateway."""

    def __init__(self, pump: DatagramPump) -> None:
        self._pump = pump
        self._flows: OrderedDict[tuple[HostPort, str | None], Flow] = OrderedDict()
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.get_running_loop().create_future()
        self.local = HostPort("", 0)

    @classmethod
    async def open(cls, pump: DatagramPump, address: HostPort) -> DatagramListener:
        """Bind a socket.

        Raises:
            OSError: the address cannot be bound.
        """
        sock = bind(address, socket.SOCK_DGRAM)
        loop = asyncio.get_running_loop()
        _, listener = await loop.create_datagram_endpoint(lambda: cls(pump), sock=sock)
        return listener

    @property
    def family(self) -> socket.AddressFamily:
        return family_of(self.local.host)

    def flow_to(self, remote: HostPort, trunk: str | None, also: frozenset[str] = frozenset()) -> Flow:
        """The flow between this socket and `remote`: the same one as long as it is remembered."""
        flow = self._flows.get((remote, trunk))
        if flow is None:
            flow = Flow(self._pump.next_flow_id(), "udp", self._local_towards(remote), remote, trunk, also=also)
        elif flow.also != also:
            flow = replace(flow, also=also)
        self._flows[remote, trunk] = flow
        self._flows.move_to_end((remote, trunk))
        if len(self._flows) > MAX_FLOWS:
            self._flows.popitem(last=False)
        return flow

    def carries(self, flow: Flow) -> bool:
        """Whether this socket is the local end of `flow`."""
        here = flow.local.host == self.local.host or (
            is_unspecified(self.local.host) and family_of(flow.local.host) is self.family
        )
        return here and flow.local.port == self.local.port

    def send(self, flow: Flow, data: bytes) -> None:
        """Send one datagram; like the network, a full socket buffer loses it, and the transaction sends it again."""
        if self._transport is None or self._transport.is_closing():
            return
        if cast("asyncio.WriteTransport", self._transport).get_write_buffer_size() < MAX_WRITE_BUFFER:
            self._transport.sendto(data, (flow.remote.host, flow.remote.port))

    async def close(self) -> None:
        """Close the socket and wait until it is gone."""
        if self._transport is not None:
            self._transport.abort()
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        host, port = transport.get_extra_info("sockname")[:2]
        self.local = HostPort(host, port)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._pump.receive_datagram(self, data, HostPort(normal_host(addr[0]), addr[1]))

    def error_received(self, exc: Exception) -> None:
        log.debug("transport=udp local=%s error=%s", self.local, exc)

    def _local_towards(self, remote: HostPort) -> HostPort:
        """Our address as `remote` can use it: a socket on all interfaces does not know its own (RFC 3261 18.1.1)."""
        if not is_unspecified(self.local.host):
            return self.local
        with socket.socket(self.family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((remote.host, remote.port or DEFAULT_PORT))  # chooses a route, sends nothing
            except OSError:
                return self.local
            return HostPort(probe.getsockname()[0], self.local.port)
