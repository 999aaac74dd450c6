"""What the endpoint and its sockets know of each other: a channel carries one flow, the endpoint takes what came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.base.buckets import Rate
from gateway.base.errors import SipError
from gateway.sip.flow import Flow
from gateway.sip.message import Message

TURN_SECONDS = 0.004
"""What one connection may take of the loop before others get their turn, less what its last message takes: no flow
holds the loop longer than 5 ms, however much it has sent."""

MAX_WRITE_BUFFER = 256 * 1024
"""Octets waiting for a peer that does not read: four of the largest messages; then the connection is cut."""


STREAM_MESSAGES = Rate(per_second=1000, burst=2000)
"""Messages of one TCP or TLS connection: more than a core handles; beyond, it is read no faster, and its peer waits."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How long and how often a TCP or TLS peer may try our patience; tests take smaller ones."""

    handshake: float = 5.0
    """Seconds for a TLS handshake, and for an outgoing connection altogether."""
    message: float = 10.0
    """Seconds from the first octet of a message to its last."""
    first_message: float = 30.0
    """Seconds an inbound connection may live without ever completing a message."""
    first_browser_message: float = 10.0
    """Seconds a WebSocket may live without ever completing a message: a page registers as soon as it is open."""
    signed_in: float = 30.0
    """Seconds a browser has to prove who it is, and a trunk whose address is not enough."""
    closing: float = 5.0
    """Seconds the last octets of a connection we close may take."""
    per_source: int = 32
    """Inbound connections of one source (`limits.connections.trunk_per_source`)."""
    per_trunk: int = 256
    """Inbound connections of one trunk (`limits.connections.trunk`)."""
    messages: Rate = STREAM_MESSAGES
    """Messages of one connection."""

    @property
    def soonest(self) -> float:
        """The shortest time after which a connection may have to be cut."""
        return min(self.message, self.first_message, self.signed_in, self.closing)


class Channel(Protocol):
    """A connection that carries one flow."""

    flow: Flow

    @property
    def is_usable(self) -> bool:
        """Whether something sent now has a chance to arrive."""

    @property
    def is_dead(self) -> bool:
        """Whether it ended because its peer stopped answering."""

    def send(self, data: bytes) -> None:
        """Queue one message; a peer that does not read is cut off rather than waited for."""

    def close(self) -> None:
        """End the connection after what is queued has gone out."""

    def abort(self) -> None:
        """End the connection now."""

    def signed_in(self, user: str) -> bool:
        """The peer proved who it is; False when there is no place for another connection of that user."""

    def check_limits(self, now: float) -> None:
        """Cut the connection when it exceeds a time limit."""


class Tap(Protocol):
    """Somebody who looks at messages as they come and go, and changes nothing."""

    def received(self, flow: Flow, message: Message, now: float) -> None:
        """A message that could be read came in."""

    def sent(self, flow: Flow, data: bytes, now: float) -> None:
        """Octets of a message leave, for the first time or once more."""


class Pump(Protocol):
    """The endpoint as its channels see it."""

    def next_flow_id(self) -> int:
        """A number no other flow has or had."""

    def now(self) -> float:
        """Monotonic seconds."""

    def channel_opened(self, channel: Channel) -> None:
        """A connection is ready to carry messages."""

    def channel_reclaimed(self, channel: Channel, before: Flow) -> None:
        """The peer of a connection is another trunk than it was, or proves something else; its flow is the same."""

    def receive(self, flow: Flow, data: bytes, *, stream: bool) -> None:
        """One complete message came in."""

    def refuse(self, flow: Flow, data: bytes, error: SipError) -> bool:
        """What came in cannot be read: answer or use what can be told of it; whether there was anything to tell."""

    def channel_closed(self, channel: Channel) -> None:
        """The connection is gone; nothing can be sent on its flow any more."""
