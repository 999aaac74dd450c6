"""The provisional responses we send to one INVITE: of the reliable ones one is out, the others wait (RFC 3262 3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.base.short import Short
from gateway.base.values import TokenSource
from gateway.sip import reliable
from gateway.sip.message import Response
from gateway.sip.reliable import RAck
from gateway.sip.timers import T1, TRANSACTION_TIMEOUT

MAX_WAITING = 4
"""Responses that wait for the PRACK of the one before; of what is more the oldest is left out: newer ones say more."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One that is repeated until its PRACK comes, and known again after that."""

    response: Response
    rack: RAck
    """What the PRACK must say."""
    since: float
    interval: float = T1
    """Seconds until it is repeated, if nothing comes."""


@dataclass(slots=True)
class Provisionals:
    """What has been sent on a leg, and what waits."""

    rseq: int = 0
    """Of the last one; 0: there was none."""
    last: Response | None = None
    """The last one of any kind, without a number: what is said again while it rings on."""
    sent: Sent | None = None
    """The one whose PRACK is awaited."""
    waiting: Short[Response] = field(default_factory=lambda: Short(MAX_WAITING))

    @property
    def holds_up_the_answer(self) -> bool:
        """Whether no 2xx may leave: a description is on its way, and it is not known that it has come."""
        described = [self.sent.response] if self.sent is not None else []
        return any(response.body for response in (*described, *self.waiting))

    def next(self, cseq: int, tokens: TokenSource, now: float) -> Response | None:
        """The response that may leave now, with its number; None: nothing waits, or one is out.

        Args:
            cseq: of the INVITE.
        """
        if self.sent is not None or not self.waiting:
            return None
        self.rseq = self.rseq + 1 if self.rseq else reliable.first_number(tokens)
        numbered = self.waiting.popleft().with_added((("Require", reliable.OPTION), ("RSeq", str(self.rseq))))
        self.sent = Sent(numbered, RAck(self.rseq, cseq, "INVITE"), now)
        return numbered

    def again(self, now: float) -> float:
        """Seconds to wait from now until the response is repeated; 0: it has been for 64*T1, nobody acknowledges."""
        if self.sent is None:
            return 0.0
        left = self.sent.since + TRANSACTION_TIMEOUT - now
        self.sent = Sent(self.sent.response, self.sent.rack, self.sent.since, 2 * self.sent.interval)
        return max(0.0, min(self.sent.interval, left))

    def acknowledge(self, rack: RAck) -> bool:
        """Whether this is the PRACK that was awaited."""
        if self.sent is None or self.sent.rack != rack:
            return False
        self.sent = None
        return True
