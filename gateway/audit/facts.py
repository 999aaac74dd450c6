"""What records are made of: the words and shapes that builders of different records share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.audit.clean import Cleaned, cleaned_record, cleaned_text
from gateway.base.signalling import TlsInfo
from gateway.base.values import HostPort, mask_number

SHORT_ID = 8
"""Characters of `call_uid` that tell the calls of one log apart; a search for them finds all of it."""

UNPROVED = "pending"
"""In place of a grade: what the leg would have been at best, when its keys never came, proves nothing."""


class Checkpoint(StrEnum):
    """Where in a call a leg was judged (docs/policy.md)."""

    OFFER_RECEIVED = "P0"
    BEFORE_OFFER = "P1"
    PROVISIONAL = "P2"
    ANSWER = "P3"
    KEYED = "P4"
    CHANGE = "P5"
    PACKETS = "P6"
    END = "P7"


def short_id(call_uid: str) -> str:
    """What log, header, page and `audit show` call a call by, so that one leads to the other."""
    return f"c-{call_uid[:SHORT_ID]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInfo:
    """What every record of one call repeats."""

    call_uid: str
    """Random id of the call, the same in every record, header and log line."""
    direction: str
    """out: browser to trunk; in: trunk to browser; internal: browser to browser."""
    trunk: str = ""
    user: str = ""
    """The signed-in browser user, from its authenticated flow; of two, the one who calls."""
    caller: str = ""
    """User part of the caller's address; numbers are masked in the record."""
    called: str = ""
    browser_call_id: str = ""
    """SIP Call-ID of the browser leg."""
    trunk_call_id: str = ""
    """SIP Call-ID of the trunk leg."""
    peer_call_id: str = ""
    """SIP Call-ID of the browser leg that is called by another browser."""


class CauseFacts(Protocol):
    """A reason a peer gave; the SIP layer's Reason has this shape."""

    @property
    def protocol(self) -> str: ...
    @property
    def cause(self) -> int: ...
    @property
    def text(self) -> str: ...


class FlowFacts(Protocol):
    """What is known of the connection a message came over; the SIP layer's Flow has this shape."""

    @property
    def transport(self) -> str: ...
    @property
    def remote(self) -> HostPort: ...
    @property
    def initiated(self) -> bool: ...
    @property
    def tls(self) -> TlsInfo | None: ...


def make(kind: str, fields: Mapping[str, object]) -> Cleaned:
    """Every builder ends here: whatever a peer put into a name is harmless from now on."""
    return cleaned_record({"type": kind, **fields})


def party(text: str) -> str:
    """A user or number as records have it: harmless, numbers masked."""
    return mask_number(cleaned_text(text))


def place(address: HostPort | None) -> str | None:
    """An address as records have it."""
    return str(address) if address is not None else None


def tls_facts(identity: TlsInfo) -> dict[str, object]:
    """What TLS proved, as records have it."""
    return {
        "version": identity.version,
        "cipher": identity.cipher,
        "peer_subject": identity.peer_subject,
        "spki_sha256": identity.spki_sha256,
        "certificate_sha256": identity.certificate_sha256,
        "pinned": identity.pinned,
        "expires": round(identity.expires),
        "verified": identity.verified,
        "verified_name": identity.verified_name,
        "reason": identity.reason,
    }
