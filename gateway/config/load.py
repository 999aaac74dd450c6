"""Reads a whole configuration: gateway file, users file and dialplan, each checked, then checked against each other.

Only the composition root and the command line use this module; everything else is handed the models.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway.base.errors import ConfigError, ConfigErrors
from gateway.config.document import Document, read_document
from gateway.config.references import Documents, check_named_files, check_references
from gateway.config.schema import DialplanFile, GatewayConfig, UsersFile

OTHERS_MAY = 0o066
"""Mode bits that let group or others read or write: a digest in the users file is as good as the password."""

T = TypeVar("T")


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration without mistakes."""

    config: GatewayConfig
    users: UsersFile
    dialplan: DialplanFile
    warnings: tuple[str, ...] = ()
    """What is allowed but probably not meant; told by `check` and at the start."""
    gateway: Document[GatewayConfig] | None = None
    """The gateway file itself, for mistakes that only the machine it runs on can show."""

    def placed(self, error: ConfigError) -> ConfigError:
        """The same mistake with file and line, when it is one of a key of the gateway file."""
        return self.gateway.place(error) if self.gateway and error.key else error


def load_config(
    path: Path, *, environ: Mapping[str, str] | None = None, now: datetime.datetime | None = None
) -> LoadedConfig:
    """Read, type and cross-check a configuration. Raises ConfigErrors with every mistake found.

    Args:
        path: the gateway file; it names the users and dialplan files.
        environ: what `${NAME}` stands for; default is the process environment.
        now: the time certificates must be valid at; default is the present.
    """
    variables = os.environ if environ is None else environ
    errors: list[ConfigError] = []
    gateway = _collect(lambda: read_document(path, GatewayConfig, variables), errors)
    if gateway is None:
        raise ConfigErrors(errors)
    errors += check_named_files(gateway)
    if errors:
        raise ConfigErrors(errors)
    users = _collect(lambda: read_users(gateway.model.users, variables), errors)
    dialplan = _collect(lambda: read_document(gateway.model.dialplan, DialplanFile, variables), errors)
    if users is None or dialplan is None:
        raise ConfigErrors(errors)
    present = now or datetime.datetime.now(datetime.UTC)
    errors, warnings = check_references(Documents(gateway, users, dialplan), present)
    if errors:
        raise ConfigErrors(errors)
    return LoadedConfig(gateway.model, users.model, dialplan.model, tuple(warnings), gateway)


def read_users(path: Path, environ: Mapping[str, str]) -> Document[UsersFile]:
    """Read a users file; refused while others than its owner can read it."""
    _check_private(path)
    return read_document(path, UsersFile, environ)


def read_dialplan(path: Path) -> DialplanFile:
    """Read a dialplan file by itself, without looking at the trunks and users it names."""
    return read_document(path, DialplanFile, os.environ).model


def _check_private(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        remedy = f"make it: sip-gateway users add {path} USER --realm REALM"
        raise ConfigError(f"the users file cannot be read: {error.strerror}", file=str(path), remedy=remedy) from None
    if mode & OTHERS_MAY:
        raise ConfigError("group or others can read the users file", file=str(path), remedy=f"chmod 600 {path}")


def _collect(read: Callable[[], T], errors: list[ConfigError]) -> T | None:
    try:
        return read()
    except ConfigErrors as several:
        errors.extend(several.errors)
    except ConfigError as error:
        errors.append(error)
    return None
