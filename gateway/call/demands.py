"""What a request insists on before any call sees it (RFC 3261 8.2.2.3, 8.2.3), and what a call sees of its body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from gateway.base.errors import SipError
from gateway.sip import reliable, replaces, session_timer
from gateway.sip.body import SDP, BodyError, Value, with_session_only
from gateway.sip.message import Request, Response
from gateway.sip.refer import NO_SUBSCRIPTION

SUPPORTED_EXTENSIONS = frozenset({session_timer.OPTION, NO_SUBSCRIPTION, replaces.OPTION})
"""Option tags anybody can require of us."""
OFFER_METHODS = frozenset({"INVITE", "UPDATE", "PRACK"})
"""Requests whose body is an offer; what others carry is not looked at."""
ACCEPT = f"{SDP}, multipart/mixed"
ANSWERABLE = frozenset({SDP, "application/*", "*/*"})
"""Values of Accept that let us answer with a description."""

Headers = Sequence[tuple[str, str]]
M = TypeVar("M", Request, Response)


class RefusedError(SipError):
    """The request insists on something we cannot do; `headers` tell its sender what we can."""

    def __init__(self, why: str, status: int, headers: Headers = ()) -> None:
        super().__init__(why, status)
        self.headers = tuple(headers)


def understood(request: Request, *, can_acknowledge: bool = False) -> Request:
    """The request as a call shall see it: with the session description for its body, or none.

    Args:
        can_acknowledge: its sender may require reliable provisional responses; else that gets 420 (RFC 3262 3).

    Raises:
        RefusedError: 406, 415, 420, 422 or 483, with the headers these have.
        SipError: 400, its body says nothing that could be read.
    """
    supported = SUPPORTED_EXTENSIONS | ({reliable.OPTION} if can_acknowledge else set())
    unsupported = sorted(request.tokens("Require") - supported)
    if unsupported:
        raise RefusedError("unknown extension", 420, (("Unsupported", ", ".join(unsupported)),))
    if (request.headers.get("Content-Encoding") or "identity").lower() != "identity":
        raise RefusedError("encoded body", 415, (("Accept-Encoding", "identity"),))
    if request.method not in OFFER_METHODS:
        return request
    if session_timer.is_too_small(request):
        raise RefusedError("session interval too small", 422, (("Min-SE", str(session_timer.MIN_SE)),))
    if request.to.tag is None:
        _check_new_call(request)
    try:
        return with_session_only(request)
    except BodyError as error:
        raise RefusedError(error.why, 415, (("Accept", ACCEPT),)) from error


def _check_new_call(request: Request) -> None:
    """What matters only for a call that goes on to somebody: inside a dialog we are where a request ends."""
    if request.max_forwards == 0:
        raise RefusedError("no hops left", 483)
    if not _may_answer(request):
        raise RefusedError("no description accepted", 406, (("Accept", ACCEPT),))


def _may_answer(request: Request) -> bool:
    """False when Accept names types, all of them readable, and none is ours (RFC 3261 20.1, RFC 4475 3.3.15)."""
    try:
        words = {Value.parse(value).word for value in request.headers.values("Accept")}
    except SipError:
        return True
    return not words or not all("/" in word for word in words) or bool(words & ANSWERABLE)


def without_other_parts(message: M) -> M:
    """A response or ACK as a call shall see it: it cannot be refused, so what is not understood is no description."""
    try:
        return with_session_only(message)
    except SipError:
        return message.with_body(b"")
