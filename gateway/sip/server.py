"""The server side of the stack: requests received and answered (RFC 3261 8.2, 9.2, 17.2, 18.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from gateway.base.counters import Counter, Counters
from gateway.base.errors import SipError
from gateway.base.values import TokenSource
from gateway.sip.budget import Budget, Lane
from gateway.sip.events import AckReceived, FlowRefused, RequestReceived
from gateway.sip.flow import Flow, objection
from gateway.sip.layer import TransactionLayer
from gateway.sip.matching import AckId, MergeId, ack_id, merge_id, require_identifiers, scope, server_key, stamped
from gateway.sip.message import Headers, Message, Request, Response, create_response
from gateway.sip.transaction import (
    INVITE_SERVER,
    NON_INVITE_SERVER,
    Effect,
    Event,
    ServerTransaction,
    State,
    Transaction,
    response_event,
)

TAG_LENGTH = 10
"""Random characters in the To tag of an answer the stack gives by itself."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as it came in."""

    request: Request
    flow: Flow
    now: float
    key: str
    """Of the server transaction it belongs to."""
    via: str
    """Top Via for the responses."""


def nothing_is_urgent(_request: Request) -> bool:
    """Until somebody knows what an emergency call is."""
    return False


class ServerSide:
    """Server transactions on top of the transaction layer."""

    def __init__(
        self,
        layer: TransactionLayer,
        tokens: TokenSource,
        counters: Counters,
        is_emergency: Callable[[Request], bool] = nothing_is_urgent,
    ) -> None:
        self._layer, self._tokens, self._counters = layer, tokens, counters
        self._is_emergency = is_emergency
        self._by_ack: dict[AckId, str] = {}
        self._by_merge: dict[MergeId, str] = {}
        self._budget = Budget()
        layer.on_end.append(self._ended)
        layer.register(
            {
                Effect.PASS_REQUEST: self._pass_request,
                Effect.PASS_ACK: self._pass_ack,
                Effect.SEND_TRYING: self._send_trying,
                Effect.RESPOND: self._respond,
                Effect.ANSWER: self._answer,
                Effect.EXPECT_ACK: self._expect_ack,
            }
        )

    @property
    def is_idle(self) -> bool:
        """True when no server transaction has left anything behind."""
        return not (self._by_ack or self._by_merge) and self._budget.is_empty

    def receive(self, request: Request, flow: Flow, now: float) -> None:
        """Take a request in: absorb, refuse, or start a transaction (RFC 3261 8.2, 17.2.3)."""
        try:
            key = server_key(request, request.method, scope(flow))
            arrival = Arrival(request, flow, now, key, stamped(request.via, flow))
        except SipError as error:
            self._refuse_malformed(request, error, flow)
            return
        if request.method == "ACK":
            self._receive_ack(arrival)
        elif (known := self._layer.find(key)) is not None:
            self._layer.feed(known, Event.REQUEST, now, request, flow)
        elif request.method == "CANCEL":
            self._receive_cancel(arrival)
        else:
            self._receive_new(arrival)

    def respond(self, key: str, response: Response, now: float) -> None:
        """Send a response of the user; one that comes too late is not sent."""
        transaction = self._layer.find(key)
        if not isinstance(transaction, ServerTransaction):
            return
        if transaction.machine is NON_INVITE_SERVER and response.status == 408:
            # The client gives up by itself; until then its retransmissions are still absorbed (RFC 4320 4.2).
            return
        self._layer.feed(transaction, response_event(response.status), now, response)

    # --- what comes in

    def _receive_new(self, arrival: Arrival) -> None:
        if not self._has_room(arrival):
            self._counters.add(Counter.SIP_TRANSACTIONS_FULL)
            self._answer_stateless(arrival.request, 503, arrival.via, arrival.flow)
        elif arrival.request.to.tag is None and merge_id(arrival.request, scope(arrival.flow)) in self._by_merge:
            # The same request on another way: it was forked before it came to us (RFC 3261 8.2.2.2).
            self._counters.add(Counter.SIP_REJECTED)
            self._answer_alone(arrival, 482)
        else:
            self._start(arrival)

    def _receive_ack(self, arrival: Arrival) -> None:
        transaction = self._find_invite(arrival)
        if transaction is None or transaction.state not in (State.COMPLETED, State.CONFIRMED):
            # An ACK of a 2xx has a branch of its own; one that reuses the branch must still name our tag.
            transaction = self._layer.find(self._by_ack.get(ack_id(arrival.request), ""))
        if transaction is None:
            self._counters.add(Counter.SIP_REJECTED)
        elif why := objection(arrival.flow, transaction.flow):
            self._counters.add(Counter.SIP_REJECTED)
            self._layer.events.append(FlowRefused(transaction.key, arrival.request, arrival.flow, why))
        else:
            self._layer.feed(transaction, Event.ACK, arrival.now, arrival.request, arrival.flow)

    def _receive_cancel(self, arrival: Arrival) -> None:
        """Answer a CANCEL for its own sake, then tell its INVITE (RFC 3261 9.2); limits do not hold it up."""
        invite = self._find_invite(arrival)
        if not isinstance(invite, ServerTransaction):
            self._answer_alone(arrival, 481)
            return
        if why := objection(arrival.flow, invite.flow):
            self._counters.add(Counter.SIP_REJECTED)
            # Without a transaction: one would absorb the caller's own CANCEL, which has the same branch.
            self._answer_stateless(arrival.request, 403, arrival.via, arrival.flow)
            self._layer.events.append(FlowRefused(invite.key, arrival.request, arrival.flow, why, 403))
            return
        self._answer_alone(arrival, 200, invite.to_tag)
        self._layer.feed(invite, Event.CANCEL, arrival.now, arrival.request, arrival.flow)

    def _find_invite(self, arrival: Arrival) -> Transaction | None:
        """The INVITE transaction whose branch an ACK or CANCEL has."""
        return self._layer.find(server_key(arrival.request, "INVITE", scope(arrival.flow)))

    # --- answers of the stack itself

    def _answer_alone(self, arrival: Arrival, status: int, to_tag: str = "") -> None:
        """Answer in a transaction the user never hears of, so that retransmissions get the same answer."""
        if not self._has_room(arrival):
            self._answer_stateless(arrival.request, status, arrival.via, arrival.flow)
            return
        self._start(arrival, silent=True)
        response = create_response(arrival.request, status, to_tag=to_tag or self._tokens(TAG_LENGTH))
        self.respond(arrival.key, response, arrival.now)

    def _answer_stateless(self, request: Request, status: int, via: str, flow: Flow) -> None:
        """Answer and forget; the tag is the same for each retransmission (RFC 3261 8.2.7)."""
        identity = f"{request.call_id} {via}".encode(errors="replace")
        response = create_response(request, status, to_tag=hashlib.sha256(identity).hexdigest()[:TAG_LENGTH])
        self._layer.transmit(flow, bytes(with_top_via(response, via)))

    def _refuse_malformed(self, request: Request, error: SipError, flow: Flow) -> None:
        self._counters.add(Counter.SIP_MALFORMED)
        if request.method == "ACK":
            return
        try:
            self._answer_stateless(request, error.status, stamped(request.via, flow), flow)
        except SipError:
            return  # Not even the Via can be written back.

    # --- bookkeeping

    def _start(self, arrival: Arrival, *, silent: bool = False) -> None:
        transaction = ServerTransaction(
            key=arrival.key,
            machine=INVITE_SERVER if arrival.request.method == "INVITE" else NON_INVITE_SERVER,
            flow=arrival.flow,
            silent=silent,
            request=arrival.request,
            via=arrival.via,
            source=scope(arrival.flow),
            merge_id=merge_id(arrival.request, scope(arrival.flow)),
            lane=self._lane(arrival.request),
        )
        self._layer.add(transaction)
        if not silent:
            self._by_merge[transaction.merge_id] = arrival.key
        self._budget.begun(transaction.lane, transaction.source, trunk=transaction.flow.trunk is not None)
        self._layer.feed(transaction, Event.START, arrival.now, arrival.request, arrival.flow)

    def _has_room(self, arrival: Arrival) -> bool:
        flow, request = arrival.flow, arrival.request
        return self._budget.has_room(self._lane(request), scope(flow), request, trunk=flow.trunk is not None)

    def _lane(self, request: Request) -> Lane:
        if request.to.tag is not None or request.method == "CANCEL":
            return Lane.DIALOG
        if request.method != "INVITE":
            return Lane.OTHER
        return Lane.EMERGENCY if self._is_emergency(request) else Lane.CALL

    def _ended(self, transaction: Transaction) -> None:
        if not isinstance(transaction, ServerTransaction):
            return
        self._forget_merge(transaction)
        self._expect_no_ack(transaction)
        self._budget.ended(
            transaction.lane,
            transaction.source,
            transaction.key,
            trunk=transaction.flow.trunk is not None,
            waiting=transaction.request is not None,
        )

    def _forget_merge(self, transaction: ServerTransaction) -> None:
        if self._by_merge.get(transaction.merge_id) == transaction.key:
            del self._by_merge[transaction.merge_id]

    # --- effects

    def _pass_request(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        if isinstance(message, Request) and not transaction.silent:
            self._layer.events.append(RequestReceived(transaction.key, message, flow))

    def _pass_ack(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        if isinstance(message, Request):
            self._layer.events.append(AckReceived(transaction.key, message, flow))

    def _send_trying(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        if isinstance(transaction, ServerTransaction) and transaction.request is not None and not transaction.silent:
            self._send(transaction, build_trying(transaction.request))

    def _respond(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        if isinstance(transaction, ServerTransaction) and isinstance(message, Response):
            self._send(transaction, message)

    def _answer(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        if isinstance(transaction, ServerTransaction) and isinstance(message, Response):
            self._send(transaction, message)
            if transaction.machine is NON_INVITE_SERVER or message.status >= 300:
                # Over as far as forks go: who was refused may be tried again (serial forking). An answered call is not.
                self._forget_merge(transaction)
            transaction.request = None  # From here on the bytes of the answer are all that is needed.
            self._count_answer(transaction)

    def _count_answer(self, transaction: ServerTransaction) -> None:
        lane, source, trunk = transaction.lane, transaction.source, transaction.flow.trunk is not None
        invite = transaction.machine is INVITE_SERVER
        self._budget.answered(lane, source, transaction.key, trunk=trunk, invite=invite)
        oldest = self._layer.find(self._budget.surplus(lane, source, trunk=trunk))
        if oldest is not None and oldest is not transaction:
            self._layer.end(oldest)

    def _expect_ack(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        if isinstance(transaction, ServerTransaction) and isinstance(message, Response):
            self._expect_no_ack(transaction)
            transaction.ack_id = ack_id(message)
            self._by_ack[transaction.ack_id] = transaction.key

    def _expect_no_ack(self, transaction: ServerTransaction) -> None:
        if transaction.ack_id is not None and self._by_ack.get(transaction.ack_id) == transaction.key:
            del self._by_ack[transaction.ack_id]

    def _send(self, transaction: ServerTransaction, response: Response) -> None:
        require_identifiers(response)
        to_tag = response.to.tag
        transaction.wire = bytes(with_top_via(response, transaction.via))
        transaction.to_tag = to_tag or transaction.to_tag
        self._layer.transmit(transaction.flow, transaction.wire)


def build_trying(request: Request) -> Response:
    """100 Trying with the Timestamp of the request (RFC 3261 8.2.6.1)."""
    trying = create_response(request, 100)
    return trying.with_headers(trying.headers + request.headers.only("Timestamp"))


def with_top_via(response: Response, via: str) -> Response:
    """The response with `via` in place of its top Via (RFC 3261 18.2.1, RFC 3581 4)."""
    others = response.headers.values("Via")[1:]
    above = Headers(("Via", value) for value in (via, *others))
    return response.with_headers(above + response.headers.without("Via"))
