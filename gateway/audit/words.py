"""What grades, codes, keys and connections mean, in words for somebody who has never read an RFC. PURE.

The technical name stands in brackets behind the words, never in place of them: who wants to know more can look it up.
"""

from __future__ import annotations

from typing import Final

from gateway.base.codes import Code
from gateway.base.crypto_suite import BY_NAME
from gateway.base.grades import Grade
from gateway.base.keying import Keying
from gateway.base.termination import Termination

WHO: Final[dict[Grade, str]] = {
    Grade.CLEARTEXT: "anyone on the network on the way to or from this gateway",
    Grade.KEY_EXPOSED: "anyone who saw both the signalling and the sound: the key went in the open",
    Grade.PARTIAL: "anyone on the network could hear or forge parts of it",
    Grade.UNAUTHENTICATED: "nobody who only listened; somebody who sat in the middle could have",
    Grade.HOP_BY_HOP: "nobody on the way to or from this gateway; the gateway itself and the providers beyond could",
    Grade.END_TO_END: "nobody but the two who spoke",
}
"""Who could hear a call of that grade."""

IN_SHORT: Final[dict[Grade, str]] = {
    Grade.CLEARTEXT: "not encrypted",
    Grade.KEY_EXPOSED: "encrypted, but the key was in the open",
    Grade.PARTIAL: "protected in part",
    Grade.UNAUTHENTICATED: "encrypted, but with whom was not proved",
    Grade.HOP_BY_HOP: "every leg encrypted",
    Grade.END_TO_END: "encrypted from end to end",
}
"""The grade as a table or a legend has it."""

OF_A_LEG: Final[dict[Grade, str]] = {**IN_SHORT, Grade.HOP_BY_HOP: "encrypted, and with whom was proved"}
"""The same, of one leg."""

CODES: Final[dict[str, str]] = {
    Code.MEDIA_PLAIN_RTP: "the sound was not encrypted",
    Code.MEDIA_OSRTP_FALLBACK: "encryption was offered and the other side did not take it",
    Code.MEDIA_AVP_WITH_CRYPTO: "it was encrypted although it was announced as plain",
    Code.MEDIA_SAVP_RETRY: "encryption was refused, so the call was tried again without it",
    Code.MEDIA_CRYPTO_IGNORED: "the other side agreed to encryption and gave no key",
    Code.MEDIA_MIXED_KEYING: "the other side mixed two ways of agreeing on keys",
    Code.MEDIA_KEYING_UNKNOWN: "the way in which keys were offered is not one this gateway can use",
    Code.MEDIA_PLAIN_ON_SECURE: "unencrypted packets arrived where encrypted ones were agreed",
    Code.MEDIA_KEY_MISMATCH: "packets arrived under another key than the agreed one",
    Code.MEDIA_LATCH_MISMATCH: "sound arrived from an address that nobody had announced",
    Code.MEDIA_MID_RELATCH: "the sound moved to another address in the middle of the call",
    Code.KEY_SDES_CLEARTEXT: "the key was sent in the open, over signalling that was not encrypted",
    Code.KEY_SDES_UNVERIFIED_TLS: "the key went to somebody who had not proved who they are",
    Code.KEY_DTLS_FP_UNAUTH: "the fingerprint that vouches for the key came over signalling nobody vouches for",
    Code.KEY_REUSE: "a key was used where a new one was due",
    Code.KEY_MKI: "the key was offered with a key identifier, which this gateway does not use",
    Code.KEY_PARAMETER_UNKNOWN: "the key was offered with a condition this gateway does not know",
    Code.KEY_LIFETIME: "a key came to the end of the number of packets it may protect",
    Code.SUITE_WEAK_TAG: "the seal of each packet was too short to stop forgery",
    Code.SUITE_SMALL_KEY: "the key was shorter than required",
    Code.SUITE_NULL: "the cipher was one that does not encrypt",
    Code.SUITE_UNKNOWN: "the cipher is not one this gateway knows",
    Code.SUITE_UNENCRYPTED_SRTP: "the other side wanted the sound left unencrypted",
    Code.SUITE_UNENCRYPTED_SRTCP: "reports about the sound (RTCP) were left unencrypted",
    Code.SUITE_UNAUTHENTICATED_SRTP: "packets were not sealed against forgery",
    Code.SRTCP_ABSENT: "reports about the sound (RTCP) were missing or came in the open",
    Code.DTLS_FP_MISMATCH: "somebody else than announced answered the key exchange",
    Code.DTLS_FP_WEAK: "the fingerprint that vouches for the key is of a weak kind",
    Code.DTLS_OLD: "the key exchange was of an outdated version (DTLS 1.0)",
    Code.DTLS_RENEG: "the other side wanted to begin the key exchange again in the middle of it",
    Code.DTLS_ROLE_FLIP: "the other side changed its part in the key exchange without a new one",
    Code.TLS_OLD: "the signalling was encrypted by an outdated version of TLS",
    Code.TLS_UNVERIFIED: "the other side did not prove its name",
    Code.SIG_SIPS_NOT_HONOURED: "a message came, or would have gone, over a weaker connection than the call began on",
    Code.SIG_DTMF_CLEARTEXT: "a digit that was pressed went over signalling that was not encrypted",
    Code.MID_CRYPTO_REMOVED: "the other side tried to drop the encryption in the middle of the call",
    Code.MID_STREAM_ADDED_PLAIN: "an unprotected stream was to be added in the middle of the call",
    Code.MID_HOLD_REKEY: "after a hold packets did not fit the key",
    Code.MID_TRANSFER_WEAKER: "the call was to be handed over to somewhere weaker",
    Code.FORK_MIXED: "several telephones rang, and not all of them were equally protected",
    Code.EARLY_UNKEYED: "before the answer sound came for which there was no key yet",
    Code.EARLY_PLAIN: "before the answer there was sound that was not encrypted",
    Code.GW_PLAIN_ACCESS: "the gateway itself handled the sound unencrypted",
    Code.GW_KEY_LEAK: "the gateway may have let a key out",
    Code.META_LEAK: "signalling told more about the call than it should",
    Code.BRW_WS_INSECURE: "the browser was connected without encryption",
    Code.BRW_SDES_OR_AVP: "the browser did not offer the encryption that browsers have",
    Code.BRW_NO_MUX: "the browser wanted a second port, which this gateway does not give",
    Code.BRW_NO_ICE: "the browser did not prove that it wants the sound (no ICE)",
    Code.BRW_LITE: "the browser claimed to be a server (ICE lite)",
    Code.BRW_CONSENT_LOST: "the browser stopped confirming that it wants the sound",
    Code.BRW_IDENTITY_MISMATCH: "the browser named another user than the one signed in",
    Code.BRW_ORIGIN_BAD: "the connection came from a web page that may not connect",
    Code.PIN_BID_DOWN: "the other side is known to encrypt and pretended that it cannot",
}
"""What happened, as the second half of a sentence that begins with "because"."""

