"""A SIP message without the people in it: users and numbers by pseudonyms, what else may name somebody left out. PURE.

What is known to name nobody stays; addresses are written anew from what was read of them, without display names and
without parameters nobody knows. Whatever cannot be read is withheld.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from gateway.audit.facts import party
from gateway.audit.redaction import CREDENTIALS, WITHHELD
from gateway.base.errors import SipError
from gateway.sip.address import NameAddr
from gateway.sip.grammar import LWS
from gateway.sip.headers import Headers, canonical
from gateway.sip.message import Message, Request
from gateway.sip.params import NO_PARAMS, Params
from gateway.sip.uri import SipUri

Called = Callable[[str], str]
"""What somebody is called, who is named as records have it."""

ADDRESSES = frozenset(
    "from to contact refer-to referred-by p-asserted-identity p-preferred-identity p-called-party-id remote-party-id "
    "diversion history-info route record-route path service-route reply-to".split(" ")
)
"""Header fields with addresses of people and of machines, which look the same."""
IMPERSONAL = frozenset(
    "accept accept-encoding accept-language allow allow-events call-id call-security content-disposition "
    "content-encoding content-length content-type cseq date event expires join max-forwards mime-version min-expires "
    "min-se p-early-media priority privacy proxy-require rack refer-sub replaces require retry-after rseq server "
    "session-expires subscription-state supported target-dialog timestamp unsupported user-agent via".split(" ")
)
"""Header fields that name nobody."""
CAUSES = frozenset(("reason", "warning"))
"""Header fields that give causes, and prose in quotes."""
URI_PARAMETERS = frozenset(("transport", "lr", "ob", "user", "method", "ttl"))
PARAMETERS = frozenset(("tag", "expires", "q", "reason", "privacy", "counter", "index", "cause", "screen", "party"))
"""Parameters that name nobody."""
MAX_ADDRESSES = 32
"""Addresses of one header field; of a longer list nothing is shown."""
SERVICE = "urn:service:"
"""URIs of services (RFC 5031): help in an emergency is nobody's name."""
_PROSE = re.compile(r'"(?:[^"\\]|\\.)*"?')


def without_people(message: Message, called: Called) -> Message:
    """The same message, with nobody's name or number in its head; see `impersonal` for its body."""
    headers = Headers.received([(name, _value(name, value, called)) for name, value in message.headers.items()])
    if isinstance(message, Request):
        return Request(message.method, _uri(message.uri, called), headers, message.body)
    return replace(message, headers=headers, reason="")


def impersonal(line: str) -> str:
    """A line of a description that is shown, without names: of its author, its subject, its streams (RFC 8866 5)."""
    if line.startswith("o="):
        return f"o=- {line[2:].lstrip(LWS).partition(' ')[2]}"
    if line.startswith("s="):
        return "s=-"
    if line.startswith("a=ssrc:"):
        return line.partition(" ")[0]
    return line


def _value(name: str, value: str, called: Called) -> str:
    key = canonical(name)
    if key in IMPERSONAL:
        return value
    if key in ADDRESSES:
        return _addresses(key, value, called)
    if key in CAUSES:
        return _PROSE.sub(f'"{WITHHELD}"', value)
    return f"Digest {WITHHELD}" if key in CREDENTIALS and value.lstrip(LWS)[:6].lower() == "digest" else WITHHELD


def _addresses(key: str, value: str, called: Called) -> str:
    if value == "*":
        return value
    try:
        values = Headers.received([(key, value)]).values(key)
        read = [NameAddr.parse(text) for text in values[:MAX_ADDRESSES]]
    except SipError:
        return WITHHELD
    if len(values) > MAX_ADDRESSES:
        return WITHHELD
    return ", ".join(f"<{_called_uri(one.uri, called)}>{_known(one.params, PARAMETERS)}" for one in read)


def _uri(text: str, called: Called) -> str:
    try:
        return _called_uri(SipUri.parse(text, any_scheme=True), called)
    except SipError:
        return WITHHELD


def _called_uri(uri: SipUri, called: Called) -> str:
    if uri.scheme == "tel":
        return f"tel:{called(party(uri.user or ''))}"
    if uri.scheme not in ("sip", "sips"):
        return str(uri) if str(uri).lower().startswith(SERVICE) else WITHHELD
    user = called(party(uri.subscriber)) if uri.user else None
    kept = _known(uri.params, URI_PARAMETERS)
    return str(replace(uri, user=user, password=None, headers="", params=kept))


def _known(params: Params, names: frozenset[str]) -> Params:
    """Those that are among `names` and have no prose."""
    kept = tuple((n, v) for n, v in params if n.lower() in names and not (v or "").startswith('"'))
    return Params(kept) if kept else NO_PARAMS
