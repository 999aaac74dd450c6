"""Whom a certificate speaks for (RFC 5922). No sockets.

The name is matched here, because TLS libraries accept wildcards and RFC 5922 7.2 does not, and because the name to
match is the *configured* domain, never what DNS made of it.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.trunks.target import is_ip_literal

WILDCARD = "*."
"""A whole left-most label; no other asterisk is ever read as one (RFC 6125 6.4.3)."""
MIN_WILDCARD_LABELS = 2
"""Labels behind the asterisk."""


def match_sip_domain(certificate: x509.Certificate, names: Sequence[str], *, wildcards: bool = False) -> str | None:
    """The first of `names` the certificate speaks for, or None (RFC 5922 7.1 and 7.2).

    `sip:` URIs of the subjectAltName say for which domains the certificate stands; its DNS names count only when there
    is no `sip:` URI, the common name only without any subjectAltName. An IP literal matches an iPAddress entry only.

    Args:
        wildcards: a DNS name `*.example.com` of the subjectAltName stands for every name with one label in place of
            the asterisk. RFC 5922 7.2 knows no wildcards.
    """
    identities, patterns = _identities(certificate)
    spoken_for = patterns if wildcards else frozenset[str]()
    return next((name for name in names if _normal(name) in identities or _parent(name) in spoken_for), None)


def _identities(certificate: x509.Certificate) -> tuple[frozenset[str], frozenset[str]]:
    """Whom the certificate names, and below which domains it names everybody."""
    names = _alternative_names(certificate)
    if names is None:
        return _normalised(name for name in _common_names(certificate) if not is_ip_literal(name)), frozenset()
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    domains = [d for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if (d := _sip_domain(uri))]
    if domains:
        return _normalised(domains + addresses), frozenset()
    found = [d for d in names.get_values_for_type(x509.DNSName) if not is_ip_literal(d)]
    wild = _normalised(d.removeprefix(WILDCARD) for d in found if d.startswith(WILDCARD))
    return _normalised(found + addresses), frozenset(domain for domain in wild if _is_somebodys(domain))


def _parent(name: str) -> str:
    """The domain a name is directly below; "" for addresses and for what is no name."""
    normal = _normal(name)
    first, _, rest = normal.partition(".")
    return rest if first and not is_ip_literal(normal) else ""


def _is_somebodys(domain: str) -> bool:
    """Nobody owns all names below `com`, whoever signed that."""
    labels = domain.split(".")
    return len(labels) >= MIN_WILDCARD_LABELS and all(labels)


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
