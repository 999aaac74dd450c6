"""Legs as the tests need them: one per way of keying, on every kind of signalling."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from gateway.base.codes import Code
from gateway.base.crypto_suite import (
    AEAD_AES_256_GCM,
    AES_CM_128_HMAC_SHA1_32,
    AES_CM_128_HMAC_SHA1_80,
    SUITES,
    CryptoSuite,
)
from gateway.base.keying import Keying, Proto
from gateway.base.signalling import Signalling, TransportName
from gateway.base.values import LegKind
from gateway.policy.posture import SecurityVector

SIGNALLING: dict[str, Signalling] = {
    "udp": Signalling("udp"),
    "tcp": Signalling("tcp"),
    "tls-old": Signalling("tls", "TLSv1.1", True),
    "tls-unverified": Signalling("tls", "TLSv1.3", False),
    "tls": Signalling("tls", "TLSv1.2", True),
}

PROTO = {"plain": Proto.AVP, "sdes": Proto.SAVP, "osrtp": Proto.AVP, "ignored": Proto.SAVP}

SHORT_TAG = AES_CM_128_HMAC_SHA1_32
"""RFC 4568 6.2.2; not in the built-in set."""
SHORT_KEY = CryptoSuite("F8_64", "F8_64", 8, 14, 80)


def trunk(answer: str, signalling: str = "tls", suite: CryptoSuite | None = AES_CM_128_HMAC_SHA1_80) -> SecurityVector:
    """A trunk leg: plain, sdes (on SAVP), osrtp (SDES on AVP) or ignored (SAVP without a key)."""
    keyed = answer in ("sdes", "osrtp")
    return SecurityVector(
        leg=LegKind.TRUNK,
        signalling=SIGNALLING[signalling],
        keying=Keying.SDES if keyed else Keying.NONE,
        proto=PROTO[answer],
        suite=suite if keyed else None,
    )


def browser(
    transport: TransportName = "wss", *, match: bool | None = True, keying: Keying = Keying.DTLS
) -> SecurityVector:
    """A browser leg after its DTLS handshake, or before it with Keying.PENDING."""
    done = keying is Keying.DTLS
    return SecurityVector(
        leg=LegKind.BROWSER,
        signalling=Signalling.of(transport, None),
        keying=keying,
        proto=Proto.DTLS_SAVPF,
        suite=AEAD_AES_256_GCM if done else None,
        dtls_version="DTLSv1.2" if done else "",
        fingerprint_algorithm="sha-256" if done else "",
        fingerprint_match=match if done else None,
    )


CONNECTIONS = st.builds(
    Signalling,
    transport=st.sampled_from(get_args(TransportName)),
    tls_version=st.sampled_from(["", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]) | st.text(max_size=8),
    verified=st.booleans(),
)
VECTORS = st.builds(
    SecurityVector,
    leg=st.sampled_from(LegKind),
    signalling=CONNECTIONS,
    keying=st.sampled_from(Keying),
    proto=st.none() | st.sampled_from(Proto),
    suite=st.none() | st.sampled_from([*SUITES, SHORT_TAG, SHORT_KEY]),
    srtcp_encrypted=st.booleans(),
    dtls_version=st.sampled_from(["", "DTLSv1", "DTLSv1.2"]) | st.text(max_size=5),
    fingerprint_algorithm=st.sampled_from(["", "sha-256", "sha-1", "md5"]) | st.text(max_size=5),
    fingerprint_match=st.none() | st.booleans(),
    extra_codes=st.frozensets(st.sampled_from(list(Code)), max_size=3),
)
"""Any vector at all; what libraries and peers write in words, also as nonsense."""
