"""In which order the servers of a domain are tried (RFC 3263 4, RFC 2782, RFC 3403). No DNS, no clock, no randomness.

Records come in as they were found; what is drawn by lot is drawn by a function that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple, Protocol, TypeVar

from gateway.trunks.target import STRENGTH, TrunkTransport

Draw = Callable[[int], int]
"""A number from 0 to one below the argument, each as likely as the other."""

PREFIXES: dict[TrunkTransport, str] = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}
"""What stands before a domain in the name of its SRV records; in the order in which they are used where the domain
itself names none (no NAPTR)."""
_SERVICES: dict[str, TrunkTransport] = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}
_NOWHERE = ("", ".")
"""The target of an SRV record that says: this service is not to be had here (RFC 2782)."""


class Naptr(NamedTuple):
    """A NAPTR record (RFC 3403 4.1)."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


class Srv(NamedTuple):
    """An SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


class Service(NamedTuple):
    """One way into a domain: a transport, and the name its SRV records have."""

    transport: TrunkTransport
    name: str


class Weighted(Protocol):
    """What is chosen by priority, and within one priority by weight."""

    @property
    def priority(self) -> int:
        """The lowest goes first."""

    @property
    def weight(self) -> int:
        """How often it is the first of its priority, in proportion to the others."""


W = TypeVar("W", bound=Weighted)
T = TypeVar("T")


def named_services(records: Iterable[Naptr], usable: Collection[TrunkTransport]) -> list[Service]:
    """The ways a domain names by NAPTR, as far as they can be used, in its own order (RFC 3263 4.1).

    From the first on none is weaker: a domain that prefers TLS is never reached in the clear because TLS failed.
    """
    found = []
    for record in sorted(records, key=lambda record: (record.order, record.preference)):
        transport = _SERVICES.get(record.service.upper())
        if transport is not None and transport in usable and _is_plain(record):
            found.append(Service(transport, record.replacement))
    return never_weaker(list(dict.fromkeys(found)), lambda service: service.transport)


def _is_plain(record: Naptr) -> bool:
    """Whether its replacement is the name of SRV records, as all of SIP's are (RFC 3263 4.1)."""
    return record.flags.upper() == "S" and not record.regexp


def guessed_services(domain: str, usable: Collection[TrunkTransport]) -> list[Service]:
    """The ways a domain may have that names none."""
    return [Service(transport, prefix + domain) for transport, prefix in PREFIXES.items() if transport in usable]


def never_weaker(found: Sequence[T], transport_of: Callable[[T], TrunkTransport]) -> list[T]:
    """Without whatever is weaker than the first."""
    floor = STRENGTH[transport_of(found[0])] if found else 0
    return [one for one in found if STRENGTH[transport_of(one)] >= floor]


def servers(records: Iterable[Srv], draw: Draw) -> list[Srv]:
    """SRV records in the order their servers are tried; empty when the service is not to be had."""
    return in_order([record for record in records if record.port and record.target not in _NOWHERE], draw)


def in_order(choices: Iterable[W], draw: Draw) -> list[W]:
    """By priority; within one, by a lot that favours each in proportion to its weight (RFC 2782)."""
    ordered: list[W] = []
    rest = sorted(choices, key=lambda choice: (choice.priority, choice.weight))
    while rest:
        same = [choice for choice in rest if choice.priority == rest[0].priority]
        ordered.append(rest.pop(_drawn([choice.weight for choice in same], draw)))
    return ordered


def _drawn(weights: Sequence[int], draw: Draw) -> int:
    """Which of these is next; those with weight 0 stand first, and have a small chance beside others."""
    if not any(weights):
        return draw(len(weights))
    lot, reached = draw(sum(weights) + 1) if not weights[0] else draw(sum(weights)) + 1, 0
    for index, weight in enumerate(weights):
        reached += weight
        if reached >= lot:
            return index
    return len(weights) - 1


def interleaved(six: Sequence[str], four: Sequence[str]) -> list[str]:
    """Addresses of both families in turn, IPv6 first, so that one family that is broken costs one try (RFC 8305 4)."""
    return [host for host in chain.from_iterable(zip_longest(six, four)) if host is not None]
