"""What the demonstration must know of this machine: its address and which ports are free."""

from __future__ import annotations

import contextlib
import socket
from typing import Final, Literal

from gateway.base.errors import ConfigError
from gateway.base.values import HostPort

DOCUMENTATION_ADDRESS: Final = ("198.51.100.1", 9)
"""Nobody's (RFC 5737): connecting a UDP socket to it asks the kernel for a route and sends nothing."""
TRIES: Final = 50
"""Ports looked at before giving up."""

Kind = Literal["udp", "tcp"]


def local_address() -> str | None:
    """The IPv4 address other machines reach this one by; None when it has none."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(DOCUMENTATION_ADDRESS)
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if HostPort(address, 0).is_loopback or address == "0.0.0.0" else address


def is_free(address: HostPort, *kinds: Kind) -> bool:
    """True when the port can be bound for every kind at this moment."""
    return all(_can_bind(address, kind) for kind in kinds)


def free_port(hosts: tuple[str, ...], preferred: int, *kinds: Kind) -> int:
    """The preferred port, or the next one that is free on every host; raises ConfigError when none is."""
    for port in range(preferred, min(preferred + TRIES, 65536)):
        if all(is_free(HostPort(host, port), *kinds) for host in hosts):
            return port
    raise ConfigError(
        f"none of the ports {preferred}-{preferred + TRIES - 1} is free on {', '.join(hosts)}",
        remedy="stop what uses them, or choose another port",
    )


def _can_bind(address: HostPort, kind: Kind) -> bool:
    with contextlib.closing(socket.socket(socket.AF_INET, _SOCKETS[kind])) as probe:
        if kind == "tcp":  # as the servers do: a connection still in TIME_WAIT does not count
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError:
            return False
    return True


_SOCKETS: Final = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
