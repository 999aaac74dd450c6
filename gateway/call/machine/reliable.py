"""Provisional responses that are acknowledged, on the side of a trunk (RFC 3262): ours to a caller, theirs to us.

Towards a caller every 101 to 199 is reliable that asks for it with Require; of one that only can, those that bring a
description, for they hold what the call is heard by. Such a response is repeated until its PRACK comes, the next one
waits for that, and so does a 2xx behind a description. Ringing that comes from a callee in order is acknowledged, what
comes out of order is left for its repetition. A browser hears of none of this.
"""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.call.legs.invite_state import Act, CallerEvent
from gateway.call.legs.leg import Leg
from gateway.call.machine import answering, change, ending
from gateway.call.machine.effects import ClearTimer, Purpose, Respond, SetTimer, Timer
from gateway.call.machine.events import RequestIn
from gateway.call.machine.state import CallState
from gateway.sip import reliable
from gateway.sip.dialog import Dialog
from gateway.sip.message import Response
from gateway.sip.timers import T1

RING_ON_SECONDS = 60.0
"""A caller that waits hears this often that it rings on: a proxy on the way gives up after three minutes without a word
(RFC 3261 13.3.1.1, 16.8)."""


def send(call: CallState, leg: Leg, response: Response) -> None:
    """Send a caller a 101 to 199."""
    leg.provisionals.last = response
    call.emit(SetTimer(Timer.RING_ON, RING_ON_SECONDS, leg.id))
    if not leg.wants_reliable(response):
        call.emit(Respond(leg.invite_key, response))
        return
    leg.provisionals.waiting.append(response)
    _next(call, leg)


def ring_on(call: CallState, leg: Leg) -> None:
    """It has rung for a minute since we said so."""
    last = leg.provisionals.last
    if last is None or leg.invitation.is_confirmed:
        return
    if leg.provisionals.sent is None:
        send(call, leg, last)
    else:
        call.emit(SetTimer(Timer.RING_ON, RING_ON_SECONDS, leg.id))


def _next(call: CallState, leg: Leg) -> None:
    cseq = leg.invite.cseq.number if leg.invite is not None else 0
    response = leg.provisionals.next(cseq, call.context.tokens, call.now)
    if response is not None:
        call.emit(Respond(leg.invite_key, response), SetTimer(Timer.PRACK, T1, leg.id))


def unacknowledged(call: CallState, leg: Leg) -> None:
    """No PRACK yet: the response is repeated, at last the INVITE refused (RFC 3262 3)."""
    sent = leg.provisionals.sent
    if sent is None:
        return
    wait = leg.provisionals.again(call.now)
    if wait:
        call.emit(Respond(leg.invite_key, sent.response), SetTimer(Timer.PRACK, wait, leg.id))
    elif call.step(leg, CallerEvent.PRACK_MISSING) is Act.END_CALL:
        ending.terminate(call, Termination.PRACK_MISSING)


def must_wait(call: CallState, leg: Leg) -> bool:
    """Whether a 2xx that is due waits for a PRACK; if not, nothing is repeated any more."""
    if leg.provisionals.holds_up_the_answer:
        call.step(leg, CallerEvent.WAIT)
        return True
    leg.provisionals.waiting.clear()
    if leg.provisionals.sent is not None:  # its PRACK may still come, and is answered then
        call.emit(ClearTimer(Timer.PRACK, leg.id))
    return False


def acknowledged(call: CallState, leg: Leg, event: RequestIn) -> None:
    """A PRACK. An offer in it is answered where an 18x that it acknowledges has answered the INVITE (RFC 3262 5)."""
    sent = leg.provisionals.sent
    try:
        known = leg.provisionals.acknowledge(reliable.acknowledged(event.request))
    except SipError as error:
        call.emit(Respond(event.key, leg.respond(event.request, error.status)))
        return
    if not known:
        call.emit(Respond(event.key, leg.respond(event.request, 481)))
        return
    call.emit(ClearTimer(Timer.PRACK, leg.id))
    if call.live and sent is not None and sent.response.body:
        call.count(leg.talk.pracked())
    if call.live and event.request.body:
        change.offered_in_prack(call, leg, event)
    else:
        call.emit(Respond(event.key, leg.respond(event.request, 488 if event.request.body else 200)))
    if call.live:
        _go_on(call, leg)


def _go_on(call: CallState, leg: Leg) -> None:
    """One is known to have come: the next one leaves, or a 2xx that has waited for that."""
    held_up, callee = leg.provisionals.holds_up_the_answer, call.callee
    if not held_up and call.step(leg, CallerEvent.PRACK) is Act.ANSWER and callee is not None:
        answering.answer_caller(call, callee, 200)
    elif not leg.invitation.is_confirmed:
        _next(call, leg)


def may_ring(leg: Leg) -> bool:
    """False for an INVITE without an offer that wants every 18x to be reliable: the first one had to bring our offer,
    which is not known before somebody answers (RFC 3262 5)."""
    return not (leg.talk.is_asked and leg.invite is not None and reliable.insists(leg.invite))


def is_next(call: CallState, leg: Leg, dialog: Dialog | None, response: Response) -> bool:
    """Whether a 101 to 199 of a callee is to be looked at; a reliable one is acknowledged (RFC 3262 4).

    One that came before, or comes before the one that precedes it, is nothing: it will be repeated. Of a phone whose
    early dialog is not kept none is followed.
    """
    number = reliable.number_of(response)
    if number is None or dialog is None:
        return True
    if not leg.remembers(dialog) or not dialog.accept_rseq(number):
        return False
    rack = reliable.RAck(number, response.cseq.number, response.cseq.method)
    try:
        prack = dialog.new_request("PRACK", leg.contact).with_added((("RAck", str(rack)),))
    except SipError:
        return True
    call.send(leg, prack, leg.next_hop(dialog), Purpose.PRACK)
    return True
