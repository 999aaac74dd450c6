"""The NOTIFY that tells a connection what has become of its Contact: the event package `reg` (RFC 3680). PURE.

Nobody subscribed to it: it stands outside of any dialog, and any answer to it, or none, is as good as another.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from gateway.location.standing import News
from gateway.sip.message import Headers, Request
from gateway.sip.model import MAX_FORWARDS

REGINFO = "application/reginfo+xml"
EVENT = "reg"
_NAMESPACE = "urn:ietf:params:xml:ns:reginfo"


def notify(news: News, aor: str, *, contact: str, call_id: str, tag: str) -> Request:
    """The NOTIFY (RFC 3680 4), to the Contact the connection had registered."""
    headers = Headers(
        [
            ("Max-Forwards", str(MAX_FORWARDS)),
            ("From", f"<{aor}>;tag={tag}"),
            ("To", f"<{aor}>"),
            ("Call-ID", call_id),
            ("CSeq", f"{news.number + 1} NOTIFY"),
            ("Contact", contact),
            ("Event", EVENT),
            ("Subscription-State", "terminated"),
            ("Content-Type", REGINFO),
        ]
    )
    return Request("NOTIFY", news.contact_uri, headers, document(news, aor).encode())


def document(news: News, aor: str) -> str:
    """The whole state of the registration (RFC 3680 5): what is bound, and last the Contact that is gone, if it is."""
    lines = [_contact(n, binding.contact_uri, "active", "registered") for n, binding in enumerate(news.bindings)]
    if news.gone is not None:
        lines.append(_contact(len(lines), news.contact_uri, "terminated", news.gone.value))
    state = "active" if news.bindings else "terminated"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<reginfo xmlns="{_NAMESPACE}" version="{news.number}" state="full">'
        f'<registration aor={quoteattr(aor)} id="r" state="{state}">{"".join(lines)}</registration></reginfo>\n'
    )


def _contact(number: int, uri: str, state: str, event: str) -> str:
    return f'<contact id="c{number}" state="{state}" event="{event}"><uri>{escape(uri)}</uri></contact>'
