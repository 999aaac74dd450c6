"""One REGISTER of a browser on its way, and what all who deal with it need."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.base.buckets import Buckets, Rate
from gateway.call.registration.rewriting import Place
from gateway.sip.digest_relay import Given, claimed
from gateway.sip.events import RequestReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request, Response, create_response

LOG_LINES = Rate(per_second=0.5, burst=10)
"""Log lines of each kind: a stranger decides how many REGISTERs come to nothing."""
MAX_KINDS = 32
"""Kinds of lines there are, and more."""
NOT_SENT = Request("REGISTER", "sip:invalid", Headers())


@dataclass(frozen=True, slots=True)
class Attempt:
    """One REGISTER of a browser."""

    event: RequestReceived
    user: str
    """Whose it would be."""
    places: tuple[Place, ...]
    given: Given = field(default=Given(), repr=False)
    """What of its credentials passes."""
    limit: int = 0
    """Seconds it asks for at most."""
    sent: Request = field(default=NOT_SENT, repr=False)
    """As the registrar gets it."""

    @property
    def request(self) -> Request:
        """As it came."""
        return self.event.request

    @property
    def flow(self) -> Flow:
        """Over which it came."""
        return self.event.flow

    @property
    def claimed(self) -> str:
        """The user name of its credentials, as it is counted."""
        return claimed(self.given.username)


class Doorkeeper(Protocol):
    """Who counts those that guess passwords, and records who signs in; `call.sign_in.SignIn` has this shape."""

    def wait(self, flow: Flow, claimed: str) -> float: ...

    def guessed(self, event: RequestReceived, claimed: str, reason: str) -> None: ...

    def delayed(self, event: RequestReceived, claimed: str) -> None: ...

    def proved(self, event: RequestReceived, user: str, claimed: str = "") -> None: ...


class Lines:
    """Log lines that strangers can cause, and not as many of them as they like."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float]) -> None:
        self._log, self._clock = log, clock
        self._kinds = Buckets(LOG_LINES, MAX_KINDS)

    def tell(self, words: str, *values: object, level: int = logging.WARNING) -> None:
        """One line, unless there were many of its kind just now."""
        if self._kinds.take(words, self._clock()):
            self._log.log(level, words, *values)


def later(request: Request, seconds: float, status: int = 503) -> Response:
    """Come back later (RFC 3261 20.33)."""
    return create_response(request, status, headers=(("Retry-After", str(max(1, math.ceil(seconds)))),))
