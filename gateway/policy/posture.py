"""What was observed about a leg (its security vector) and the grade that follows from it.

The grade is derived from the codes and from nothing else: each code caps the grade, the lowest cap counts.
So a leg below HOP_BY_HOP always carries the code that says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.base.codes import Code
from gateway.base.crypto_suite import BY_NAME
from gateway.base.grades import Grade

MIN_KEY_BITS = 128
MIN_TAG_BITS = 80
"""The baseline suite: shorter keys or tags are PARTIAL."""

SHORT_TAG_SUITES = frozenset(
    {"AES_CM_128_HMAC_SHA1_32", "AES_192_CM_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_32"},
)
"""Registered suites with a 32-bit tag (RFC 4568 6.2.2, RFC 6188 3.2): named for what they are, never offered."""

MODERN_TLS = frozenset({"1.2", "1.3"})
"""TLS and DTLS versions that protect anything (RFC 8996, RFC 9325); a version not listed here does not count."""

STRONG_HASHES = frozenset({"sha-256", "sha-384", "sha-512"})
"""Fingerprint hashes that bind a certificate (RFC 8122 5); weaker and unknown ones do not."""

CAPS: dict[Code, Grade] = {
    Code.MEDIA_PLAIN_RTP: Grade.CLEARTEXT,
    Code.MEDIA_CRYPTO_IGNORED: Grade.CLEARTEXT,
    Code.MEDIA_KEYING_UNKNOWN: Grade.CLEARTEXT,
    Code.KEY_MKI: Grade.CLEARTEXT,
    Code.KEY_PARAMETER_UNKNOWN: Grade.CLEARTEXT,
    Code.SUITE_NULL: Grade.CLEARTEXT,
    Code.SUITE_UNKNOWN: Grade.CLEARTEXT,
    Code.SUITE_UNENCRYPTED_SRTP: Grade.CLEARTEXT,
    Code.MID_STREAM_ADDED_PLAIN: Grade.CLEARTEXT,
    Code.EARLY_UNKEYED: Grade.CLEARTEXT,
    Code.MEDIA_PLAIN_ON_SECURE: Grade.CLEARTEXT,
    Code.KEY_SDES_CLEARTEXT: Grade.KEY_EXPOSED,
    Code.GW_KEY_LEAK: Grade.KEY_EXPOSED,
    Code.DTLS_OLD: Grade.KEY_EXPOSED,
    Code.SUITE_UNENCRYPTED_SRTCP: Grade.PARTIAL,
    Code.SUITE_UNAUTHENTICATED_SRTP: Grade.PARTIAL,
    Code.SUITE_WEAK_TAG: Grade.PARTIAL,
    Code.SUITE_SMALL_KEY: Grade.PARTIAL,
    Code.FORK_MIXED: Grade.PARTIAL,
    Code.EARLY_PLAIN: Grade.PARTIAL,
    Code.MEDIA_KEY_MISMATCH: Grade.UNAUTHENTICATED,
    Code.KEY_SDES_UNVERIFIED_TLS: Grade.UNAUTHENTICATED,
    Code.KEY_DTLS_FP_UNAUTH: Grade.UNAUTHENTICATED,
    Code.DTLS_FP_MISMATCH: Grade.UNAUTHENTICATED,
    Code.DTLS_FP_WEAK: Grade.UNAUTHENTICATED,
    Code.BRW_WS_INSECURE: Grade.UNAUTHENTICATED,
}
"""The best grade a leg can have while it carries the code. Codes not listed tell what happened, not who can hear the
call: after media.osrtp_fallback it is the missing key, media.plain_rtp, that makes the leg CLEARTEXT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityVector:
    """Everything observed about how one leg is protected; never a key. Unstated facts count against the leg."""

    leg: str
    """browser or trunk."""
    sig_transport: str
    """udp, tcp, tls, ws or wss."""
    sig_tls_version: str = ""
    """As the TLS library names it, for example TLSv1.3. A trunk whose version is not stated is not verified."""
    sig_verified: bool = False
    """The peer's identity was verified. On wss the browser verified ours, which is as good."""
    keying: str
    """plain, sdes, dtls, or pending: not keyed yet, graded as what it will be at best."""
    proto: str = ""
    """The transport of the m-line, for example RTP/SAVP."""
    suite: str = ""
    """SDES name of the crypto suite, empty when there is none."""
    key_bits: int = 0
    """Master key length; 0: as the suite table says."""
    tag_bits: int = 0
    """Authentication tag length; 0: as the suite table says."""
    srtcp_encrypted: bool = True
    dtls_version: str = ""
    fingerprint_algorithm: str = ""
    fingerprint_match: bool | None = None
    """Result of comparing certificate and signalled fingerprint; anything but True is not bound to a peer."""
    extra_codes: frozenset[Code] = frozenset()
    """What negotiation found and no other field shows, for example media.savp_retry."""
    noted: frozenset[Code] = frozenset()
    """What a description brought and nobody uses: the reasons of skipped key lines, a second stream. Recorded, never
    counted against the leg: what is used is judged by the other fields."""

    @property
    def strength(self) -> tuple[int, int]:
        """(key bits, tag bits) of the agreed suite: the table's, or the stated ones where those are weaker."""
        known = BY_NAME.get(self.suite)
        if known is None:
            return self.key_bits, self.tag_bits
        return min(self.key_bits or known.key_bits, known.key_bits), min(
            self.tag_bits or known.tag_bits, known.tag_bits
        )

    def as_dict(self) -> dict[str, object]:
        """The vector as it stands in an audit record."""
        key_bits, tag_bits = self.strength
        return {
            "leg": self.leg,
            "sig_transport": self.sig_transport,
            "sig_tls_version": self.sig_tls_version,
            "sig_verified": self.sig_verified,
            "keying": str(self.keying),
            "proto": str(self.proto),
            "suite": self.suite,
            "key_bits": key_bits,
            "tag_bits": tag_bits,
            "srtcp_encrypted": self.srtcp_encrypted,
            "dtls_version": self.dtls_version,
            "fingerprint_algorithm": self.fingerprint_algorithm,
            "fingerprint_match": self.fingerprint_match,
            "extra_codes": sorted(self.extra_codes),
            "noted": sorted(self.noted),
        }

    def summary(self) -> str:
        """`keying,suite,signalling[,verified]` in fixed places, as the Call-Security header shows it."""
        keying = _best_keying(self) if self.keying == "pending" else str(self.keying)
        parts = [keying, _suite_words(self), _signalling_words(self)]
        if self.sig_transport == "tls":
            parts.append("verified" if signalling_verified(self) else "unverified")
        return ",".join(parts)


