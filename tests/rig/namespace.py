"""A network of its own for what a test talks to: a namespace at the end of a cable, whose other end is this machine's.

Nothing of it is reachable from elsewhere, and it is gone with the test. Sockets made within `entered` stay in it,
whoever uses them afterwards; programs run in it by `command`.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.rig.tools import find

CLONE_NEWNET = 0x40000000
NETWORK = "10.203"
"""Of RFC 1918, and of few offices; each test process has another /24 of it."""


class Namespace:
    """One namespace, and the cable that leads there.

    Args:
        addresses: last octets of the addresses it has; 1 is this machine's end.
    """

    def __init__(self, addresses: Sequence[int]) -> None:
        number = os.getpid() % 250 + 1
        self._prefix = f"{NETWORK}.{number}"
        self.name, self.interface = f"gw-test-{os.getpid()}", f"gwt{os.getpid()}"
        self._addresses = addresses

    def host(self, octet: int) -> str:
        """The address with that last octet."""
        return f"{self._prefix}.{octet}"

    @property
    def network(self) -> str:
        return f"{self._prefix}.0/24"

    def start(self) -> Namespace:
        far = f"{self.interface}b"
        _ip("netns", "add", self.name)
        _ip("link", "add", self.interface, "type", "veth", "peer", "name", far, "netns", self.name)
        _ip("addr", "add", f"{self.host(1)}/24", "dev", self.interface)
        _ip("link", "set", self.interface, "up")
        for octet in self._addresses:
            _ip("-n", self.name, "addr", "add", f"{self.host(octet)}/24", "dev", far)
        for device in ("lo", far):
            _ip("-n", self.name, "link", "set", device, "up")
        return self

    def stop(self) -> None:
        """Take it down with its cable."""
        subprocess.run([_tool(), "netns", "del", self.name], capture_output=True, check=False)
        subprocess.run([_tool(), "link", "del", self.interface], capture_output=True, check=False)

    def command(self, *arguments: str) -> list[str]:
        """What runs a program in it."""
        return [_tool(), "netns", "exec", self.name, *arguments]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is in it meanwhile."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        other = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _set_namespace(other)
            try:
                yield
            finally:
                _set_namespace(own)
        finally:
            os.close(own)
            os.close(other)


def made_namespace(addresses: Sequence[int]) -> Namespace:
    """A namespace that is up; skips the test where none can be made."""
    made = Namespace(addresses)
    try:
        return made.start()
    except (OSError, subprocess.CalledProcessError) as error:
        made.stop()
        words = error.stderr.decode().strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
        pytest.skip(f"no network namespace can be made here (root and iproute2 can): {words}")


def _ip(*arguments: str) -> None:
    subprocess.run([_tool(), *arguments], capture_output=True, check=True)


def _tool() -> str:
    found = find("ip")
    if found is None:
        raise FileNotFoundError("ip is not installed: apt-get install iproute2")
    return found


def _set_namespace(handle: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
