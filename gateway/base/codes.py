"""The catalogue of downgrades: every way a leg can be weaker than it should be has one code.

Audit records, headers and refusals use these codes and no free text beside them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Code(StrEnum):
    """One weakness of a leg, named `<area>.<weakness>`; policy/catalogue.py tells what is done about each."""

    MEDIA_PLAIN_RTP = "media.plain_rtp"
    MEDIA_OSRTP_FALLBACK = "media.osrtp_fallback"
    MEDIA_AVP_WITH_CRYPTO = "media.avp_with_crypto"
    MEDIA_SAVP_RETRY = "media.savp_retry"
    MEDIA_CRYPTO_IGNORED = "media.crypto_ignored"
    MEDIA_MIXED_KEYING = "media.mixed_keying"
    MEDIA_KEYING_UNKNOWN = "media.keying_unknown"
    MEDIA_PLAIN_ON_SECURE = "media.plain_on_secure"
    MEDIA_KEY_MISMATCH = "media.key_mismatch"
    MEDIA_LATCH_MISMATCH = "media.latch_mismatch"
    MEDIA_MID_RELATCH = "media.mid_relatch"
    KEY_SDES_CLEARTEXT = "key.sdes_cleartext"
    KEY_SDES_UNVERIFIED_TLS = "key.sdes_unverified_tls"
    KEY_DTLS_FP_UNAUTH = "key.dtls_fp_unauth"
    KEY_REUSE = "key.reuse"
    KEY_MKI = "key.mki"
    KEY_PARAMETER_UNKNOWN = "key.parameter_unknown"
    KEY_LIFETIME = "key.lifetime"
    SUITE_WEAK_TAG = "suite.weak_tag"
    SUITE_SMALL_KEY = "suite.small_key"
    SUITE_NULL = "suite.null"
    SUITE_UNKNOWN = "suite.unknown"
    SUITE_UNENCRYPTED_SRTP = "suite.unencrypted_srtp"
    SUITE_UNENCRYPTED_SRTCP = "suite.unencrypted_srtcp"
    SUITE_UNAUTHENTICATED_SRTP = "suite.unauthenticated_srtp"
    SRTCP_ABSENT = "srtcp.absent"
    DTLS_FP_MISMATCH = "dtls.fp_mismatch"
    DTLS_FP_WEAK = "dtls.fp_weak"
    DTLS_OLD = "dtls.old"
    DTLS_RENEG = "dtls.reneg"
    DTLS_ROLE_FLIP = "dtls.role_flip"
    TLS_OLD = "tls.old"
    TLS_UNVERIFIED = "tls.unverified"
    SIG_SIPS_NOT_HONOURED = "sig.sips_not_honoured"
    SIG_DTMF_CLEARTEXT = "sig.dtmf_cleartext"
    MID_CRYPTO_REMOVED = "mid.crypto_removed"
    MID_STREAM_ADDED_PLAIN = "mid.stream_added_plain"
    MID_HOLD_REKEY = "mid.hold_rekey"
    MID_TRANSFER_WEAKER = "mid.transfer_weaker"
    FORK_MIXED = "fork.mixed"
    EARLY_UNKEYED = "early.unkeyed"
    EARLY_PLAIN = "early.plain"
    GW_PLAIN_ACCESS = "gw.plain_access"
    GW_KEY_LEAK = "gw.key_leak"
    META_LEAK = "meta.leak"
    BRW_WS_INSECURE = "brw.ws_insecure"
    BRW_SDES_OR_AVP = "brw.sdes_or_avp"
    BRW_NO_MUX = "brw.no_mux"
    BRW_NO_ICE = "brw.no_ice"
    BRW_LITE = "brw.lite"
    BRW_CONSENT_LOST = "brw.consent_lost"
    BRW_IDENTITY_MISMATCH = "brw.identity_mismatch"
    BRW_ORIGIN_BAD = "brw.origin_bad"
    PIN_BID_DOWN = "pin.bid_down"


def known_codes(names: Iterable[str]) -> frozenset[Code]:
    """The codes among `names`; text that is no code is left out, so no layer can invent one."""
    return frozenset(Code(name) for name in names if name in _VALUES)


_VALUES: frozenset[str] = frozenset(code.value for code in Code)
