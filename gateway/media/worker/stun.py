"""STUN Binding requests as an ICE-lite agent answers them (RFC 8445 7.3, RFC 8489), over `aioice.stun`.

The guard in front of aioice checks what it does not: the magic cookie, that every attribute fits, and that none is
there that has to be understood and is not. Such a request is dropped, not answered with 420: before authentication
the gateway answers nobody, and no ICE agent sends one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from aioice import stun

HEADER = 20
MAX_ATTRIBUTES = 32
"""A check has six to ten."""
MAX_USERNAME = 512
"""Octets; RFC 8445 allows 256 + 1 + 256."""
_COOKIE = b"\x21\x12\xa4\x42"
_REQUEST = b"\x00\x01"
_INDICATION = b"\x00\x11"
_FINGERPRINT = 0x8028
_OPTIONAL = 0x8000
_UNDERSTOOD = {0x0006: "USERNAME", 0x0008: "MESSAGE-INTEGRITY", 0x001C: "-SHA256", 0x0024: "PRIORITY", 0x0025: "USE-"}
_ROLE_CONFLICT = (487, "Role Conflict")


@dataclass(frozen=True, slots=True)
class Check:
    """A well-formed Binding request that says it is authenticated; whether it is, `is_authentic` tells."""

    ufrag: str
    """Our username fragment, the part before the colon."""
    nominates: bool
    """USE-CANDIDATE: the controlling peer chose this pair."""
    conflicts: bool
    """ICE-CONTROLLED: the peer believes to be controlled, which a lite agent always is."""
    message: stun.Message

    def is_authentic(self, password: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY was made with our password; compared in constant time."""
        return self.message.check_message_integrity(password)

    def answer(self, password: bytes, host: str, port: int) -> bytes:
        """The success response to send to where the check came from (RFC 8445 7.3.1.2)."""
        return self._sealed(stun.Class.RESPONSE, {"XOR-MAPPED-ADDRESS": (host, port)}, password)

    def answer_conflict(self, password: bytes) -> bytes:
        """The 487 that makes the peer take the controlling role (RFC 8445 7.3.1.1)."""
        return self._sealed(stun.Class.ERROR, {"ERROR-CODE": _ROLE_CONFLICT}, password)

    def _sealed(self, kind: stun.Class, attributes: dict[str, object], password: bytes) -> bytes:
        response = stun.Message(stun.Method.BINDING, kind, self.message.transaction_id, attributes)
        response.add_message_integrity(password)
        return bytes(response)


def is_indication(packet: bytes) -> bool:
    """True for a Binding indication: a keep-alive, never answered (RFC 8445 11)."""
    return packet[:2] == _INDICATION and packet[4:8] == _COOKIE


def read_check(packet: bytes) -> Check | None:
    """The check in a datagram; None for anything that is not a Binding request with user name and integrity."""
    if packet[:2] != _REQUEST or packet[4:8] != _COOKIE or not _attributes_fit(packet):
        return None
    try:
        message = stun.parse_message(packet)
    except (ValueError, struct.error):
        return None
    name = message.attributes.get("USERNAME", "")
    ufrag, colon, _ = name.partition(":")
    if not colon or "MESSAGE-INTEGRITY" not in message.attributes:
        return None
    return Check(ufrag, "USE-CANDIDATE" in message.attributes, "ICE-CONTROLLED" in message.attributes, message)


def _attributes_fit(packet: bytes) -> bool:
    size = len(packet)
    if size < HEADER or size % 4 or int.from_bytes(packet[2:4]) != size - HEADER:
        return False
    at = HEADER
    for _ in range(MAX_ATTRIBUTES):
        if at == size:
            return True
        kind, length = struct.unpack_from("!HH", packet, at)
        at += 4 + (length + 3) // 4 * 4
        if at > size or not _acceptable(kind, length, at == size):
            return False
    return at == size


def _acceptable(kind: int, length: int, last: bool) -> bool:
    if kind == _FINGERPRINT:
        return last and length == 4
    if kind == 0x0006:
        return length <= MAX_USERNAME
    return kind >= _OPTIONAL or kind in _UNDERSTOOD
