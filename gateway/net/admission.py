"""Which trunk an address belongs to: decided before a byte of the message is read.

A trunk is known by its `networks` (the most specific wins) and by the addresses its own target resolved to. The latter
may answer and end calls, but only the former let a trunk call in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from gateway.config.schema import Trunk

MAX_LEARNED = 16
"""Addresses remembered per trunk from resolving its target; the oldest gives way."""

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def normal_host(host: str) -> str:
    """An address as socket calls give it, in one spelling: no zone, IPv4 not dressed up as IPv6 (RFC 4291 2.5.5.2)."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


class TrunkSources:
    """Looks a source address up among the configured trunks."""

    def __init__(self, trunks: Mapping[str, Trunk]) -> None:
        networks = [(ipaddress.ip_network(n), name) for name, trunk in trunks.items() for n in trunk.networks]
        self._networks: list[tuple[IpNetwork, str]] = sorted(networks, key=lambda entry: -entry[0].prefixlen)
        self._learned: dict[str, dict[str, None]] = {}

    def find(self, host: str) -> str | None:
        """The trunk that owns this address, or None: then whatever it sent is dropped unread."""
        return self._by_network(host) or self._by_target(host)

    def may_call_in(self, trunk: str, host: str) -> bool:
        """Whether requests that begin something new are taken from this address."""
        return self._by_network(host) == trunk

    def learn(self, trunk: str, host: str) -> None:
        """Remember where a trunk's target was found, so that its responses and BYEs are heard."""
        learned = self._learned.setdefault(trunk, {})
        learned.pop(host, None)
        learned[host] = None
        if len(learned) > MAX_LEARNED:
            del learned[next(iter(learned))]

    def _by_network(self, host: str) -> str | None:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return None
        return next((name for network, name in self._networks if address in network), None)

    def _by_target(self, host: str) -> str | None:
        return next((name for name, learned in self._learned.items() if host in learned), None)
