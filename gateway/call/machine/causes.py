"""What a refusal means for a person: from the status of the response, and the Q.850 cause of the network behind it.

A PBX often answers 480, 503 or 603 for many things and says in its Reason which of them it was (RFC 3398 7.2.4.1, RFC
6432). So the cause of Q.850 counts first, where it is one that says something; then the status. The caller is answered
with the status the callee gave.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.base.errors import Party
from gateway.base.termination import Termination
from gateway.sip.reason import ANSWERED_ELSEWHERE, Q850, SIP, Reason, first_of

_BY_CAUSE: dict[int, Termination] = {
    1: Termination.UNALLOCATED,
    2: Termination.UNROUTABLE,
    3: Termination.UNROUTABLE,
    17: Termination.BUSY,
    18: Termination.UNAVAILABLE,
    19: Termination.NO_ANSWER,
    20: Termination.UNAVAILABLE,
    21: Termination.REJECTED,
    22: Termination.NUMBER_CHANGED,
    25: Termination.UNROUTABLE,
    26: Termination.ANSWERED_ELSEWHERE,
    27: Termination.UNAVAILABLE,
    28: Termination.INCOMPLETE,
    29: Termination.TRUNK_REFUSED,
    34: Termination.CONGESTION,
    38: Termination.CONGESTION,
    41: Termination.CONGESTION,
    42: Termination.CONGESTION,
    43: Termination.CONGESTION,
    44: Termination.CONGESTION,
    47: Termination.CONGESTION,
    50: Termination.TRUNK_REFUSED,
    55: Termination.TRUNK_REFUSED,
    57: Termination.NOT_ACCEPTABLE,
    58: Termination.NOT_ACCEPTABLE,
    65: Termination.NOT_ACCEPTABLE,
    79: Termination.NOT_ACCEPTABLE,
    87: Termination.TRUNK_REFUSED,
    88: Termination.NOT_ACCEPTABLE,
    102: Termination.NETWORK_TIMEOUT,
}
"""Causes that say something; 16, 31, 127 and those of the protocol itself say no more than the status."""
_BY_STATUS: dict[int, Termination] = {
    401: Termination.TRUNK_LOGIN,
    403: Termination.REJECTED,
    404: Termination.UNALLOCATED,
    407: Termination.TRUNK_LOGIN,
    408: Termination.NO_ANSWER,
    410: Termination.NUMBER_CHANGED,
    415: Termination.NOT_ACCEPTABLE,
    433: Termination.REJECTED,
    480: Termination.UNAVAILABLE,
    484: Termination.INCOMPLETE,
    485: Termination.INCOMPLETE,
    486: Termination.BUSY,
    487: Termination.CANCELLED,
    488: Termination.NOT_ACCEPTABLE,
    503: Termination.TRUNK_UNAVAILABLE,
    504: Termination.NETWORK_TIMEOUT,
    600: Termination.BUSY,
    603: Termination.REJECTED,
    604: Termination.UNALLOCATED,
    606: Termination.NOT_ACCEPTABLE,
    607: Termination.REJECTED,
    608: Termination.REJECTED,
}
_CHALLENGES = (401, 407)
MIN_REFUSAL = 400
"""Below it a final response sends us on (RFC 3261 21.3), which was not followed when it comes here."""
_FOR_MANY_THINGS = (480, 500, 503)
"""Statuses that a box on the way gives for another one's; then SIP causes count too."""


def of_refusal(status: int, reasons: Sequence[Reason], *, person: bool = False) -> tuple[Termination, int]:
    """What a final failure means for the caller, and the status the caller gets.

    Args:
        person: the callee is one of our browsers: whatever it says, no trunk is at fault.
    """
    if status in _CHALLENGES or status < MIN_REFUSAL:
        return _of_what_is_not_passed_on(status, person=person)
    usual = Termination.TRUNK_REFUSED if status < 500 else Termination.TRUNK_ERROR
    found = _by_cause(status, reasons) or _BY_STATUS.get(status, usual)
    if person and found.party is Party.TRUNK:
        found = Termination.UNAVAILABLE
    return found, status


def _of_what_is_not_passed_on(status: int, *, person: bool) -> tuple[Termination, int]:
    """A challenge would be ours, and a 3xx would be ours and name somebody else's hosts."""
    if person:
        return Termination.UNAVAILABLE, 480
    return (Termination.TRUNK_LOGIN, 502) if status in _CHALLENGES else (Termination.REDIRECT_REFUSED, 480)


def _by_cause(status: int, reasons: Sequence[Reason]) -> Termination | None:
    """What a Reason says more than the status: a cause of Q.850, or the status of somebody further on."""
    cause, sip = first_of(reasons, Q850), first_of(reasons, SIP)
    found = _BY_CAUSE.get(cause.cause) if cause is not None else None
    if found is None and sip is not None and status in _FOR_MANY_THINGS:
        found = _BY_STATUS.get(sip.cause)
    return found


def of_cancel(reasons: Sequence[Reason]) -> Termination:
    """Why the caller took its INVITE back: it gave up, or another phone answered (RFC 3326 3.1)."""
    sip, q850 = first_of(reasons, SIP), first_of(reasons, Q850)
    if sip is not None and sip.cause == ANSWERED_ELSEWHERE:
        return Termination.ANSWERED_ELSEWHERE
    elsewhere = q850 is not None and _BY_CAUSE.get(q850.cause) is Termination.ANSWERED_ELSEWHERE
    return Termination.ANSWERED_ELSEWHERE if elsewhere else Termination.CANCELLED
