"""Sends what `standing` has to tell: NOTIFY requests outside of any call, one at a time for each connection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.base.errors import GatewayError
from gateway.base.values import TokenSource
from gateway.location.binding import Binding
from gateway.location.reginfo import notify
from gateway.location.standing import News, Standings
from gateway.sip.flow import Flow
from gateway.sip.grammar import escape_user
from gateway.sip.message import Request

log = logging.getLogger(__name__)

TOKEN_LENGTH = 16


class RequestSender(Protocol):
    """What sends requests, and gives back the key of the transaction; `net.endpoint.SipEndpoint` has this shape."""

    def send_request(self, request: Request, flow: Flow) -> str: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    user: str
    flow: Flow


class Announcer:
    """Tells the connections of a user what has become of their Contacts.

    While one has not answered it is told nothing more; what changed meanwhile is told when it has, or when its
    transaction has given up. So what is under way is bounded by the connections there are, however often somebody
    registers.

    Args:
        realm: the domain of the users.
        again: told the user of a connection that can be told more now.
    """

    def __init__(
        self,
        standings: Standings,
        sender: RequestSender,
        *,
        realm: str,
        tokens: TokenSource,
        again: Callable[[str], None],
    ) -> None:
        self._standings, self._sender, self._realm, self._tokens = standings, sender, realm, tokens
        self._again = again
        self._waiting: dict[str, _Waiting] = {}
        """By the key of the transaction."""

    def tell(self, user: str, bindings: Sequence[Binding]) -> None:
        """Send whoever of this user's connections does not know it yet what has become of its Contact."""
        busy = frozenset(waiting.flow.id for waiting in self._waiting.values())
        for news in self._standings.news(user, bindings, busy):
            self._send(user, news)

    def flow_closed(self, flow: Flow) -> None:
        """A connection has ended: nothing answers there any more."""
        for key in [key for key, waiting in self._waiting.items() if waiting.flow.id == flow.id]:
            del self._waiting[key]

    def answered(self, key: str, status: int) -> bool:
        """An answer has come, and any final one will do; False when it is none to a NOTIFY from here."""
        return key in self._waiting if status < 200 else self.ended(key)

    def ended(self, key: str) -> bool:
        """A transaction is over, with an answer or without; False when it is none from here."""
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            self._again(waiting.user)
        return waiting is not None

    def _send(self, user: str, news: News) -> None:
        realm, tokens = self._realm, self._tokens
        aor, contact = f"sip:{escape_user(user)}@{realm}", f"<sip:gateway@{realm};transport=ws>"
        request = notify(news, aor, contact=contact, call_id=tokens(TOKEN_LENGTH), tag=tokens(TOKEN_LENGTH))
        try:
            self._waiting[self._sender.send_request(request, news.flow)] = _Waiting(user, news.flow)
        except GatewayError as error:
            log.warning("user=%s flow=%d cannot be told what has become of its Contact: %s", user, news.flow.id, error)
