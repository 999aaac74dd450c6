"""What is known of the connections whose users a registrar has authenticated, and of the places it may call. PURE."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.sip.digest_relay import Given
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.sip.uri import SipUri

MAX_NONCES = 16
"""Nonces of one connection that may be answered: libraries use the last one, and a call may be asked meanwhile."""
MAX_PLACES = 10
"""Places of one connection, as of one user (`location.binding.MAX_BINDINGS`)."""
GRACE_SECONDS = 32.0
"""Who a connection is known to be outlives its registration by this: a refresh that is on its way takes no longer."""


@dataclass(slots=True)
class Registered:
    """One place the registrar may call."""

    name: str
    user: str
    flow: Flow
    uri: SipUri
    """Of the browser's Contact."""
    until: float
    """When the registrar forgets it, unless it is refreshed."""
    contact: str
    """As the registrar has it."""
    last: Request = field(repr=False)
    """The REGISTER that was granted, as it was sent."""
    given: Given = field(repr=False)
    """With these credentials."""


@dataclass(slots=True)
class Known:
    """One connection."""

    nonces: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_NONCES), repr=False)
    """Of the challenges it was given."""
    over: Flow | None = None
    """Where the last of them came from."""
    user: str = ""
    """Whose REGISTER got its 200 here: the only user it will ever be."""
    username: str = ""
    """The user name of the credentials that proved it."""
    until: float = 0.0
    """When that has to have been proved again."""
    names: set[str] = field(default_factory=set)
    """Its places."""


class Book:
    """All of them. A connection is forgotten when it ends, a place when its time is over or another one has it."""

    def __init__(self) -> None:
        self._flows: dict[int, Known] = {}
        self._places: dict[str, Registered] = {}

    def __len__(self) -> int:
        """Connections something is known of."""
        return len(self._flows)

    @property
    def places(self) -> int:
        """Places a registrar may call, of which some may have run out and not been looked at since."""
        return len(self._places)

    def of(self, flow: Flow) -> Known:
        """What is known of a connection, which may have ended: then that is nothing, and none of it is kept."""
        return self._flows.get(flow.id) or Known()

    def user_of(self, flow: Flow, now: float) -> str | None:
        """Who a connection was proved to be; None when it was not, or too long ago."""
        known = self.of(flow)
        return known.user if known.user and now < known.until else None

    def username_of(self, flow: Flow) -> str:
        """By which name its user answers challenges, "" when that is not known."""
        return self.of(flow).username

    def challenged(self, flow: Flow, nonces: Iterable[str], over: Flow | None = None) -> None:
        """A connection was given challenges, which it may answer.

        Args:
            over: the connection to the server that gave them; others may not know them.
        """
        known = self._kept(flow)
        known.nonces.extend(nonces)
        known.over = over

    def proved(self, flow: Flow, user: str, username: str) -> bool:
        """A REGISTER of that user got its 200 on this connection; False when it is somebody else's already."""
        known = self._kept(flow)
        if known.user and known.user != user:
            return False
        known.user, known.username = user, username or known.username
        return True

    def has_room(self, flow: Flow, names: Iterable[str], now: float) -> bool:
        """Whether a connection may have these places besides those it has."""
        known = self.of(flow)
        for name in list(known.names):
            self.find(name, now)
        return len(known.names.union(names)) <= MAX_PLACES

    def bind(self, place: Registered) -> None:
        """The registrar may call this place; of another connection that had it nothing is left."""
        self._drop(place.name)
        self._places[place.name] = place
        known = self._kept(place.flow)
        known.names.add(place.name)
        known.until = max(known.until, place.until + GRACE_SECONDS)

    def unbind(self, name: str, flow: Flow) -> None:
        """A connection has given up a place; one that another connection has is not its own.

        Without any it is nobody's any more: who signs out at the registrar is signed out here.
        """
        known = self.of(flow)
        if name in known.names:
            self._drop(name)
        if not known.names:
            known.until = 0.0

    def find(self, name: str, now: float) -> Registered | None:
        """Whose place this is, while it lives."""
        found = self._places.get(name)
        if found is None or now < found.until:
            return found
        self._drop(name)
        return None

    def has(self, name: str) -> bool:
        """Whether this is the place of some connection now."""
        return name in self._places

    def revoke(self, flow: Flow) -> None:
        """The registrar knows this connection's user no more: nothing begins there until it does."""
        self.of(flow).until = 0.0

    def sign_out(self, user: str) -> None:
        """The registrar has removed whatever a user had."""
        for place in [place for place in self._places.values() if place.user == user]:
            self.unbind(place.name, place.flow)

    def forget(self, flow: Flow) -> list[Registered]:
        """A connection has ended; gives the places it had."""
        known = self._flows.pop(flow.id, Known())
        return [self._places.pop(name) for name in sorted(known.names)]

    def _kept(self, flow: Flow) -> Known:
        """What is known of a connection that lives; kept until it ends."""
        return self._flows.setdefault(flow.id, Known())

    def _drop(self, name: str) -> None:
        place = self._places.pop(name, None)
        if place is not None and place.flow.id in self._flows:
            self._flows[place.flow.id].names.discard(name)
