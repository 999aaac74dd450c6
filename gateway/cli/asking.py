"""Asks the gateway that runs on this machine, over its admin socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.admin import place
from gateway.admin.lines import MAX_ANSWER_LINE, Ask, write
from gateway.base.errors import ConfigError
from gateway.cli.output import ExitError
from gateway.config.load import read_admin_socket

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 15.0
"""How long a gateway may be silent before its answer is complete."""

REFUSED, NOT_RUNNING, NOT_ALLOWED, NO_ANSWER = 1, 3, 4, 5
"""Exit codes: the gateway has no answer to that; there is none; it is not for this user; it says nothing."""

Row = dict[str, Any]


def ask(path: Path, what: Ask, *, waits: bool = False, **fields: str) -> Iterator[Row]:
    """The rows of an answer as they come.

    Args:
        path: the socket.
        waits: rows may be as long in coming as they like.

    Raises:
        ExitError: there is no answer.
    """
    with _connected(path) as connection, connection.makefile("rb") as stream:
        try:
            connection.settimeout(None if waits else ANSWER_SECONDS)
            connection.sendall(write(ask=what.value, **fields))
            while True:
                line = _read(stream.readline(MAX_ANSWER_LINE))
                if "row" not in line:
                    break
                yield line["row"]
        except TimeoutError:
            raise ExitError(f"the gateway at {path} does not answer", NO_ANSWER) from None
        except OSError as error:
            raise ExitError(f"the gateway at {path} is gone: {error.strerror}", NOT_RUNNING) from None
    if "done" not in line:
        raise ExitError(str(line.get("why", "the gateway gave no reason")), REFUSED)


def _read(line: bytes) -> Row:
    if not line:
        raise ExitError("the gateway has ended", NOT_RUNNING)
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ExitError("what answers there is no gateway of this version", NO_ANSWER)
    return found


def _connected(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(CONNECT_SECONDS)
    try:
        made.connect(str(path))
    except PermissionError:
        made.close()
        raise ExitError(f"{path} is for the gateway's user and root", NOT_ALLOWED) from None
    except TimeoutError:
        made.close()
        raise ExitError(f"the gateway at {path} does not answer", NO_ANSWER) from None
    except OSError as error:
        made.close()
        raise ExitError(f"no gateway is running at {path}: {error.strerror or error}", NOT_RUNNING) from None
    return made


def find_socket(config: Path | None, given: Path | None) -> Path:
    """The socket of the gateway that is meant: the one given, that of a configuration, or the only one there is.

    Raises:
        ExitError: there is none, or it is not for this user.
        ConfigError: there are several.
    """
    if given is not None:
        return given
    if config is not None:
        return _of_config(config)
    found = [path for directory in _directories() for path in _sockets(directory) if _answers(path)]
    if not found:
        raise ExitError("no gateway is running here that this user may ask", NOT_RUNNING)
    if len(found) > 1:
        names = ", ".join(str(path) for path in found)
        raise ConfigError(f"several gateways run here: {names}", remedy="say which one by --config or --socket")
    return found[0]


def _of_config(config: Path) -> Path:
    named = read_admin_socket(config)
    if named is not None:
        return named
    places = [directory / place.name(config) for directory in _directories()]
    return next((path for path in places if _exists(path)), places[0])


def _directories() -> list[Path]:
    return place.candidates(os.environ, os.geteuid())


def _exists(path: Path) -> bool:
    """Whether there is such a file; where this user may not look, connecting tells so."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _sockets(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == place.SUFFIX)
    except PermissionError:
        raise ExitError(f"{directory} is for the gateway's user and root", NOT_ALLOWED) from None
    except OSError:
        return []


def _answers(path: Path) -> bool:
    """Whether somebody listens; what a killed gateway left behind does not count."""
    try:
        _connected(path).close()
    except ExitError as error:
        if error.exit_code == NOT_RUNNING:
            return False
        raise
    return True
