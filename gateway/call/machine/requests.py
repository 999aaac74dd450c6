"""Requests inside a dialog of the call: whose they are, whether they come in order, who answers (RFC 3261 12.2.2)."""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.call.legs.invite_state import Act
from gateway.call.legs.leg import Leg
from gateway.call.legs.user_agent import ALLOW
from gateway.call.machine import attended, change, digits, ending, flows, forks, reliable, transfer
from gateway.call.machine.effects import Respond
from gateway.call.machine.events import RequestIn
from gateway.call.machine.state import CallState
from gateway.sip.dialog import request_dialog_key
from gateway.sip.reason import read_reasons


def request(call: CallState, event: RequestIn) -> None:
    """A request inside a dialog of the call."""
    leg = call.legs.get(event.leg)
    if leg is None or not flows.admits(call, leg, event):
        return
    tag = event.request.from_.tag or ""
    lost = leg.dialog is not None and request_dialog_key(event.request) != leg.dialog.key
    if lost or tag in leg.done_with or _has_left(call, leg, event.request.method):
        _of_a_lost_fork(call, leg, event)
        return
    dialog = leg.dialog or leg.early_dialog(tag)
    if dialog is not None:
        try:
            dialog.accept_sequence(event.request)
        except SipError as error:
            call.emit(Respond(event.key, leg.respond(event.request, error.status)))
            return
    handler = _HANDLERS.get(event.request.method)
    if handler is None:
        response = leg.respond(event.request, 405, headers=(("Allow", ALLOW),))
        call.emit(Respond(event.key, response))
        return
    handler(call, leg, event)


def _has_left(call: CallState, leg: Leg, method: str) -> bool:
    """Whether the call goes on without this leg; one that was handed over may still hang up."""
    return (call.live and leg.invitation.is_over) or (leg.gone and method != "BYE")


def _of_a_lost_fork(call: CallState, leg: Leg, event: RequestIn) -> None:
    """A dialog our INVITE made besides the one that won: it may end, the call goes on."""
    status = 200 if event.request.method == "BYE" else 481
    call.emit(Respond(event.key, leg.respond(event.request, status)))


def _bye(call: CallState, leg: Leg, event: RequestIn) -> None:
    hung_up = Termination.HANGUP_BROWSER if leg.habits.is_person else Termination.HANGUP_TRUNK
    why = hung_up if leg.invitation.is_confirmed else Termination.CANCELLED
    act = call.step(leg, leg.bye_event)
    call.emit(Respond(event.key, leg.respond(event.request, 200)))  # who knows already need not wait for the record
    if act is Act.FORK_GONE:
        forks.hung_up_early(call, leg, event.request.from_.tag or "")
    elif act is Act.END_CALL and not transfer.lets_go(call, leg):
        ending.terminate(call, why, by=leg.id, reasons=read_reasons(event.request.headers), said=event.request)


def _options(call: CallState, leg: Leg, event: RequestIn) -> None:
    call.emit(Respond(event.key, leg.respond(event.request, 200, headers=(("Allow", ALLOW),))))


_HANDLERS = {
    "BYE": _bye,
    "INVITE": change.offered,
    "UPDATE": change.offered,
    "OPTIONS": _options,
    "PRACK": reliable.acknowledged,
    "INFO": digits.info,
    "REFER": attended.refer,
    "SUBSCRIBE": transfer.subscribed,
}
