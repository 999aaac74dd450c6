"""What is known of a call when its policy is decided: taken from the connection and the dialplan, never from From."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gateway.policy.pins import NO_PINS, Pins

UNROUTED = "-"
"""Trunk name in the records of a call that never had one."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Direction(StrEnum):
    """Which way a leg leads; the words are those of records."""

    OUT = "out"
    """To a trunk."""
    IN = "in"
    """From a trunk."""
    INTERNAL = "internal"
    """From browser to browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One leg of a call that is to begin. An empty text is not known, and matches nothing that is named."""

    direction: Direction
    at: datetime
    """When it is decided; has a time zone."""
    trunk: str = UNROUTED
    user: str = ""
    """The user of ours it is for: who signed in and calls, or who is called."""
    groups: frozenset[str] = frozenset()
    """The groups of the dialplan she is in."""
    caller: str = ""
    """The number that calls: of a user hers, of a trunk what it says, which proves nothing."""
    dialled: str = ""
    """The number or name that is called, as the rules of the dialplan see it (E.164 with a `country`)."""
    source: Address | None = None
    """Where the request came from on the wire, whatever Via and Contact say."""
    transport: str = ""
    """Of the connection it came over: udp, tcp, tls, ws or wss."""
    method: str = "INVITE"
    """INVITE, or REFER for a leg that a transfer asks for."""
    emergency: bool = False
    pins: Pins = field(default=NO_PINS, repr=False, compare=False)
    """Who has been seen to encrypt."""

    @property
    def pinned(self) -> bool:
        """The trunk is held to encryption."""
        return self.pins.hold(self.trunk, self.at)


def address_of(host: str) -> Address | None:
    """The address in a text; an IPv4 address that came in the clothes of IPv6 is an IPv4 address."""
    try:
        found = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found
