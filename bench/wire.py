"""Many peers behind one socket: what they send is laid down beforehand, what they get is looked at afterwards.

While packets are on their way nothing is done here but system calls, so that the load weighs little and the time of
each packet is the system's: it stamps what arrives (SO_TIMESTAMPNS) before anybody has looked. Linux, IPv4.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from struct import Struct
from typing import Any, NamedTuple

from gateway.media.worker._mmsg import ffi

SLOT = 256
"""Octets of a packet's place: more than 20 ms of G.711 with the longest tag."""
BATCH = 256
"""Packets of one system call."""
SPARE = 20_000
"""Places for what arrives besides: reports."""
BUFFER = 64 << 20
"""Octets the system may keep of what arrived."""
_RECEIVE_BUFFER_FORCE, _TIMESTAMP = 33, 35
_PKTINFO = 8
"""IP_PKTINFO: from which of our addresses a packet leaves, and at which it arrived."""

_c = ffi.dlopen(None)
_message = Struct("=QIxxxxQQQQixxxxIxxxx")
"""struct mmsghdr: address and its length, parts and their number, control and its length, flags, length received."""
_part = Struct("=QQ")
_address = Struct("=H2s4s8x")
_leaves_from = Struct("=Qiii4s4sxxxx")
_came = Struct("=QiiqqQiii4s4sxxxx")
"""Control of what arrived: its time in seconds and nanoseconds, then the address it came to."""


class Peer(NamedTuple):
    """One of them: its address, and where it sends."""

    host: str
    to: tuple[str, int]


class Arrival(NamedTuple):
    """A packet that came."""

    at: int
    """Nanoseconds of `clock`."""
    host: str
    """Whose it is."""
    data: bytes


class Batch(NamedTuple):
    """Packets that left together."""

    first: int
    many: int
    at: int


def clock() -> int:
    """Nanoseconds, as the system stamps packets."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


class Wire:
    """The peers of one side.

    Args:
        port: the port all of them have; 0 for any.
    """

    def __init__(self, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        for name, value in ((socket.SO_SNDBUF, BUFFER), (socket.SO_RCVBUF, BUFFER), (_RECEIVE_BUFFER_FORCE, BUFFER)):
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, name, value)
            except PermissionError:
                continue
        self.socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
        self.socket.setsockopt(socket.IPPROTO_IP, _PKTINFO, 1)
        self.socket.bind(("0.0.0.0", port))
        self.port: int = self.socket.getsockname()[1]
        self._out, self._in = 0, 0
        self._sent: list[Batch] = []

    def say(self, peer: Peer, data: bytes) -> None:
        """Send one packet now."""
        control = [
            (socket.IPPROTO_IP, _PKTINFO, _leaves_from.pack(0, 0, 0, 0, socket.inet_aton(peer.host), b"")[16:28])
        ]
        self.socket.sendmsg([data], control, 0, peer.to)

    def prepare(self, packets: Sequence[tuple[Peer, bytes]]) -> None:
        """Lay down what will be sent, in this order, and places for as much again to arrive."""
        self._drop()
        count = len(packets)
        self._sent, self._out, self._in = [], 0, 0
        self._octets, self._places = _Block(count * SLOT), _Block((count + SPARE) * SLOT)
        self._control = _Block((count + SPARE) * _came.size)
        peers = list(dict.fromkeys(peer for peer, _ in packets))
        number = {peer: index for index, peer in enumerate(peers)}
        self._addresses, self._origins = _Block(len(peers) * _address.size), _Block(len(peers) * _leaves_from.size)
        for index, (host, (to, port)) in enumerate(peers):
            self._addresses.put(_address, index, socket.AF_INET, port.to_bytes(2), socket.inet_aton(to))
            size = _leaves_from.size - 4, socket.IPPROTO_IP, _PKTINFO
            self._origins.put(_leaves_from, index, *size, 0, socket.inet_aton(host), b"")
        self._parts, self._heads = _Block(count * _part.size), _Block(count * _message.size)
        self._rooms, self._came = _Block((count + SPARE) * _part.size), _Block((count + SPARE) * _message.size)
        for at, (peer, data) in enumerate(packets):
            self._octets.view[at * SLOT : at * SLOT + len(data)] = data
            self._parts.put(_part, at, self._octets.at + at * SLOT, len(data))
            place = self._addresses.at + number[peer] * _address.size
            origin = self._origins.at + number[peer] * _leaves_from.size
            part = self._parts.at + at * _part.size
            self._heads.put(_message, at, place, _address.size, part, 1, origin, _leaves_from.size, 0, 0)
        for at in range(count + SPARE):
            self._rooms.put(_part, at, self._places.at + at * SLOT, SLOT)
            room, came = self._rooms.at + at * _part.size, self._control.at + at * _came.size
            self._came.put(_message, at, 0, 0, room, 1, came, _came.size, 0, 0)
        self._room = count + SPARE

    def _drop(self) -> None:
        """Forget what has come before."""
        with suppress(BlockingIOError):
            while True:
                self.socket.recv(SLOT)

    def send(self, until: int) -> None:
        """Send what was prepared, up to there."""
        while self._out < until:
            started = clock()
            here = ffi.cast("struct mmsghdr *", self._heads.at + self._out * _message.size)
            gone: int = _c.sendmmsg(self.socket.fileno(), here, min(until - self._out, BATCH), 0)
            if gone > 0:
                self._sent.append(Batch(self._out, gone, started))
                self._out += gone

    def take(self) -> None:
        """Take what has arrived."""
        while self._in < self._room:
            here = ffi.cast("struct mmsghdr *", self._came.at + self._in * _message.size)
            count: int = _c.recvmmsg(
                self.socket.fileno(), here, min(self._room - self._in, BATCH), socket.MSG_DONTWAIT, ffi.NULL
            )
            if count <= 0:
                return
            self._in += count

    @property
    def sent(self) -> list[int]:
        """When each of the packets left, in order."""
        return [at for _, many, at in self._sent for _ in range(many)]

    def arrivals(self) -> Iterator[Arrival]:
        """What has arrived, in order."""
        for at in range(self._in):
            length = _message.unpack_from(self._came.view, at * _message.size)[-1]
            _, _, _, seconds, nanoseconds, _, _, _, _, _, host = _came.unpack_from(self._control.view, at * _came.size)
            data = bytes(self._places.view[at * SLOT : at * SLOT + length])
            yield Arrival(seconds * 1_000_000_000 + nanoseconds, socket.inet_ntoa(host), data)


class _Block:
    """Memory that stays where it is."""

    def __init__(self, size: int) -> None:
        self._kept: Any = ffi.new("char[]", max(size, 1))
        self.view = memoryview(ffi.buffer(self._kept)).cast("B")
        self.at = int(ffi.cast("uintptr_t", self._kept))

    def put(self, kind: Struct, number: int, *values: object) -> None:
        """Write one of many alike."""
        kind.pack_into(self.view, number * kind.size, *values)
