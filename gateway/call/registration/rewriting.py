"""A browser's REGISTER as the registrar gets it, and the registrar's answer as the browser gets it.

Request URI, From, To, Call-ID and CSeq are the browser's, octet for octet. Where the registrar is to call, the host in
a browser's Contact is of no use to it (RFC 7118 5): either our own Contact stands in its place, whose user part is the
name of the place, or the Contact stays and a Path leads over us to it (RFC 3327). PURE.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.base.signalling import TransportName
from gateway.base.values import Secret
from gateway.location.contacts import MAX_EXPIRES_DIGITS, Wanted
from gateway.sip.address import NameAddr
from gateway.sip.digest_relay import Given
from gateway.sip.flow import Flow
from gateway.sip.grammar import DIGITS
from gateway.sip.headers import Item
from gateway.sip.message import Headers, Request, Response, create_response
from gateway.sip.model import MAX_FORWARDS
from gateway.sip.params import NO_PARAMS, Params
from gateway.sip.uri import SipUri
from gateway.site import RegistrationRelay

PREFIX = "gw-"
"""How the names of places begin: a call to one that is gone is told from a call to a number."""
NAME_CHARACTERS = 26
"""Of a name behind that: 130 bits, which nobody guesses."""
KEPT_FIELDS = ("From", "To", "Call-ID", "CSeq")
MAX_GRANTED = 86_400
"""Seconds a registration lasts at most, whatever a registrar says: who it was proved to be is looked at once a day."""
PASSED_PARAMS = ("+sip.instance", "q")
"""Parameters of a browser's Contact that ours keeps: whose device it is, and how much it is preferred."""


@dataclass(frozen=True, slots=True)
class Place:
    """One Contact of a browser, and the name under which the registrar calls it."""

    name: str
    wanted: Wanted

    @property
    def uri(self) -> str:
        """Of the browser's Contact."""
        return self.wanted.uri


@dataclass(frozen=True, slots=True)
class Granted:
    """What a registrar has granted to one place."""

    place: Place
    seconds: int


def place_name(trunk: str, aor: str, contact: NameAddr, flow: Flow, key: Secret[bytes]) -> str:
    """The name of the place a Contact stands for.

    A device that says who it is (RFC 5626 4.1) has the same one on every connection and after a restart of ours, so
    that it replaces its own registration and leaves none behind. It names nothing that others do not hear: the
    registrar has the instance itself. Any other Contact has one for its connection.
    """
    instance = contact.params.get("+sip.instance")
    if instance:
        parts = ("device", trunk, aor, instance, contact.params.get("reg-id") or "")
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).digest()
    else:
        text = "\0".join(("connection", trunk, aor, str(flow.id), str(contact.uri)))
        digest = hmac.digest(key.reveal(), text.encode("utf-8", "surrogateescape"), "sha256")
    return PREFIX + b32encode(digest).decode().lower()[:NAME_CHARACTERS]


def to_registrar(
    request: Request,
    places: Sequence[Place],
    given: Given,
    settings: RegistrationRelay,
    transport: TransportName,
    limit: int,
) -> Request:
    """The REGISTER as it leaves: nothing of the browser's but what was named above.

    Args:
        places: of its Contacts; none for a query, or for a star.
        transport: how the registrar is to reach us.
        limit: seconds a registration is asked for at most.
    """
    fields: list[Item] = [("Max-Forwards", str(_hops(request)))]
    fields += request.headers.only(*KEPT_FIELDS).items()
    fields += [("Contact", _contact(place, settings, transport, limit)) for place in places]
    if request.contact_star:
        fields += [("Contact", "*"), ("Expires", "0")]
    elif places:
        fields.append(("Expires", str(max(_asked(place, limit) for place in places))))
    if settings.path and places:
        fields.append(("Path", _path(places[0], settings, transport)))
        fields.append(("Supported", "path, outbound" if _is_outbound(places[0]) else "path"))
    return Request("REGISTER", request.uri, Headers([*fields, *given.headers]))


def leaving(request: Request, contact: str, given: Given, number: int) -> Request:
    """A REGISTER like the last one, by which one Contact is removed after its connection has ended.

    It carries the credentials of the last one, which a registrar takes that lets a nonce be used again.
    """
    kept = Headers(request.headers.only("From", "To", "Call-ID").items())
    fields: list[Item] = [("CSeq", f"{number} REGISTER"), ("Max-Forwards", str(MAX_FORWARDS))]
    fields += [("Contact", contact), ("Expires", "0"), *request.headers.only("Path", "Supported").items()]
    return Request("REGISTER", request.uri, kept.plus([*fields, *given.headers]))


