"""A request of ours is sent once more because its peer asked who we are (RFC 3261 22.2): same ask, next number."""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.call.legs.invite_state import CalleeEvent
from gateway.call.legs.leg import Leg
from gateway.call.machine import outcomes
from gateway.call.machine.asks import Ask
from gateway.call.machine.effects import ClearTimer, Purpose, SendRequest, Timer
from gateway.call.machine.events import Challenged, ResponseIn
from gateway.call.machine.state import CallState
from gateway.sip.cseq import CSeq
from gateway.sip.dialog import InviteDialogs
from gateway.sip.message import Request


def challenged(call: CallState, event: Challenged) -> None:
    """Send it with credentials if it is still wanted; else the challenge is the refusal it is."""
    ask = call.asks.find(event.ask)
    leg = call.legs.get(ask.leg) if ask is not None else None
    if ask is None or leg is None:
        return
    request = _numbered(call, leg, ask, event)
    if request is None:
        outcomes.response(call, ResponseIn(event.ask, event.response, event.flow))
        return
    call.asks.identified(ask.number, event.credentials)
    flow = leg.flow if ask.purpose is Purpose.INVITE else leg.next_hop()
    call.emit(SendRequest(leg.id, request, flow, ask.purpose, ask.number))


def _numbered(call: CallState, leg: Leg, ask: Ask, event: Challenged) -> Request | None:
    """The request as it leaves again; None when the call has no use for it any more."""
    request = event.request.without_header(*{name for name, _ in event.credentials}).with_added(event.credentials)
    if ask.purpose is Purpose.INVITE:
        return _invite(call, leg, ask, request)
    dialog = leg.dialog or leg.early_dialog(request.to.tag or "")
    if dialog is None or (ask.purpose is Purpose.REINVITE and not (call.live and leg.talk.is_carried_by(ask.number))):
        return None
    try:
        return dialog.renumbered(request)
    except SipError:
        return None


def _invite(call: CallState, leg: Leg, ask: Ask, request: Request) -> Request | None:
    if not call.live or leg.id not in call.hunt.ringing or ask.number != leg.invite_ask:
        return None
    if leg.invitation.is_unheard:
        call.emit(ClearTimer(Timer.SILENT, leg.id))
        call.step(leg, CalleeEvent.TRYING)
    request = request.with_header("CSeq", CSeq(request.cseq.number + 1, "INVITE"))
    leg.invite, leg.dialogs = request, InviteDialogs(request)
    return request
