"""The catalogue of downgrades: for each way a leg can be weaker, what tells of it, what is done, and how loud.

This is the one table. What caps a grade and what no profile tolerates follow from it; the catalogue of docs/policy.md
is printed from it (`make docs`), and each row has a test that tries it through real signalling.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.base.termination import Termination


class Action(StrEnum):
    """What is done about a weakness."""

    REFUSED = "refused"
    """The call, the leg or the change is not taken; the record is a leg.violation."""
    ENDED = "call ended"
    """The call that has it is over; the record is a leg.violation."""
    TOLERATED = "tolerated"
    """leg.downgraded, and the leg has the grade of the row at best."""
    RECORDED = "recorded"
    """In the record of the leg, whose grade it leaves alone."""
    UNUSED = "line not used"
    """As if that key line were not there, and recorded."""
    DROPPED = "dropped"
    """What came is dropped, so nothing is let through; recorded, and never a reason to hang up."""
    WITHHELD = "withheld"
    """It does not leave the gateway; counted, and recorded."""
    PREVENTED = "prevented"
    """It cannot come about: the gateway does not do what it takes."""


class Rigour(IntEnum):
    """How a code counts that a leg would carry, besides the grade it leaves."""

    BY_GRADE = 0
    """By the grade alone."""
    WHERE_REQUIRED = 1
    """Refused when the policy requires protection, although it need not lower the grade."""
    ALWAYS = 2
    """Refused under every profile; an emergency call alone may pass."""
    ABSOLUTE = 3
    """Refused for an emergency call too (RFC 5763 5: tear down at once): no keys exist that could carry it."""


class Alert(StrEnum):
    """How loud a record of it is for who watches the gateway."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Teller(StrEnum):
    """Who finds it."""

    NEGOTIATION = "offer and answer"
    SIGNALLING = "the connection"
    POLICY = "the policy"
    HANDSHAKE = "the handshake"
    PACKETS = "the relay"
    CALL = "the call"
    DOOR = "the listener"
    SINK = "the log, the trace and HEP"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to be weak. A code with several ways has several rows, told apart by `case`."""

    code: Code
    teller: Teller
    require: Action
    """Under a policy that requires protection."""
    allow: Action
    """Under one that prefers or allows."""
    alerts: tuple[Alert, Alert]
    """Under the one and under the other."""
    words: str
    """The weakness, for the security officer."""
    cap: Grade | None = None
    """The best grade a leg can have while it carries the code; None: it does not tell who can hear the call."""
    rigour: Rigour = Rigour.BY_GRADE
    note: str = ""
    """What else is to be said of the last cell."""
    case: str = ""
    """Tells this way to be weak from others of the code."""

    @property
    def name(self) -> str:
        """The code, and the case where it has several."""
        return f"{self.code} ({self.case})" if self.case else str(self.code)


_NONE, _LOW, _MEDIUM, _HIGH = Alert
_REFUSED, _ENDED, _TOLERATED, _RECORDED, _UNUSED, _DROPPED, _WITHHELD, _PREVENTED = Action

# fmt: off
ROWS: tuple[Row, ...] = (
    Row(Code.MEDIA_PLAIN_RTP, Teller.NEGOTIATION, _REFUSED, _TOLERATED, (_HIGH, _LOW),
        "the leg is not encrypted",
        cap=Grade.CLEARTEXT),
    Row(Code.MEDIA_OSRTP_FALLBACK, Teller.NEGOTIATION, _PREVENTED, _RECORDED, (_LOW, _LOW),
        "keys were offered, the answer took none (RFC 8643 3.3)",
        note="only `osrtp` and `prefer` offer so, the latter when the call came without an offer"),
    Row(Code.MEDIA_AVP_WITH_CRYPTO, Teller.NEGOTIATION, _RECORDED, _RECORDED, (_NONE, _NONE),
        "encrypted, although described as plain RTP (RFC 8643)"),
    Row(Code.MEDIA_SAVP_RETRY, Teller.POLICY, _PREVENTED, _TOLERATED, (_HIGH, _LOW),
        "the secure offer was refused; written before the plain one is sent",
        note="only `prefer` retries"),
    Row(Code.MEDIA_CRYPTO_IGNORED, Teller.NEGOTIATION, _REFUSED, _REFUSED, (_HIGH, _MEDIUM),
        "encryption agreed to, but no key given (RFC 4568 5.3)",
        cap=Grade.CLEARTEXT, rigour=Rigour.ALWAYS),
    Row(Code.MEDIA_MIXED_KEYING, Teller.NEGOTIATION, _RECORDED, _RECORDED, (_NONE, _NONE),
        "an offer with two kinds of keys; one is answered",
        case="offer"),
    Row(Code.MEDIA_MIXED_KEYING, Teller.NEGOTIATION, _REFUSED, _REFUSED, (_HIGH, _MEDIUM),
        "an answer with two kinds of keys (RFC 8643 3.2)",
        rigour=Rigour.ALWAYS, case="answer"),
    Row(Code.MEDIA_KEYING_UNKNOWN, Teller.NEGOTIATION, _REFUSED, _REFUSED, (_LOW, _NONE),
        "an offer of keys of a kind that is not taken: DTLS over TCP, or what `answer` of the policy leaves out",
        cap=Grade.CLEARTEXT, rigour=Rigour.ALWAYS, case="kind"),
    Row(Code.MEDIA_KEYING_UNKNOWN, Teller.NEGOTIATION, _UNUSED, _UNUSED, (_NONE, _NONE),
        "a key line that is malformed, or whose tag came before",
        cap=Grade.CLEARTEXT, rigour=Rigour.ALWAYS, case="line"),
    Row(Code.MEDIA_LATCH_MISMATCH, Teller.PACKETS, _DROPPED, _DROPPED, (_HIGH, _LOW),
        "media from an address nobody announced"),
    Row(Code.MEDIA_MID_RELATCH, Teller.PACKETS, _DROPPED, _DROPPED, (_HIGH, _LOW),
        "an allowed address that is not the one in use tries to become it (see below)"),
    Row(Code.MEDIA_PLAIN_ON_SECURE, Teller.PACKETS, _DROPPED, _DROPPED, (_LOW, _NONE),
        "plain or forged packets on an encrypted leg",
        cap=Grade.CLEARTEXT, case="packet", note="high when they are more than 50 in a second"),
    Row(Code.MEDIA_PLAIN_ON_SECURE, Teller.PACKETS, _DROPPED, _DROPPED, (_HIGH, _MEDIUM),
        "nothing but readable packets arrives on an encrypted leg (see below)",
        cap=Grade.CLEARTEXT, case="leg", note="the leg is CLEARTEXT"),
    Row(Code.MEDIA_KEY_MISMATCH, Teller.PACKETS, _DROPPED, _DROPPED, (_HIGH, _MEDIUM),
        "nothing but packets under another key than was agreed arrives on an encrypted leg",
        cap=Grade.UNAUTHENTICATED, note="the leg is UNAUTHENTICATED"),
    Row(Code.KEY_SDES_CLEARTEXT, Teller.SIGNALLING, _REFUSED, _TOLERATED, (_HIGH, _MEDIUM),
        "SDES key over UDP, TCP or old TLS",
        cap=Grade.KEY_EXPOSED),
    Row(Code.KEY_SDES_UNVERIFIED_TLS, Teller.SIGNALLING, _REFUSED, _TOLERATED, (_HIGH, _LOW),
        "SDES key over TLS without a verified peer",
        cap=Grade.UNAUTHENTICATED),
    Row(Code.KEY_DTLS_FP_UNAUTH, Teller.SIGNALLING, _REFUSED, _TOLERATED, (_HIGH, _LOW),
        "the fingerprint came over signalling nobody vouches for",
        cap=Grade.UNAUTHENTICATED),
    Row(Code.KEY_MKI, Teller.NEGOTIATION, _UNUSED, _UNUSED, (_NONE, _NONE),
        "a key line with a malformed key identifier, or with more keys than one",
        cap=Grade.CLEARTEXT),
    Row(Code.KEY_PARAMETER_UNKNOWN, Teller.NEGOTIATION, _UNUSED, _UNUSED, (_NONE, _NONE),
        "a key line with a parameter the gateway does not do exactly, such as KDR",
        cap=Grade.CLEARTEXT),
    Row(Code.KEY_REUSE, Teller.NEGOTIATION, _RECORDED, _RECORDED, (_LOW, _LOW),
        "one key on two lines of an offer, of which one is taken",
        case="lines"),
    Row(Code.KEY_REUSE, Teller.NEGOTIATION, _REFUSED, _RECORDED, (_HIGH, _MEDIUM),
        "the other side keeps its key at another address: a moved port, a transfer, a fork",
        rigour=Rigour.WHERE_REQUIRED, case="elsewhere"),
    Row(Code.KEY_REUSE, Teller.NEGOTIATION, _REFUSED, _REFUSED, (_HIGH, _MEDIUM),
        "the other side sent our own key back",
        rigour=Rigour.WHERE_REQUIRED, case="echo"),
    Row(Code.KEY_LIFETIME, Teller.PACKETS, _RECORDED, _RECORDED, (_LOW, _LOW),
        "the lifetime of a key is nearly over; a new one is offered",
        case="near"),
    Row(Code.KEY_LIFETIME, Teller.PACKETS, _ENDED, _RECORDED, (_HIGH, _LOW),
        "it is over, and no new one came",
        case="over"),
    Row(Code.KEY_LIFETIME, Teller.NEGOTIATION, _UNUSED, _UNUSED, (_NONE, _NONE),
        "a key line whose key may protect fewer than 4,096 packets",
        case="line"),
    Row(Code.SUITE_NULL, Teller.NEGOTIATION, _UNUSED, _UNUSED, (_LOW, _NONE),
        "a key line without encryption worth the name (NULL, F8)",
        cap=Grade.CLEARTEXT, rigour=Rigour.ALWAYS),
    Row(Code.SUITE_UNKNOWN, Teller.NEGOTIATION, _UNUSED, _UNUSED, (_NONE, _NONE),
        "a key line with a suite that is not in our table or not in the list of the policy",
        cap=Grade.CLEARTEXT, rigour=Rigour.ALWAYS),
    Row(Code.SUITE_WEAK_TAG, Teller.NEGOTIATION, _UNUSED, _UNUSED, (_NONE, _NONE),
        "a key line with a tag of 32 bits, or a shorter one than the policy asks for",
        cap=Grade.PARTIAL),
    Row(Code.SUITE_SMALL_KEY, Teller.NEGOTIATION, _UNUSED, _UNUSED, (_NONE, _NONE),
        "a key line with a shorter key than the policy asks for",
        cap=Grade.PARTIAL),
    Row(Code.SUITE_UNENCRYPTED_SRTP, Teller.NEGOTIATION, _UNUSED, _UNUSED, (_LOW, _NONE),
        "a key line that leaves RTP in clear",
        cap=Grade.CLEARTEXT),
    Row(Code.SUITE_UNENCRYPTED_SRTCP, Teller.NEGOTIATION, _UNUSED, _UNUSED, (_LOW, _NONE),
        "a key line that leaves RTCP in clear",
        cap=Grade.PARTIAL),
    Row(Code.SUITE_UNAUTHENTICATED_SRTP, Teller.NEGOTIATION, _UNUSED, _UNUSED, (_LOW, _NONE),
        "a key line that lets packets be forged",
        cap=Grade.PARTIAL),
    Row(Code.SRTCP_ABSENT, Teller.PACKETS, _RECORDED, _RECORDED, (_LOW, _LOW),
        "media of an encrypted leg authenticates, and no RTCP comes with it",
        case="silent"),
    Row(Code.SRTCP_ABSENT, Teller.PACKETS, _DROPPED, _DROPPED, (_HIGH, _LOW),
        "RTCP in clear on an encrypted leg",
        case="clear"),
    Row(Code.DTLS_FP_MISMATCH, Teller.HANDSHAKE, _REFUSED, _REFUSED, (_HIGH, _HIGH),
        "the certificate is not the announced one (RFC 5763 5)",
        cap=Grade.UNAUTHENTICATED, rigour=Rigour.ABSOLUTE, note="emergency calls too"),
    Row(Code.DTLS_FP_WEAK, Teller.NEGOTIATION, _REFUSED, _REFUSED, (_LOW, _LOW),
        "a certificate that is announced by SHA-1 or weaker alone, or by no hash the policy names",
        cap=Grade.UNAUTHENTICATED, rigour=Rigour.ALWAYS),
    Row(Code.DTLS_OLD, Teller.HANDSHAKE, _ENDED, _ENDED, (_LOW, _LOW),
        "a peer that speaks no DTLS from 1.2 on",
        cap=Grade.KEY_EXPOSED, rigour=Rigour.ALWAYS),
    Row(Code.DTLS_RENEG, Teller.HANDSHAKE, _DROPPED, _DROPPED, (_HIGH, _LOW),
        "the peer of a finished handshake asks for another one (RFC 8827 6.5)"),
    Row(Code.DTLS_ROLE_FLIP, Teller.NEGOTIATION, _REFUSED, _REFUSED, (_HIGH, _LOW),
        "an offer changes the DTLS role without a new association (RFC 8842 5.3)",
        case="offer"),
    Row(Code.DTLS_ROLE_FLIP, Teller.NEGOTIATION, _RECORDED, _RECORDED, (_HIGH, _LOW),
        "an answer does; the role stays",
        case="answer"),
    Row(Code.TLS_UNVERIFIED, Teller.SIGNALLING, _REFUSED, _REFUSED, (_HIGH, _MEDIUM),
        "the trunk we call over TLS did not prove its name"),
    Row(Code.TLS_OLD, Teller.SIGNALLING, _REFUSED, _REFUSED, (_HIGH, _MEDIUM),
        "the trunk we call speaks no TLS from 1.2 on",
        rigour=Rigour.ALWAYS, case="trunk"),
    Row(Code.TLS_OLD, Teller.DOOR, _REFUSED, _REFUSED, (_LOW, _LOW),
        "who connects to us speaks no TLS from 1.2 on",
        rigour=Rigour.ALWAYS, case="listener"),
    Row(Code.SIG_SIPS_NOT_HONOURED, Teller.SIGNALLING, _REFUSED, _REFUSED, (_HIGH, _MEDIUM),
        "a message of the call over a connection that proves less than the one that set the call up, or a target "
        "that would leave TLS; a hang-up ends the call all the same"),
    Row(Code.SIG_DTMF_CLEARTEXT, Teller.CALL, _PREVENTED, _RECORDED, (_HIGH, _LOW),
        "a digit told by SIP INFO over UDP, TCP or `ws://`"),
    Row(Code.MID_CRYPTO_REMOVED, Teller.CALL, _REFUSED, _TOLERATED, (_HIGH, _MEDIUM),
        "a change during the call drops the encryption",
        note="the leg is CLEARTEXT"),
    Row(Code.MID_STREAM_ADDED_PLAIN, Teller.NEGOTIATION, _RECORDED, _RECORDED, (_LOW, _LOW),
        "a change during the call adds an unprotected stream; that stream is refused",
        cap=Grade.CLEARTEXT),
    Row(Code.MID_HOLD_REKEY, Teller.NEGOTIATION, _RECORDED, _RECORDED, (_NONE, _NONE),
        "the key changes together with a hold or its end"),
    Row(Code.MID_TRANSFER_WEAKER, Teller.CALL, _REFUSED, _RECORDED, (_HIGH, _LOW),
        "a transfer to somebody less protected than the call must be, or a join of two calls in which either "
        "would be less protected than its own call must be; the call goes on as it was"),
    Row(Code.FORK_MIXED, Teller.CALL, _REFUSED, _REFUSED, (_LOW, _LOW),
        "a phone of several answered weaker than policy allows; the others may still answer",
        cap=Grade.PARTIAL, case="weak"),
    Row(Code.FORK_MIXED, Teller.CALL, _RECORDED, _RECORDED, (_NONE, _NONE),
        "another phone answered too, otherwise protected than the one that was taken; it is hung up on",
        cap=Grade.PARTIAL, case="loser", note="only `prefer` and `osrtp` offer more than one way"),
    Row(Code.EARLY_PLAIN, Teller.CALL, _REFUSED, _REFUSED, (_LOW, _LOW),
        "early media weaker than policy allows; it is not played, the caller hears ringing",
        cap=Grade.PARTIAL, case="muted"),
    Row(Code.EARLY_PLAIN, Teller.CALL, _REFUSED, _TOLERATED, (_LOW, _LOW),
        "plain early media, then an encrypted answer",
        cap=Grade.PARTIAL, case="heard", note="only `osrtp` lets it happen"),
    Row(Code.EARLY_UNKEYED, Teller.HANDSHAKE, _ENDED, _ENDED, (_HIGH, _LOW),
        "a handshake from which no keys came about",
        cap=Grade.CLEARTEXT, case="handshake"),
    Row(Code.EARLY_UNKEYED, Teller.PACKETS, _DROPPED, _DROPPED, (_LOW, _NONE),
        "more than 32 packets of media before their keys",
        cap=Grade.CLEARTEXT, case="packets"),
    Row(Code.GW_PLAIN_ACCESS, Teller.CALL, _RECORDED, _RECORDED, (_LOW, _LOW),
        "the gateway itself reads or makes media: digits it plays or hears for a side that takes none",
        cap=Grade.HOP_BY_HOP),
    Row(Code.GW_KEY_LEAK, Teller.SINK, _WITHHELD, _WITHHELD, (_HIGH, _HIGH),
        "a key on its way into a log line, a trace or a HEP packet; it is replaced by `***`",
        cap=Grade.KEY_EXPOSED),
    Row(Code.META_LEAK, Teller.PACKETS, _DROPPED, _DROPPED, (_LOW, _NONE),
        "header extensions nobody agreed on, in clear beside encrypted media; they are not passed on"),
    Row(Code.BRW_WS_INSECURE, Teller.SIGNALLING, _REFUSED, _TOLERATED, (_HIGH, _LOW),
        "browser over plain `ws://`",
        cap=Grade.UNAUTHENTICATED),
    Row(Code.BRW_SDES_OR_AVP, Teller.NEGOTIATION, _REFUSED, _REFUSED, (_LOW, _LOW),
        "a browser offers SDES or plain RTP",
        rigour=Rigour.ALWAYS),
    Row(Code.BRW_NO_MUX, Teller.NEGOTIATION, _REFUSED, _REFUSED, (_NONE, _NONE),
        "a browser without rtcp-mux"),
    Row(Code.BRW_NO_ICE, Teller.NEGOTIATION, _REFUSED, _REFUSED, (_NONE, _NONE),
        "a browser without ICE"),
    Row(Code.BRW_LITE, Teller.NEGOTIATION, _REFUSED, _REFUSED, (_NONE, _NONE),
        "a browser that says ice-lite"),
    Row(Code.BRW_CONSENT_LOST, Teller.CALL, _ENDED, _ENDED, (_LOW, _LOW),
        "the browser stopped confirming that it wants media (RFC 7675)"),
    Row(Code.BRW_IDENTITY_MISMATCH, Teller.POLICY, _REFUSED, _REFUSED, (_HIGH, _HIGH),
        "From names another user than the one who is signed in"),
    Row(Code.BRW_ORIGIN_BAD, Teller.DOOR, _REFUSED, _REFUSED, (_LOW, _LOW),
        "a page of an origin that is not allowed opens a WebSocket"),
    Row(Code.PIN_BID_DOWN, Teller.POLICY, _PREVENTED, _REFUSED, (_HIGH, _HIGH),
        "the other side agreed to SRTP in this call and then refused it",
        rigour=Rigour.WHERE_REQUIRED, case="call",
        note="an emergency call goes on, only `prefer` would retry"),
    Row(Code.PIN_BID_DOWN, Teller.POLICY, _REFUSED, _REFUSED, (_HIGH, _HIGH),
        "a trunk that is pinned (see *Pins*) answers or offers without keys",
        rigour=Rigour.WHERE_REQUIRED, case="pin",
        note="an emergency call goes on, only `prefer` and `osrtp`: who is never asked for keys goes on with the code"),
)
# fmt: on

CAPS: dict[Code, Grade] = {row.code: row.cap for row in ROWS if row.cap is not None}
"""The best grade a leg can have while it carries the code. Codes not listed tell what happened, not who can hear the
call: after media.osrtp_fallback it is the missing key, media.plain_rtp, that makes the leg CLEARTEXT."""


def _counted(rigour: Rigour) -> frozenset[Code]:
    return frozenset(row.code for row in ROWS if row.rigour >= rigour)


ABSOLUTE = _counted(Rigour.ABSOLUTE)
NEVER_TOLERABLE = _counted(Rigour.ALWAYS)
REFUSED_WHERE_REQUIRED = _counted(Rigour.WHERE_REQUIRED) - NEVER_TOLERABLE

UNUSED: frozenset[Code] = frozenset(row.code for row in ROWS if row.require is Action.UNUSED)
"""What may stand in a description beside what is used: of no weight there, and no weakness of the leg."""

CONTRADICTED: frozenset[Code] = frozenset(Code) - {
    row.code for row in ROWS if row.teller is not Teller.PACKETS and row.require is not Action.DROPPED
}
"""What the packets of a leg say against its description (D4). What came is dropped, so nothing is let through that
policy refuses, and it is never a reason to hang up: it may be a stranger's, and silence has rules of its own."""

