"""Datagrams by the batch: recvmmsg and sendmmsg on buffers that are laid down once (Linux, through cffi).

A datagram is put in clear and sealed by the SRTP library where it was received, and sent from there: no copy of it
becomes a Python object. IPv4 only; sockets of IPv6 are read one datagram at a time.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from struct import Struct
from typing import Any, TypeAlias

from gateway.media.worker._mmsg import ffi as _ffi

SLOT = 2048
"""Octets of one datagram's place: more than the longest that is taken, with room for a tag behind it."""
ADDRESS = 16
"""Octets of a sockaddr_in."""
DONTWAIT = socket.MSG_DONTWAIT

_c = _ffi.dlopen(None)
_recvmmsg: Callable[..., int] = _c.recvmmsg
_sendmmsg: Callable[..., int] = _c.sendmmsg
sendto: Callable[[int, int, int, int, int, int], int] = _c.sendto
"""Descriptor, place and length of the datagram, flags, place and length of the address."""
NULL = _ffi.NULL

Key: TypeAlias = tuple[int, int]
"""Port and IPv4 address, as a source is looked up."""

read_key: Callable[[memoryview, int], tuple[Any, ...]] = Struct("!2xHI").unpack_from
"""The `Key` in a sockaddr_in."""


class Inbox:
    """Places for datagrams that arrive, with where each came from.

    Args:
        size: how many fit.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._buffer = _ffi.new("char[]", size * SLOT)
        self._sources = _ffi.new("struct sockaddr_in[]", size)
        self._parts = _ffi.new("struct iovec[]", size)
        self._heads = _ffi.new("struct mmsghdr[]", size)
        self.octets = memoryview(_ffi.buffer(self._buffer)).cast("B")
        """All places, one after the other, `SLOT` octets each."""
        self.sources = memoryview(_ffi.buffer(self._sources)).cast("B")
        """Who sent each, `ADDRESS` octets each."""
        self.places = [_at(self._buffer) + number * SLOT for number in range(size)]
        """The address in memory of each place."""
        for number, place in enumerate(self.places):
            self._parts[number].base, self._parts[number].length = place, SLOT
            head = self._heads[number].head
            head.name, head.namelen = _at(self._sources) + number * ADDRESS, ADDRESS
            head.iov, head.iovlen = self._parts + number, 1
        self.heads = [self._heads[number] for number in range(size)]
        """What was received at each place; `.length` says how much."""
        self._from = [self._heads + number for number in range(size)]

    def receive(self, descriptor: int, at: int, most: int) -> int:
        """Take what a socket has, at most so many, from the place `at` on; how many it were."""
        return max(_recvmmsg(descriptor, self._from[at], most, DONTWAIT, NULL), 0)

    def datagram(self, number: int) -> bytes:
        """A copy of one."""
        start = number * SLOT
        return bytes(self.octets[start : start + self.heads[number].length])

    def source(self, number: int) -> tuple[str, int]:
        """Who sent it, as `recvfrom` would say."""
        port, host = read_key(self.sources, number * ADDRESS)
        return socket.inet_ntoa(host.to_bytes(4)), port


class Outbox:
    """Datagrams that leave through one socket together.

    Args:
        size: how many fit.
    """

    def __init__(self, size: int) -> None:
        self._parts = _ffi.new("struct iovec[]", size)
        self._heads = _ffi.new("struct mmsghdr[]", size)
        self.parts = [self._parts[number] for number in range(size)]
        """Where in memory each lies (`.base`) and how long it is (`.length`)."""
        self.heads = [self._heads[number].head for number in range(size)]
        """To whom each goes: `.name`, the address in memory of a sockaddr_in."""
        for number, head in enumerate(self.heads):
            head.namelen, head.iov, head.iovlen = ADDRESS, self._parts + number, 1

    def send(self, descriptor: int, count: int) -> list[int]:
        """Send the first `count` of them and say which did not leave."""
        unsent, at = [], 0
        while at < count:
            at += max(_sendmmsg(descriptor, self._heads + at, count - at, DONTWAIT), 0)
            if at < count:  # this one could not be sent; what is behind it may go elsewhere
                unsent.append(at)
                at += 1
        return unsent


class Destination:
    """An IPv4 address as the system wants it.

    Raises OSError for any other address.
    """

    __slots__ = ("_kept", "place")

    def __init__(self, address: tuple[Any, ...]) -> None:
        self._kept = made = _ffi.new("struct sockaddr_in *")
        made.family, made.port = socket.AF_INET, socket.htons(address[1])
        made.host = int.from_bytes(socket.inet_aton(address[0]), sys.byteorder)
        self.place = _at(made)
        """Where in memory it lies, as long as this is kept."""


def key_of(address: tuple[Any, ...]) -> Key | None:
    """What an address is looked up by; None for one that is not IPv4."""
    try:
        return address[1], int.from_bytes(socket.inet_aton(address[0]))
    except OSError:
        return None


def _at(data: Any) -> int:
    return int(_ffi.cast("uintptr_t", data))
