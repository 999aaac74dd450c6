"""Reads a whole configuration: gateway file, users file and dialplan, each checked, then checked against each other.

Only the composition root and the command line use this module; everything else is handed the site.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from gateway.base.errors import ConfigError, ConfigErrors
from gateway.config.compile import compile_dialplan, compile_site, number_formats
from gateway.config.document import Document, filled, read_document
from gateway.config.references import check_named_files, check_references
from gateway.config.schema import DialplanFile, GatewayConfig, PolicyFile, UsersFile
from gateway.config.yaml import Mapping as YamlMapping
from gateway.config.yaml import Node, Scalar, read_yaml
from gateway.routing.dialplan import Dialplan
from gateway.routing.e164 import NumberFormat
from gateway.site import Site

OTHERS_MAY = 0o066
"""Mode bits that let group or others read or write: a digest in the users file is as good as the password."""

T = TypeVar("T")


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration without mistakes."""

    config: GatewayConfig
    users: UsersFile
    dialplan: DialplanFile
    policy: PolicyFile
    """Empty where there is none: then each trunk has one word."""
    warnings: tuple[str, ...] = ()
    """What is allowed but probably not meant; told by `check` and at the start."""
    gateway: Document[GatewayConfig] | None = None
    """The gateway file itself, for mistakes that only the machine it runs on can show."""

    @cached_property
    def site(self) -> Site:
        """What the files say, compiled."""
        cores = len(os.sched_getaffinity(0))
        return compile_site(self.config, self.users, self.dialplan, self.policy, cores)

    def placed(self, error: ConfigError) -> ConfigError:
        """The same mistake with file and line, when it is one of a key of the gateway file."""
        return self.gateway.place(error) if self.gateway and error.key else error


@dataclass(frozen=True)
class Reading:
    """What reading a configuration gave: as much of it as could be read, and every mistake."""

    gateway: Document[GatewayConfig] | None
    users: Document[UsersFile] | None
    dialplan: Document[DialplanFile] | None
    policy: Document[PolicyFile] | None
    errors: tuple[ConfigError, ...]
    warnings: tuple[str, ...] = ()

    def placed(self, error: ConfigError) -> ConfigError:
        """The same mistake with file and line, when it is one of a key of the gateway file."""
        return self.gateway.place(error) if self.gateway and error.key else error

    def loaded(self, more: Sequence[ConfigError] = ()) -> LoadedConfig:
        """The configuration, when there is no mistake in it; raises ConfigErrors with all there are.

        Args:
            more: mistakes only the machine shows; one of a key that is told of already is not told twice.
        """
        told = {error.key for error in self.errors if error.key}
        errors = [*self.errors, *(error for error in more if not _covered(error.key, told))]
        if errors or self.gateway is None or self.users is None or self.dialplan is None or self.policy is None:
            raise ConfigErrors(errors)
        models = (self.gateway.model, self.users.model, self.dialplan.model, self.policy.model)
        return LoadedConfig(*models, self.warnings, self.gateway)


def load_config(
    path: Path, *, environ: Mapping[str, str] | None = None, now: datetime.datetime | None = None
) -> LoadedConfig:
    """Read, type and cross-check a configuration. Raises ConfigErrors with every mistake found.

    Args:
        path: the gateway file; it names the users and dialplan files.
        environ: what `${NAME}` stands for; default is the process environment.
        now: the time certificates must be valid at; default is the present.
    """
    return read_config(path, environ=environ, now=now).loaded()


def read_config(
    path: Path, *, environ: Mapping[str, str] | None = None, now: datetime.datetime | None = None
) -> Reading:
    """As `load_config`, as far as it can be read: the mistakes of one file hide none in the others."""
    variables = os.environ if environ is None else environ
    errors: list[ConfigError] = []
    gateway = _collect(lambda: read_document(path, GatewayConfig, variables), errors)
    if gateway is None:
        return Reading(None, None, None, None, tuple(errors))
    missing = list(check_named_files(gateway))
    absent = {error.key for error in missing}
    errors += missing
    users = dialplan = None
    named = gateway.model.users
    if named is None:
        users = Document(UsersFile(), path, gateway.root)
    elif "users" not in absent:
        users = _collect(lambda: read_users(named, variables), errors)
    if "dialplan" not in absent:
        dialplan = _collect(lambda: read_document(gateway.model.dialplan, DialplanFile, variables), errors)
    policy = _collect(lambda: _policy_of(gateway, absent, variables), errors)
    found, warnings = check_references(gateway, users, dialplan, policy, now or datetime.datetime.now(datetime.UTC))
    return Reading(gateway, users, dialplan, policy, (*errors, *found), tuple(warnings))


def _policy_of(
    gateway: Document[GatewayConfig], absent: Set[str | None], environ: Mapping[str, str]
) -> Document[PolicyFile] | None:
    """The policy file; an empty one where none is named."""
    named = gateway.model.policy
    if named is None:
        return Document(PolicyFile(), gateway.path, gateway.root)
    return read_document(named, PolicyFile, environ) if "policy" not in absent else None


def _covered(key: str | None, told: Set[str]) -> bool:
    """Whether a mistake of this key, of one above it or of one below it has been told of."""
    return key is not None and any(f"{key}.".startswith(f"{known}.") or known.startswith(f"{key}.") for known in told)


def read_users(path: Path, environ: Mapping[str, str]) -> Document[UsersFile]:
    """Read a users file; refused while others than its owner can read it."""
    _check_private(path)
    return read_document(path, UsersFile, environ)


def read_dialplan(path: Path) -> Dialplan:
    """Read a dialplan file by itself, without looking at the trunks and users it names.

    A gateway file will do: the dialplan it names is meant, with the users it names where they can be read.
    """
    root = read_yaml(path)
    named, users = (_file_named(root, path, (key,)) for key in ("dialplan", "users"))
    plan = read_document(named or path, DialplanFile, os.environ).model
    if named is None:
        return compile_dialplan(plan)
    return compile_dialplan(plan, _names_in(users) if users else None, _formats_in(path))


def _formats_in(path: Path) -> Mapping[str, NumberFormat]:
    """How the trunks of a gateway file write numbers; nothing is known of one that has mistakes."""
    gateway = _collect(lambda: read_document(path, GatewayConfig, os.environ), [])
    return number_formats(gateway.model) if gateway is not None else {}


def read_admin_socket(path: Path) -> Path | None:
    """The admin socket a gateway file names, None when it names none; nothing else of it is looked at."""
    root = read_yaml(path)
    return _file_named(root, path, ("admin", "socket"))


def read_audit_directory(path: Path) -> Path | None:
    """The directory of the audit log a gateway file names, None when it names none; nothing else of it is looked at."""
    return _file_named(read_yaml(path), path, ("audit", "directory"))


def _file_named(root: Node, path: Path, location: tuple[str, ...]) -> Path | None:
    """The file a gateway file names under this key."""
    node: Node | None = root
    for key in location:
        node = node.entries.get(key) if isinstance(node, YamlMapping) else None
    text = filled(path, node, location, os.environ) if isinstance(node, Scalar) else ""
    return path.parent / text if text and text.isprintable() else None


def _names_in(users: Path) -> Iterable[str] | None:
    try:
        return read_users(users, os.environ).model.users
    except ConfigError:
        return None


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
