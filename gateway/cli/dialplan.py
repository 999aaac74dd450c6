"""`sip-gateway dialplan explain`: the way of a call that is not made."""

from __future__ import annotations

from gateway.base.errors import ConfigError, SipError
from gateway.routing.dialplan import Dialplan
from gateway.routing.explain import explain_inbound, explain_outbound
from gateway.routing.numbers import normalise
from gateway.routing.trace import Trace

HOW = "numbers have digits, +, *, # and separators; names a-z 0-9 . _ -"


def explain(plan: Dialplan, number: str, *, user: str, trunk: str | None) -> Trace:
    """The way of a call that a user dials, or that a trunk brings.

    Raises:
        ConfigError: there is no such user, or the number is none.
    """
    if not number:
        raise ConfigError("no number is given", remedy="add --to NUMBER")
    if user and trunk:
        raise ConfigError("a call is from a user or from a trunk", remedy="give --from or --trunk")
    if user and plan.users is not None and user not in plan.users:
        raise ConfigError(f"there is no user {user!r}", remedy="names are written as they sign in")
    try:
        dialled = normalise(number)
    except SipError as error:
        raise ConfigError(error.why, remedy=HOW) from None
    if trunk is not None:
        return explain_inbound(plan, trunk, dialled, typed=number)
    return explain_outbound(plan, dialled, user, typed=number)
