"""Where a trunk may send our INVITE on by a 3xx: to itself, and nowhere else (RFC 3261 8.1.3.4).

What a trunk writes into Contact would be called at our expense, and with what a connection of ours proves. So it is
followed to hosts that are the trunk's own, over the transport there is, and for what the caller may dial.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.base.errors import SipError
from gateway.base.values import HostPort
from gateway.sip.address import NameAddr
from gateway.sip.flow import Flow
from gateway.sip.message import Response
from gateway.sip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT, SipUri

MAX_FOLLOWED = 5
"""How often one leg is sent on; a redirect server sends once, a forwarded phone once more."""
MAX_CONTACTS = 5
"""Contacts of one 3xx that are looked at, the most wanted ones."""


@dataclass(slots=True)
class Redirects:
    """Where a leg was sent so far, and where it may still try."""

    tried: set[str] = field(default_factory=set)
    """Request-URIs that were called: none twice, or two of them would send us to and fro."""
    left: list[SipUri] = field(default_factory=list)
    """Further ones of the last 3xx, in its order."""
    going: HostPort | None = None
    """Where a connection to is awaited."""

    def next(self) -> SipUri | None:
        """Where to go on; None: nowhere, or it was often enough."""
        while self.left and len(self.tried) <= MAX_FOLLOWED:
            uri = self.left.pop(0)
            if str(uri) not in self.tried:
                return uri
        return None


def contacts(response: Response) -> list[SipUri]:
    """Addresses in a 3xx, the most wanted first (RFC 3261 20.10); those nobody can read are passed over."""
    try:
        found = response.contacts
    except SipError:
        return []
    wanted = sorted(found, key=_preference, reverse=True)
    return [_request_uri(contact.uri) for contact in wanted if contact.uri.scheme in ("sip", "sips")][:MAX_CONTACTS]


def _preference(contact: NameAddr) -> float:
    try:
        q = float(contact.params.get("q") or "1")
    except ValueError:
        return 0.0
    return q if 0.0 <= q <= 1.0 else 0.0


def _request_uri(uri: SipUri) -> SipUri:
    """The URI without what a Request-URI may not have; header fields of a peer's making are no part of our INVITE."""
    return SipUri(uri.scheme, uri.user, None, uri.host.lower(), uri.port, uri.params.without("method"))


def is_as_secure(uri: SipUri, founding: Flow) -> bool:
    """Whether it names the transport we have, or none: never a weaker one, and a stronger one is another trunk."""
    named = "tls" if uri.scheme == "sips" else (uri.transport or founding.transport)
    return named == founding.transport


def host_of(uri: SipUri) -> str:
    """Where it is, which `maddr` may say better (RFC 3261 19.1.1)."""
    return (uri.params.get("maddr") or uri.host).lower()


def place_of(uri: SipUri, flow: Flow) -> HostPort:
    """The address a request to it goes to."""
    return HostPort(host_of(uri), uri.port or (DEFAULT_TLS_PORT if flow.transport == "tls" else DEFAULT_PORT))