_TERMINATIONS: dict[Code, Termination] = {
    Code.DTLS_FP_MISMATCH: Termination.FINGERPRINT_MISMATCH,
    Code.PIN_BID_DOWN: Termination.ENCRYPTION_WITHDRAWN,
    Code.BRW_SDES_OR_AVP: Termination.BROWSER_OFFER_INSECURE,
    Code.DTLS_FP_WEAK: Termination.BROWSER_OFFER_INSECURE,
    Code.MEDIA_CRYPTO_IGNORED: Termination.ENCRYPTION_IGNORED,
    Code.MEDIA_MIXED_KEYING: Termination.BAD_SDP,
    Code.DTLS_OLD: Termination.DTLS_FAILED,
    Code.TLS_OLD: Termination.ENCRYPTION_IMPOSSIBLE,
    Code.BRW_WS_INSECURE: Termination.ENCRYPTION_IMPOSSIBLE,
    Code.KEY_SDES_CLEARTEXT: Termination.ENCRYPTION_IMPOSSIBLE,
    Code.KEY_SDES_UNVERIFIED_TLS: Termination.ENCRYPTION_IMPOSSIBLE,
    Code.KEY_DTLS_FP_UNAUTH: Termination.ENCRYPTION_IMPOSSIBLE,
    Code.KEY_REUSE: Termination.ENCRYPTION_UNUSABLE,
}
"""Why a call ends for a code, most telling first; everything else is ENCRYPTION_REQUIRED."""


def termination_of(found: Iterable[Code]) -> Termination:
    """Why a call ends that is refused for these."""
    codes = frozenset(found)
    return next((t for code, t in _TERMINATIONS.items() if code in codes), Termination.ENCRYPTION_REQUIRED)


def rows_of(code: Code) -> tuple[Row, ...]:
    """The ways to be weak under this code."""
    return tuple(row for row in ROWS if row.code is code)


def alert_of(found: Iterable[Code], *, required: bool, least: Alert = Alert.NONE) -> Alert:
    """How loud a record with these codes is; of a code with several ways the loudest counts.

    Args:
        required: the policy requires protection.
        least: how loud it is at any rate.
    """
    codes, which = frozenset(found), 0 if required else 1
    levels = [row.alerts[which] for row in ROWS if row.code in codes]
    return max((least, *levels), key=list(Alert).index)
