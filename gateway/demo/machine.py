"""What the demonstration must know of this machine: its address and which ports are free."""

from __future__ import annotations

import contextlib
import fcntl
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal

from gateway.base.errors import ConfigError
from gateway.base.values import HostPort

DOCUMENTATION_ADDRESS: Final = ("198.51.100.1", 9)
"""Nobody's (RFC 5737): connecting a UDP socket to it asks the kernel for a route and sends nothing."""
TRIES: Final = 50
"""Ports looked at before giving up."""
LOCK_FILE: Final = ".lock"

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


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep a second demonstration out of the directory, before it writes other ports into its files.

    Raises:
        ConfigError: one runs there already, or the directory cannot be made.
    """
    with _lock_file(directory) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "end it with Ctrl-C, or give this one a --directory of its own"
            raise ConfigError(f"a demonstration runs already in {directory}", remedy=remedy) from None
        yield


def _lock_file(directory: Path) -> BinaryIO:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return (directory / LOCK_FILE).open("wb")
    except OSError as error:
        remedy = "give another --directory"
        raise ConfigError(f"cannot write {error.filename or directory}: {error.strerror}", remedy=remedy) from error


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
