"""What was observed about a leg (its security vector) and the grade that follows from it.

The grade is derived from the codes and from nothing else: each code caps the grade, the lowest cap counts.
So a leg below HOP_BY_HOP always carries the code that says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import assert_never

from gateway.base.codes import Code
from gateway.base.crypto_suite import CryptoSuite
from gateway.base.grades import Grade
from gateway.base.keying import Keying, Proto
from gateway.base.signalling import Signalling
from gateway.base.values import LegId, LegKind
from gateway.policy.catalogue import CAPS

MIN_KEY_BITS = 128
MIN_TAG_BITS = 80
"""The baseline suite: shorter keys or tags are PARTIAL."""

MODERN_TLS = frozenset({"1.2", "1.3"})
"""TLS and DTLS versions that protect anything (RFC 8996, RFC 9325); a version not listed here does not count."""

STRONG_HASHES = frozenset({"sha-256", "sha-384", "sha-512"})
"""Fingerprint hashes that bind a certificate (RFC 8122 5); weaker and unknown ones do not."""


@dataclass(frozen=True, kw_only=True)
class SecurityVector:
    """Everything observed about how one leg is protected; never a key. Unstated facts count against the leg.

    A vector is graded once, when it is asked for the first time; the result is no part of what it says.
    """

    leg: LegKind
    signalling: Signalling
    """A trunk whose TLS version is not stated is not verified."""
    keying: Keying
    proto: Proto | None = None
    """The transport of the m-line; None before there is one."""
    awaits: Keying | None = None
    """What a leg that is pending will be keyed by; None: what its kind and its transport say."""
    suite: CryptoSuite | None = None
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

    @cached_property
    def weaknesses(self) -> frozenset[Code]:
        """What counts against the leg: what the vector shows and what negotiation found."""
        return frozenset((*_keying_codes(self), *_signalling_codes(self))) | self.extra_codes

    @cached_property
    def codes(self) -> frozenset[Code]:
        """Everything a record says of the leg: its weaknesses, and what was only noted."""
        return self.weaknesses | self.noted

    @cached_property
    def grade(self) -> Grade:
        """How well the leg is protected: the lowest cap of its weaknesses, at most HOP_BY_HOP."""
        return min((CAPS[code] for code in self.weaknesses if code in CAPS), default=Grade.HOP_BY_HOP)

    @property
    def strength(self) -> tuple[int, int]:
        """(key bits, tag bits) of the agreed suite."""
        return (self.suite.key_bits, self.suite.tag_bits) if self.suite is not None else (0, 0)

    def as_dict(self) -> dict[str, object]:
        """The vector as it stands in an audit record."""
        key_bits, tag_bits = self.strength
        return {
            "leg": self.leg.value,
            "sig_transport": self.signalling.transport,
            "sig_tls_version": self.signalling.tls_version,
            "sig_verified": self.signalling.verified,
            "keying": self.keying.value,
            "proto": self.proto.value if self.proto is not None else "",
            "suite": self.suite.name if self.suite is not None else "",
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
        keying = _best_keying(self) if self.keying is Keying.PENDING else self.keying
        parts = [keying.value, _suite_words(self), _signalling_words(self.signalling)]
        if self.signalling.transport == "tls":
            parts.append("verified" if signalling_verified(self) else "unverified")
        return ",".join(parts)


def tls_number(version: str) -> str:
    """The number in a TLS or DTLS version name: `TLSv1.3` -> `1.3`; empty when there is none."""
    number = version.lower().removeprefix("d").removeprefix("tls").removeprefix("v")
    return number if number.replace(".", "").isdecimal() else ""


def signalling_verified(vector: SecurityVector) -> bool:
    """True when the leg's signalling kept secrets and came from a verified peer (RFC 5922, RFC 9325)."""
    signalling = vector.signalling
    if vector.leg is LegKind.BROWSER:
        return signalling.transport == "wss" and not _tls_is_old(signalling)
    return signalling.transport == "tls" and signalling.verified and tls_number(signalling.tls_version) in MODERN_TLS


def _best_keying(vector: SecurityVector) -> Keying:
    """What a leg without keys will be keyed by at best."""
    if vector.awaits is not None:
        return vector.awaits
    dtls = vector.leg is LegKind.BROWSER or (vector.proto is not None and vector.proto.dtls)
    return Keying.DTLS if dtls else Keying.SDES


def _keying_codes(vector: SecurityVector) -> Iterable[Code]:
    match vector.keying:
        case Keying.NONE:
            yield from _plain_codes(vector)
        case Keying.SDES:
            yield from _sdes_codes(vector)
            yield from _suite_codes(vector)
        case Keying.DTLS:
            yield from _dtls_codes(vector)
            yield from _suite_codes(vector)
        case Keying.PENDING:
            yield from _pending_codes(vector)
        case _:
            assert_never(vector.keying)


def _pending_codes(vector: SecurityVector) -> Iterable[Code]:
    """Only what the signalling already decides; suite and fingerprint are still to come."""
    if _best_keying(vector) is Keying.SDES:
        return _sdes_codes(vector)
    unvouched = () if signalling_verified(vector) else (Code.KEY_DTLS_FP_UNAUTH,)
    return (*unvouched, *_optional_codes(vector))


