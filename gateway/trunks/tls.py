"""The TLS identity of a trunk: contexts for both directions, and what a finished handshake proved.

OpenSSL verifies the chain; whom the certificate speaks for is decided in `names`, and whether it is a pinned one here.
"""

from __future__ import annotations

import datetime
import hashlib
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.base.errors import ConfigError
from gateway.base.signalling import TlsInfo
from gateway.base.values import Secret
from gateway.trunks.model import ExpectedPeer, ListenerTls, TrunkTls
from gateway.trunks.names import match_sip_domain

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

MIN_RSA_BITS, MIN_EC_BITS = 2048, 224
"""Shortest keys of a pinned certificate: those OpenSSL demands of a chain at its security level 2 (112 bits)."""


def allows_sip(certificate: x509.Certificate, usages: frozenset[x509.ObjectIdentifier] = SIP_USAGES) -> bool:
    """Whether the extended key usage, when there is one, lets the certificate identify a SIP domain (RFC 5924 4)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return not usages.isdisjoint(usage)


def client_context(tls: TrunkTls) -> ssl.SSLContext:
    """For connections we open: TLS 1.2 or newer, the chain must verify; `inspect_peer` matches the name.

    Of a pinned certificate no chain is asked unless `ca` is given: it may have signed itself.

    Raises:
        ConfigError: a file of `trunk.tls` cannot be read or used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # RFC 5922 matching replaces the HTTPS one
    context.verify_mode = ssl.CERT_REQUIRED if tls.needs_chain else ssl.CERT_NONE
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


def inspect_peer(ssl_object: ssl.SSLObject | ssl.SSLSocket, expected: ExpectedPeer) -> TlsInfo:
    """What a finished handshake proved: `verified` only when everything that is expected of the peer holds."""
    certificate = ssl_object.getpeercert(binary_form=True)
    cipher = ssl_object.cipher()
    version, suite = ssl_object.version() or "", cipher[0] if cipher else ""
    if certificate is None:
        return TlsInfo(version, suite, "", "", False, "", "the peer sent no certificate")
    try:
        peer = x509.load_der_x509_certificate(certificate)
        name, reason = _verify(peer, expected, ssl_object)
        return TlsInfo(
            version,
            suite,
            _subject(peer),
            _spki_sha256(peer),
            not reason,
            name,
            reason,
            certificate_sha256=hashlib.sha256(certificate).hexdigest(),
            pinned=bool(expected.pins) and not reason,
            expires=peer.not_valid_after_utc.timestamp(),
        )
    except MALFORMED:  # OpenSSL is more lenient with certificates than cryptography
        return TlsInfo(version, suite, "", "", False, "", "the certificate is malformed")


def _verify(
    peer: x509.Certificate, expected: ExpectedPeer, ssl_object: ssl.SSLObject | ssl.SSLSocket
) -> tuple[str, str]:
    """The name the peer has proved, or why there is none."""
    usages = CLIENT_USAGES if ssl_object.server_side else SIP_USAGES
    if ssl_object.context.verify_mode is ssl.CERT_NONE and not expected.pins:
        return "", "the certificate chain was not verified"
    if not allows_sip(peer, usages):
        return "", "the extended key usage does not allow SIP"
    if expected.pins and (reason := _unlike_the_pins(peer, expected.pins)):
        return "", reason
    if not expected.is_named:
        return expected.names[0], ""
    name = match_sip_domain(peer, expected.names, wildcards=expected.wildcards)
    return (name, "") if name is not None else ("", "the certificate is for another name")


def _unlike_the_pins(peer: x509.Certificate, pins: frozenset[str]) -> str:
    """Why a certificate is not taken for a pinned one; where nobody verified a chain, its dates are looked at here."""
    if pins.isdisjoint((_spki_sha256(peer), hashlib.sha256(peer.public_bytes(Encoding.DER)).hexdigest())):
        return "the certificate is not a pinned one"
    now = datetime.datetime.now(datetime.UTC)
    if now > peer.not_valid_after_utc:
        return "certificate has expired"
    if now < peer.not_valid_before_utc:
        return "certificate is not yet valid"
    return "the key is too short" if _has_short_key(peer) else ""


def _has_short_key(peer: x509.Certificate) -> bool:
    key = peer.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size < MIN_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < MIN_EC_BITS


def _spki_sha256(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:MAX_SUBJECT]
