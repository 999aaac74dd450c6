"""Sockets bound the way every listener here wants them."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from gateway.base.values import HostPort

KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""Seconds of silence before the kernel asks, between its questions, and how many; a dead peer shows in 90 s."""
UNACKNOWLEDGED_MS = 20_000
"""Milliseconds what we sent may stay unacknowledged: less than a SIP transaction waits (64*T1)."""


def notice_dead_peer(transport: asyncio.BaseTransport) -> None:
    """Have the kernel end a connection whose peer vanished, so that it is not taken for a live one."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (*KEEPALIVE, (socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def is_unspecified(host: str) -> bool:
    """Whether `host` means all interfaces."""
    return ipaddress.ip_address(host).is_unspecified


def bind(address: HostPort, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking socket bound to `address`; IPv6 ones speak IPv6 only, so that an address has one spelling.

    Raises:
        OSError: the address cannot be bound.
    """
    # Named, TCP lets asyncio switch Nagle's algorithm off on accepted connections: a TLS answer would wait for 40 ms.
    protocol = socket.IPPROTO_TCP if kind is socket.SOCK_STREAM else socket.IPPROTO_UDP
    sock = socket.socket(family_of(address.host), kind, protocol)
    try:
        sock.setblocking(False)
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock
