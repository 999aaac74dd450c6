"""The server side of the stack: requests received and answered (RFC 3261 8.2, 9.2, 17.2, 18.2)."""

from __future__ import annotations

import hashlib
from collections import Counter as Tally
from dataclasses import dataclass

from gateway.base.counters import Counter, Counters
from gateway.base.errors import SipError
from gateway.base.values import TokenSource
from gateway.sip.events import AckReceived, FlowRefused, RequestReceived
from gateway.sip.flow import Flow, objection
from gateway.sip.layer import TransactionLayer
from gateway.sip.matching import AckId, MergeId, ack_id, merge_id, require_identifiers, scope, server_key, stamped
from gateway.sip.message import Message, Request, Response, create_response
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

MAX_SERVER_TRANSACTIONS = 2000
"""Requests that wait for an answer: beyond, answering new ones late helps nobody."""
MAX_PER_SOURCE = 200
"""Those of one source (a connection, or a datagram address), so that one peer cannot use up the others' share."""
MAX_PER_TRUNK = 1000
"""Those of one configured trunk, which carries the calls of many people."""
MAX_ANSWERED = 20_000
"""Answered requests kept up to 32 s to absorb retransmissions: some 600 requests a second over UDP."""
MAX_ANSWERED_PER_SOURCE = 10_000
"""Those of one source: half, so that a flood from one leaves room for the rest."""
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


class ServerSide:
    """Server transactions on top of the transaction layer."""

    def __init__(self, layer: TransactionLayer, tokens: TokenSource, counters: Counters) -> None:
        self._layer, self._tokens, self._counters = layer, tokens, counters
        self._by_ack: dict[AckId, str] = {}
        self._by_merge: dict[MergeId, str] = {}
        self._waiting: Tally[str] = Tally()
        self._answered: Tally[str] = Tally()
        self._total_waiting = self._total_answered = 0
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
        maps = (self._by_ack, self._by_merge, self._waiting, self._answered)
        return not any(maps) and self._total_waiting == self._total_answered == 0

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
        if not self._has_room(arrival.flow):
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
        if not self._has_room(arrival.flow):
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
        )
        self._layer.add(transaction)
        if not silent:
            self._by_merge[transaction.merge_id] = arrival.key
        self._waiting[transaction.source] += 1
        self._total_waiting += 1
        self._layer.feed(transaction, Event.START, arrival.now, arrival.request, arrival.flow)

    def _has_room(self, flow: Flow) -> bool:
        source = scope(flow)
        share = MAX_PER_SOURCE if flow.trunk is None else MAX_PER_TRUNK
        return (
            self._total_waiting < MAX_SERVER_TRANSACTIONS
            and self._waiting[source] < share
            and self._total_answered < MAX_ANSWERED
            and self._answered[source] < MAX_ANSWERED_PER_SOURCE
        )

    def _ended(self, transaction: Transaction) -> None:
        if not isinstance(transaction, ServerTransaction):
            return
        self._forget_merge(transaction)
        self._expect_no_ack(transaction)
        if transaction.request is not None:
            self._total_waiting -= 1
            _take_one(self._waiting, transaction.source)
        else:
            self._total_answered -= 1
            _take_one(self._answered, transaction.source)

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
            self._total_waiting -= 1
            self._total_answered += 1
            _take_one(self._waiting, transaction.source)
            self._answered[transaction.source] += 1

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
    trying.headers.copy_from(request.headers, "Timestamp")
    return trying


def with_top_via(response: Response, via: str) -> Response:
    """A copy of the response that carries `via` in place of its top Via (RFC 3261 18.2.1, RFC 3581 4)."""
    headers = response.headers.copy()
    others = headers.values("Via")[1:]
    headers.remove("Via")
    for value in [*reversed(others), via]:
        headers.prepend("Via", value)
    return Response(response.status, response.reason, headers, response.body)


def _take_one(tally: Tally[str], source: str) -> None:
    tally[source] -= 1
    if not tally[source]:
        del tally[source]
