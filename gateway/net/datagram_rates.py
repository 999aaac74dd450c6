"""How often an address may begin something over UDP: decided from a glance at the octets, before they are parsed.

UDP cannot make a sender wait, and a trunk's address is easily forged there. So what belongs to a call that lives is
never refused, and everything else has a rate of its own kind for each source: a flood of one kind costs neither calls
nor the other kinds, and next to no time.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from gateway.base.buckets import Buckets, Rate
from gateway.base.sources import source_of

GLANCE = 4096
"""Octets looked at; whose Call-ID stands further down is taken for something new."""
MAX_SOURCES = 4096
"""Sources counted apart."""


class Kind(Enum):
    """What a datagram wants, as far as rates go."""

    CALL = auto()
    """A new INVITE."""
    END = auto()
    """BYE, CANCEL or ACK of a call we know nothing of."""
    RESPONSE = auto()
    """An answer to something that is not a call."""
    OTHER = auto()
    """OPTIONS and all the rest."""


RATES = {
    Kind.CALL: Rate(per_second=100, burst=300),
    Kind.END: Rate(per_second=50, burst=200),
    Kind.RESPONSE: Rate(per_second=200, burst=400),
    Kind.OTHER: Rate(per_second=100, burst=300),
}
"""For each source. Twice what a gateway's core sets up in calls; a keepalive OPTIONS comes every few seconds."""

METHODS = {b"INVITE": Kind.CALL, b"BYE": Kind.END, b"CANCEL": Kind.END, b"ACK": Kind.END, b"SIP/2.0": Kind.RESPONSE}


class DatagramRates:
    """Buckets for each kind and source.

    Args:
        is_living: whether a Call-ID is that of a call there is.
    """

    def __init__(self, is_living: Callable[[str], bool]) -> None:
        self._is_living = is_living
        self._buckets = {kind: Buckets(rate, MAX_SOURCES) for kind, rate in RATES.items()}

    def admits(self, data: bytes, host: str, now: float) -> bool:
        """Whether a datagram of that address is worth parsing."""
        call_id = call_id_of(data)
        if call_id and self._is_living(call_id):
            return True
        return self._buckets[kind_of(data)].take(source_of(host), now)


def kind_of(data: bytes) -> Kind:
    """By the first word of the first line (RFC 3261 7.1, 7.2)."""
    return METHODS.get(data[:16].lstrip(b"\r\n").split(b" ", 1)[0].upper(), Kind.OTHER)


def call_id_of(data: bytes) -> str:
    """The Call-ID, in its long or short form (RFC 3261 20.8), or "" when a glance does not find it."""
    for line in data[:GLANCE].split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon and name.strip().lower() in (b"call-id", b"i"):
            return value.strip().decode("utf-8", "surrogateescape")
        if not line.strip(b"\r"):
            break
    return ""
