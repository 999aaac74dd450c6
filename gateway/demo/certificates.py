"""A development CA and the certificates of the demonstration. Never for use beyond one machine."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_NAME: Final = "sip-gateway development CA"
PBX_NAME: Final = "pbx.demo.test"
GATEWAY_NAME: Final = "gateway.demo.test"
LIFETIME: Final = datetime.timedelta(days=90)
"""Short: a forgotten development certificate must not stay useful."""
RENEW_BEFORE: Final = datetime.timedelta(days=31)
"""Before anybody is warned of their end (30 days): nobody has to renew a demonstration by hand."""
CLOCK_SKEW: Final = datetime.timedelta(minutes=5)
"""How far back validity starts, for peers whose clock is behind."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of one certificate."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """Every file `create` makes."""

    ca: Pair
    web: Pair
    pbx: Pair
    gateway: Pair


@dataclass(frozen=True, slots=True)
class _Issued:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def create(directory: Path, hosts: Iterable[str] = (), *, now: datetime.datetime | None = None) -> Certificates:
    """Make the CA and the certificates in `directory`, unless they are there and good for more than a day.

    Args:
        directory: made with mode 0700 when absent; every file in it gets mode 0600.
        hosts: names and addresses of the web server besides 127.0.0.1, ::1 and localhost.
        now: time of issue, for tests.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    wanted = _web_hosts(hosts)
    files = _files(directory)
    if not _are_good(files, wanted, now):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _issue_all(files, wanted, now)
    return files


def _web_hosts(hosts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", *hosts]))


def _files(directory: Path) -> Certificates:
    def pair(name: str) -> Pair:
        return Pair(directory / f"{name}.pem", directory / f"{name}.key")

    return Certificates(ca=pair("ca"), web=pair("web"), pbx=pair("pbx"), gateway=pair("gateway"))


def _are_good(files: Certificates, hosts: Sequence[str], now: datetime.datetime) -> bool:
    """All present, from the same CA, valid for another day, and naming every host."""
    try:
        ca, web, pbx, gateway = (_read(p) for p in (files.ca, files.web, files.pbx, files.gateway))
        for leaf in (web, pbx, gateway):
            leaf.verify_directly_issued_by(ca)
        names = web.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, x509.InvalidVersion):
        return False
    fresh = all(c.not_valid_after_utc - now > RENEW_BEFORE for c in (ca, web, pbx, gateway))
    return fresh and set(_general_names(hosts)) <= set(names)


def _read(pair: Pair) -> x509.Certificate:
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    key = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
    if key.public_key() != certificate.public_key():
        raise ValueError("the key is another certificate's")
    return certificate


def _issue_all(files: Certificates, hosts: Sequence[str], now: datetime.datetime) -> None:
    ca = _issue_ca(now)
    _write(files.ca, ca)
    _write(files.web, _issue_leaf(ca, hosts, now))
    _write(files.pbx, _issue_leaf(ca, [PBX_NAME], now))
    _write(files.gateway, _issue_leaf(ca, [GATEWAY_NAME], now))


def _issue_ca(now: datetime.datetime) -> _Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(CA_NAME)
    builder = _builder(name, name, key, now)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(ca=True), critical=True)
    return _Issued(builder.sign(key, hashes.SHA256()), key)


def _issue_leaf(ca: _Issued, hosts: Sequence[str], now: datetime.datetime) -> _Issued:
    """One end-entity certificate; a SIP peer uses it as server and as client (RFC 5922 7, RFC 5924)."""
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    identifier = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = _builder(_name(hosts[0]), ca.certificate.subject, key, now)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(ca=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(_general_names(hosts)), critical=False)
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    builder = builder.add_extension(authority, critical=False)
    return _Issued(builder.sign(ca.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer_name=issuer, subject_name=subject, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + LIFETIME)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    return [_general_name(host) for host in hosts]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(pair: Pair, issued: _Issued) -> None:
    private = issued.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(pair.key, private)
    write_private(pair.certificate, issued.certificate.public_bytes(serialization.Encoding.PEM))


def write_private(path: Path, data: bytes) -> None:
    """Replace a file in one step by one that only its owner may read: nobody ever sees half of it."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
