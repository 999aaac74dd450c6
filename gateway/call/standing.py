"""Where the calls of a user ring, as each of the user's connections was told it: by the event package `reg` (RFC 3680).

Calls ring at one place. A second sign-in takes them from the first, which goes on looking signed in; so it is told,
and told again when the second one is gone. Nobody subscribed to that: the NOTIFY stands outside of any dialog, and any
answer to it, or none, is as good as another.

PURE: the manager sends what is made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol
from xml.sax.saxutils import escape, quoteattr

from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request
from gateway.sip.model import MAX_FORWARDS

MAX_LISTENERS = 10
"""Connections of one user that are told; of more, the ones that signed in last."""
REGINFO = "application/reginfo+xml"
EVENT = "reg"
_NAMESPACE = "urn:ietf:params:xml:ns:reginfo"


class Bound(Protocol):
    """What of a binding matters here."""

    @property
    def flow(self) -> Flow: ...

    @property
    def contact_uri(self) -> str: ...


class Place(Enum):
    """Where a connection stands; without a Contact of its own, with the event that RFC 3680 4.1 has for it."""

    RINGS = "active"
    WAITS = "behind"
    REMOVED = "unregistered"
    """Another connection of the user removed it, and said so: it is for the user to sign in again."""
    DISPLACED = "rejected"
    """Its Contact gave way while another one lives."""
    LOST = "deactivated"
    """There is no Contact at all any more: it shall register again by itself."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is to tell a connection."""

    place: Place
    others: bool
    """Other connections of the user are bound too."""


ASSUMED = Standing(Place.RINGS, others=False)
"""What who has registered takes for granted."""


@dataclass(slots=True)
class Listener:
    """A connection with a Contact: where a NOTIFY goes, and what the last one said."""

    flow: Flow
    contact_uri: str
    call_id: str
    instance: str
    told: Standing = ASSUMED
    was_removed: bool = False
    version: int = field(default=0)
    """NOTIFYs sent, for CSeq and for the version of the document (RFC 3680 5.1)."""

    def is_same_device(self, other: Listener) -> bool:
        """See `Binding.is_same_device`."""
        return self.call_id == other.call_id or (self.instance != "" and self.instance == other.instance)


@dataclass(frozen=True, slots=True)
class News:
    """What one connection is to be told."""

    flow: Flow
    contact_uri: str
    number: int
    """Counts from 0 for this connection."""
    standing: Standing
    contacts: tuple[str, ...]
    """The URIs that are bound, the one that rings first."""


class Standings:
    """The connections of all users and what they know."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[int, Listener]] = {}

    def bound(self, user: str, new: Listener, *, refreshed: bool) -> None:
        """A connection has bound a Contact. Its device on another connection has come here: nobody is left to tell."""
        listeners = self._listeners.setdefault(user, {})
        for old in [old for old in listeners.values() if old.flow.id != new.flow.id and old.is_same_device(new)]:
            del listeners[old.flow.id]
        known = listeners.pop(new.flow.id, None)
        if known is not None:
            new.version = known.version
            new.told = known.told if refreshed else ASSUMED
        listeners[new.flow.id] = new
        if len(listeners) > MAX_LISTENERS:
            del listeners[next(iter(listeners))]

    def removed(self, user: str, flow_id: int, *, by_itself: bool) -> None:
        """A Contact was removed on request; who asked for it over this connection knows."""
        if by_itself:
            self.drop(user, flow_id)
        elif (listener := self._listeners.get(user, {}).get(flow_id)) is not None:
            listener.was_removed = True

    def drop(self, user: str, flow_id: int) -> None:
        """Tell this connection nothing more."""
        listeners = self._listeners.get(user, {})
        listeners.pop(flow_id, None)
        if not listeners:
            self._listeners.pop(user, None)

    def news(self, user: str, bindings: Sequence[Bound], busy: frozenset[int]) -> list[News]:
        """See `Registrar.news`; the last of the bindings is the one that rings."""
        uris = tuple(binding.contact_uri for binding in reversed(bindings))
        found = []
        for listener in self._listeners.get(user, {}).values():
            standing = _standing(listener, bindings)
            if standing == listener.told or listener.flow.id in busy:
                continue
            found.append(News(listener.flow, listener.contact_uri, listener.version, standing, uris))
            listener.told = standing
            listener.version += 1
        return found


def _standing(listener: Listener, bindings: Sequence[Bound]) -> Standing:
    flow_id = listener.flow.id
    others = any(binding.flow.id != flow_id for binding in bindings)
    if bindings and bindings[-1].flow.id == flow_id:
        return Standing(Place.RINGS, others)
    if any(binding.flow.id == flow_id for binding in bindings):
        return Standing(Place.WAITS, others)
    if listener.was_removed:
        return Standing(Place.REMOVED, others)
    return Standing(Place.DISPLACED if others else Place.LOST, others)


def notify(news: News, aor: str, *, contact: str, call_id: str, tag: str) -> Request:
    """The NOTIFY that says it (RFC 3680), to the Contact the connection registered."""
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
    return Request("NOTIFY", news.contact_uri, headers, reginfo(news, aor).encode())


def reginfo(news: News, aor: str) -> str:
    """The whole state of the registration; `q` is 1.0 where calls ring (RFC 3680 5)."""
    lines = [_contact(n, uri, "active", "registered", "0.5" if n else "1.0") for n, uri in enumerate(news.contacts)]
    if news.standing.place not in (Place.RINGS, Place.WAITS):
        lines.append(_contact(len(lines), news.contact_uri, "terminated", news.standing.place.value, "0.0"))
    state = "active" if news.contacts else "terminated"
    inner = "".join(lines)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<reginfo xmlns="{_NAMESPACE}" version="{news.number}" state="full">'
        f'<registration aor={quoteattr(aor)} id="r" state="{state}">{inner}</registration></reginfo>\n'
    )


def _contact(number: int, uri: str, state: str, event: str, q: str) -> str:
    return f'<contact id="c{number}" state="{state}" event="{event}" q="{q}"><uri>{escape(uri)}</uri></contact>'