_TERMINATIONS: Final[dict[str, Termination]] = {reason.slug: reason for reason in Termination}

_KEYING: Final[dict[str, str]] = {
    Keying.NONE.value: "no keys",
    Keying.SDES.value: "the key was sent within the signalling (SDES)",
    Keying.DTLS.value: "the two ends agreed on the key between themselves (DTLS)",
    Keying.PENDING.value: "keys were still being agreed",
}

UNKNOWN_WHO = "nobody knows: the log has no grade for it"


def grade_of(name: object) -> Grade | None:
    """The grade of that name; None for anything that is no grade."""
    return Grade.__members__.get(name) if isinstance(name, str) else None


def who(grade: Grade | None) -> str:
    """Who could hear a call of that grade."""
    return WHO[grade] if grade is not None else UNKNOWN_WHO


def code_words(code: str) -> str:
    """What a code says; one that this version does not know is shown as it is."""
    return CODES.get(code, "this version has no words for it")


def because(code: str) -> str:
    """The words of a code with its name behind them."""
    return f"{code_words(code)} [{code}]"


def ending(slug: str) -> str:
    """Why a call ended; a reason that this version does not know is shown as it is."""
    known = _TERMINATIONS.get(slug)
    return known.words if known is not None else slug or "nobody wrote why"


def keying_words(keying: str) -> str:
    """How a leg got its keys."""
    return _KEYING.get(keying, keying)


def suite_words(name: str) -> str:
    """What a crypto suite does, with its name behind it."""
    suite = BY_NAME.get(name)
    if suite is None:
        return f"a cipher unknown to this version [{name}]" if name else "no cipher"
    return f"AES with a {suite.key_bits}-bit key, each packet sealed by {suite.tag_bits} bits [{name}]"


def signalling_words(transport: str, version: str, *, verified: bool) -> str:
    """What the signalling of a leg went over."""
    if transport not in ("tls", "wss"):
        return f"signalling in the open ({transport.upper()})" if transport else "signalling unknown"
    number = version.removeprefix("TLSv").removeprefix("TLS")
    over = f"signalling encrypted ({'WSS, ' if transport == 'wss' else ''}TLS{' ' + number if number else ''})"
    if transport == "wss":
        return f"{over}, the browser having checked this gateway's certificate"
    return f"{over}, the other end {'having proved' if verified else 'NOT having proved'} its name"
