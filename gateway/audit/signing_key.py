"""The key the log signs its checkpoints with: made at the first start, readable for the gateway alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gateway.base.errors import ConfigError

FILE_NAME = "audit.key"
"""Beside the log, unless `audit.signing_key` names another place."""

MAX_OCTETS = 4096
"""A PEM file of one Ed25519 key has 119 octets; nothing longer is read."""

_MODE = 0o600
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def load_or_make(path: Path) -> Ed25519PrivateKey:
    """The key in the file, which is made when it is missing.

    Raises:
        ConfigError: it can neither be read nor made, others may read it, or it is no such key.
    """
    try:
        if not path.exists():
            _make(path)
        return load(path)
    except FileExistsError:  # another start was faster
        return load(path)
    except OSError as error:
        raise _refused(path, error.strerror or type(error).__name__) from None


def load(path: Path) -> Ed25519PrivateKey:
    """The key in the file; raises ConfigError when it is none or others may read it, OSError when it cannot be read."""
    text = _read(path, private=True)
    try:
        key = load_pem_private_key(text, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _refused(path, "it holds no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _refused(path, "it holds another kind of key")
    return key


def load_public(path: Path) -> Ed25519PublicKey:
    """A public key as `sip-gateway audit key` prints it; of a private one, its public half. Raises ConfigError."""
    try:
        text = _read(path, private=False)
        if b"PRIVATE" in text:
            return load(path).public_key()
        key = load_pem_public_key(text)
    except OSError as error:
        raise _refused(path, error.strerror or type(error).__name__) from None
    except (ValueError, UnsupportedAlgorithm):
        raise _refused(path, "it holds no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _refused(path, "it holds another kind of key")
    return key


def public_pem(key: Ed25519PublicKey) -> str:
    """The public key for those who check the log, in PEM (`openssl pkey -pubin -text` reads it)."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _make(path: Path) -> None:
    """Written whole under another name first: a crash leaves no half key, and a full disk no empty one."""
    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, _MAKE, _MODE)
    try:
        with open(fd, "wb") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(fd)
        os.link(beside, path)  # unlike a rename it replaces no key
    finally:
        beside.unlink(missing_ok=True)


def _read(path: Path, *, private: bool) -> bytes:
    with open(os.open(path, _READ if private else _READ & ~os.O_NOFOLLOW), "rb") as handle:
        status = os.fstat(handle.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "it is no regular file")
        if private and status.st_mode & 0o077:
            raise _refused(path, f"others may read or change it (mode {stat.S_IMODE(status.st_mode):04o})")
        return handle.read(MAX_OCTETS)


def _refused(path: Path, why: str) -> ConfigError:
    remedy = f"put an Ed25519 key there with mode 0600, or take {path.name} away: the next start makes a new one"
    return ConfigError(f"the signing key of the audit log cannot be used: {why}", file=str(path), remedy=remedy)
