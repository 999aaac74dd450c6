"""Whether a certificate is the one that was announced (RFC 8122 5)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gateway.sdp.keying import Fingerprint

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha-512": hashes.SHA512(),
    "sha-384": hashes.SHA384(),
    "sha-256": hashes.SHA256(),
}
"""Fingerprint algorithms accepted, strongest first; SHA-1 and MD5 are unknown here on purpose (RFC 8122 5)."""


def preferred_fingerprints(fingerprints: Sequence[Fingerprint]) -> tuple[Fingerprint, ...]:
    """Those of the strongest known hash: the preferred set of RFC 8122 5; empty when no hash is known."""
    for algorithm in _HASHES:
        if chosen := tuple(f for f in fingerprints if f.algorithm == algorithm):
            return chosen
    return ()


def matches_fingerprint(certificate: x509.Certificate, accepted: Sequence[Fingerprint]) -> bool:
    """Whether the certificate has one of the accepted fingerprints (RFC 8122 5); each compared in constant time."""
    found = [
        hmac.compare_digest(certificate.fingerprint(_HASHES[f.algorithm]), f.digest)
        for f in accepted
        if f.algorithm in _HASHES
    ]
    return any(found)
