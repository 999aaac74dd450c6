"""The SIP stack: messages and time in, messages and events out (RFC 3261 8, 9, 17 and 18; no I/O, no clock).

Contract: after each call the owner takes `take_transmissions` and `take_events`, and calls `handle_timers` no later
than `next_deadline`. Nothing is held for a transaction that ended: a late `respond`, `cancel` or `forget` does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.base.counters import Counters
from gateway.base.values import TokenSource
from gateway.sip.client import MAX_CLIENT_TRANSACTIONS, ClientSide
from gateway.sip.events import (
    AckReceived,
    AckTimeout,
    CancelReceived,
    FlowRefused,
    RequestReceived,
    RequestTimeout,
    ResponseReceived,
    StackEvent,
    TransportFailed,
)
from gateway.sip.flow import Flow
from gateway.sip.layer import TransactionLayer
from gateway.sip.message import Message, Request, Response
from gateway.sip.server import ServerSide, nothing_is_urgent
from gateway.sip.transaction import Event

__all__ = [
    "MAX_CLIENT_TRANSACTIONS",
    "AckReceived",
    "AckTimeout",
    "CancelReceived",
    "FlowRefused",
    "RequestReceived",
    "RequestTimeout",
    "ResponseReceived",
    "SipStack",
    "StackEvent",
    "TransportFailed",
]


class SipStack:
    """Every SIP transaction of the gateway, on all flows.

    Args:
        is_emergency: tells which INVITEs are calls for help; they have a budget of their own.
    """

    def __init__(
        self,
        tokens: TokenSource,
        counters: Counters,
        is_emergency: Callable[[Request], bool] = nothing_is_urgent,
    ) -> None:
        self._layer = TransactionLayer()
        self._client = ClientSide(self._layer, tokens, counters)
        self._server = ServerSide(self._layer, tokens, counters, is_emergency)

    @property
    def transaction_count(self) -> int:
        """Transactions of both sides that are not over yet."""
        return len(self._layer)

    @property
    def is_idle(self) -> bool:
        """True when every transaction is over and none has left anything behind."""
        return self._layer.is_idle and self._client.is_idle and self._server.is_idle

    def receive(self, flow: Flow, message: Message, now: float) -> None:
        """Take a parsed message in; whatever it says, nothing is raised."""
        if isinstance(message, Response):
            self._client.receive(message, flow, now)
        else:
            self._server.receive(message, flow, now)

    def flow_closed(self, flow: Flow, now: float) -> None:
        """End every transaction of a flow; those that still wanted something report `TransportFailed`."""
        for transaction in self._layer.of_flow(flow):
            self._layer.feed(transaction, Event.TRANSPORT_ERROR, now)

    def send_request(self, request: Request, flow: Flow, now: float) -> str:
        """Send a request (not ACK, not CANCEL) with our Via on a copy of it, and return the transaction key.

        Raises:
            SipError: 503 at `MAX_CLIENT_TRANSACTIONS`, 500 for a request that cannot be written.
        """
        return self._client.send_request(request, flow, now)

    def send_ack(self, request: Request, flow: Flow, now: float) -> None:
        """Send the ACK of a 2xx; send it again for each 2xx that comes (RFC 3261 13.2.2.4)."""
        self._client.send_ack(request, flow)

    def cancel(self, key: str, now: float, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Cancel an INVITE of ours, as soon as a provisional response is here (RFC 3261 9.1).

        Args:
            headers: what the CANCEL says besides, such as why (RFC 3326).
        """
        self._client.cancel(key, now, headers)

    def respond(self, key: str, response: Response, now: float) -> None:
        """Answer a request; a 2xx to INVITE is retransmitted until its ACK comes (RFC 3261 13.3.1.4).

        Raises:
            SipError: 500 for a response that cannot be written; the transaction stays as it was.
        """
        self._server.respond(key, response, now)

    def handle_timers(self, now: float) -> None:
        """Do what is due at `now`."""
        self._layer.handle_timers(now)

    def next_deadline(self) -> float | None:
        """When `handle_timers` is wanted next; None when nothing runs."""
        return self._layer.next_deadline()

    def take_transmissions(self) -> list[tuple[Flow, bytes]]:
        """Messages to send, in order."""
        taken, self._layer.transmissions = self._layer.transmissions, []
        return taken

    def take_events(self) -> list[StackEvent]:
        """What happened, in order."""
        taken, self._layer.events = self._layer.events, []
        return taken
