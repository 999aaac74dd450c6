"""Many ends behind one socket, each with an address of its own; what is due leaves together, what came is taken so.

The system stamps what arrives before anybody has looked (SO_TIMESTAMPNS), so that how busy this process is stands in no
delay. Linux, IPv4, addresses of 127.0.0.0/8.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import Any

from gateway.media.worker._mmsg import ffi

SLOT = 2048
"""Octets of a datagram that arrives: handshakes have long ones."""
LONGEST = 512
"""Octets of one that leaves in a batch: 20 ms of G.711 with the longest tag."""
BATCH = 256
"""Datagrams of one system call."""
BUFFER = 16 << 20
"""Octets the system may keep of what arrived."""
_RECEIVE_BUFFER_FORCE, _TIMESTAMP, _PKTINFO = 33, 35, 8
_ADDRESS = 16
_origin = Struct("=Qiii4s4sxxxx")
"""Control of what leaves: IP_PKTINFO with the address it leaves from."""
_came = Struct("=QiiqqQiii4s4sxxxx")
"""Control of what arrived: seconds and nanoseconds, then the address it came to."""

_c = ffi.dlopen(None)
Take = Callable[[bytes, tuple[str, int], int], None]
"""What arrived, who sent it, and when, in nanoseconds of `clock`."""


def clock() -> int:
    """Nanoseconds, as the system stamps packets."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


class Place:
    """What the system is told of one end: its address, where it sends, and the packet that leaves next."""

    def __init__(self, host: str) -> None:
        self._data = ffi.new("char[]", LONGEST)
        self.view = memoryview(ffi.buffer(self._data)).cast("B")
        self._to = ffi.new("struct sockaddr_in *")
        self.control = ffi.new("char[]", _origin.size)
        size = _origin.size - 4
        ffi.buffer(self.control)[:] = _origin.pack(size, socket.IPPROTO_IP, _PKTINFO, 0, socket.inet_aton(host), b"")
        self.part = ffi.new("struct iovec *")
        self.part.base = int(ffi.cast("uintptr_t", self._data))
        self.to = int(ffi.cast("uintptr_t", self._to))

    def towards(self, to: tuple[str, int]) -> None:
        """Where it sends from now on."""
        self._to.family, self._to.port = socket.AF_INET, socket.htons(to[1])
        self._to.host = int.from_bytes(socket.inet_aton(to[0]), "little")

    def write(self, packet: bytes) -> None:
        """What leaves next."""
        self.view[: len(packet)] = packet
        self.part.length = len(packet)


class Exchange:
    """The ends of one side; made in a running loop.

    Attributes:
        takes: who takes what arrives, by the address it came to, four octets.
    """

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        for name, value in ((socket.SO_SNDBUF, BUFFER), (socket.SO_RCVBUF, BUFFER), (_RECEIVE_BUFFER_FORCE, BUFFER)):
            with suppress(PermissionError):
                self.socket.setsockopt(socket.SOL_SOCKET, name, value)
        self.socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
        self.socket.setsockopt(socket.IPPROTO_IP, _PKTINFO, 1)
        self.socket.bind(("0.0.0.0", 0))
        self.port: int = self.socket.getsockname()[1]
        self.takes: dict[bytes, Take] = {}
        self._out = ffi.new("struct mmsghdr[]", BATCH)
        self._heads = [self._out[number].head for number in range(BATCH)]
        self._places = ffi.new("char[]", BATCH * SLOT)
        self._octets = memoryview(ffi.buffer(self._places)).cast("B")
        self._names = ffi.new("struct sockaddr_in[]", BATCH)
        self._senders = memoryview(ffi.buffer(self._names)).cast("B")
        self._control = ffi.new("char[]", BATCH * _came.size)
        self._stamps = memoryview(ffi.buffer(self._control)).cast("B")
        self._parts = ffi.new("struct iovec[]", BATCH)
        self._in = ffi.new("struct mmsghdr[]", BATCH)
        self._arrived = [self._in[number] for number in range(BATCH)]
        for number, arrived in enumerate(self._arrived):
            part = self._parts[number]
            part.base, part.length = int(ffi.cast("uintptr_t", self._places)) + number * SLOT, SLOT
            head = arrived.head
            head.iov, head.iovlen = self._parts + number, 1
            head.name = int(ffi.cast("uintptr_t", self._names)) + number * _ADDRESS
            head.control = self._control + number * _came.size
        asyncio.get_running_loop().add_reader(self.socket, self.take)

    def close(self) -> None:
        """Give the socket back."""
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()

    def say(self, host: str, data: bytes, to: tuple[str, int]) -> None:
        """Send one datagram now."""
        origin: Any = _origin.pack(0, 0, 0, 0, socket.inet_aton(host), b"")[16:28]
        with suppress(BlockingIOError):
            self.socket.sendmsg([data], [(socket.IPPROTO_IP, _PKTINFO, origin)], 0, to)

    def send(self, places: list[Place]) -> None:
        """Send what these have written; what the system does not take now is lost."""
        for start in range(0, len(places), BATCH):
            batch = places[start : start + BATCH]
            for head, place in zip(self._heads, batch, strict=False):
                head.name, head.namelen, head.iov, head.iovlen = place.to, _ADDRESS, place.part, 1
                head.control, head.controllen = place.control, _origin.size
            gone = 0
            while gone < len(batch):
                left: int = _c.sendmmsg(self.socket.fileno(), self._out + gone, len(batch) - gone, socket.MSG_DONTWAIT)
                gone += max(left, 1)

    def take(self) -> None:
        """Take what has arrived, a batch at a time."""
        for arrived in self._arrived:
            arrived.head.namelen, arrived.head.controllen = _ADDRESS, _came.size
        count: int = _c.recvmmsg(self.socket.fileno(), self._in, BATCH, socket.MSG_DONTWAIT, ffi.NULL)
        octets, stamps, takes = self._octets, self._stamps, self.takes
        for number in range(count):
            _, _, _, seconds, nanoseconds, _, _, _, _, _, host = _came.unpack_from(stamps, number * _came.size)
            take = takes.get(host)
            if take is not None:
                start = number * SLOT
                data = bytes(octets[start : start + self._arrived[number].length])
                take(data, self._sender(number), seconds * 1_000_000_000 + nanoseconds)

    def _sender(self, number: int) -> tuple[str, int]:
        at = number * _ADDRESS
        raw = self._senders[at : at + 8]
        return socket.inet_ntoa(bytes(raw[4:8])), int.from_bytes(raw[2:4])
