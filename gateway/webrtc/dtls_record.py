"""DTLS records (RFC 6347 4.1): where they begin and end, which is all a datagram's owner has to know."""

from __future__ import annotations

from collections.abc import Iterator

RECORD_HEADER = 13
MAX_DATAGRAM = 1200
"""Octets of one datagram we send: passes every path WebRTC media passes."""

_HANDSHAKE = 22
_CONTENT_TYPES = frozenset({20, 21, 22, 23})
_VERSIONS = frozenset({b"\xfe\xff", b"\xfe\xfd"})


def split_records(data: bytes) -> Iterator[bytes]:
    """Each well-formed DTLS record of a datagram (RFC 6347 4.1); from the first malformed one on, nothing.

    OpenSSL's memory BIO forgets where datagrams end, so a record must never reach it cut short.
    """
    at = 0
    while len(data) - at >= RECORD_HEADER:
        end = at + RECORD_HEADER + int.from_bytes(data[at + 11 : at + 13], "big")
        if data[at] not in _CONTENT_TYPES or data[at + 1 : at + 3] not in _VERSIONS or end > len(data):
            return
        yield data[at:end]
        at = end


def pack_records(data: bytes) -> list[bytes]:
    """What OpenSSL wrote, cut at record boundaries into datagrams of at most `MAX_DATAGRAM` octets."""
    datagrams: list[bytes] = []
    for record in split_records(data):
        if datagrams and len(datagrams[-1]) + len(record) <= MAX_DATAGRAM:
            datagrams[-1] += record
        else:
            datagrams.append(record)
    return datagrams


def is_protected_handshake(data: bytes) -> bool:
    """Whether a datagram holds a handshake record under the keys of a handshake that is complete (epoch 1 or later)."""
    return any(record[0] == _HANDSHAKE and record[3:5] != b"\0\0" for record in split_records(data))
