"""Pieces of SIP messages as bodies: how far a call has come that a REFER asked for (RFC 3420, RFC 3515 2.4.5).

We write a status line and no more: the header fields of a response we got would tell one side where the other lives.
Of a peer's piece the status is read and nothing else.
"""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.sip.body import Value
from gateway.sip.grammar import DIGITS
from gateway.sip.reply import REASONS

MEDIA_TYPE = "message/sipfrag"
CONTENT_TYPE = f"{MEDIA_TYPE};version=2.0"
MAX_STATUS_LINE = 256
"""Octets looked at for the end of a status line; the longest of ours has 50."""
_VERSION = b"SIP/2.0"


def build_sipfrag(status: int) -> bytes:
    """The status line of a response, in words of ours.

    Raises:
        SipError: 500, there is no such status.
    """
    if not 100 <= status <= 699:
        raise SipError("Status line cannot be written", 500)
    return b"%s %d %s\r\n" % (_VERSION, status, REASONS.get(status, "Unknown").encode())


def read_sipfrag(content_type: str, body: bytes) -> int | None:
    """The status a piece tells; None when it is of another type, a request, or nothing that can be read.

    Args:
        content_type: the whole Content-Type of the body, as sent.
    """
    try:
        if Value.parse(content_type).word != MEDIA_TYPE:
            return None
    except SipError:
        return None
    line = body[:MAX_STATUS_LINE].partition(b"\n")[0].decode("ascii", "replace")
    version, _, rest = line.partition(" ")
    status = rest.rstrip("\r").partition(" ")[0]
    known = version.upper() == _VERSION.decode() and len(status) == 3 and DIGITS.issuperset(status)
    return int(status) if known and 100 <= int(status) <= 699 else None
