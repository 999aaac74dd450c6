"""Who was called before: Diversion (RFC 5806) and History-Info (RFC 7044), read of one side, written anew for another.

Nothing of what was sent is copied: of each entry the number, why it was left, and its place are kept; hosts, names and
whatever else stood there stay on their side. An entry somebody wants private is told to nobody who is not trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote as percent_encode

from gateway.call.legs.identity import NOBODY, Fields
from gateway.call.legs.party import Reading, addresses
from gateway.sip.address import NameAddr
from gateway.sip.grammar import DIGITS, decode_escapes
from gateway.sip.headers import Headers
from gateway.sip.message import Message
from gateway.sip.params import Params
from gateway.sip.reason import read_reasons
from gateway.sip.uri import SipUri

DIVERSION = "Diversion"
HISTORY = "History-Info"
MAX_ENTRIES = 8
"""Entries that are passed on: a call that was forwarded more often is found by Max-Forwards."""
MAX_INDEX = 24
"""Characters of an index (RFC 7044 10.3): eight places of two digits with their dots."""
MAX_COUNTER = 100
"""Diversions one entry can stand for (RFC 5806 4)."""
REASONS = frozenset(
    "unknown user-busy no-answer unavailable unconditional time-of-day do-not-disturb deflection follow-me "
    "out-of-service away".split(" ")
)
"""Reasons of RFC 5806 4; any other one is passed on as unknown."""
PRIVATE = frozenset(("full", "uri", "name"))
ALL_PRIVATE = frozenset(("history", "header", "id", "user"))
"""What of a message's own Privacy covers every entry (RFC 7044 10.1.1, RFC 3323 4.2)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One earlier callee."""

    number: str
    """As the dialplan knows it; empty where none can be read."""
    params: tuple[tuple[str, str], ...]
    """What is written behind the address."""
    cause: str = ""
    """Why the call left him, as a header of the URI."""
    private: bool = False


def diversions(message: Message, reading: Reading, *, private: bool) -> tuple[Entry, ...]:
    """The entries of Diversion, the latest first."""
    return tuple(_diverted(value, reading, private) for value in _some(message, DIVERSION))


def history(message: Message, reading: Reading, *, private: bool) -> tuple[Entry, ...]:
    """The entries of History-Info, the earliest first."""
    found = (_recorded(value, reading, private) for value in _some(message, HISTORY))
    return tuple(entry for entry in found if entry is not None)


def _some(message: Message, header: str) -> list[NameAddr]:
    """The entries that can be read."""
    return addresses(message.headers.get_all(header), MAX_ENTRIES)


def _diverted(value: NameAddr, reading: Reading, private: bool) -> Entry:
    reason = (value.params.get("reason") or "unknown").strip('"').lower()
    params = [("reason", reason if reason in REASONS else "unknown")]
    counter = value.params.get("counter") or ""
    if counter and DIGITS.issuperset(counter) and len(counter) <= 3:
        params.append(("counter", str(min(int(counter), MAX_COUNTER))))
    hidden = private or (value.params.get("privacy") or "off").strip('"').lower() in PRIVATE
    return Entry(reading.number(value.uri), tuple(params), private=hidden)


def _recorded(value: NameAddr, reading: Reading, private: bool) -> Entry | None:
    index = value.params.get("index") or ""
    if not _is_index(index):
        return None
    more = ((name, found) for name in ("rc", "mp", "np") if _is_index(found := value.params.get(name) or ""))
    headers = dict(_uri_headers(value.uri))
    reasons = read_reasons(Headers([("Reason", headers["reason"])])) if "reason" in headers else ()
    cause = ",".join(f"{reason.protocol};cause={reason.cause}" for reason in reasons)
    hidden = private or bool(ALL_PRIVATE & set(headers.get("privacy", "").lower().split(";")))
    return Entry(reading.number(value.uri), (("index", index), *more), cause, hidden)


def _is_index(text: str) -> bool:
    return 0 < len(text) <= MAX_INDEX and (DIGITS | {"."}).issuperset(text)


def _uri_headers(uri: SipUri) -> Iterator[tuple[str, str]]:
    """The headers of a URI (RFC 3261 19.1.1), names in lower case; the first of each counts."""
    pairs = [pair.partition("=") for pair in uri.headers.split("&")[:MAX_ENTRIES] if pair]
    for name, _, text in reversed(pairs):
        value = decode_escapes(text)
        if value.isprintable():
            yield decode_escapes(name).lower(), value


@dataclass(frozen=True, slots=True)
class Addressing:
    """How earlier callees are written for one side."""

    host: str
    trusted: bool
    """It may know what is private."""
    write: Callable[[str], str] = str
    """Writes a number as that side wants it."""


def write_diversions(entries: tuple[Entry, ...], side: Addressing) -> Fields:
    """Diversion for one side; what it must not know is left out."""
    told = (entry for entry in entries if entry.number and (side.trusted or not entry.private))
    return tuple((DIVERSION, str(_written(entry, side))) for entry in told)


def write_history(entries: tuple[Entry, ...], side: Addressing) -> Fields:
    """History-Info for one side; what it must not know is anonymous, so that the places stay countable."""
    found = []
    for entry in entries:
        hidden = not entry.number or (entry.private and not side.trusted)
        shown = NameAddr("", NOBODY.uri, Params(entry.params)) if hidden else _written(entry, side)
        found.append((HISTORY, str(shown)))
    return tuple(found)


def _written(entry: Entry, side: Addressing) -> NameAddr:
    uri = SipUri.of(side.write(entry.number), side.host)
    diverted = entry.params[0][0] == "reason"
    wish = (("privacy", "full"),) if entry.private and diverted else ()
    headers = [f"Reason={percent_encode(entry.cause)}"] if entry.cause else []
    headers += ["Privacy=history"] if entry.private and not diverted else []
    return NameAddr("", replace(uri, headers="&".join(headers)), Params((*entry.params, *wish)))
