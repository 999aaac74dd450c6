"""Session timers as the side that is asked for one (RFC 4028 9): the interval is agreed to, and the asker refreshes.

A refresh is an ordinary re-INVITE or UPDATE and answered as such. We promise none ourselves: where a peer wants us to
be the refresher, the answer names no timer at all, and its session does not expire (RFC 4028 7.2).
"""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.sip.grammar import MAX_DIGITS, parse_uint
from gateway.sip.message import Request
from gateway.sip.params import Params

OPTION = "timer"
MIN_SE = 90
"""Seconds a session must live between refreshes (RFC 4028 4)."""
MAX_SE = 10**MAX_DIGITS - 1
METHODS = frozenset(("INVITE", "UPDATE"))


def asked_interval(request: Request) -> tuple[int, str] | None:
    """Seconds and refresher a request asks for; None when it asks for no timer, or in words nobody can read."""
    value = request.headers.get("Session-Expires")
    if value is None or request.method not in METHODS:
        return None
    seconds, semicolon, params = value.partition(";")
    try:
        refresher = Params.parse(params).get("refresher") if semicolon else None
        return parse_uint(seconds, "Session-Expires", MAX_SE), (refresher or "").lower()
    except SipError:
        return None


def understands(request: Request) -> bool:
    """Whether its sender knows session timers; one that does not can neither refresh nor be told of an interval."""
    return OPTION in request.tokens("Supported") | request.tokens("Require")


def is_too_small(request: Request) -> bool:
    """Whether the interval asked for gets 422 with `MIN_SE` (RFC 4028 9)."""
    asked = asked_interval(request)
    return asked is not None and asked[0] < MIN_SE and understands(request)


def agreement(request: Request, *, even_if_optional: bool) -> tuple[tuple[str, str], ...]:
    """Header fields of the 2xx: the interval as asked, refreshed by the asker; none where no timer is agreed on."""
    asked = asked_interval(request)
    wanted = even_if_optional or OPTION in request.tokens("Require")
    if asked is None or asked[1] == "uas" or not (wanted and understands(request)):
        return ()
    return (("Require", OPTION), ("Supported", OPTION), ("Session-Expires", f"{asked[0]};refresher=uac"))
