"""SRTP crypto suites (RFC 4568, RFC 5764, RFC 7714): one table owns names, lengths and strength.

A suite that is not in the table does not exist for this gateway: it is never offered, accepted or guessed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CryptoSuite:
    """One SRTP protection profile."""

    name: str
    """SDES name as written in `a=crypto` (RFC 4568 6.2, RFC 7714 14.2)."""
    dtls_name: str
    """OpenSSL name for `use_srtp` (RFC 5764 4.1.2, RFC 7714 14.2)."""
    srtp_profile: int
    """Number of the profile in libsrtp's `srtp_profile_t`, which is the IANA DTLS-SRTP number."""
    key_length: int
    """Master key, octets."""
    salt_length: int
    """Master salt, octets."""
    tag_bits: int
    """Authentication tag of an SRTP packet, bits."""

    @property
    def key_bits(self) -> int:
        return self.key_length * 8

    @property
    def master_length(self) -> int:
        """Octets of key and salt together, as carried by `inline:`."""
        return self.key_length + self.salt_length


AEAD_AES_256_GCM = CryptoSuite("AEAD_AES_256_GCM", "SRTP_AEAD_AES_256_GCM", 8, 32, 12, 128)
AEAD_AES_128_GCM = CryptoSuite("AEAD_AES_128_GCM", "SRTP_AEAD_AES_128_GCM", 7, 16, 12, 128)
AES_CM_128_HMAC_SHA1_80 = CryptoSuite("AES_CM_128_HMAC_SHA1_80", "SRTP_AES128_CM_SHA1_80", 1, 16, 14, 80)

SUITES: tuple[CryptoSuite, ...] = (AEAD_AES_256_GCM, AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80)
"""Every suite the gateway can carry, strongest first: the order in which they are offered."""

BY_NAME: dict[str, CryptoSuite] = {s.name: s for s in SUITES}
BY_DTLS_NAME: dict[str, CryptoSuite] = {s.dtls_name: s for s in SUITES}
