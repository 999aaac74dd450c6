"""The client side of the stack: requests sent, responses matched, failure ACKs, CANCEL (RFC 3261 8.1, 9.1, 17.1)."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.base.counters import Counter, Counters
from gateway.base.errors import SipError
from gateway.base.values import TokenSource
from gateway.sip.cseq import CSeq
from gateway.sip.events import FlowRefused, ResponseReceived
from gateway.sip.flow import Flow, objection
from gateway.sip.layer import TransactionLayer
from gateway.sip.matching import client_key, require_identifiers, same_path
from gateway.sip.message import Headers, Message, Request, Response
from gateway.sip.model import MAX_FORWARDS
from gateway.sip.params import Param, Params
from gateway.sip.salvage import with_request
from gateway.sip.transaction import (
    INVITE_CLIENT,
    NON_INVITE_CLIENT,
    ClientTransaction,
    Effect,
    Event,
    Transaction,
    response_event,
)
from gateway.sip.via import MAGIC_COOKIE, Via

MAX_CLIENT_TRANSACTIONS = 20_000
"""Requests in flight; far above what the call limit needs, it keeps a fault of ours from eating the memory."""
BRANCH_LENGTH = 20
"""Random characters in a branch: responses cannot be forged by guessing."""


class ClientSide:
    """Client transactions on top of the transaction layer."""

    def __init__(self, layer: TransactionLayer, tokens: TokenSource, counters: Counters) -> None:
        self._layer, self._tokens, self._counters = layer, tokens, counters
        self._count = 0
        layer.on_end.append(self._ended)
        layer.register(
            {
                Effect.PASS_RESPONSE: self._pass_response,
                Effect.SEND_ACK: self._send_ack,
                Effect.SEND_CANCEL: self._send_cancel,
            }
        )

    @property
    def is_idle(self) -> bool:
        """True when no client transaction is left."""
        return self._count == 0

    def send_request(self, request: Request, flow: Flow, now: float) -> str:
        """Start a client transaction and return its key."""
        if self._count >= MAX_CLIENT_TRANSACTIONS:
            raise SipError("Too many requests in flight", 503)
        require_identifiers(request)
        branch = self._new_branch()
        return self._start(with_via(request, flow, branch), branch, flow, now)

    def send_ack(self, request: Request, flow: Flow) -> None:
        """Send the ACK of a 2xx, a request of its own without a transaction (RFC 3261 13.2.2.4)."""
        self._layer.transmit(flow, bytes(with_via(request, flow, self._new_branch())))

    def cancel(self, key: str, now: float, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Cancel an INVITE; nothing happens when its final response is here already (RFC 3261 9.1)."""
        transaction = self._layer.find(key)
        if isinstance(transaction, ClientTransaction) and transaction.machine is INVITE_CLIENT:
            transaction.cancel_headers = transaction.cancel_headers or tuple(headers)
            self._layer.feed(transaction, Event.CANCEL, now)

    def receive(self, response: Response, flow: Flow, now: float) -> None:
        """Hand a response to the transaction it belongs to; any other is counted and dropped (RFC 3261 18.1.2)."""
        try:
            transaction = self._match(response)
        except SipError:
            transaction = None
        if transaction is None:
            self._counters.add(Counter.SIP_UNMATCHED_RESPONSE)
            return
        if response.unreadable:
            response = with_request(response, transaction.request)
        if same_path(transaction.flow, flow):
            self._layer.feed(transaction, response_event(response.status), now, response, flow)
        else:
            self._off_its_path(transaction, response, flow)

    def _off_its_path(self, transaction: ClientTransaction, response: Response, flow: Flow) -> None:
        """Drop a response that came another way; where the request went over a connection that is worth a word."""
        self._counters.add(Counter.SIP_UNMATCHED_RESPONSE)
        if transaction.flow.is_reliable and not transaction.silent:
            why = objection(flow, transaction.flow) or "another connection"
            self._layer.events.append(FlowRefused(transaction.key, response, flow, why))

    def _match(self, response: Response) -> ClientTransaction | None:
        vias = response.vias
        transaction = self._layer.find(client_key(vias[0].branch, response.cseq.method)) if vias else None
        if not isinstance(transaction, ClientTransaction):
            return None
        # More than one Via means that the response was for somebody else (RFC 3261 8.1.3.3).
        ours = len(vias) == 1 and vias[0].sent_by.lower() == transaction.request.via.sent_by.lower()
        return transaction if ours else None

    def _start(self, request: Request, branch: str, flow: Flow, now: float, *, silent: bool = False) -> str:
        transaction = ClientTransaction(
            key=client_key(branch, request.method),
            machine=INVITE_CLIENT if request.method == "INVITE" else NON_INVITE_CLIENT,
            flow=flow,
            silent=silent,
            wire=bytes(request),
            request=request,
        )
        self._layer.add(transaction)
        self._count += 1
        self._layer.feed(transaction, Event.START, now)
        return transaction.key

    def _ended(self, transaction: Transaction) -> None:
        if isinstance(transaction, ClientTransaction):
            self._count -= 1

    def _new_branch(self) -> str:
        return MAGIC_COOKIE + self._tokens(BRANCH_LENGTH)

    def _pass_response(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        if isinstance(message, Response) and not transaction.silent:
            self._layer.events.append(ResponseReceived(transaction.key, message, flow))

    def _send_ack(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        if isinstance(transaction, ClientTransaction) and isinstance(message, Response):
            self._layer.transmit(transaction.flow, bytes(build_failure_ack(transaction.request, message)))

    def _send_cancel(self, transaction: Transaction, message: Message | None, flow: Flow, now: float) -> None:
        if isinstance(transaction, ClientTransaction):
            request = build_cancel(transaction.request).with_added(transaction.cancel_headers)
            self._start(request, request.via.branch, transaction.flow, now, silent=True)


def with_via(request: Request, flow: Flow, branch: str) -> Request:
    """The request with our Via on top (RFC 3261 18.1.1, RFC 3581 3); a connection we opened may bring requests back."""
    params: tuple[Param, ...] = (("branch", branch),) if flow.is_reliable else (("branch", branch), ("rport", None))
    if flow.initiated and flow.verified_name:
        params = (*params, ("alias", None))  # RFC 5923 5
    ours = Via(flow.transport.upper(), flow.local.host, flow.local.port, Params(params))
    headers = Headers((("Via", ours),)) + request.headers
    if "Max-Forwards" not in request.headers:
        headers = headers.plus((("Max-Forwards", str(MAX_FORWARDS)),))
    return request.with_headers(headers)


def size_on(request: Request, flow: Flow) -> int:
    """Octets of the request as it leaves on this flow."""
    return len(bytes(with_via(request, flow, MAGIC_COOKIE + "x" * BRANCH_LENGTH)))


def build_failure_ack(request: Request, response: Response) -> Request:
    """The ACK of a 3xx to 6xx: hop by hop, with the branch of the INVITE and the To of the response (17.1.1.3)."""
    return _derived(request, "ACK", response.headers)


def build_cancel(request: Request) -> Request:
    """The CANCEL of an INVITE: same branch, same To, no credentials, no Require (RFC 3261 9.1)."""
    return _derived(request, "CANCEL", request.headers)


def _derived(request: Request, method: str, to_from: Headers) -> Request:
    above = Headers((("Via", request.via), ("Max-Forwards", str(MAX_FORWARDS))))
    way = above + request.headers.only("Route", "From") + to_from.only("To") + request.headers.only("Call-ID")
    return Request(method, request.uri, way.plus((("CSeq", CSeq(request.cseq.number, method)),)))
