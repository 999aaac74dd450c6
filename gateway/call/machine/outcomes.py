"""What comes of a request of ours: by its number the call knows what was asked, and of which leg."""

from __future__ import annotations

from gateway.base.termination import Termination
from gateway.call.legs.invite_state import Act, CalleeEvent
from gateway.call.legs.leg import Leg
from gateway.call.machine import (
    change,
    digits,
    elsewhere,
    invite,
    liveness,
    refreshing,
    report,
    responses,
    telling,
    transfer,
)
from gateway.call.machine.effects import Purpose
from gateway.call.machine.events import RequestFailed, ResponseIn
from gateway.call.machine.hunt import Refused
from gateway.call.machine.state import CallState

_OF_WHO_IS_THERE = {
    Purpose.UPDATE: telling.response,
    Purpose.REPORT: telling.informed,
    Purpose.OPTIONS: liveness.response,
    Purpose.INFO: digits.response,
}


def response(call: CallState, event: ResponseIn) -> None:
    """A response; of a request that is known no more it means nothing."""
    ask = call.asks.find(event.ask)
    leg = call.legs.get(ask.leg) if ask is not None else None
    if ask is None or leg is None:
        return
    if 200 <= event.response.status < 300:
        report.note_abilities(leg, event.response)
    match ask.purpose:
        case Purpose.INVITE:
            responses.invite_response(call, leg, event)
        case Purpose.REINVITE:
            change.response(call, leg, event)
        case Purpose.UPDATE | Purpose.REPORT | Purpose.OPTIONS | Purpose.INFO if not leg.gone:
            _OF_WHO_IS_THERE[ask.purpose](call, leg, event)
        case Purpose.REFRESH if not leg.gone and call.live:
            refreshing.response(call, leg, event)
        case Purpose.NOTIFY:
            transfer.notified(call, leg, event)
        case _ if event.response.status >= 200:  # a goodbye; or nobody is there any more for whom it means anything
            call.asks.answered(event.ask)
        case _:
            pass


def failed(call: CallState, event: RequestFailed) -> None:
    """No response, or no way to send it."""
    ask = call.asks.find(event.ask)
    leg = call.legs.get(ask.leg) if ask is not None else None
    if ask is None or leg is None:
        return
    call.asks.answered(event.ask)
    match ask.purpose:
        case Purpose.INVITE:
            _invite_failed(call, leg, transport=event.transport)
        case Purpose.UPDATE if not event.transport:
            telling.unanswered(leg)
        case Purpose.REPORT if not event.transport:
            telling.uninformed(leg)
        case Purpose.REINVITE | Purpose.UPDATE | Purpose.REPORT:
            change.unanswered(call, leg, ask)
        case Purpose.OPTIONS if not leg.gone:
            liveness.failed(call, leg)
        case Purpose.REFRESH if not event.transport:
            refreshing.unanswered(call, leg)
        case Purpose.INFO:
            digits.unanswered(call, leg)
        case Purpose.NOTIFY:
            transfer.unnotified(call, leg, event.ask)
        case _:
            pass


def _invite_failed(call: CallState, leg: Leg, *, transport: bool) -> None:
    why = lost(leg) if transport else _unanswered(leg)
    decides = call.step(leg, CalleeEvent.NO_RESPONSE) is Act.DECIDE
    if decides and not elsewhere.tried(call, leg, Refused(0, why)):
        invite.lose(call, leg, Refused(0, why))


def _unanswered(leg: Leg) -> Termination:
    """What it means that an INVITE of ours timed out: nobody is there, or somebody was and said no more."""
    silent = leg.habits.is_asked and leg.invitation.is_unheard
    return Termination.TRUNK_SILENT if silent else Termination.PEER_TIMEOUT


def lost(leg: Leg) -> Termination:
    """What it means that the transport of a leg broke."""
    return Termination.TRUNK_UNREACHABLE if leg.habits.reconnects else Termination.FLOW_LOST
