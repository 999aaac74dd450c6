"""Where the admin socket of a gateway is: as configured, or in a runtime directory under a name made of its file's.

Several gateways may run on one machine; each has its own socket, and the commands find the one that is meant.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gateway.base.errors import ConfigError

SYSTEM = Path("/run/sip-gateway")
"""Of a gateway that runs as root, and of one that a service manager gives a directory (`RuntimeDirectory=`)."""
SUFFIX = ".sock"
NAME_DIGITS = 12
"""Hexadecimal digits of the name: as many as keep the gateways of a machine apart."""
OTHERS_WRITE = 0o022


def directory(environ: Mapping[str, str], uid: int) -> Path:
    """Where a gateway of this user has its socket when no other place is configured."""
    if given := environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    return SYSTEM if uid == 0 else _own(environ, uid)


def candidates(environ: Mapping[str, str], uid: int) -> list[Path]:
    """The directories in which a command looks for sockets, the likeliest first."""
    return list(dict.fromkeys((directory(environ, uid), SYSTEM, _own(environ, uid))))


def _own(environ: Mapping[str, str], uid: int) -> Path:
    if session := environ.get("XDG_RUNTIME_DIR", ""):
        return Path(session) / "sip-gateway"
    return Path(tempfile.gettempdir()) / f"sip-gateway-{uid}"


def name(config: Path) -> str:
    """The file name of the socket of the gateway that runs with this configuration."""
    return hashlib.sha256(os.fsencode(config.resolve())).hexdigest()[:NAME_DIGITS] + SUFFIX


def own_socket(config: Path) -> Path:
    """The socket of this process, if it runs with this configuration and no other place is configured."""
    return directory(os.environ, os.geteuid()) / name(config)


def prepare(path: Path) -> None:
    """Make the directory of a socket and see that nobody but its owner can put another socket there.

    Raises:
        ConfigError: it cannot be made, or others may write to it.
    """
    place = path.parent
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise ConfigError(f"{place} cannot be made: {error.strerror}", key="admin.socket") from error
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{place} is no directory", key="admin.socket")
    if found.st_mode & OTHERS_WRITE or found.st_uid not in (0, os.geteuid()):
        remedy = "give a directory only the gateway's user may write to"
        raise ConfigError(f"others may write to {place}", key="admin.socket", remedy=remedy)
