r"""Records in the Common Event Format of ArcSight (CEF:0), for the collectors that take nothing else. PURE.

`CEF:0|vendor|product|version|type|name|severity|extension`. In the header `\` and `|` are escaped, in the extension
`\`, `=` and line ends; no other character has a meaning.
"""

from __future__ import annotations

from datetime import datetime

from gateway.audit.facts import short_id
from gateway.audit.severity import Severity
from gateway.audit.sinks.item import Item, Record, attention, codes_of, grade_of, text_of

VENDOR = "sip-gateway"
PRODUCT = "sip-gateway"
FORMAT_VERSION = "2"
"""The version of the record format stands where a product has its version: that is what a parser depends on."""

MAX_VALUE = 1023
"""Characters of one value: what ArcSight's fields take."""

SEVERITIES = {Severity.HIGH: 8, Severity.MEDIUM: 5, Severity.LOW: 3, Severity.INFO: 1, Severity.OK: 0}
"""CEF counts from 0 to 10: to 3 low, to 6 medium, to 8 high."""

NAMES = {
    "call.start": "Call started",
    "call.final": "Call ended",
    "leg.secured": "Leg protected",
    "leg.downgraded": "Leg weaker than preferred",
    "leg.violation": "Leg refused",
    "auth.fail": "Sign-in failed",
    "log.checkpoint": "Signed checkpoint",
    "log.dropped": "Audit records lost",
    "log.sink_dropped": "Audit records not sent",
}
"""What people read; another type is its own name."""


def cef(item: Item) -> str:
    """One record as one CEF event."""
    record = item.record
    name, level = NAMES.get(item.kind, item.kind), SEVERITIES[attention(record)]
    header = "|".join(header_value(text) for text in (VENDOR, PRODUCT, FORMAT_VERSION, item.kind, name, str(level)))
    return f"CEF:0|{header}|{extension(item, record)}"


def extension(item: Item, record: Record) -> str:
    """What the record says, under the names of CEF's dictionary."""
    call = text_of(record, "call_uid")
    fields: dict[str, str] = {
        "externalId": str(item.seq),
        "rt": milliseconds(item.ts),
        "dvchost": text_of(record, "node"),
        "suser": text_of(record, "from") or text_of(record, "user"),
        "duser": text_of(record, "to"),
        "act": text_of(record, "decision"),
        "outcome": text_of(record, "termination"),
        **_labelled(1, "grade", grade_of(record)),
        **_labelled(2, "codes", ",".join(codes_of(record))),
        **_labelled(3, "call", short_id(call) if call else ""),
        **_labelled(4, "trunk", text_of(record, "trunk")),
        **_labelled(5, "hash", text_of(record, "hash")),
        **_labelled(6, "rule", text_of(record, "rule_id")),
        **_checkpoint(item, record),
    }
    return " ".join(f"{name}={extension_value(value)}" for name, value in fields.items() if value)


def _labelled(number: int, label: str, value: str) -> dict[str, str]:
    return {f"cs{number}": value, f"cs{number}Label": label} if value else {}


def _checkpoint(item: Item, record: Record) -> dict[str, str]:
    """All that is signed and the signature, so that who keeps the event keeps a checkpoint."""
    if not item.is_checkpoint:
        return {}
    names = ("head", "log_id", "prev_checkpoint", "signature")
    return {
        **{f"ad.{name}": text_of(record, name) for name in names},
        "ad.size": str(record.get("size")),
        "ad.ts": item.ts,
    }


def header_value(text: str) -> str:
    r"""A field of the header: `\` and `|` escaped, on one line."""
    return _one_line(text[:MAX_VALUE]).replace("\\", "\\\\").replace("|", "\\|")


def extension_value(text: str) -> str:
    r"""A value of the extension: `\` and `=` escaped, line ends written as `\n` and `\r`."""
    escaped = text[:MAX_VALUE].replace("\\", "\\\\").replace("=", "\\=")
    return _printed(escaped.replace("\n", "\\n").replace("\r", "\\r"))


def milliseconds(ts: str) -> str:
    """The time of a record as CEF's `rt` has it; empty when it is none."""
    try:
        return str(int(datetime.fromisoformat(ts).timestamp() * 1000))
    except (ValueError, OverflowError):
        return ""


def _one_line(text: str) -> str:
    return _printed(text.replace("\n", " ").replace("\r", " "))


def _printed(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
