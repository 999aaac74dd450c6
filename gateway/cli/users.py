"""The users file: digests of passwords, written whole or not at all, readable by its owner only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from gateway.base.errors import ConfigError, SipError
from gateway.base.values import Secret
from gateway.config.load import read_users
from gateway.config.scalars import Host
from gateway.config.schema import User
from gateway.routing.numbers import normalise
from gateway.sip.auth import compute_ha1

MIN_PASSWORD = 8
"""SIP digests can be guessed offline by whoever sees one; shorter passwords fall at once."""

HEADER = "# Written by `sip-gateway users`. Digests are as good as passwords: mode 0600, never in version control.\n"


def load_users(path: Path) -> dict[str, User]:
    """The users in a file; none when there is no file yet."""
    return dict(read_users(path, os.environ).model.users) if path.exists() else {}


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


def save_users(path: Path, users: Mapping[str, User]) -> None:
    """Replace the file in one step, mode 0600; its owner stays the owner."""
    target = path.resolve()
    try:
        _replace(target, HEADER + _text(users))
    except OSError as error:
        raise ConfigError(f"the users file cannot be written: {error.strerror}", file=str(path)) from None


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


def _text(users: Mapping[str, User]) -> str:
    if not users:
        return "users: {}\n"
    return "users:\n" + "".join(_entry(name, users[name]) for name in sorted(users))


def _entry(name: str, user: User) -> str:
    return (
        f'  "{name}":\n'
        f"    realm: {user.realm}\n"
        f"    ha1_md5: {user.ha1_md5.reveal()}\n"
        f"    ha1_sha256: {user.ha1_sha256.reveal()}\n" + "".join(_known_as(user))
    )


def _known_as(user: User) -> Iterator[str]:
    """Numbers and name, as YAML text of one line each."""
    if user.number is not None:
        yield f'    number: "{user.number}"\n'
    if user.numbers:
        quoted = ", ".join(f'"{number}"' for number in user.numbers)
        yield f"    numbers: [{quoted}]\n"
    if user.display_name is not None:
        yield f'    display_name: "{user.display_name}"\n'
