"""The addresses this machine has."""

from __future__ import annotations

import ipaddress

import ifaddr

from gateway.call.legs.places import Interface

MAX_INTERFACES = 256
"""Addresses looked at; a machine with more has them for its containers, not for media."""


def interfaces() -> tuple[Interface, ...]:
    """Every address with its network, as they are now."""
    found = [ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    return tuple(
        ipaddress.ip_interface(f"{ip.ip if isinstance(ip.ip, str) else ip.ip[0]}/{ip.network_prefix}")
        for ip in found[:MAX_INTERFACES]
    )
