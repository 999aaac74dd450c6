"""SRTP crypto suites (RFC 4568, RFC 5764, RFC 6188, RFC 7714): one table owns names, lengths and strength.

A suite that is not in the table does not exist for this gateway: it is never offered, accepted or guessed. Which of
them a call may use is said by its policy.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CryptoSuite:
    """One SRTP protection profile."""

    name: str
    """SDES name as written in `a=crypto` (RFC 4568 6.2, RFC 6188 4, RFC 7714 14.2)."""
    dtls_name: str
    """OpenSSL name for `use_srtp` (RFC 5764 4.1.2, RFC 7714 14.2); empty where DTLS-SRTP knows no such profile."""
    key_length: int
    """Master key, octets."""
    salt_length: int
    """Master salt, octets."""
    tag_bits: int
    """Authentication tag of an SRTP packet, bits. That of an SRTCP packet is never shorter than 80."""

    @property
    def key_bits(self) -> int:
        return self.key_length * 8

    @property
    def master_length(self) -> int:
        """Octets of key and salt together, as carried by `inline:`."""
        return self.key_length + self.salt_length


AEAD_AES_256_GCM = CryptoSuite("AEAD_AES_256_GCM", "SRTP_AEAD_AES_256_GCM", 32, 12, 128)
AEAD_AES_128_GCM = CryptoSuite("AEAD_AES_128_GCM", "SRTP_AEAD_AES_128_GCM", 16, 12, 128)
AES_256_CM_HMAC_SHA1_80 = CryptoSuite("AES_256_CM_HMAC_SHA1_80", "", 32, 14, 80)
AES_CM_128_HMAC_SHA1_80 = CryptoSuite("AES_CM_128_HMAC_SHA1_80", "SRTP_AES128_CM_SHA1_80", 16, 14, 80)
AES_256_CM_HMAC_SHA1_32 = CryptoSuite("AES_256_CM_HMAC_SHA1_32", "", 32, 14, 32)
AES_CM_128_HMAC_SHA1_32 = CryptoSuite("AES_CM_128_HMAC_SHA1_32", "SRTP_AES128_CM_SHA1_32", 16, 14, 32)

EVERY_SUITE: tuple[CryptoSuite, ...] = (
    AEAD_AES_256_GCM,
    AEAD_AES_128_GCM,
    AES_256_CM_HMAC_SHA1_80,
    AES_CM_128_HMAC_SHA1_80,
    AES_256_CM_HMAC_SHA1_32,
    AES_CM_128_HMAC_SHA1_32,
)
"""Every suite the gateway can carry, strongest first. AES-192 (RFC 6188) is none of them: the library up to 2.7 derives
other session keys for it than the RFC says, so it is understood only by itself."""

SUITES: tuple[CryptoSuite, ...] = (
    AEAD_AES_256_GCM,
    AEAD_AES_128_GCM,
    AES_256_CM_HMAC_SHA1_80,
    AES_CM_128_HMAC_SHA1_80,
)
"""The built-in set of a policy that names none, in order of preference. Short tags are for who lists them."""

BY_NAME: dict[str, CryptoSuite] = {s.name: s for s in EVERY_SUITE}
BY_DTLS_NAME: dict[str, CryptoSuite] = {s.dtls_name: s for s in EVERY_SUITE if s.dtls_name}
