"""Whether certificate, key and CA files can be used: they exist, parse, match and are not expired (RFC 5280)."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from gateway.base.errors import ConfigError
from gateway.base.values import Secret

MAX_PEM_BYTES = 4 << 20
"""The system's CA bundle has 0.2 MB."""

WARN_BEFORE = datetime.timedelta(days=30)
"""Time to renew before the gateway refuses to start; a gateway that runs tells of it again at 7 days and at 1."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with one file; `key` is the configuration key that names it."""

    key: str
    message: str
    remedy: str
    warning: bool = False


@dataclass(frozen=True)
class KeyPair:
    """Files of a certificate and its key, as configured."""

    certificate: Path
    key: Path
    password: Secret[str] | None


def check_pair(pair: KeyPair, now: datetime.datetime) -> Iterator[Finding]:
    """Everything wrong with a certificate file and its key file."""
    chain: list[x509.Certificate] = []
    key: PrivateKeyTypes | None = None
    certified = b""
    try:
        chain = _certificates(pair.certificate)
        certified = _certified_key(pair.certificate, chain)
    except ConfigError as error:
        yield Finding("certificate", error.message, error.remedy)
    try:
        key = _private_key(pair)
    except ConfigError as error:
        yield Finding("key", error.message, error.remedy)
    if certified and key and certified != _public(key.public_key()):
        yield Finding("key", "the key does not belong to the first certificate of the file", "give the matching pair")
    for number, certificate in enumerate(chain, start=1):
        yield from _validity(certificate, number, now)


def check_ca(key: str, path: Path) -> Iterator[Finding]:
    """What is wrong with a file of CA certificates."""
    try:
        _certificates(path)
    except ConfigError as error:
        yield Finding(key, error.message, error.remedy)


def certifies(path: Path, name: str) -> bool:
    """Whether the first certificate of a file is for this domain name (RFC 5922 7.1), or cannot be read."""
    try:
        certificate = next(iter(_certificates(path)), None)
        if certificate is None:
            return True
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except ConfigError:
        return True  # told of by `check_pair`
    except x509.ExtensionNotFound:
        return False
    known = {found.lower() for found in names.get_values_for_type(x509.DNSName)}
    return name in known or f"*.{name.partition('.')[2]}" in known


def expiries(path: Path) -> list[datetime.datetime]:
    """When the certificates of a file end; none where it cannot be read."""
    try:
        return [certificate.not_valid_after_utc for certificate in _certificates(path)]
    except ConfigError:
        return []


def _validity(certificate: x509.Certificate, number: int, now: datetime.datetime) -> Iterator[Finding]:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    which = "the certificate" if number == 1 else f"certificate {number} of the chain"
    if now > end:
        yield Finding("certificate", f"{which} expired on {end:%Y-%m-%d}", "renew it")
    elif now < start:
        yield Finding("certificate", f"{which} is not valid before {start:%Y-%m-%d}", "check the clock, or wait")
    elif now > end - WARN_BEFORE:
        yield Finding("certificate", f"{which} expires on {end:%Y-%m-%d}", "renew it soon", warning=True)


def _unusable(message: str, remedy: str) -> ConfigError:
    return ConfigError(message, remedy=remedy)


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise _unusable(f"there is no file {path}", "check the path; it is relative to the file that names it")
        with path.open("rb") as stream:
            data = stream.read(MAX_PEM_BYTES + 1)
    except OSError as error:
        raise _unusable(f"{path} cannot be read: {error.strerror}", "check owner and mode") from None
    if len(data) > MAX_PEM_BYTES:
        raise _unusable(f"{path} is larger than {MAX_PEM_BYTES} bytes", "check the path")
    return data


def _certificates(path: Path) -> list[x509.Certificate]:
    data = _read(path)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise _unusable(f"{path} holds no readable PEM certificate", "give a PEM file, leaf first") from None


def _certified_key(path: Path, chain: list[x509.Certificate]) -> bytes:
    try:
        return _public(chain[0].public_key())
    except (ValueError, UnsupportedAlgorithm):
        remedy = "give a certificate for an RSA or ECDSA key"
        raise _unusable(f"{path} holds a certificate for a key of an unknown kind", remedy) from None


def _private_key(pair: KeyPair) -> PrivateKeyTypes:
    data = _read(pair.key)
    password = pair.password.reveal().encode() if pair.password else None
    try:
        return serialization.load_pem_private_key(data, password)
    except TypeError:
        words = "is encrypted" if password is None else "is not encrypted, but a password is given"
        raise _unusable(f"{pair.key} {words}", "set or remove key_password") from None
    except (ValueError, UnsupportedAlgorithm):
        hint = " with this key_password" if password else ""
        raise _unusable(f"{pair.key} cannot be read as a PEM private key{hint}", "check file and password") from None


def _public(key: object) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(encoding, form)) if hasattr(key, "public_bytes") else b""
