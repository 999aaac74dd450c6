"""Ports for the tests: nobody's now, and nobody else's a moment later, when several test processes run side by side.

Single ports come from above the kernel's ephemeral range and port ranges from below it, so that no outgoing connection
wanders in. Each process of a test run has a share of both to itself and goes round in it, so that two gateways that
live at the same time never get the same; runs beside each other begin at different places of it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from itertools import count

SHARES = 8
"""Processes of one run that have shares of their own: pytest-xdist's workers, and last whoever is none of them.
A share is more than two of the largest ranges: going round in it does not come back to what was given just now."""
HIGH = range(61000, 65536)
LOW = range(20000, 32000)


def _share(ports: range) -> range:
    """This process's part of the ports."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    index = int(worker) % (SHARES - 1) if worker.isdigit() else SHARES - 1
    size = len(ports) // SHARES & ~1
    return ports[index * size : (index + 1) * size]


_HIGH, _LOW = _share(HIGH), _share(LOW)
_next_high = count(os.getpid() * 61)
_given = [os.getpid() * 250 % len(_LOW) & ~1]
"""Place in the low share behind what was given last."""


def free_port(kind: int = socket.SOCK_DGRAM, host: str = "127.0.0.1") -> int:
    """A port nobody uses now."""
    for _ in _HIGH:
        port = _HIGH[next(_next_high) % len(_HIGH)]
        if _is_free(port, host, kind):
            return port
    raise RuntimeError("no free port")


def free_sip_port(host: str = "127.0.0.1") -> int:
    """A port nobody uses now, neither over UDP nor over TCP."""
    while True:
        port = free_port(host=host)
        if _is_free(port, host, socket.SOCK_STREAM):
            return port


def free_range(size: int, host: str = "127.0.0.1") -> str:
    """A range of UDP ports nobody uses now, starting even."""
    first = first_of(size, host)
    return f"{first}-{first + size - 1}"


def first_of(size: int, host: str = "127.0.0.1") -> int:
    """The first port of such a range."""
    step = size + size % 2
    for _ in range(2 * len(_LOW) // step + 2):
        if _given[0] + step > len(_LOW):
            _given[0] = 0
        first = _LOW[_given[0]]
        _given[0] += step
        if all(_is_free(port, host, socket.SOCK_DGRAM) for port in range(first, first + size)):
            return first
    raise RuntimeError("no free port range")


def _is_free(port: int, host: str, kind: int) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, port))
        return True
    return False
