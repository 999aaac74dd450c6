"""Sends what `standing` has to tell: NOTIFY requests outside of any call, one at a time for each connection."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from gateway.base.errors import GatewayError
from gateway.call.registrar import Registrar
from gateway.call.services import Services
from gateway.call.standing import News, notify
from gateway.sip.flow import Flow
from gateway.sip.grammar import escape_user

log = logging.getLogger(__name__)

TOKEN_LENGTH = 16


@dataclass(frozen=True, slots=True)
class _Waiting:
    user: str
    flow: Flow


class Announcer:
    """Tells the connections of a user where calls ring.

    While one has not answered it is told nothing more; what changed meanwhile is told in one when it has, or when its
    transaction has given up. So what is under way is bounded by the connections there are, however often somebody
    registers.
    """

    def __init__(self, services: Services, registrar: Registrar) -> None:
        self._services, self._registrar = services, registrar
        self._waiting: dict[str, _Waiting] = {}
        """By the key of the transaction."""

    def tell(self, user: str) -> None:
        """Send whoever of this user's connections does not know it yet where calls ring."""
        busy = frozenset(waiting.flow.id for waiting in self._waiting.values())
        for news in self._registrar.news(user, self._services.clock(), busy=busy):
            self._send(user, news)

    def flow_closed(self, flow: Flow, user: str | None) -> None:
        """A connection has ended: nothing answers there any more, and the user's others may ring now."""
        for key in [key for key, waiting in self._waiting.items() if waiting.flow.id == flow.id]:
            del self._waiting[key]
        if user is not None:
            self.tell(user)

    def answered(self, key: str, status: int) -> bool:
        """An answer has come, and any final one will do; False when it is none to a NOTIFY from here."""
        return key in self._waiting if status < 200 else self.ended(key)

    def ended(self, key: str) -> bool:
        """A transaction is over, with an answer or without; False when it is none from here."""
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            self.tell(waiting.user)
        return waiting is not None

    def _send(self, user: str, news: News) -> None:
        realm, tokens = self._services.config.realm, self._services.tokens
        aor, contact = f"sip:{escape_user(user)}@{realm}", f"<sip:gateway@{realm};transport=ws>"
        request = notify(news, aor, contact=contact, call_id=tokens(TOKEN_LENGTH), tag=tokens(TOKEN_LENGTH))
        try:
            self._waiting[self._services.sip.send_request(request, news.flow)] = _Waiting(user, news.flow)
        except GatewayError as error:
            log.warning("user=%s flow=%d cannot be told where calls ring: %s", user, news.flow.id, error)
