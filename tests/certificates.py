"""Certificates made on the spot: an authority, and leaves with whatever names, times and usages a test wants."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Credential:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, directory: Path, name: str, password: str = "") -> tuple[Path, Path]:
        """Write `name.pem` and `name.key`."""
        encryption: KeySerializationEncryption = (
            BestAvailableEncryption(password.encode()) if password else NoEncryption()
        )
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        return certificate, key


def make_certificate(
    common_name: str = "",
    *,
    alternative_names: Sequence[x509.GeneralName] | None = None,
    issuer: Credential | None = None,
    usages: Sequence[x509.ObjectIdentifier] | None = None,
    authority: bool = False,
    expired: bool = False,
    begins: datetime.timedelta = -10 * DAY,
    ends: datetime.timedelta = 10 * DAY,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Credential:
    """A certificate signed by `issuer`, or by itself, that begins and ends so long from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now - DAY if expired else now + ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if alternative_names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return Credential(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def make_authority(name: str = "Test CA") -> Credential:
    return make_certificate(name, authority=True)


def pin(credential: Credential) -> str:
    """SHA-256 of its public key, as it is pinned."""
    key = credential.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()


def make_short_certificate() -> x509.Certificate:
    """Signed by itself, with an RSA key of 1024 bits."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505
    now, name = datetime.datetime.now(datetime.UTC), x509.Name([])
    dated = x509.CertificateBuilder().not_valid_before(now - DAY).not_valid_after(now + DAY)
    named = dated.subject_name(name).issuer_name(name).serial_number(1).public_key(key.public_key())
    return named.sign(key, hashes.SHA256())


def dns(*names: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]


def sip(*names: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(f"sip:{name}") for name in names]
