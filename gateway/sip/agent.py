"""The user-agent core (RFC 3261 8.1): whoever has something to ask sends it here and is told what becomes of it.

A call, a registration, a keepalive and the location service ask in the same way; what every request needs is done here
once: a transaction for it, its responses brought to the asker and to nobody else, and a challenge answered by
credentials where it is known whom the flow leads to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.base.values import TokenSource
from gateway.sip.digest_client import FIELDS, Login, counted_on, credentials, is_stale
from gateway.sip.events import RequestTimeout, ResponseReceived, TransportFailed
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response

MAX_TRIES = 3
"""How often a request is sent because of challenges: once for the challenge, and again for nonces that were too old."""


class Wire(Protocol):
    """What starts transactions and gives their keys; `net.endpoint.SipEndpoint` has this shape."""

    def send_request(self, request: Request, flow: Flow) -> str: ...


class Asker(Protocol):
    """Who asks. Nothing is told before `Agent.ask` has returned, and nothing after a final response but the 2xx of an
    INVITE, which comes again for each retransmission and each fork (RFC 3261 13.2.2.4)."""

    def responded(self, response: Response, flow: Flow) -> None:
        """A response has come."""

    def unanswered(self, *, transport: bool) -> None:
        """None will come any more; `transport`: its connection is gone."""

    def challenged(self, response: Response, flow: Flow, credentials: tuple[tuple[str, str], ...]) -> None:
        """A 401 or 407 has come: the asker sends the request once more, with these fields in place of those it had of
        their names and the next number in its CSeq (RFC 3261 22.2), or takes it as the refusal it is."""


@dataclass(frozen=True, slots=True)
class _Ask:
    request: Request
    flow: Flow
    asker: Asker
    login: Login | None
    tries: int


class Agent:
    """Requests of the gateway that have no final response yet, by the key of their transaction."""

    def __init__(self, wire: Wire, tokens: TokenSource) -> None:
        self._wire, self._tokens = wire, tokens
        self._asks: dict[str, _Ask] = {}

    def __len__(self) -> int:
        """Requests of which something may still be told."""
        return len(self._asks)

    def ask(self, request: Request, flow: Flow, asker: Asker, *, login: Login | None = None, tries: int = 0) -> str:
        """Send a request (not ACK, not CANCEL) and have the asker told what comes of it; gives the transaction's key.

        Args:
            login: who we are to the peer, if it asks.
            tries: how often this request was challenged before.

        Raises:
            SipError: it could not be sent; nothing is told then.
        """
        key = self._wire.send_request(request, flow)
        self._asks[key] = _Ask(request, flow, asker, login, tries)
        return key

    def forget(self, key: str) -> None:
        """Nobody wants to know any more what comes of this request."""
        self._asks.pop(key, None)

    def asker(self, key: str) -> Asker | None:
        """Who sent the request of this transaction, while anything can come of it."""
        found = self._asks.get(key)
        return found.asker if found is not None else None

    def take(self, event: ResponseReceived | RequestTimeout | TransportFailed) -> bool:
        """Tell whoever asked; False when nobody here did, or nobody wants to know."""
        ask = self._asks.get(event.key)
        if ask is None:
            return False
        if not isinstance(event, ResponseReceived):
            self.forget(event.key)
            ask.asker.unanswered(transport=isinstance(event, TransportFailed))
            return True
        status = event.response.status
        if status >= 300 or (status >= 200 and ask.request.method != "INVITE"):
            self.forget(event.key)
        answer = self._credentials(ask, event.response)
        if answer:
            ask.asker.challenged(event.response, event.flow, answer)
        else:
            ask.asker.responded(event.response, event.flow)
        return True

    def _credentials(self, ask: _Ask, response: Response) -> tuple[tuple[str, str], ...]:
        """What answers a challenge. A password is used on flows we opened to its peer, or on which that proved to be it
        by its certificate, and a second time only when the first was not refused but late.

        A proxy on the way and the server behind it each want their own (RFC 3261 22.3): who has let us through gets
        what it got, under the next count of its nonce.
        """
        if response.status not in FIELDS or ask.login is None or ask.tries >= MAX_TRIES:
            return ()
        if not _leads_to(ask.login.peer, ask.flow):
            return ()
        name = FIELDS[response.status][1]
        if name in ask.request.headers and not is_stale(response, ask.login):
            return ()
        found = credentials(response, ask.request, ask.login, self._tokens)
        others = [other for _, other in FIELDS.values() if other != name]
        kept = [(o, value) for o in others for value in ask.request.headers.get_all(o)]
        return (*((o, counted_on(value, ask.request, ask.login)) for o, value in kept), *found) if found else ()


def _leads_to(peer: str, flow: Flow) -> bool:
    """Whether we opened it; a datagram goes where the trunk's own name led. One that the trunk opened leads to it if it
    proved its name (RFC 5923)."""
    return flow.initiated or flow.transport == "udp" or peer in flow.proved
