"""Why a call ended: one value shared by the SIP response, the log line, the metric and the audit record.

Every way a call can end is a member of `Termination`; there is no free text beside it.
"""

from __future__ import annotations

from enum import Enum

from gateway.base.errors import Party


class Termination(Enum):
    """(slug, party at fault, SIP status before answer, Warning code or 0, words for the user)."""

    HANGUP_BROWSER = ("hangup-browser", Party.CALLER, 200, 0, "The browser side hung up")
    HANGUP_TRUNK = ("hangup-trunk", Party.CALLEE, 200, 0, "The trunk side hung up")
    TRANSFERRED = ("transferred", Party.CALLER, 200, 0, "The call was handed over")
    CANCELLED = ("cancelled", Party.CALLER, 487, 0, "The caller gave up before the answer")
    CHALLENGED = ("challenged", Party.CALLER, 407, 0, "The caller is asked for a password")
    NO_ROUTE = ("no-route", Party.CALLER, 404, 399, "No dialplan rule matches this number")
    NOT_PERMITTED = ("not-permitted", Party.CALLER, 403, 399, "This user may not call this number")
    POLICY_REJECTED = ("policy-rejected", Party.CALLER, 403, 399, "A rule of the policy refuses this call")
    USER_NOT_REGISTERED = ("user-not-registered", Party.CALLEE, 480, 399, "The user is not signed in")
    RING_TIMEOUT = ("ring-timeout", Party.CALLEE, 408, 0, "Nobody answered in time")
    REJECTED = ("rejected", Party.CALLEE, 603, 0, "The other side rejected the call")
    BUSY = ("busy", Party.CALLEE, 486, 0, "The line is busy")
    NO_ANSWER = ("no-answer", Party.CALLEE, 480, 0, "The other side did not answer")
    UNAVAILABLE = ("unavailable", Party.CALLEE, 480, 0, "The other side is not available now")
    ANSWERED_ELSEWHERE = ("answered-elsewhere", Party.CALLEE, 487, 0, "The call was answered elsewhere")
    UNALLOCATED = ("unallocated", Party.CALLER, 404, 399, "This number is not in use")
    NUMBER_CHANGED = ("number-changed", Party.CALLER, 410, 399, "This number is no longer in use")
    INCOMPLETE = ("number-incomplete", Party.CALLER, 484, 399, "The number is incomplete or has the wrong form")
    UNROUTABLE = ("unroutable", Party.TRUNK, 404, 399, "The trunk knows no way to this number")
    NOT_ACCEPTABLE = ("not-acceptable", Party.CALLEE, 488, 399, "The other side cannot take this kind of call")
    CONGESTION = ("congestion", Party.TRUNK, 503, 399, "The telephone network is overloaded or out of order")
    NETWORK_TIMEOUT = ("network-timeout", Party.TRUNK, 504, 399, "The network beyond the trunk did not answer in time")
    TRUNK_REFUSED = ("trunk-refused", Party.TRUNK, 400, 399, "The trunk does not take this call")
    TRUNK_UNAVAILABLE = ("trunk-unavailable", Party.TRUNK, 503, 399, "The trunk takes no calls now")
    PEER_TIMEOUT = ("peer-timeout", Party.TRUNK, 408, 0, "The other side did not answer the request")
    PEER_GONE = ("peer-gone", Party.TRUNK, 408, 0, "The other side no longer knows the call")
    SESSION_EXPIRED = ("session-expired", Party.TRUNK, 408, 0, "The session was not refreshed in time")
    MEDIA_TIMEOUT = ("media-timeout", Party.TRUNK, 408, 0, "Nothing was heard from the trunk for too long")
    BROWSER_SILENT = ("browser-silent", Party.BROWSER, 408, 399, "Nothing was heard from the browser for too long")
    REDIRECT_REFUSED = ("redirect-refused", Party.TRUNK, 480, 399, "The trunk sends this call where it may not go")
    TRUNK_FULL = ("trunk-full", Party.TRUNK, 503, 399, "All lines of the trunk are in use")
    TRUNK_UNREACHABLE = ("trunk-unreachable", Party.TRUNK, 503, 399, "The trunk cannot be reached")
    TRUNK_SILENT = ("trunk-silent", Party.TRUNK, 504, 399, "The trunk does not answer")
    TRUNK_UNVERIFIED = ("trunk-unverified", Party.TRUNK, 503, 399, "The trunk's certificate is not valid")
    TRUNK_ERROR = ("trunk-error", Party.TRUNK, 502, 0, "The trunk answered with an error")
    TRUNK_LOGIN = ("trunk-login", Party.CONFIG, 502, 399, "The trunk does not accept this gateway's login")
    ANSWER_UNREADABLE = ("answer-unreadable", Party.CALLEE, 502, 0, "The other side's answer could not be read")
    ENCRYPTION_REQUIRED = (
        "encryption-required",
        Party.TRUNK,
        488,
        302,
        "Encryption is required and the other side refused it",
    )
    ENCRYPTION_IMPOSSIBLE = (
        "encryption-impossible",
        Party.CONFIG,
        403,
        399,
        "Policy requires encryption this trunk's signalling cannot protect",
    )
    KEY_SPENT = (
        "key-spent",
        Party.TRUNK,
        488,
        399,
        "The lifetime of an encryption key ended and the other side gave no new one",
    )
    SUITE_DENIED = ("suite-denied", Party.CONFIG, 403, 399, "Policy allows no crypto suite that this leg could use")
    ENCRYPTION_IGNORED = (
        "encryption-ignored",
        Party.TRUNK,
        488,
        302,
        "The other side agreed to encryption but gave no key",
    )
    ENCRYPTION_UNUSABLE = (
        "encryption-unusable",
        Party.TRUNK,
        488,
        302,
        "The other side offered only encryption that this gateway cannot or will not use",
    )
    ENCRYPTION_REMOVED = (
        "encryption-removed",
        Party.TRUNK,
        488,
        302,
        "The other side tried to remove encryption during the call",
    )
    ENCRYPTION_WITHDRAWN = (
        "encryption-withdrawn",
        Party.TRUNK,
        488,
        302,
        "The other side agreed to encryption and then refused it",
    )
    BROWSER_OFFER_INSECURE = (
        "browser-offer-insecure",
        Party.BROWSER,
        488,
        302,
        "The browser did not offer DTLS-SRTP with ICE and rtcp-mux",
    )
    BROWSER_SUITE_UNKNOWN = (
        "browser-suite-unknown",
        Party.BROWSER,
        488,
        399,
        "The browser knows no SRTP protection profile that the policy allows",
    )
    NO_COMMON_CODEC = ("no-common-codec", Party.CALLER, 488, 304, "The two sides have no codec in common")
    BAD_SDP = ("bad-sdp", Party.CALLER, 488, 399, "The session description cannot be used")
    NETWORK_INCOMPATIBLE = (
        "network-incompatible",
        Party.CALLER,
        488,
        300,
        "Media is asked for over a network protocol this leg does not have",
    )
    ADDRESS_INCOMPATIBLE = (
        "address-incompatible",
        Party.CALLER,
        488,
        301,
        "Media must be at an IP address, or at a name that leads into the networks of the trunk",
    )
    IDENTITY_MISMATCH = ("identity-mismatch", Party.BROWSER, 403, 399, "From does not match the signed-in user")
    LOOP_DETECTED = ("loop-detected", Party.CALLER, 482, 0, "The call came back to this gateway")
    MEDIA_UNAVAILABLE = ("media-unavailable", Party.GATEWAY, 503, 399, "No media port or relay worker is free")
    MEDIA_NOT_KEYED = ("media-not-keyed", Party.BROWSER, 488, 399, "Media keys were not agreed in time")
    FINGERPRINT_MISMATCH = (
        "fingerprint-mismatch",
        Party.BROWSER,
        488,
        399,
        "The certificate does not match the signalled fingerprint",
    )
    DTLS_FAILED = ("dtls-failed", Party.BROWSER, 488, 399, "The DTLS handshake failed")
    TRUNK_NOT_KEYED = ("trunk-not-keyed", Party.TRUNK, 488, 399, "Media keys were not agreed with the trunk in time")
    TRUNK_FINGERPRINT = (
        "trunk-fingerprint-mismatch",
        Party.TRUNK,
        488,
        399,
        "The trunk's certificate on the media path does not match the signalled fingerprint",
    )
    TRUNK_DTLS_FAILED = ("trunk-dtls-failed", Party.TRUNK, 488, 399, "The DTLS handshake with the trunk failed")
    CONSENT_LOST = ("consent-lost", Party.BROWSER, 408, 399, "The browser stopped confirming that it wants media")
    FLOW_LOST = ("flow-lost", Party.BROWSER, 480, 399, "The connection to the browser was lost")
    ACK_MISSING = ("ack-missing", Party.CALLER, 408, 0, "The answer was never acknowledged")
    PRACK_MISSING = ("prack-missing", Party.CALLER, 504, 0, "A provisional answer was never acknowledged")
    AUDIT_UNAVAILABLE = ("audit-unavailable", Party.GATEWAY, 503, 399, "The audit log cannot be written")
    USER_BUSY = ("user-busy", Party.CALLEE, 486, 0, "The user has too many calls already")
    USER_LIMIT = ("user-limit", Party.CALLER, 486, 399, "This user has as many calls as one user may have at once")
    EMERGENCY_LIMIT = (
        "emergency-limit",
        Party.CALLER,
        486,
        399,
        "This user has as many emergency calls as one person may have at once",
    )
    OVERLOADED = ("overloaded", Party.GATEWAY, 503, 399, "The gateway has reached its limit of calls")
    WORKER_LOST = ("worker-lost", Party.GATEWAY, 500, 399, "The media relay serving the call died")
    WORKER_HUNG = ("worker-hung", Party.GATEWAY, 500, 399, "The media relay serving the call stopped answering")
    WORKER_DRAINED = ("worker-drained", Party.GATEWAY, 503, 399, "The media relay of the call was taken out of service")
    SHUTDOWN = ("shutdown", Party.GATEWAY, 503, 399, "The gateway is shutting down")
    CRASH = ("crash", Party.GATEWAY, 500, 0, "The gateway was killed, or the record of the end was lost")
    INTERNAL_ERROR = ("internal-error", Party.GATEWAY, 500, 399, "The gateway failed; see its log")

    def __init__(self, slug: str, party: Party, status: int, warning: int, words: str) -> None:
        self.slug = slug
        self.party = party
        self.status = status
        self.warning = warning
        self.words = words
