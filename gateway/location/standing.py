"""What the connections of a user know of their bindings: whoever lost one without asking for it is to be told.

All bindings of a user ring, so who has one has nothing to learn of the others. But a connection goes on looking signed
in when another one has removed its Contact or taken its place, or when it has run out. Who was told so is told when it
is bound again, too: libraries do not show a page the answers to its refreshes. PURE: `announcer` tells it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.location.binding import MAX_BINDINGS, Binding
from gateway.location.registrar import Change
from gateway.sip.flow import Flow

MAX_LISTENERS = 2 * MAX_BINDINGS
"""Connections of one user that are told, those among them that gave way; of more, the ones that signed in last."""


class Gone(Enum):
    """Why a connection has no Contact any more, with the event that RFC 3680 4.1 has for it."""

    REMOVED = "unregistered"
    """Another connection of the user removed it, and said so: it is for the user to sign in again."""
    DISPLACED = "rejected"
    """It gave way to another one: the same Contact or device elsewhere, or one page too many."""
    LOST = "deactivated"
    """It has run out, or nothing stands in its place any more: it shall register again by itself."""


@dataclass(slots=True)
class Listener:
    """A connection that has, or had, a Contact: where a NOTIFY goes, and what the last one said."""

    flow: Flow
    contact_uri: str
    why: Gone = Gone.LOST
    """What took its Contact, as soon as it is gone."""
    told: Gone | None = None
    version: int = 0
    """NOTIFYs sent, for CSeq and for the version of the document (RFC 3680 5.1)."""


@dataclass(frozen=True, slots=True)
class News:
    """What one connection is to be told."""

    flow: Flow
    contact_uri: str
    number: int
    """Counts from 0 for this connection."""
    gone: Gone | None
    """None: it is bound again."""
    bindings: tuple[Binding, ...]
    """What is bound now, where calls ring."""


class Standings:
    """The connections of this process and what they know.

    Args:
        node: the name of this process in bindings.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._listeners: dict[str, dict[int, Listener]] = {}

    def __len__(self) -> int:
        """Users who take themselves for bound on a connection of this process, and were not told otherwise."""
        return sum(any(one.told is None for one in listeners.values()) for listeners in self._listeners.values())

    def changed(self, user: str, flow: Flow, change: Change, bindings: Sequence[Binding]) -> None:
        """A request over this flow has changed the bindings to these; who asked for a change knows of it."""
        self._lose(user, change.removed, Gone.REMOVED)
        self._lose(user, change.displaced, Gone.DISPLACED)
        clients = {binding.call_id for binding in change.bound}
        for old in self._own(change.displaced):
            if old.call_id in clients and old.flow.id != flow.id:  # the client has come here: nobody is left to tell
                self.drop(user, old.flow.id)
        own = [binding for binding in self._own(bindings) if binding.flow.id == flow.id]
        if own:
            self._listen(user, Listener(flow, own[-1].contact_uri))
        else:
            self.drop(user, flow.id)

    def drop(self, user: str, flow_id: int) -> None:
        """Tell this connection nothing more."""
        listeners = self._listeners.get(user, {})
        listeners.pop(flow_id, None)
        if not listeners:
            self._listeners.pop(user, None)

    def news(self, user: str, bindings: Sequence[Binding], busy: frozenset[int]) -> list[News]:
        """What each connection of a user does not know yet; it counts as told.

        Args:
            bindings: what the user has now.
            busy: ids of flows that cannot be told now; they are asked for again.
        """
        bound = {binding.flow.id for binding in self._own(bindings)}
        found = []
        for listener in self._listeners.get(user, {}).values():
            gone = None if listener.flow.id in bound else _gone(listener, bindings)
            if gone is listener.told or listener.flow.id in busy:
                continue
            found.append(News(listener.flow, listener.contact_uri, listener.version, gone, tuple(bindings)))
            listener.told = gone
            listener.version += 1
        return found

    def _listen(self, user: str, new: Listener) -> None:
        """This connection is bound; if it was told otherwise, that is news too."""
        listeners = self._listeners.setdefault(user, {})
        known = listeners.pop(new.flow.id, None)
        if known is not None:
            new.version, new.told = known.version, known.told
        listeners[new.flow.id] = new
        if len(listeners) > MAX_LISTENERS:
            del listeners[next(iter(listeners))]

    def _lose(self, user: str, bindings: Iterable[Binding], why: Gone) -> None:
        listeners = self._listeners.get(user, {})
        for binding in self._own(bindings):
            if binding.flow.id in listeners:
                listeners[binding.flow.id].why = why

    def _own(self, bindings: Iterable[Binding]) -> list[Binding]:
        return [binding for binding in bindings if binding.node == self._node]


def _gone(listener: Listener, bindings: Sequence[Binding]) -> Gone:
    """Who was displaced may come back when nobody is there any more."""
    return Gone.LOST if listener.why is Gone.DISPLACED and not bindings else listener.why