def tls_number(version: str) -> str:
    """The number in a TLS or DTLS version name: `TLSv1.3` -> `1.3`; empty when there is none."""
    number = version.lower().removeprefix("d").removeprefix("tls").removeprefix("v")
    return number if number.replace(".", "").isdecimal() else ""


def signalling_verified(vector: SecurityVector) -> bool:
    """True when the leg's signalling kept secrets and came from a verified peer (RFC 5922, RFC 9325)."""
    if vector.leg == "browser":
        return vector.sig_transport == "wss" and not _tls_is_old(vector)
    return vector.sig_transport == "tls" and vector.sig_verified and tls_number(vector.sig_tls_version) in MODERN_TLS


def codes(vector: SecurityVector) -> frozenset[Code]:
    """Everything a record says of the leg: its weaknesses, and what was only noted."""
    return weaknesses(vector) | vector.noted


def weaknesses(vector: SecurityVector) -> frozenset[Code]:
    """What counts against the leg: what the vector shows and what negotiation found."""
    return _observed(vector) | vector.extra_codes


def grade(vector: SecurityVector) -> Grade:
    """How well the leg is protected: the lowest cap of its codes, at most HOP_BY_HOP."""
    return min((CAPS[code] for code in weaknesses(vector) if code in CAPS), default=Grade.HOP_BY_HOP)


def _observed(vector: SecurityVector) -> frozenset[Code]:
    return frozenset((*_keying_codes(vector), *_signalling_codes(vector)))


def _best_keying(vector: SecurityVector) -> str:
    dtls = vector.leg == "browser" or vector.proto.startswith("UDP/TLS/")
    return "dtls" if dtls else "sdes"


def _keying_codes(vector: SecurityVector) -> Iterable[Code]:
    match str(vector.keying):
        case "plain":
            yield from _plain_codes(vector)
        case "sdes":
            yield from _sdes_codes(vector)
            yield from _suite_codes(vector)
        case "dtls":
            yield from _dtls_codes(vector)
            yield from _suite_codes(vector)
        case "pending":
            yield from _pending_codes(vector)
        case _:
            yield Code.MEDIA_KEYING_UNKNOWN


def _pending_codes(vector: SecurityVector) -> Iterable[Code]:
    """Only what the signalling already decides; suite and fingerprint are still to come."""
    if _best_keying(vector) == "sdes":
        return _sdes_codes(vector)
    return () if signalling_verified(vector) else (Code.KEY_DTLS_FP_UNAUTH,)


def _plain_codes(vector: SecurityVector) -> Iterable[Code]:
    yield Code.MEDIA_PLAIN_RTP
    if "SAVP" in vector.proto:
        yield Code.MEDIA_CRYPTO_IGNORED
    if vector.leg == "browser":
        yield Code.BRW_SDES_OR_AVP


