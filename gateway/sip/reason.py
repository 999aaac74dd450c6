"""The Reason header field: why a request was sent or refused (RFC 3326; RFC 6432 in responses).

What a peer wrote is read leniently, because no call depends on it, and never sent on as it stands: `wire` writes the
number with words of ours, so that nobody can put sentences into the mouth of this gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.sip.grammar import DIGITS, LWS, printable, split_top_level, unquote
from gateway.sip.headers import Headers
from gateway.sip.reply import REASONS

Q850, SIP = "Q.850", "SIP"
ANSWERED_ELSEWHERE = 200
"""Cause of a CANCEL whose call another phone took (RFC 3326 3.1)."""
MAX_LINES = 8
"""Reason lines of one message that are looked at; one per protocol is what RFC 3326 2 knows."""
MAX_TEXT = 80
"""Characters kept of a peer's text: the longest name of Q.850 has 55."""
_SPELLINGS = {"q.850": Q850, "q850": Q850, "q-850": Q850, "q_850": Q850, "sip": SIP}
_CAUSES = {Q850: range(1, 128), SIP: range(100, 700)}

Q850_WORDS: dict[int, str] = {
    1: "Unallocated number",
    2: "No route to specified transit network",
    3: "No route to destination",
    6: "Channel unacceptable",
    16: "Normal call clearing",
    17: "User busy",
    18: "No user responding",
    19: "No answer from user",
    20: "Subscriber absent",
    21: "Call rejected",
    22: "Number changed",
    23: "Redirection to new destination",
    25: "Exchange routing error",
    26: "Non-selected user clearing",
    27: "Destination out of order",
    28: "Invalid number format",
    29: "Facility rejected",
    31: "Normal, unspecified",
    34: "No circuit or channel available",
    38: "Network out of order",
    41: "Temporary failure",
    42: "Switching equipment congestion",
    43: "Access information discarded",
    44: "Requested circuit or channel not available",
    47: "Resource unavailable",
    50: "Requested facility not subscribed",
    55: "Incoming calls barred",
    57: "Bearer capability not authorized",
    58: "Bearer capability not available",
    63: "Service or option not available",
    65: "Bearer capability not implemented",
    69: "Requested facility not implemented",
    79: "Service or option not implemented",
    87: "User not member of closed group",
    88: "Incompatible destination",
    95: "Invalid message",
    97: "Message type unknown",
    102: "Recovery on timer expiry",
    111: "Protocol error",
    127: "Interworking, unspecified",
}
"""Names of ITU-T Q.850 in short."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason value."""

    protocol: str
    """`Q.850` or `SIP`; others mean nothing here."""
    cause: int
    text: str = ""
    """The peer's words, printable and cut; for records only."""

    def wire(self) -> str:
        """The value as we write it."""
        words = Q850_WORDS.get(self.cause, "") if self.protocol == Q850 else _sip_words(self.cause)
        return f"{self.protocol};cause={self.cause}" + (f';text="{words}"' if words else "")


def read_reasons(headers: Headers) -> tuple[Reason, ...]:
    """What a message gives as its reasons, one of each protocol; what cannot be read is passed over."""
    found: dict[str, Reason] = {}
    for line in headers.get_all("Reason")[:MAX_LINES]:
        for value in _split(line, ","):
            reason = _read(value)
            if reason is not None:
                found.setdefault(reason.protocol, reason)
    return tuple(found.values())


def first_of(reasons: Iterable[Reason], protocol: str) -> Reason | None:
    """The reason of this protocol."""
    return next((reason for reason in reasons if reason.protocol == protocol), None)


def in_request(reasons: Sequence[Reason]) -> tuple[tuple[str, str], ...]:
    """Header fields for a BYE or CANCEL (RFC 3326 2)."""
    return tuple(("Reason", reason.wire()) for reason in reasons)


def in_response(reasons: Sequence[Reason]) -> tuple[tuple[str, str], ...]:
    """Header fields for a failure: Q.850 only, because the status speaks for SIP (RFC 6432 4)."""
    return in_request([reason for reason in reasons if reason.protocol == Q850])


def _read(value: str) -> Reason | None:
    parts = [part.strip(LWS) for part in _split(value, ";")]
    protocol = _SPELLINGS.get(unquote(parts[0]).strip(LWS).lower(), "")
    params: dict[str, str] = {}
    for part in parts[1:]:
        name, _, content = part.partition("=")
        params.setdefault(name.strip(LWS).lower(), unquote(content.strip(LWS)))
    cause = params.get("cause", "").strip(LWS)
    if not protocol or not cause or len(cause) > 3 or not DIGITS.issuperset(cause):
        return None
    return Reason(protocol, int(cause), _cleaned(params.get("text", ""))) if int(cause) in _CAUSES[protocol] else None


def _split(text: str, separator: str) -> list[str]:
    """Outside of quotes; where one never closes, at every separator."""
    try:
        return split_top_level(text, separator)
    except SipError:
        return text.split(separator)


def _cleaned(text: str) -> str:
    kept = "".join(char if char.isprintable() else " " for char in printable(text).lstrip('"'))
    return " ".join(kept.split())[:MAX_TEXT]


def _sip_words(cause: int) -> str:
    return "Call completed elsewhere" if cause == ANSWERED_ELSEWHERE else REASONS.get(cause, "")
