"""Datagrams by the batch: recvmmsg and sendmmsg on buffers that are laid down once (Linux, through cffi).

A datagram is put in clear and sealed by the SRTP library where it was received, and sent from there: no copy of it
becomes a Python object. What arrives by IPv4 and by IPv6 has places of its own; it may leave by either from both.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, TypeAlias

from gateway.media.worker._mmsg import ffi as _ffi

SLOT = 2048
"""Octets of one datagram's place: more than the longest that is taken, with room for a tag behind it."""
NAME = 28
"""Octets of an address that is sent to, those of a sockaddr_in6: of the shorter sockaddr_in the system reads what it
needs."""
DONTWAIT = socket.MSG_DONTWAIT

_c = _ffi.dlopen(None)
recvmmsg: Callable[[int, Any, int, int, Any], int] = _c.recvmmsg
"""Descriptor, where to begin, how many at most, flags, `NULL`; how many were received, or -1."""
_sendmmsg: Callable[..., int] = _c.sendmmsg
sendto: Callable[[int, int, int, int, int, int], int] = _c.sendto
"""Descriptor, place and length of the datagram, flags, place and length of the address."""
NULL = _ffi.NULL

Key: TypeAlias = int
"""What a source is looked up by: the first octets of a sockaddr_in as one number, family, port and address; or all of
a sockaddr_in6."""
KEYS = 2
"""Numbers of such a size in one sockaddr_in."""
_LENGTH, _WORDS = 14, 16
"""Where in a struct mmsghdr it says how much was received, and how long it is, both in numbers of half that size."""

_source, _source_6 = Struct("!2xH4s").unpack_from, Struct("!2xH4x16s").unpack_from
_scope = Struct("=24xI").unpack_from
_name, _name_6 = Struct("=H2s4s").pack, Struct("=H2s4x16sI").pack


class Inbox:
    """Places for datagrams that arrive by IPv4, with where each came from.

    Args:
        size: how many fit.
    """

    address = 16
    """Octets of a sockaddr_in."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._buffer = _ffi.new("char[]", size * SLOT)
        self._sources = _ffi.new("char[]", size * self.address)
        self._parts = _ffi.new("struct iovec[]", size)
        self._heads = _ffi.new("struct mmsghdr[]", size)
        self.octets = memoryview(_ffi.buffer(self._buffer)).cast("B")
        """All places, one after the other, `SLOT` octets each."""
        self.sources = memoryview(_ffi.buffer(self._sources)).cast("B")
        """Who sent each, `address` octets each."""
        self.keys = self.sources.cast("Q")
        """The `Key` of who sent each, at every `KEYS`-th place."""
        self._lengths = memoryview(_ffi.buffer(self._heads)).cast("B").cast("I")
        self.places = [_at(self._buffer) + number * SLOT for number in range(size)]
        """The address in memory of each place."""
        for number, place in enumerate(self.places):
            self._parts[number].base, self._parts[number].length = place, SLOT
            head = self._heads[number].head
            head.name, head.namelen = _at(self._sources) + number * self.address, self.address
            head.iov, head.iovlen = self._parts + number, 1
        self.heads = [self._heads + number for number in range(size)]
        """What `recvmmsg` is told to begin with at each place."""

    def receive(self, descriptor: int, at: int, most: int) -> int:
        """Take what a socket has, at most so many, from the place `at` on; how many it were."""
        return max(recvmmsg(descriptor, self.heads[at], most, DONTWAIT, NULL), 0)

    def lengths(self, count: int) -> list[int]:
        """How long each of the first so many datagrams is, octets."""
        return self._lengths[_LENGTH : count * _WORDS : _WORDS].tolist()

    def datagram(self, number: int) -> bytes:
        """A copy of one."""
        start = number * SLOT
        return bytes(self.octets[start : start + self._lengths[number * _WORDS + _LENGTH]])

    def keys_of(self, first: int, count: int) -> list[Key]:
        """The keys of so many from one on."""
        return self.keys[first * KEYS : (first + count) * KEYS : KEYS].tolist()

    def source(self, number: int) -> tuple[Any, ...]:
        """Who sent it, as `recvfrom` would say."""
        port, host = _source(self.sources, number * self.address)
        return socket.inet_ntoa(host), port


class Inbox6(Inbox):
    """Places for datagrams that arrive by IPv6. What they are looked up by is not read in place: see `keys_of`."""

    address = 28
    """Octets of a sockaddr_in6."""

    def keys_of(self, first: int, count: int) -> list[Key]:
        """The keys of so many from one on."""
        size, sources = self.address, self.sources
        return [
            int.from_bytes(sources[at : at + size], sys.byteorder)
            for at in range(first * size, (first + count) * size, size)
        ]

    def source(self, number: int) -> tuple[Any, ...]:
        """Who sent it, as `recvfrom` would say."""
        at = number * self.address
        port, host = _source_6(self.sources, at)
        return socket.inet_ntop(socket.AF_INET6, host), port, 0, *_scope(self.sources, at)


class Outbox:
    """The same places, for what leaves from there through one socket together.

    Args:
        places: the address in memory of each.
    """

    def __init__(self, places: Sequence[int]) -> None:
        size = len(places)
        self._parts = _ffi.new("struct iovec[]", size)
        self._heads = _ffi.new("struct mmsghdr[]", size)
        self.lengths = memoryview(_ffi.buffer(self._parts)).cast("B").cast("Q")[1::2]
        """How long each is, octets."""
        self.names = memoryview(_ffi.buffer(self._heads)).cast("B").cast("Q")[::8]
        """To whom each goes: where in memory its address lies."""
        for number, place in enumerate(places):
            self._parts[number].base = place
            head = self._heads[number].head
            head.namelen, head.iov, head.iovlen = NAME, self._parts + number, 1

    def send(self, descriptor: int, first: int, end: int) -> list[int]:
        """Send those from `first` on up to `end`, and say which did not leave."""
        unsent, at = [], first
        while at < end:
            at += max(_sendmmsg(descriptor, self._heads + at, end - at, DONTWAIT), 0)
            if at < end:  # this one could not be sent; what is behind it may go elsewhere
                unsent.append(at)
                at += 1
        return unsent


class Destination:
    """An address as the system wants it, `NAME` octets whatever its protocol.

    Raises OSError for what is none.
    """

    __slots__ = ("_kept", "place")

    def __init__(self, address: tuple[Any, ...]) -> None:
        self._kept = _ffi.new("struct sockaddr_in6 *")
        octets = _octets(address)
        _ffi.buffer(self._kept)[0 : len(octets)] = octets
        self.place = _at(self._kept)
        """Where in memory it lies, as long as this is kept."""


def key_of(address: tuple[Any, ...]) -> Key | None:
    """What an address is looked up by; None for what is none."""
    try:
        return int.from_bytes(_octets(address), sys.byteorder)
    except OSError:
        return None


def _octets(address: tuple[Any, ...]) -> bytes:
    """The sockaddr_in of an address as `recvfrom` gives it, without what fills it up, or its sockaddr_in6."""
    port = address[1].to_bytes(2)
    if ":" in address[0]:
        host = socket.inet_pton(socket.AF_INET6, address[0])
        return _name_6(socket.AF_INET6, port, host, address[3] if len(address) > 3 else 0)
    return _name(socket.AF_INET, port, socket.inet_aton(address[0]))


def _at(data: Any) -> int:
    return int(_ffi.cast("uintptr_t", data))
