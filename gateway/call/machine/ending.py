"""How calls end: one termination value, told to both sides, recorded exactly once."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.legs.invite_state import Act
from gateway.call.legs.leg import Leg
from gateway.call.legs.user_agent import reason, warning
from gateway.call.machine import passing, report
from gateway.call.machine.effects import (
    CancelInvite,
    ClearTimer,
    Finished,
    Forget,
    Purpose,
    Respond,
    SetTimer,
    Timer,
)
from gateway.call.machine.hunt import Stage
from gateway.call.machine.state import CallState, Phase
from gateway.sip.dialog import Dialog
from gateway.sip.message import Message, Request
from gateway.sip.model import MAX_FORWARDS
from gateway.sip.reason import SIP, Reason, in_request, in_response

LINGER_SECONDS = 34.0
"""A little over 64*T1: by then every transaction of the call has ended by itself."""
NO_ANSWER = 480
"""What a caller is told whose callee answered and hung up before the caller could be told so."""
OF_A_LEG = (
    Timer.GLARE,
    Timer.KEYED,
    Timer.SILENT,
    Timer.REPORT,
    Timer.LIVENESS,
    Timer.REFERRAL,
    Timer.PRACK,
    Timer.RETURN,
    Timer.SESSION,
    Timer.RING_ON,
)
"""Clocks of the legs of a call that lives."""


def terminate(
    call: CallState,
    termination: Termination,
    *,
    by: LegId | None = None,
    status: int = 0,
    reasons: Sequence[Reason] = (),
    headers: tuple[tuple[str, str], ...] = (),
    said: Message | None = None,
) -> None:
    """End the call for both sides. A second end changes nothing.

    Args:
        by: the leg that already knows.
        reasons: what the message that ends the call says of why (RFC 3326); the other side hears it too.
        headers: what else a caller is told that has no answer yet.
        said: the message by which that leg has ended it.
    """
    if not call.live:
        return
    call.phase, call.hunt.stage = Phase.ENDED, Stage.OVER
    end = call.end
    end.termination, end.status, end.reasons = termination, status or termination.status, tuple(reasons)
    end.headers, end.by, end.said = headers, by, said
    call.emit(ClearTimer(Timer.RING), ClearTimer(Timer.MEASURE))
    for leg in call.legs.values():
        call.emit(*(ClearTimer(name, leg.id) for name in OF_A_LEG))
    call.emit(Finished(termination, end.status), SetTimer(Timer.LINGER, LINGER_SECONDS))
    for leg in call.legs.values():
        _end(call, leg, termination, knows=by == leg.id)


def _end(call: CallState, leg: Leg, termination: Termination, *, knows: bool) -> None:
    """Tell one peer, unless it knows already; a caller that gave up still gets its final response."""
    knows = knows and leg.invitation.is_confirmed
    match call.step(leg, leg.bye_event if knows else leg.end_event):
        case Act.REFUSE if leg.invite is not None:
            failure = call.end.status if call.end.status >= 300 else NO_ANSWER
            headers = (
                *warning(termination),
                *in_response(call.end.reasons),
                *call.end.headers,
                *passing.ended(call, leg),
            )
            call.emit(Respond(leg.invite_key, leg.respond(leg.invite, failure, headers=headers)))
        case Act.CANCEL:
            call.emit(CancelInvite(leg.invite_ask, _why(call, termination)))
        case Act.BYE:
            bye(call, leg, termination)
        case _:
            pass


def bye(call: CallState, leg: Leg, termination: Termination) -> None:
    """Say goodbye to a leg whose dialog is confirmed; a browser hears what its call was in the end."""
    try:
        headers = (*_why(call, termination, least=300), *report.announce(call, leg), *passing.ended(call, leg))
        request = leg.in_dialog("BYE", headers=headers)
    except SipError:
        return  # no dialog, or one that cannot be written to any more: there is nobody left to tell
    call.send(leg, request, leg.next_hop(), Purpose.BYE)


def _why(call: CallState, termination: Termination, *, least: int = 200) -> tuple[tuple[str, str], ...]:
    """What a BYE or CANCEL says of why: what the other side said, else our own reason (RFC 3326 2).

    Args:
        least: causes of SIP below say nothing: 200 means "answered elsewhere" in a CANCEL, and nothing in a BYE.
    """
    told = [said for said in call.end.reasons if said.protocol != SIP or said.cause >= least]
    return in_request(told) or reason(termination)


def bye_of(leg: Leg, dialog: Dialog, termination: Termination, reasons: Sequence[Reason] = ()) -> Request:
    """The BYE of a dialog that is not the leg's own; `reasons` say more than the termination does."""
    why = in_request(reasons) or reason(termination)
    return dialog.new_request("BYE", leg.contact, MAX_FORWARDS).with_added(why)


def release_dialog(
    call: CallState, leg: Leg, dialog: Dialog, termination: Termination, reasons: Sequence[Reason] = ()
) -> None:
    """End a dialog the call does not want: a fork that lost, an answer that crossed our CANCEL."""
    bye = bye_of(leg, dialog, termination, reasons)
    call.send(leg, bye, leg.next_hop(dialog), Purpose.BYE)


def settle(call: CallState) -> None:
    """Drop the call once it has ended and nothing we sent waits for an answer."""
    if not call.asks and not any(leg.invitation.owes_bye for leg in call.legs.values()):
        forget(call)


def forget(call: CallState) -> None:
    """Nothing more is awaited, or it was awaited long enough."""
    if call.live or call.end.forgotten:
        return
    call.end.forgotten = True
    call.emit(ClearTimer(Timer.LINGER), Forget())
