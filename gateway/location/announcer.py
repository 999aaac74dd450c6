"""Sends what `standing` has to tell: NOTIFY requests outside of any call, one at a time for each connection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from gateway.base.errors import GatewayError
from gateway.base.values import TokenSource
from gateway.location.binding import Binding
from gateway.location.reginfo import notify
from gateway.location.standing import News, Standings
from gateway.sip.agent import Agent
from gateway.sip.flow import Flow
from gateway.sip.grammar import escape_user
from gateway.sip.message import Response

log = logging.getLogger(__name__)

TOKEN_LENGTH = 16


class _Notified:
    """One NOTIFY that is out; a `sip.agent.Asker`. Any final response will do, and so will none."""

    def __init__(self, user: str, flow: Flow, over: Callable[[_Notified], None]) -> None:
        self.user, self.flow, self._over = user, flow, over

    def responded(self, response: Response, flow: Flow) -> None:
        """The page knows."""
        if response.status >= 200:
            self._over(self)

    def unanswered(self, *, transport: bool) -> None:
        """The page may not know; what it believes is told it when it asks again."""
        self._over(self)

    def challenged(self, response: Response, flow: Flow, credentials: tuple[tuple[str, str], ...]) -> None:
        """A page asks nobody who they are."""
        self._over(self)


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
        agent: Agent,
        *,
        realm: str,
        tokens: TokenSource,
        again: Callable[[str], None],
    ) -> None:
        self._standings, self._agent, self._realm, self._tokens = standings, agent, realm, tokens
        self._again = again
        self._waiting: dict[_Notified, str] = {}
        """With the key of their transaction."""

    def tell(self, user: str, bindings: Sequence[Binding]) -> None:
        """Send whoever of this user's connections does not know it yet what has become of its Contact."""
        busy = frozenset(waiting.flow.id for waiting in self._waiting)
        for news in self._standings.news(user, bindings, busy):
            self._send(user, news)

    def flow_closed(self, flow: Flow) -> None:
        """A connection has ended: nothing answers there any more."""
        for waiting in [waiting for waiting in self._waiting if waiting.flow.id == flow.id]:
            self._agent.forget(self._waiting.pop(waiting))

    def _over(self, waiting: _Notified) -> None:
        """A transaction is over, with an answer or without."""
        if self._waiting.pop(waiting, None) is not None:
            self._again(waiting.user)

    def _send(self, user: str, news: News) -> None:
        realm, tokens = self._realm, self._tokens
        aor, contact = f"sip:{escape_user(user)}@{realm}", f"<sip:gateway@{realm};transport=ws>"
        request = notify(news, aor, contact=contact, call_id=tokens(TOKEN_LENGTH), tag=tokens(TOKEN_LENGTH))
        try:
            waiting = _Notified(user, news.flow, self._over)
            self._waiting[waiting] = self._agent.ask(request, news.flow, waiting)
        except GatewayError as error:
            log.warning("user=%s flow=%d cannot be told what has become of its Contact: %s", user, news.flow.id, error)
