"""The octets of HEP version 3: `HEP3`, the length of all, and chunks of vendor, type, length and value. PURE.

Integers are in network order, lengths count their own header. What is written here comes from peers in part (addresses,
the payload, the correlation id): each length is taken from the octets that are written, so no value can pretend to be
another chunk.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from enum import IntEnum

from gateway.base.signalling import TransportName
from gateway.base.values import HostPort, Secret

MAGIC = b"HEP3"
MAX_PACKET = 8192
"""Octets of one packet: what collectors read at most (heplify-server); the format itself ends at 65,535."""
MAX_CORRELATION = 256
"""Octets of a correlation id: Call-IDs of telephones have less than a hundred."""
MAX_PASSWORD = 128
"""Octets of an authentication key."""
GENERIC = 0
"""The vendor of chunks everybody knows."""
_HEADER, _CHUNK = struct.Struct("!4sH"), struct.Struct("!HHH")
_TCP, _UDP = 6, 17
_IPV4, _IPV6 = 2, 10
"""Address families, by the numbers of the specification."""


class Chunk(IntEnum):
    """The chunks that are written."""

    FAMILY = 1
    PROTOCOL = 2
    IPV4_SOURCE = 3
    IPV4_DESTINATION = 4
    IPV6_SOURCE = 5
    IPV6_DESTINATION = 6
    SOURCE_PORT = 7
    DESTINATION_PORT = 8
    SECONDS = 9
    MICROSECONDS = 10
    KIND = 11
    CAPTURE_ID = 12
    PASSWORD = 14
    PAYLOAD = 15
    CORRELATION = 17


class Kind(IntEnum):
    """What a payload is."""

    SIP = 1
    RTCP_JSON = 5
    """A report of RFC 3550 6.4, as JSON."""
    QUALITY_JSON = 34
    """What a stream was like, as JSON ("MOS full report")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What is told of one payload."""

    kind: Kind
    at: float
    """When it was on the wire, in seconds since 1970."""
    source: HostPort
    destination: HostPort
    transport: TransportName = "udp"
    correlation: str = ""
    """The same for all that belongs to one call; none where it is empty."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who we are to the collector."""

    capture_id: int
    password: Secret[str] | None = None


def encode(frame: Frame, payload: bytes, sender: Sender) -> bytes:
    """One packet; what does not fit at the end of the payload is left out.

    See `room` for how much fits.
    """
    head = _head(frame, sender)
    return _sealed(head + _chunk(Chunk.PAYLOAD, payload[: _room_behind(head)]))


def room(frame: Frame, sender: Sender) -> int:
    """How many octets of payload go into the packet."""
    return _room_behind(_head(frame, sender))


def _room_behind(head: bytes) -> int:
    return MAX_PACKET - _HEADER.size - len(head) - _CHUNK.size


def _sealed(chunks: bytes) -> bytes:
    return _HEADER.pack(MAGIC, _HEADER.size + len(chunks)) + chunks


def _head(frame: Frame, sender: Sender) -> bytes:
    """Every chunk but the payload."""
    seconds = max(0, min(int(frame.at), 2**32 - 1))
    microseconds = max(0, min(int((frame.at - int(frame.at)) * 1e6), 999_999))
    chunks = [
        *_addresses(frame.source, frame.destination),
        _chunk(Chunk.PROTOCOL, bytes((_UDP if frame.transport == "udp" else _TCP,))),
        _chunk(Chunk.SOURCE_PORT, _port(frame.source)),
        _chunk(Chunk.DESTINATION_PORT, _port(frame.destination)),
        _chunk(Chunk.SECONDS, struct.pack("!I", seconds)),
        _chunk(Chunk.MICROSECONDS, struct.pack("!I", microseconds)),
        _chunk(Chunk.KIND, bytes((frame.kind,))),
        _chunk(Chunk.CAPTURE_ID, struct.pack("!I", sender.capture_id & 0xFFFFFFFF)),
    ]
    if sender.password is not None:
        chunks.append(_chunk(Chunk.PASSWORD, sender.password.reveal().encode()[:MAX_PASSWORD]))
    if frame.correlation:
        chunks.append(_chunk(Chunk.CORRELATION, frame.correlation.encode("utf-8", "replace")[:MAX_CORRELATION]))
    return b"".join(chunks)


def _chunk(kind: Chunk, value: bytes) -> bytes:
    return _CHUNK.pack(GENERIC, kind, _CHUNK.size + len(value)) + value


def _port(place: HostPort) -> bytes:
    return struct.pack("!H", place.port if 0 <= place.port <= 0xFFFF else 0)


def _addresses(source: HostPort, destination: HostPort) -> tuple[bytes, ...]:
    """Family and addresses: both of one family, the one of the end whose address is known."""
    one, other = _packed(source.host), _packed(destination.host)
    is_v6 = 16 in (len(one), len(other))
    size = 16 if is_v6 else 4
    kinds = (Chunk.IPV6_SOURCE, Chunk.IPV6_DESTINATION) if is_v6 else (Chunk.IPV4_SOURCE, Chunk.IPV4_DESTINATION)
    return (
        _chunk(Chunk.FAMILY, bytes((_IPV6 if is_v6 else _IPV4,))),
        _chunk(kinds[0], one if len(one) == size else bytes(size)),
        _chunk(kinds[1], other if len(other) == size else bytes(size)),
    )


def _packed(host: str) -> bytes:
    """The octets of an address, without the scope of a link; none of what is no address."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).packed
    except ValueError:
        return b""
