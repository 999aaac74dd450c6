"""How much attention a record deserves: the word that stands before it, and that a SIEM sorts by. PURE."""

from __future__ import annotations

from enum import StrEnum

from gateway.audit.pick import Record, text, texts
from gateway.base.codes import Code
from gateway.base.termination import Termination


class Severity(StrEnum):
    """How much attention a record deserves; the SIEM mapping uses the same words."""

    OK = "OK"
    INFO = "INFO"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


_BY_TYPE: dict[str, Severity] = {
    "call.start": Severity.INFO,
    "leg.secured": Severity.OK,
    "leg.pending": Severity.INFO,
    "leg.verified": Severity.OK,
    "leg.moved": Severity.INFO,
    "leg.lost": Severity.INFO,
    "leg.violation": Severity.HIGH,
    "auth.ok": Severity.INFO,
    "auth.fail": Severity.MEDIUM,
    "policy.loaded": Severity.INFO,
    "policy.exception_used": Severity.LOW,
    "pin.learned": Severity.INFO,
    "admin.pins_cleared": Severity.MEDIUM,
    "admin.start": Severity.INFO,
    "admin.stop": Severity.INFO,
    "admin.erase": Severity.INFO,
    "log.heartbeat": Severity.INFO,
    "log.checkpoint": Severity.INFO,
    "log.reduced": Severity.INFO,
    "log.pruned": Severity.INFO,
    "log.recovered": Severity.MEDIUM,
    "log.dropped": Severity.HIGH,
    "log.withheld": Severity.HIGH,
    "log.sink_dropped": Severity.MEDIUM,
}

_BY_GRADE: dict[str, Severity] = {
    "CLEARTEXT": Severity.LOW,
    "KEY_EXPOSED": Severity.MEDIUM,
    "PARTIAL": Severity.LOW,
    "UNAUTHENTICATED": Severity.LOW,
    "HOP_BY_HOP": Severity.OK,
    "END_TO_END": Severity.OK,
}
"""Tolerated downgrades are LOW, as plain RTP is a choice; an exposed key looks encrypted and is not, hence MEDIUM."""


ENCRYPTION_REFUSED: dict[str, Severity] = {
    Termination.ENCRYPTION_REQUIRED.slug: Severity.LOW,
    Termination.ENCRYPTION_IMPOSSIBLE.slug: Severity.LOW,
    Termination.SUITE_DENIED.slug: Severity.LOW,
    Termination.BROWSER_OFFER_INSECURE.slug: Severity.LOW,
    Termination.BROWSER_SUITE_UNKNOWN.slug: Severity.LOW,
    Termination.ENCRYPTION_IGNORED.slug: Severity.MEDIUM,
    Termination.ENCRYPTION_UNUSABLE.slug: Severity.MEDIUM,
    Termination.ENCRYPTION_REMOVED.slug: Severity.MEDIUM,
    Termination.ENCRYPTION_WITHDRAWN.slug: Severity.HIGH,
    Termination.TRUNK_UNVERIFIED.slug: Severity.MEDIUM,
    Termination.FINGERPRINT_MISMATCH.slug: Severity.MEDIUM,
    Termination.DTLS_FAILED.slug: Severity.MEDIUM,
    Termination.TRUNK_FINGERPRINT.slug: Severity.MEDIUM,
    Termination.TRUNK_DTLS_FAILED.slug: Severity.MEDIUM,
}
"""Calls that were not put through because of their encryption: LOW where the other side has none or was never asked,
MEDIUM where it said one thing and did another, or could not prove who it is, HIGH where it is known to encrypt."""


def severity(record: Record) -> Severity:
    """The attention a record deserves; unknown types get MEDIUM, because nobody has judged them harmless."""
    kind = text(record, "type")
    if kind.startswith("leg.") and Code.PIN_BID_DOWN in texts(record, "codes"):
        return Severity.HIGH
    if kind == "leg.downgraded":
        return _BY_GRADE.get(text(record, "grade_after"), Severity.MEDIUM)
    if kind == "call.final":
        return _final_severity(record)
    if kind == "media.latch":
        return Severity.MEDIUM if text(record, "decision") == "refused" else Severity.INFO
    if kind == "leg.quality":
        return Severity.LOW if text(record, "quality") == "bad" else Severity.INFO
    if kind == "call.transfer":
        return Severity.LOW if text(record, "decision") == "refused" else Severity.INFO
    if kind == "tls.peer":
        return Severity.OK if record.get("verified") is True else Severity.LOW
    return _BY_TYPE.get(kind, Severity.MEDIUM)


def _final_severity(record: Record) -> Severity:
    if text(record, "termination") == Termination.CRASH.slug:
        return Severity.MEDIUM
    if record.get("answered") is not True:
        return ENCRYPTION_REFUSED.get(text(record, "termination"), Severity.INFO)
    return _BY_GRADE.get(text(record, "grade_worst"), Severity.MEDIUM)
