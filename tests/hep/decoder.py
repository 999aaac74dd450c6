"""The other end of HEP export, written from the specification: reads what a collector reads, and refuses all else."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from gateway.base.values import HostPort

SIZES = {1: 1, 2: 1, 3: 4, 4: 4, 5: 16, 6: 16, 7: 2, 8: 2, 9: 4, 10: 4, 11: 1, 12: 4}
"""Octets of the chunks that have a fixed length."""
NEEDED = frozenset((1, 2, 7, 8, 9, 10, 11, 12, 15))


class HepError(Exception):
    """A packet no collector would take."""


@dataclass(frozen=True)
class HepPacket:
    """One packet, by its chunks."""

    chunks: dict[int, bytes] = field(repr=False)
    octets: bytes = field(repr=False)

    def number(self, kind: int) -> int:
        return int.from_bytes(self.chunks[kind], "big")

    @property
    def kind(self) -> int:
        return self.number(11)

    @property
    def protocol(self) -> int:
        return self.number(2)

    @property
    def source(self) -> HostPort:
        return self._place(3, 5, 7)

    @property
    def destination(self) -> HostPort:
        return self._place(4, 6, 8)

    @property
    def at(self) -> float:
        return self.number(9) + self.number(10) / 1e6

    @property
    def capture_id(self) -> int:
        return self.number(12)

    @property
    def password(self) -> str:
        return self.chunks.get(14, b"").decode()

    @property
    def correlation(self) -> str:
        return self.chunks.get(17, b"").decode()

    @property
    def payload(self) -> bytes:
        return self.chunks[15]

    @property
    def text(self) -> str:
        return self.payload.decode()

    def _place(self, v4: int, v6: int, port: int) -> HostPort:
        packed = self.chunks[v6 if self.number(1) == 10 else v4]
        return HostPort(str(ipaddress.ip_address(packed)), self.number(port))


def decoded(octets: bytes) -> HepPacket:
    """One packet that is nothing but that.

    Raises:
        HepError: it is none.
    """
    if octets[:4] != b"HEP3" or len(octets) < 6:
        raise HepError("no HEP3")
    if int.from_bytes(octets[4:6], "big") != len(octets):
        raise HepError("another length than it says")
    chunks: dict[int, bytes] = {}
    place = 6
    while place < len(octets):
        vendor, kind, size = (int.from_bytes(octets[at : at + 2], "big") for at in range(place, place + 6, 2))
        if len(octets) < place + 6 or size < 6 or place + size > len(octets):
            raise HepError(f"chunk {kind} does not end")
        value = octets[place + 6 : place + size]
        if vendor or kind in chunks or len(value) != SIZES.get(kind, len(value)):
            raise HepError(f"chunk {kind} of vendor {vendor} with {len(value)} octets")
        chunks[kind] = value
        place += size
    families = {2: {3, 4}, 10: {5, 6}}
    present = families.get(int.from_bytes(chunks.get(1, b""), "big"))
    if not NEEDED <= chunks.keys() or present is None or chunks.keys() & {3, 4, 5, 6} != present:
        raise HepError(f"chunks {sorted(chunks)}")
    return HepPacket(chunks, octets)


def split(stream: bytes) -> tuple[list[HepPacket], bytes]:
    """The packets a stream begins with, and what is left of it."""
    found = []
    while len(stream) >= 6 and len(stream) >= (size := int.from_bytes(stream[4:6], "big")):
        found.append(decoded(stream[:size]))
        stream = stream[size:]
    return found, stream
