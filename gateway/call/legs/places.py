"""Where a trunk's media may be: reachable from our socket, the peer's own, and never this gateway itself.

SDP is written by the peer. Unchecked, an address in it would aim our packets at hosts behind our firewall, at groups,
or at our own ports, where media would go round in circles.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.base.errors import SdpError
from gateway.base.termination import Termination
from gateway.base.values import HostPort

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.42.42",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
        "fe80::a9fe:a9fe",
    )
)
"""Where clouds serve a machine's own secrets; no telephone lives there, whatever the trunk's address is."""
THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""What stands for the IPv4 address in its last four octets (RFC 6052); public ones alone (section 3.1)."""


class MediaPlaceError(SdpError):
    """A media address that cannot be used; `termination` says why."""

    def __init__(self, why: str, termination: Termination = Termination.BAD_SDP) -> None:
        super().__init__(why, 488)
        self.termination = termination


def termination_of(error: SdpError) -> Termination:
    """Why a description that could not be used ends a call or refuses a change."""
    return error.termination if isinstance(error, MediaPlaceError) else Termination.BAD_SDP


@dataclass(frozen=True, slots=True)
class Bound:
    """Ports of ours on one address."""

    host: str
    """Unspecified: every address of this machine."""
    ports: range


@dataclass(frozen=True)
class OwnPlaces:
    """What this machine and this gateway are reached by, as known at start."""

    bound: tuple[Bound, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    facing: frozenset[HostPort] = frozenset()
    """Places of ours that are the other end all the same: a proxy has joined two of our legs with each other."""

    def but(self, facing: Iterable[HostPort]) -> OwnPlaces:
        """The same for a leg whose other end is at these places."""
        return replace(self, facing=frozenset(facing))

    def is_ours(self, address: Address, port: int) -> bool:
        """Whether a packet sent there would come back to this gateway."""
        if HostPort(str(address), port) in self.facing:
            return False
        return any(port in bound.ports and self._covers(bound.host, address) for bound in self.bound)

    def _covers(self, host: str, address: Address) -> bool:
        own = ipaddress.ip_address(host)
        if own.version != address.version:
            return False
        return own == address or (own.is_unspecified and self._is_local(address))

    def _is_local(self, address: Address) -> bool:
        return address.is_loopback or any(i.ip == address for i in self.interfaces)

    def is_broadcast(self, address: Address) -> bool:
        """Whether everybody in one of our networks would get it; a network of one or two has no such address."""
        return any(
            address == i.network.broadcast_address
            for i in self.interfaces
            if i.version == 4 and i.network.prefixlen < 31
        )


NO_PLACES = OwnPlaces()
"""Nothing is known to be ours."""


def check_places(places: Iterable[HostPort | None], *, bind: str, peer: str, own: OwnPlaces) -> None:
    """Let pass what a trunk's media may be sent to.

    Args:
        bind: address of our media socket, which speaks one network protocol; empty when it is not known yet.
        peer: address the trunk signals from.

    Raises:
        MediaPlaceError: with the termination that says why.
    """
    for place in places:
        if place is not None:
            _check(place, bind, peer, own)


def _check(place: HostPort, bind: str, peer: str, own: OwnPlaces) -> None:
    try:
        address = ipaddress.ip_address(place.host)
    except ValueError:
        raise MediaPlaceError("media address is a name", Termination.ADDRESS_INCOMPATIBLE) from None
    if address.is_unspecified:
        return  # the old way to hold (RFC 2543): nothing is sent, by no protocol
    if bind and ipaddress.ip_address(bind).version != address.version:
        raise MediaPlaceError("media address of another network protocol", Termination.NETWORK_INCOMPATIBLE)
    embedded = _embedded(address)
    if address in NAT64 and not (embedded and embedded.is_global):
        raise MediaPlaceError("media address not allowed")
    for one in (address, embedded) if embedded is not None else (address,):
        if not _is_unicast_of(one, peer) or own.is_ours(one, place.port) or own.is_broadcast(one):
            raise MediaPlaceError("media address not allowed")


def _is_unicast_of(address: Address, peer: str) -> bool:
    """A unicast address; a local one only for a peer that is itself there."""
    if address.is_multicast or address in METADATA or address in THIS_NETWORK:
        return False
    if not (address.is_loopback or address.is_link_local):
        return not address.is_reserved or address in NAT64
    try:
        signalled = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return (address.is_loopback, address.is_link_local) == (signalled.is_loopback, signalled.is_link_local)


def _embedded(address: Address) -> Address | None:
    """The IPv4 address a packet to this one ends up at: by 6to4 (RFC 3056), Teredo (RFC 4380) or NAT64 (RFC 6052)."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.teredo[1] if address.teredo is not None else address.sixtofour


def is_name(host: str) -> bool:
    """A name that can be looked up; `.invalid` means that there is no address (RFC 2606 2)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return not host.rstrip(".").endswith("invalid")
    return False


def first_reachable(addresses: Sequence[str], bind: str, networks: Sequence[Network]) -> str:
    """The first address a socket bound there can reach within the networks, or "" for none.

    Args:
        bind: empty when it is not known yet.
    """
    version = ipaddress.ip_address(bind).version if bind else None
    for text in addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if version in (None, address.version) and any(address in network for network in networks):
            return text
    return ""


def within(host: str, networks: Sequence[Network]) -> bool:
    """Whether a host is an address in one of these networks."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)
