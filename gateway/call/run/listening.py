"""Who may look on at the calls of a user: one-use tickets, handed over where the user has proved herself. PURE.

A page signs in by SIP, by whatever its gateway asks for; the 200 to its REGISTER brings a ticket, and an event socket
that shows it is that user's. So there is one sign-in, no password and no token passes a second time, and the ticket
stands in a message and never in a URL, which proxies log. It is worth nothing without the connection it came over: that
closed, or its proof run out, tickets and event sockets of it are void.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from gateway.base.values import TokenSource
from gateway.call.run.bulletin import Bulletin
from gateway.sip.flow import Flow

HEADER = "Call-Security-Ticket"
"""In a 200 to REGISTER."""
TICKET_LENGTH = 32
"""Characters of 36: 165 bits, which nobody guesses."""
MAX_TICKET = 64
"""Characters of a ticket that is looked at; ours are shorter."""


class Origin(Enum):
    """Where a ticket was handed over. Each way has one at a time: two that cross each other are both good."""

    REGISTER = auto()
    EVENTS = auto()


@dataclass(frozen=True, slots=True)
class Standing:
    """Who shows a ticket: a user, as proved on this connection."""

    user: str
    flow: Flow


class Listening:
    """Hands out tickets and takes them back. At most two for each connection that is somebody's.

    Args:
        tokens: randomness.
        user_of: who a connection is, while what proved it holds.
        bulletin: what there is to see.
    """

    def __init__(self, tokens: TokenSource, user_of: Callable[[Flow], str | None], bulletin: Bulletin) -> None:
        self.bulletin = bulletin
        self.on_void: Callable[[Flow], None] = lambda _flow: None
        """Told when a connection is nobody's any more."""
        self._tokens, self._user_of = tokens, user_of
        self._tickets: dict[bytes, tuple[Standing, Origin]] = {}
        self._of_flow: dict[tuple[int, Origin], bytes] = {}

    def __len__(self) -> int:
        """Tickets that have not been shown."""
        return len(self._tickets)

    def ticket(self, flow: Flow, origin: Origin = Origin.REGISTER) -> str | None:
        """A ticket for whoever has proved to be at the end of this connection, in place of the one before; or None."""
        user = self._user_of(flow)
        if user is None or not (flow.is_secure or flow.remote.is_loopback):
            return None
        self._drop(flow, origin)
        ticket = self._tokens(TICKET_LENGTH)
        name = _name(ticket)
        self._tickets[name] = (Standing(user, flow), origin)
        self._of_flow[flow.id, origin] = name
        return ticket

    def admit(self, ticket: str) -> Standing | None:
        """Whose ticket this is; it is used up."""
        found = self._tickets.get(_name(ticket)) if len(ticket) <= MAX_TICKET else None
        if found is None:
            return None
        standing, origin = found
        self._drop(standing.flow, origin)
        return standing if self.holds(standing) else None

    def holds(self, standing: Standing) -> bool:
        """Whether its connection still is that user's."""
        return self._user_of(standing.flow) == standing.user

    def flow_closed(self, flow: Flow) -> None:
        """A connection has ended."""
        for origin in Origin:
            self._drop(flow, origin)
        self.on_void(flow)

    def _drop(self, flow: Flow, origin: Origin) -> None:
        name = self._of_flow.pop((flow.id, origin), None)
        if name is not None:
            self._tickets.pop(name, None)


def _name(ticket: str) -> bytes:
    """What a ticket is found by: the gateway keeps none that could be shown."""
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
