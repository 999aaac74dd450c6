"""Ports for the tests: nobody's now, and nobody else's a moment later, when several test processes run side by side.

Single ports come from above the kernel's ephemeral range and port ranges from below it, so that no outgoing connection
wanders in. Each process begins at a place of its own and never gives the same port twice until it has been all around.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

HIGH = range(61000, 65536)
STRIDE = 61
"""Places where processes begin lie this far apart: more than one file of tests takes at once."""
LOW = range(20000, 32000)
RANGE_STRIDE = 250
"""The same for port ranges."""

_next = itertools.count(os.getpid() * STRIDE)


def free_port(kind: int = socket.SOCK_DGRAM, host: str = "127.0.0.1") -> int:
    """A port nobody uses now."""
    for _ in HIGH:
        port = HIGH[next(_next) % len(HIGH)]
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
    starts = range(LOW.start, LOW.stop - step, step)
    begin = os.getpid() * RANGE_STRIDE // step
    for index in range(len(starts)):
        first = starts[(begin + index) % len(starts)]
        if all(_is_free(port, host, socket.SOCK_DGRAM) for port in range(first, first + size)):
            return first
    raise RuntimeError("no free port range")


def _is_free(port: int, host: str, kind: int) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, port))
        return True
    return False
