"""Records as syslog messages (RFC 5424), framed by counted octets (RFC 5425 4.3). PURE.

`<PRI>1 time host sip-gateway pid type [callsec@PEN grade="..." codes="..." call="..."] BOM {json}`: the structured data
is short, because receivers need not take more than 480 octets and should take 2,048 (RFC 5424 6.1); it stands first.
"""

from __future__ import annotations

import re

from gateway.audit.facts import short_id
from gateway.audit.severity import Severity
from gateway.audit.sinks.cef import cef
from gateway.audit.sinks.item import Item, Record, attention, codes_of, grade_of, text_of
from gateway.audit.sinks.plan import Form, SyslogPlan

APP_NAME = "sip-gateway"
SD_NAME = "callsec"
FACILITY = 13
"""Log audit (RFC 5424 6.2.1)."""
BOM = b"\xef\xbb\xbf"
"""Says that UTF-8 follows (RFC 5424 6.4)."""
NIL = "-"

MAX_PARAMETER = 160
"""Octets of one value in the structured data: three of them fit into what every receiver takes."""
MAX_HOST = 255
MAX_MESSAGE_ID = 32

PRIORITIES = {Severity.HIGH: 2, Severity.MEDIUM: 4, Severity.LOW: 5, Severity.INFO: 6, Severity.OK: 6}
"""Critical, warning, notice, informational (RFC 5424 6.2.1)."""

_ESCAPED = re.compile(r'["\\\]]')
_NOT_PRINTED = re.compile(r"[^!-~]")


def message(item: Item, plan: SyslogPlan, *, pid: int) -> bytes:
    """One line of the log as one syslog message, not framed."""
    record = item.record
    priority = FACILITY * 8 + PRIORITIES[attention(record)]
    host, kind = header_text(text_of(record, "node"), MAX_HOST), header_text(item.kind, MAX_MESSAGE_ID)
    head = f"<{priority}>1 {item.ts or NIL} {host} {APP_NAME} {pid} {kind}"
    if plan.form is Form.CEF:
        return f"{head} {NIL} ".encode("ascii") + BOM + cef(item).encode()
    return f"{head} {structured(record, plan.enterprise)} ".encode() + BOM + item.line


def framed(text: bytes) -> bytes:
    """A message behind its length (RFC 5425 4.3): no octet in it can end it."""
    return b"%d %b" % (len(text), text)


def structured(record: Record, enterprise: int) -> str:
    """What a receiver that reads no JSON can filter by: grade, codes and call, as far as the record has them."""
    call = text_of(record, "call_uid")
    named = {"grade": grade_of(record), "codes": ",".join(codes_of(record)), "call": short_id(call) if call else ""}
    parameters = [f'{name}="{parameter(value)}"' for name, value in named.items() if value]
    return f"[{' '.join((f'{SD_NAME}@{enterprise}', *parameters))}]" if parameters else NIL


def parameter(value: str) -> str:
    r"""A value between quotes: `"`, `\` and `]` are escaped (RFC 5424 6.3.3), and what is too long is cut before."""
    cut = value.encode("utf-8", errors="replace")[:MAX_PARAMETER].decode("utf-8", errors="ignore")
    return _ESCAPED.sub(lambda found: "\\" + found[0], cut)


def header_text(value: str, most: int) -> str:
    """A field of the header: printable ASCII without blanks (RFC 5424 6)."""
    return _NOT_PRINTED.sub("_", value)[:most] or NIL
