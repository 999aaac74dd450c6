"""Who counts as one source where addresses are counted: what one person can have many of is one."""

from __future__ import annotations

import ipaddress

SOURCE_PREFIX_V6 = 64
"""Bits of an IPv6 address that tell sources apart: whoever has a network has all 2^64 addresses of its last half."""
SITE_PREFIX_V6 = 48
"""Bits that tell sites apart: a site is commonly given 65,536 networks (RFC 6177)."""


def source_of(host: str) -> str:
    """The source an address belongs to: itself for IPv4, its /64 for IPv6; text that is no address stays as it is.

    An IPv4 address dressed up as IPv6 (RFC 4291 2.5.5.2) is the IPv4 address.

    >>> source_of("2001:db8:1:2:3::4"), source_of("::ffff:192.0.2.1")
    ('2001:db8:1:2::/64', '192.0.2.1')
    """
    return _prefix(host, SOURCE_PREFIX_V6)


def site_of(host: str) -> str:
    """The /48 of an IPv6 address; for anything else the same as `source_of`."""
    return _prefix(host, SITE_PREFIX_V6)


def _prefix(host: str, bits: int) -> str:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> (128 - bits) << (128 - bits), bits)))