def _sdes_codes(vector: SecurityVector) -> Iterable[Code]:
    if vector.leg == "browser":
        yield Code.BRW_SDES_OR_AVP
    if vector.sig_transport not in ("tls", "wss") or _tls_is_old(vector):
        yield Code.KEY_SDES_CLEARTEXT
    elif not signalling_verified(vector):
        yield Code.KEY_SDES_UNVERIFIED_TLS
    if vector.proto.startswith("RTP/AVP"):
        yield Code.MEDIA_AVP_WITH_CRYPTO


def _dtls_codes(vector: SecurityVector) -> Iterable[Code]:
    if vector.fingerprint_match is False:
        yield Code.DTLS_FP_MISMATCH
    if vector.fingerprint_match is None or not signalling_verified(vector):
        yield Code.KEY_DTLS_FP_UNAUTH
    if vector.fingerprint_algorithm and vector.fingerprint_algorithm not in STRONG_HASHES:
        yield Code.DTLS_FP_WEAK
    if vector.dtls_version and tls_number(vector.dtls_version) not in MODERN_TLS:
        yield Code.DTLS_OLD


def _suite_codes(vector: SecurityVector) -> Iterable[Code]:
    if vector.suite not in BY_NAME:
        yield _foreign_suite(vector.suite)
        return
    key_bits, tag_bits = vector.strength
    if key_bits < MIN_KEY_BITS:
        yield Code.SUITE_SMALL_KEY
    if tag_bits < MIN_TAG_BITS:
        yield Code.SUITE_WEAK_TAG
    if not vector.srtcp_encrypted:
        yield Code.SUITE_UNENCRYPTED_SRTCP


def _foreign_suite(name: str) -> Code:
    """A suite this gateway cannot carry: named where the weakness is known, unknown otherwise."""
    if "NULL" in name or name.startswith("F8_"):
        return Code.SUITE_NULL
    return Code.SUITE_WEAK_TAG if name in SHORT_TAG_SUITES else Code.SUITE_UNKNOWN


def _signalling_codes(vector: SecurityVector) -> Iterable[Code]:
    if vector.leg == "browser" and vector.sig_transport != "wss":
        yield Code.BRW_WS_INSECURE
    if vector.sig_transport in ("tls", "wss") and _tls_is_old(vector):
        yield Code.TLS_OLD


def _tls_is_old(vector: SecurityVector) -> bool:
    return bool(vector.sig_tls_version) and tls_number(vector.sig_tls_version) not in MODERN_TLS


def _suite_words(vector: SecurityVector) -> str:
    """Only names from our own tables are shown to a browser."""
    if vector.keying == "pending":
        return "pending"
    if vector.suite in BY_NAME or vector.suite in SHORT_TAG_SUITES:
        return vector.suite
    return "unknown" if vector.suite else "none"


def _signalling_words(vector: SecurityVector) -> str:
    number = tls_number(vector.sig_tls_version) if vector.sig_transport == "tls" else ""
    return vector.sig_transport + number


class CallPosture:
    """The grade of a call over both legs: now, at the answer, and the worst it ever was."""

    def __init__(self) -> None:
        self.at_answer: Grade | None = None
        self._vectors: dict[str, SecurityVector] = {}
        self._worst: Grade | None = None
        self._seen: frozenset[Code] = frozenset()

    def update(self, leg: str, vector: SecurityVector) -> None:
        """Take over what was agreed for a leg; a refused change must not come here."""
        self._vectors[leg] = vector
        self._seen |= codes(vector)
        self._worst = self.current if self._worst is None else min(self._worst, self.current)

    def note(self, code: Code) -> None:
        """Something happened during the call that changed no leg: `codes_seen` tells of it."""
        self._seen |= {code}

    def mark_answered(self) -> None:
        """Keep the grade at the moment of the answer; later answers of the same call do not change it."""
        if self.at_answer is None:
            self.at_answer = self.current

    @property
    def current(self) -> Grade:
        """The lower grade of the legs; CLEARTEXT while nothing is known."""
        return min((grade(v) for v in self._vectors.values()), default=Grade.CLEARTEXT)

    @property
    def worst(self) -> Grade:
        """The lowest grade the call ever had; it never rises."""
        return self.current if self._worst is None else self._worst

    @property
    def codes_seen(self) -> frozenset[Code]:
        """Every code any leg carried during the call."""
        return self._seen

    def vector(self, leg: str) -> SecurityVector | None:
        """What is agreed for a leg now."""
        return self._vectors.get(leg)

    def legs(self) -> dict[str, Grade]:
        """The grade of each leg now."""
        return {leg: grade(vector) for leg, vector in self._vectors.items()}
