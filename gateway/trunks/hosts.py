"""The hosts file of this machine: a name that stands in it is where the administrator says, and DNS is not asked."""

from __future__ import annotations

import ipaddress
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

HOSTS = Path("/etc/hosts")
MAX_OCTETS = 1 << 20
"""Of the file that are read: some block lists are that long, and none that names a trunk is longer."""
MAX_ADDRESSES = 8
"""Addresses of one name that are looked at."""


def parse_hosts(text: str) -> Mapping[str, Sequence[str]]:
    """Addresses by name in lower case, in the order of the file (hosts(5))."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            host = str(ipaddress.ip_address(address))
        except ValueError:
            continue
        for name in {name.lower() for name in names}:
            if host not in found[name] and len(found[name]) < MAX_ADDRESSES:
                found[name].append(host)
    return found


class HostsFile:
    """The file as it is now; read again when it has changed."""

    def __init__(self, path: Path = HOSTS) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._names: Mapping[str, Sequence[str]] = {}

    def addresses(self, name: str) -> Sequence[str]:
        """The addresses of a name; none when it does not stand there."""
        try:
            status = os.stat(self._path)
            if (stamp := (status.st_mtime_ns, status.st_size)) != self._stamp:
                with self._path.open(encoding="utf-8", errors="replace") as file:
                    self._names, self._stamp = parse_hosts(file.read(MAX_OCTETS)), stamp
        except OSError:
            return ()
        return self._names.get(name.lower().removesuffix("."), ())
