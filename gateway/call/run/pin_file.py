"""The file of the capability pins: read whole or not at all, replaced whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from gateway.base.errors import ConfigError

MAX_PINS = 20_000
"""Pins in a file: half of them of users, the others of trunks, of which no configuration has as many."""
MAX_OCTETS = 8 << 20
"""Octets of a file: as many pins with long names."""
MAX_NAME = 300
"""Characters of a name in it."""
VERSION = 1

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


def read(path: Path) -> dict[str, datetime]:
    """What is known; nothing where there is no file.

    Raises:
        ConfigError: it cannot be read, or is not as it was written.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_OCTETS + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _refused(path, error.strerror or type(error).__name__) from None
    try:
        return _decoded(data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _refused(path, "it is not as this gateway wrote it") from None


def write(path: Path, seen: Mapping[str, datetime]) -> None:
    """Replace the file: the new one is on the disk before it takes the name of the old one.

    Raises:
        OSError: it cannot be written; the old one is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, _FLAGS, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(encoded(seen))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(beside, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def encoded(seen: Mapping[str, datetime]) -> bytes:
    """The file: the pins, and a hash by which damage is noticed. It is no proof against who may write the file."""
    pins = {peer: at.astimezone(UTC).isoformat(timespec="seconds") for peer, at in sorted(seen.items())}
    return json.dumps({"v": VERSION, "sha256": _hash(pins), "pins": pins}, indent=1).encode("ascii") + b"\n"


def _decoded(data: bytes) -> dict[str, datetime]:
    found = json.loads(data.decode("ascii"))
    pins = found["pins"]
    if len(data) > MAX_OCTETS or found["v"] != VERSION or len(pins) > MAX_PINS or found["sha256"] != _hash(pins):
        raise ValueError("not as written")
    times = {peer: datetime.fromisoformat(at) for peer, at in pins.items() if len(peer) <= MAX_NAME}
    if any(at.tzinfo is None for at in times.values()):
        raise ValueError("a time without a zone")
    return times


def _hash(pins: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(pins, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"the capability pins in {path} cannot be read: {why}",
        key="pins.file",
        remedy="restore the file, or move it away: then trunks and users are held to nothing until they are seen to "
        "encrypt again",
    )
