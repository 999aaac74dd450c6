"""Session timers of one dialog (RFC 4028): what is asked for, what is agreed on, and who refreshes.

A refresh is an ordinary re-INVITE or UPDATE. Each of them, and each 2xx to one, says anew what holds; one that says
nothing ends the timer. "uac" and "uas" mean whoever sent the request they stand in, or the answer to which.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import SipError
from gateway.sip.grammar import MAX_DIGITS, parse_uint
from gateway.sip.message import Message, Request, Response
from gateway.sip.params import Params

OPTION = "timer"
MIN_SE = 90
"""Seconds a session must live between refreshes (RFC 4028 4)."""
MAX_SE = 10**MAX_DIGITS - 1
MAX_INTERVAL = 86_400
"""Longer intervals are kept as a day: a timer that fires once a week refreshes nothing."""
LEEWAY = 32
"""Seconds before its end at which a session that was not refreshed is over, at most a third of it (RFC 4028 10)."""
METHODS = frozenset(("INVITE", "UPDATE"))

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """What both sides of a dialog agreed on."""

    interval: int
    """Seconds."""
    is_ours: bool
    """We refresh; else the peer does."""

    @property
    def wait(self) -> float:
        """Seconds after a refresh at which something is due: ours half-way, or the end of one that did not come."""
        return self.interval / 2 if self.is_ours else self.interval - min(LEEWAY, self.interval / 3)

    @property
    def lasts(self) -> float:
        """Seconds after a refresh at which the session is over without another one."""
        return float(self.interval) if self.is_ours else self.wait


def asked_interval(message: Message) -> tuple[int, str] | None:
    """Seconds and refresher a message names; None when it names no timer, or in words nobody can read."""
    value = message.headers.get("Session-Expires")
    if value is None or message.cseq.method not in METHODS:
        return None
    seconds, semicolon, params = value.partition(";")
    try:
        refresher = Params.parse(params).get("refresher") if semicolon else None
        return parse_uint(seconds, "Session-Expires", MAX_SE), (refresher or "").lower()
    except SipError:
        return None


def understands(request: Request) -> bool:
    """Whether its sender knows session timers; for one that does not, a proxy may have asked (RFC 4028 8.1)."""
    return OPTION in request.tokens("Supported") | request.tokens("Require")


def is_too_small(request: Request) -> bool:
    """Whether the interval asked for gets 422 with `MIN_SE` (RFC 4028 9)."""
    asked = asked_interval(request)
    return asked is not None and asked[0] < MIN_SE and understands(request)


def agreement(request: Request, *, own: int) -> Timing | None:
    """What we agree to in a 2xx (RFC 4028 9): the interval as asked, refreshed by whom it names, else by the asker.

    Args:
        own: seconds we want where the peer asks for nothing but knows timers; 0: none.
    """
    asked, knows = asked_interval(request), understands(request)
    if asked is None:
        return Timing(own, is_ours=True) if own and knows else None
    seconds, refresher = asked
    if seconds < MIN_SE or (refresher == "uac" and not knows):
        return None
    return Timing(min(seconds, MAX_INTERVAL), is_ours=refresher == "uas" or not knows)


def answer_headers(timing: Timing | None, request: Request) -> Headers:
    """Header fields of the 2xx that agrees to this; none where there is no timer."""
    if timing is None:
        return ()
    asked = asked_interval(request)
    seconds = asked[0] if asked is not None else timing.interval
    required: Headers = (("Require", OPTION),) if understands(request) else ()
    refresher = "uas" if timing.is_ours else "uac"
    return (*required, ("Supported", OPTION), ("Session-Expires", f"{seconds};refresher={refresher}"))


def request_headers(timing: Timing, min_se: int = MIN_SE) -> Headers:
    """Header fields of an INVITE or UPDATE of ours that asks for this, or keeps to it (RFC 4028 7.1, 7.4)."""
    refresher = "uac" if timing.is_ours else "uas"
    least: Headers = (("Min-SE", str(min_se)),) if min_se > MIN_SE else ()
    return (("Session-Expires", f"{max(timing.interval, min_se)};refresher={refresher}"), *least)


def agreed(response: Response) -> Timing | None:
    """What a 2xx to a request of ours says (RFC 4028 7.2); None: there is no timer.

    An interval below the least one is kept as that: it may be refreshed too early, never too late.
    """
    found = asked_interval(response)
    if found is None:
        return None
    return Timing(min(max(found[0], MIN_SE), MAX_INTERVAL), is_ours=found[1] != "uas")


def least_interval(response: Response) -> int | None:
    """What a 422 wants at least; None where it does not say, or wants more than a day."""
    value = response.headers.get("Min-SE")
    try:
        seconds = parse_uint(value.partition(";")[0], "Min-SE", MAX_INTERVAL) if value is not None else 0
    except SipError:
        return None
    return seconds if seconds > MIN_SE else None