def removed(contact: str) -> str:
    """A Contact of ours with which it is removed."""
    address = NameAddr.parse(contact)
    return str(NameAddr("", address.uri, address.params.with_("expires", "0")))


def granted(response: Response, places: Iterable[Place], settings: RegistrationRelay, limit: int) -> list[Granted]:
    """What a 200 says of the places: how long each of them is bound, 0 for those that are not.

    A registrar lists whatever is bound (RFC 3261 10.3 step 8). One that leaves ours out is taken at the word of its
    Expires, or at ours.
    """
    listed = {_called(contact, settings): contact for contact in response.contacts}
    common = number(response.headers.get("Expires"))
    found = []
    for place in places:
        asked = _asked(place, limit)
        contact = listed.get(place.uri if settings.path else place.name)
        own = number(contact.params.get("expires")) if contact is not None else None
        told = next((seconds for seconds in (own, common) if seconds is not None), asked)
        found.append(Granted(place, min(told, MAX_GRANTED) if asked else 0))
    return found


def keeps_path(response: Response, places: Iterable[Place]) -> bool:
    """Whether a registrar has taken the Path: it repeats it then (RFC 3327 5.3)."""
    told = ",".join(response.headers.get_all("Path"))
    return all(f"{place.name}@" in told for place in places)


def to_browser(request: Request, response: Response, bound: Mapping[str, tuple[str, int]]) -> Response:
    """The 200 as the browser gets it: its own places by the Contacts it knows; of what else is bound it learns nothing.

    Args:
        bound: Contacts of the user on this gateway as they were written, by URI, with the seconds they have.
    """
    headers: list[Item] = [("Contact", _with_lifetime(text, seconds)) for text, seconds in bound.values()]
    if info := response.headers.get("Authentication-Info"):
        headers.append(("Authentication-Info", info))
    return create_response(request, 200, headers=headers)


def named(request: Request, settings: RegistrationRelay) -> str:
    """The place a call of the registrar is for, "" when it is for none: in its Route, or in its request URI."""
    try:
        uri = request.route[0].uri if settings.path and request.route else request.request_uri
    except SipError:
        return ""
    return (uri.user or "") if (uri.user or "").startswith(PREFIX) else ""


def _contact(place: Place, settings: RegistrationRelay, transport: TransportName, limit: int) -> str:
    seconds = str(_asked(place, limit))
    contact = place.wanted.contact
    if settings.path:
        return str(NameAddr(contact.display_name, contact.uri, contact.params.with_("expires", seconds)))
    kept = tuple((name, value) for name, value in contact.params if name.lower() in PASSED_PARAMS)
    return str(NameAddr("", _own_uri(place, settings, transport), Params((*kept, ("expires", seconds)))))


def _own_uri(place: Place, settings: RegistrationRelay, transport: TransportName) -> SipUri:
    address = settings.address
    return SipUri.of(place.name, address.host, address.port, transport="" if transport == "udp" else transport)


def _path(place: Place, settings: RegistrationRelay, transport: TransportName) -> str:
    """Our Path; with `ob` a device may have several registrations through it (RFC 5626 5.1)."""
    uri = _own_uri(place, settings, transport)
    params = Params((*uri.params, ("lr", None), *((("ob", None),) if _is_outbound(place) else ())))
    return str(NameAddr("", SipUri("sip", uri.user, None, uri.host, uri.port, params), NO_PARAMS))


def _is_outbound(place: Place) -> bool:
    params = place.wanted.contact.params
    return "reg-id" in params and "+sip.instance" in params


def _called(contact: NameAddr, settings: RegistrationRelay) -> str:
    """By what a listed Contact is known here."""
    return str(contact.uri) if settings.path else contact.uri.user or ""


def _asked(place: Place, limit: int) -> int:
    return min(place.wanted.expires, limit)


def _with_lifetime(text: str, seconds: int) -> str:
    address = NameAddr.parse(text)
    left = str(seconds)
    if address.params.get("expires") == left:
        return text
    return f"<{address.uri}>{address.params.with_('expires', left)}"


def number(text: str | None) -> int | None:
    """Seconds as a header field says them; None when it does not, or not in digits."""
    value = (text or "").strip()
    return int(value) if value and DIGITS.issuperset(value) and len(value) <= MAX_EXPIRES_DIGITS else None


def _hops(request: Request) -> int:
    given = request.max_forwards
    return min(MAX_FORWARDS if given is None else given, MAX_FORWARDS) - 1
