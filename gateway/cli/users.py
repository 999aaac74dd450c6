"""The users file: digests of passwords, written whole or not at all, readable by its owner only."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from gateway.base.errors import ConfigError, SipError
from gateway.base.values import Secret
from gateway.config.load import read_users
from gateway.config.scalars import Host
from gateway.config.schema import User
from gateway.config.yaml import Mapping, Node, Scalar
from gateway.routing.numbers import normalise
from gateway.sip.auth import compute_ha1

MIN_PASSWORD = 8
"""SIP digests can be guessed offline by whoever sees one; shorter passwords fall at once."""

HEADER = "# Written by `sip-gateway users`. Digests are as good as passwords: mode 0600, never in version control.\n"


@dataclass
class UserStore:
    """A users file that is changed: what is left alone stays as it was written, `${NAME}` and `file:` included."""

    path: Path
    users: dict[str, User] = field(default_factory=dict)
    _read: dict[str, User] = field(default_factory=dict)
    _written: dict[str, dict[str, Node]] = field(default_factory=dict)
    """What stands in the file of each user, by key."""

    @classmethod
    def load(cls, path: Path) -> UserStore:
        """The users in a file; none when there is no file yet."""
        if not path.exists():
            return cls(path)
        found = read_users(path, os.environ)
        users = _entries(_entries(found.root).get("users"))
        written = {name: _entries(entry) for name, entry in users.items()}
        return cls(path, dict(found.model.users), dict(found.model.users), written)

    def save(self) -> None:
        """Replace the file in one step, mode 0600; its owner stays the owner."""
        text = "".join(f"  {_quoted(name)}:\n{self._entry(name)}" for name in sorted(self.users))
        try:
            _replace(self.path.resolve(), HEADER + (f"users:\n{text}" if text else "users: {}\n"))
        except OSError as error:
            raise ConfigError(f"the users file cannot be written: {error.strerror}", file=str(self.path)) from None

    def _entry(self, name: str) -> str:
        user, values = self.users[name], {key: _as_yaml(node) for key, node in self._written.get(name, {}).items()}
        if self._read.get(name) is not user:
            values |= _of_password(user)
        return "".join(f"    {key}: {value}\n" for key, value in values.items())


def make_user(name: str, realm: str, password: str, known: User | None = None) -> User:
    """A user with both digests of the password (RFC 8760); what else was written of her stays."""
    check_name(name)
    if len(password) < MIN_PASSWORD:
        raise ConfigError(f"the password is shorter than {MIN_PASSWORD} characters", remedy="use a longer one")
    if not password.isprintable():
        raise ConfigError("the password has characters that cannot be typed", remedy="use printable characters")
    digests = {
        "realm": realm,
        "ha1_md5": Secret(compute_ha1(name, realm, password, "MD5")),
        "ha1_sha256": Secret(compute_ha1(name, realm, password, "SHA-256")),
    }
    return User.model_validate(digests) if known is None else known.model_copy(update=digests)


def check_name(name: str) -> None:
    """A user name must be what a caller can dial."""
    try:
        plain = normalise(name) == name
    except SipError:
        plain = False
    if not plain:
        raise ConfigError("a user name has a-z A-Z 0-9 . _ - only", remedy="choose another name")


def check_realm(realm: str) -> str:
    """The realm as the configuration has it: digests depend on every letter of it."""
    try:
        return TypeAdapter(Host).validate_python(realm)
    except ValidationError:
        raise ConfigError("the realm is a domain name", remedy="give the `realm` of gateway.yaml") from None


def _replace(target: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=".users-", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            if target.exists() and os.geteuid() == 0:
                before = target.stat()
                os.fchown(stream.fileno(), before.st_uid, before.st_gid)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def _of_password(user: User) -> dict[str, str]:
    """What changes with her password."""
    return {"realm": user.realm, "ha1_md5": user.ha1_md5.reveal(), "ha1_sha256": user.ha1_sha256.reveal()}


def _entries(node: Node | None) -> dict[str, Node]:
    return node.entries if isinstance(node, Mapping) else {}


def _as_yaml(node: Node) -> str:
    """A value on one line, as it was written; the schema of a user knows text and lists of text."""
    if isinstance(node, Scalar):
        return _quoted(node.text)
    if isinstance(node, Mapping):
        return "{" + ", ".join(f"{_quoted(key)}: {_as_yaml(value)}" for key, value in node.entries.items()) + "}"
    return "[" + ", ".join(_as_yaml(item) for item in node.items) + "]"


def _quoted(text: str) -> str:
    """As a double-quoted scalar, whose escapes are those of JSON (YAML 1.2 5.7)."""
    return json.dumps(text, ensure_ascii=False)
