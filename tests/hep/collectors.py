"""Collectors with real sockets: over UDP, TCP and TLS, each keeps the packets it has read."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from gateway.base.values import HostPort
from tests.hep.decoder import HepPacket, decoded, split

HOST = "127.0.0.1"
WAIT_SECONDS = 20.0
"""Longer than a loaded machine needs."""
CLOSING_SECONDS = 0.05
"""For handshakes under way: the loop is not closed over them."""


class HepCollector:
    """What every collector keeps."""

    def __init__(self) -> None:
        self.packets: list[HepPacket] = []
        self.port = 0
        self._changed = asyncio.Event()

    def keep(self, packets: list[HepPacket]) -> None:
        self.packets += packets
        self._changed.set()

    @property
    def place(self) -> str:
        """As the configuration names it."""
        return f"{HOST}:{self.port}"

    def of_kind(self, kind: int) -> list[HepPacket]:
        return [packet for packet in self.packets if packet.kind == kind]

    async def until(self, number: int) -> list[HepPacket]:
        """Wait for so many packets."""
        await self.when(lambda: len(self.packets) >= number)
        return self.packets

    async def when(self, true: Callable[[], object]) -> None:
        """Wait until something is true, looked at whenever something comes."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not true():
                self._changed.clear()
                await self._changed.wait()


class DatagramCollector(HepCollector, asyncio.DatagramProtocol):
    """A packet in each datagram."""

    def __init__(self, port: int = 0, host: str = HOST) -> None:
        super().__init__()
        self._bound = (host, port)
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> DatagramCollector:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=self._bound)
        own = transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self._transport, self.port = transport, own.getsockname()[1]
        return self

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        self.keep([decoded(data)])

    async def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()
        await asyncio.sleep(0)


class StreamCollector(HepCollector):
    """Packets one behind the other, in clear or over TLS."""

    def __init__(self, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        super().__init__()
        self._context, self.port = context, port
        self.reads = asyncio.Event()
        self.reads.set()
        self.connections = 0
        self._open: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> StreamCollector:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.append(writer)
        self._changed.set()
        rest = b""
        try:
            while await self.reads.wait() and (data := await reader.read(65536)):
                found, rest = split(rest + data)
                self.keep(found)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def stop(self) -> None:
        """Close everything, as a server that ends."""
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()
        self.reads.set()
        await asyncio.sleep(CLOSING_SECONDS)


def send_to(place: HostPort, packet: bytes) -> None:
    """One datagram, from anybody."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.sendto(packet, (place.host, place.port))
