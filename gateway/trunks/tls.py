"""The TLS identity of a trunk: contexts for both directions and the RFC 5922 check of whom a certificate speaks for.

OpenSSL verifies the chain; the name is matched here, because TLS libraries accept wildcards and RFC 5922 7.2 does not,
and because the name to match is the *configured* domain, never what DNS made of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.base.errors import ConfigError
from gateway.base.signalling import TlsInfo
from gateway.base.values import Secret
from gateway.trunks.model import ListenerTls, TrunkTls
from gateway.trunks.target import is_ip_literal

SIP_DOMAIN_USAGE = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.20")
"""id-kp-sipDomain (RFC 5924 3)."""
SIP_USAGES = frozenset({SIP_DOMAIN_USAGE, ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
"""Extended key usages that let a certificate identify a SIP domain, when it lists any."""
CLIENT_USAGES = SIP_USAGES | {ExtendedKeyUsageOID.CLIENT_AUTH}
"""The same for a peer that connected to us."""

MALFORMED = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm)
"""What reading a certificate raises when it is not as RFC 5280 has it."""

MAX_SUBJECT = 200
"""Characters kept of a certificate's subject, which its owner chose."""


def match_sip_domain(certificate: x509.Certificate, names: Sequence[str]) -> str | None:
    """The first of `names` the certificate speaks for, or None (RFC 5922 7.1 and 7.2).

    `sip:` URIs of the subjectAltName say for which domains the certificate stands; its DNS names count only when there
    is no `sip:` URI, the common name only without any subjectAltName. Wildcards never match, and an IP literal matches
    an iPAddress entry only.
    """
    identities = _identities(certificate)
    return next((name for name in names if _normal(name) in identities), None)


def _identities(certificate: x509.Certificate) -> frozenset[str]:
    names = _alternative_names(certificate)
    if names is None:
        return _normalised(name for name in _common_names(certificate) if not is_ip_literal(name))
    domains = [d for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if (d := _sip_domain(uri))]
    if not domains:
        domains = [d for d in names.get_values_for_type(x509.DNSName) if not is_ip_literal(d)]
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return _normalised(domains + addresses)


def _normalised(identities: Iterable[str]) -> frozenset[str]:
    return frozenset(_normal(identity) for identity in identities) - {""}


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _common_names(certificate: x509.Certificate) -> list[str]:
    return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _sip_domain(uri: str) -> str:
    """The domain of a `sip:` URI without user (RFC 5922 7.1), else ""; port and parameters are no part of it."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "sip" or "@" in rest:
        return ""
    host = rest.partition(";")[0].partition("?")[0].partition(":")[0]
    return "" if is_ip_literal(host) else host


def _normal(name: str) -> str:
    """One spelling per name (RFC 4343: case does not count); "" for wildcards and what is no name."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(name.strip("[]")))
    # Lower-casing text beyond ASCII could turn a foreign letter into one of the name's.
    return name.lower().removesuffix(".") if name.isascii() and "*" not in name else ""


def allows_sip(certificate: x509.Certificate, usages: frozenset[x509.ObjectIdentifier] = SIP_USAGES) -> bool:
    """Whether the extended key usage, when there is one, lets the certificate identify a SIP domain (RFC 5924 4)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return not usages.isdisjoint(usage)


def client_context(tls: TrunkTls) -> ssl.SSLContext:
    """For connections we open: TLS 1.2 or newer, the chain must verify; `inspect_peer` matches the name.

    Raises:
        ConfigError: a file of `trunk.tls` cannot be read or used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # RFC 5922 matching replaces the HTTPS one
    context.verify_mode = ssl.CERT_REQUIRED
    _harden(context)
    if tls.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_ca(context, tls.ca, "tls.ca")
    if tls.certificate is not None:
        _load_chain(context, tls.certificate, tls.key, tls.key_password)
    return context


def server_context(tls: ListenerTls) -> ssl.SSLContext:
    """For `tls:` listeners: our certificate, and with `client_ca` a client certificate is asked for and verified.

    Raises:
        ConfigError: a file of `listen.tls` cannot be read or used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0  # a resumed session would not look at the client certificate again
    _load_chain(context, tls.certificate, tls.key, tls.key_password)
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        _load_ca(context, tls.client_ca, "client_ca")
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996, RFC 9325 3.1.1
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _load_ca(context: ssl.SSLContext, path: Path, key: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(_why(error), file=str(path), key=key, remedy="give a PEM file of CA certificates") from error


def _load_chain(context: ssl.SSLContext, certificate: Path, key: Path | None, password: Secret[str] | None) -> None:
    def reveal() -> str:
        # Without a callback OpenSSL would ask for a missing password on the terminal.
        return password.reveal() if password else ""

    try:
        context.load_cert_chain(certificate, key, reveal)
    except OSError as error:
        remedy = "give the PEM certificate chain, its key, and key_password when the key is encrypted"
        raise ConfigError(_why(error), file=str(certificate), key="certificate", remedy=remedy) from error


def _why(error: OSError) -> str:
    detail = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return f"cannot be used: {detail or type(error).__name__}"


def inspect_peer(ssl_object: ssl.SSLObject | ssl.SSLSocket, names: Sequence[str]) -> TlsInfo:
    """What a finished handshake proved: `verified` only when the chain was verified AND names one of `names`."""
    certificate = ssl_object.getpeercert(binary_form=True)
    cipher = ssl_object.cipher()
    version, suite = ssl_object.version() or "", cipher[0] if cipher else ""
    if certificate is None:
        return TlsInfo(version, suite, "", "", False, "", "the peer sent no certificate")
    try:
        peer = x509.load_der_x509_certificate(certificate)
        name, reason = _verify(peer, names, ssl_object)
        return TlsInfo(version, suite, _subject(peer), _spki_sha256(peer), not reason, name, reason)
    except MALFORMED:  # OpenSSL is more lenient with certificates than cryptography
        return TlsInfo(version, suite, "", "", False, "", "the certificate is malformed")


def _verify(peer: x509.Certificate, names: Sequence[str], ssl_object: ssl.SSLObject | ssl.SSLSocket) -> tuple[str, str]:
    """The matched name, or why there is none."""
    usages = CLIENT_USAGES if ssl_object.server_side else SIP_USAGES
    if ssl_object.context.verify_mode is ssl.CERT_NONE:
        return "", "the certificate chain was not verified"
    if not allows_sip(peer, usages):
        return "", "the extended key usage does not allow SIP"
    name = match_sip_domain(peer, names)
    return (name, "") if name is not None else ("", "the certificate is for another name")


def _spki_sha256(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:MAX_SUBJECT]
