"""Legs as the tests need them: one per way of keying, on every kind of signalling."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.base.codes import Code
from gateway.base.crypto_suite import SUITES
from gateway.base.signalling import Signalling
from gateway.policy.posture import SecurityVector

SIGNALLING: dict[str, Signalling] = {
    "udp": Signalling("udp"),
    "tcp": Signalling("tcp"),
    "tls-old": Signalling("tls", "TLSv1.1", True),
    "tls-unverified": Signalling("tls", "TLSv1.3", False),
    "tls": Signalling("tls", "TLSv1.2", True),
}

PROTO = {"plain": "RTP/AVP", "sdes": "RTP/SAVP", "osrtp": "RTP/AVP", "ignored": "RTP/SAVP"}


def trunk(answer: str, signalling: str = "tls", suite: str = "AES_CM_128_HMAC_SHA1_80") -> SecurityVector:
    """A trunk leg: plain, sdes (on SAVP), osrtp (SDES on AVP) or ignored (SAVP without a key)."""
    keyed = answer in ("sdes", "osrtp")
    sig = SIGNALLING[signalling]
    return SecurityVector(
        leg="trunk",
        sig_transport=sig.transport,
        sig_tls_version=sig.tls_version,
        sig_verified=sig.verified,
        keying="sdes" if keyed else "plain",
        proto=PROTO[answer],
        suite=suite if keyed else "",
    )


def browser(transport: str = "wss", *, match: bool | None = True, keying: str = "dtls") -> SecurityVector:
    """A browser leg after its DTLS handshake, or before it with keying="pending"."""
    return SecurityVector(
        leg="browser",
        sig_transport=transport,
        sig_verified=transport == "wss",
        keying=keying,
        proto="UDP/TLS/RTP/SAVPF",
        suite="AEAD_AES_256_GCM" if keying == "dtls" else "",
        dtls_version="DTLSv1.2" if keying == "dtls" else "",
        fingerprint_algorithm="sha-256" if keying == "dtls" else "",
        fingerprint_match=match if keying == "dtls" else None,
    )


_TRANSPORTS = st.sampled_from(["", "udp", "tcp", "tls", "ws", "wss", "sctp", "TLS"]) | st.text(max_size=5)
VECTORS = st.builds(
    SecurityVector,
    leg=st.sampled_from(["browser", "trunk"]) | st.text(max_size=3),
    sig_transport=_TRANSPORTS,
    sig_tls_version=st.sampled_from(["", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]) | st.text(max_size=8),
    sig_verified=st.booleans(),
    keying=st.sampled_from(["plain", "sdes", "dtls", "pending", "PLAIN", "Sdes"]) | st.text(max_size=5),
    proto=st.sampled_from(["", "RTP/AVP", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF"]) | st.text(max_size=8),
    suite=st.sampled_from(["", *(s.name for s in SUITES)]) | st.text(max_size=8),
    key_bits=st.integers(-8, 512),
    tag_bits=st.integers(-8, 512),
    srtcp_encrypted=st.booleans(),
    dtls_version=st.sampled_from(["", "DTLSv1", "DTLSv1.2"]) | st.text(max_size=5),
    fingerprint_algorithm=st.sampled_from(["", "sha-256", "sha-1", "md5"]) | st.text(max_size=5),
    fingerprint_match=st.none() | st.booleans(),
    extra_codes=st.frozensets(st.sampled_from(list(Code)), max_size=3),
)
"""Any vector at all: names from the RFCs, their misspellings, and nonsense."""