def _optional_codes(vector: SecurityVector) -> Iterable[Code]:
    """Keys that the transport of the m-line does not demand (RFC 8643)."""
    if vector.proto is not None and not vector.proto.keyed:
        yield Code.MEDIA_AVP_WITH_CRYPTO


def _plain_codes(vector: SecurityVector) -> Iterable[Code]:
    yield Code.MEDIA_PLAIN_RTP
    if vector.proto is not None and vector.proto.keyed:
        yield Code.MEDIA_CRYPTO_IGNORED
    if vector.leg is LegKind.BROWSER:
        yield Code.BRW_SDES_OR_AVP


def _sdes_codes(vector: SecurityVector) -> Iterable[Code]:
    if vector.leg is LegKind.BROWSER:
        yield Code.BRW_SDES_OR_AVP
    if not vector.signalling.is_encrypted or _tls_is_old(vector.signalling):
        yield Code.KEY_SDES_CLEARTEXT
    elif not signalling_verified(vector):
        yield Code.KEY_SDES_UNVERIFIED_TLS
    yield from _optional_codes(vector)


def _dtls_codes(vector: SecurityVector) -> Iterable[Code]:
    if vector.fingerprint_match is False:
        yield Code.DTLS_FP_MISMATCH
    if vector.fingerprint_match is None or not signalling_verified(vector):
        yield Code.KEY_DTLS_FP_UNAUTH
    if vector.fingerprint_algorithm and vector.fingerprint_algorithm not in STRONG_HASHES:
        yield Code.DTLS_FP_WEAK
    if vector.dtls_version and tls_number(vector.dtls_version) not in MODERN_TLS:
        yield Code.DTLS_OLD
    yield from _optional_codes(vector)


def _suite_codes(vector: SecurityVector) -> Iterable[Code]:
    if vector.suite is None:
        yield Code.SUITE_UNKNOWN
        return
    if vector.suite.key_bits < MIN_KEY_BITS:
        yield Code.SUITE_SMALL_KEY
    if vector.suite.tag_bits < MIN_TAG_BITS:
        yield Code.SUITE_WEAK_TAG
    if not vector.srtcp_encrypted:
        yield Code.SUITE_UNENCRYPTED_SRTCP


def _signalling_codes(vector: SecurityVector) -> Iterable[Code]:
    if vector.leg is LegKind.BROWSER and vector.signalling.transport != "wss":
        yield Code.BRW_WS_INSECURE
    if vector.signalling.is_encrypted and _tls_is_old(vector.signalling):
        yield Code.TLS_OLD


def _tls_is_old(signalling: Signalling) -> bool:
    return bool(signalling.tls_version) and tls_number(signalling.tls_version) not in MODERN_TLS


def _suite_words(vector: SecurityVector) -> str:
    if vector.keying is Keying.PENDING:
        return Keying.PENDING.value
    return vector.suite.name if vector.suite is not None else "none"


def _signalling_words(signalling: Signalling) -> str:
    number = tls_number(signalling.tls_version) if signalling.transport == "tls" else ""
    return signalling.transport + number


class CallPosture:
    """The grade of a call over the legs that hear each other: now, at the answer, and the worst it ever was."""

    def __init__(self) -> None:
        self.at_answer: Grade | None = None
        self._vectors: dict[LegId, SecurityVector] = {}
        self._worst: Grade | None = None
        self._seen: frozenset[Code] = frozenset()

    def update(self, leg: LegId, vector: SecurityVector) -> None:
        """Take over what was agreed for a leg; a refused change must not come here."""
        if self._vectors.get(leg) == vector:
            return  # known, and graded
        self._vectors[leg] = vector
        self._seen |= vector.codes
        self._worst = self.current if self._worst is None else min(self._worst, self.current)

    def expecting(self, vectors: Mapping[LegId, SecurityVector]) -> CallPosture:
        """The posture there would be with these legs too; this one stays as it is."""
        made = CallPosture()
        made.at_answer, made._vectors, made._worst, made._seen = (
            self.at_answer,
            dict(self._vectors),
            self._worst,
            self._seen,
        )
        for leg, vector in vectors.items():
            made.update(leg, vector)
        return made

    def drop(self, leg: LegId) -> None:
        """This leg is no part of the call any more; what it did to the call's worst grade stays."""
        self._vectors.pop(leg, None)

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
        return min((v.grade for v in self._vectors.values()), default=Grade.CLEARTEXT)

    @property
    def worst(self) -> Grade:
        """The lowest grade the call ever had; it never rises."""
        return self.current if self._worst is None else self._worst

    @property
    def codes_seen(self) -> frozenset[Code]:
        """Every code any leg carried during the call."""
        return self._seen

    def vector(self, leg: LegId) -> SecurityVector | None:
        """What is agreed for a leg now."""
        return self._vectors.get(leg)

    def legs(self) -> dict[LegId, Grade]:
        """The grade of each leg now."""
        return {leg: vector.grade for leg, vector in self._vectors.items()}

    def labels(self) -> dict[LegId, str]:
        """What each leg is called: by its kind; the second of a kind with its number, `browser-2`."""
        found: dict[LegId, str] = {}
        for leg in sorted(self._vectors):
            kind = self._vectors[leg].leg.value
            found[leg] = kind if kind not in found.values() else f"{kind}-{leg}"
        return found
