"""A request of a call that is out: what comes of it goes to the call, by the number it was asked under."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.call import demands
from gateway.call.machine import effects as fx
from gateway.call.machine import events
from gateway.sip.flow import Flow
from gateway.sip.message import Response

if TYPE_CHECKING:
    from gateway.call.run.runner import CallRunner
    from gateway.call.run.sender import Sender

log = logging.getLogger(__name__)


class Asked:
    """One transaction of a call's request; a `sip.agent.Asker`."""

    def __init__(self, runner: CallRunner, sender: Sender, sent: fx.SendRequest) -> None:
        self.runner, self.sent = runner, sent
        self._sender = sender
        self.key = ""
        """Of the transaction, as soon as there is one."""

    def responded(self, response: Response, flow: Flow) -> None:
        """The call hears of it, without what else the peer has put into its body."""
        self._over(response.status)
        self._heard(response)
        self.runner.feed(events.ResponseIn(self.sent.ask, demands.without_other_parts(response), flow))

    def unanswered(self, *, transport: bool) -> None:
        """Nothing came; over a connection that broke it may go once more."""
        self._sender.done(self.key)
        if not (transport and self._sender.sends_again(self.sent)):
            self.runner.feed(events.RequestFailed(self.sent.ask, transport=transport))

    def challenged(self, response: Response, flow: Flow, credentials: tuple[tuple[str, str], ...]) -> None:
        """The call makes the request anew, with a number of its own, or has no use for it any more."""
        self._over(response.status)
        self._heard(response)
        self._sender.challenged(self.sent.ask)
        self.runner.feed(events.Challenged(self.sent.ask, self.sent.request, credentials, response, flow))

    def _over(self, status: int) -> None:
        if status >= 300 or (status >= 200 and self.sent.request.method != "INVITE"):
            self._sender.done(self.key)

    def _heard(self, response: Response) -> None:
        self._sender.heard(self.sent.flow)
        if response.unreadable:
            why = (self.runner.id, self.sent.leg, response.status, response.unreadable)
            log.warning("call=%s leg=%s response=%d unreadable reason=%s", *why)
