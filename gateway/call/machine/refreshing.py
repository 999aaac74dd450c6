"""Session timers of the legs, each on its own (RFC 4028): refreshes that are due, and sessions nobody refreshed.

A trunk may refresh, or have us refresh: by UPDATE where it takes that, else by a re-INVITE that repeats the description
as it is, `o=` version included. What comes back is judged like any answer, so a refresh weakens nothing; the other leg
hears nothing of it. A browser asks for a timer and refreshes it itself (JsSIP), or does not ask (SIP.js); whether it is
there is known by its connection and by ICE consent, so no clock runs for it.

An emergency call is never ended by a clock.
"""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.call.legs.leg import Leg
from gateway.call.machine import change, direction, ending, flows, lost_dialog, transfer
from gateway.call.machine.effects import ClearTimer, Purpose, SetTimer, Timer
from gateway.call.machine.events import ResponseIn
from gateway.call.machine.state import CallState
from gateway.sip import session_timer
from gateway.sip.message import Message, Request, Response
from gateway.sip.session_timer import Timing

AGAIN_SECONDS = 10.0
"""Between two tries of a refresh that could not be made, or was refused for a passing reason."""
MAX_RAISED = 2
"""How often one leg may want a longer interval (422); proxies on the way have one each, and agree after that."""
NO_UPDATE = frozenset({405, 408, 415, 420, 501})
"""Answers that say: not by UPDATE. A 408 is the word of a proxy that heard none, because there is nobody any more, or
because something behind it swallows what it does not know: the re-INVITE that follows tells which."""
TOO_SMALL = 422


def answered(call: CallState, leg: Leg, request: Request) -> None:
    """Our 2xx to an INVITE or UPDATE of the peer has left."""
    _note_allow(leg, request)
    _agree(call, leg, leg.timing_for(request))


def accepted(call: CallState, leg: Leg, response: Response) -> None:
    """A 2xx to an INVITE or UPDATE of ours is in."""
    _note_allow(leg, response)
    _agree(call, leg, session_timer.agreed(response))


def _note_allow(leg: Leg, message: Message) -> None:
    if message.headers.get("Allow") is not None:
        leg.allows_update = "update" in message.tokens("Allow")


def _agree(call: CallState, leg: Leg, timing: Timing | None) -> None:
    if not leg.habits.keeps_timers or not leg.invitation.is_confirmed or leg.gone or not call.live:
        return
    had, leg.timing, leg.refreshed_at = leg.timing, timing, call.now
    if timing is not None:
        call.emit(SetTimer(Timer.SESSION, timing.wait, leg.id))
    elif had is not None:
        call.emit(ClearTimer(Timer.SESSION, leg.id))


def resume(call: CallState, leg: Leg) -> None:
    """The leg has come from another call: its session is as old as it was there."""
    if leg.timing is not None:
        call.emit(SetTimer(Timer.SESSION, max(0.0, leg.refreshed_at + leg.timing.wait - call.now), leg.id))


def due(call: CallState, leg: Leg) -> None:
    """A refresh is due, or did not come."""
    timing = leg.timing
    if timing is None or leg.gone:
        return
    left = leg.refreshed_at + timing.lasts - call.now
    if left <= 0 and not call.policy.emergency:
        if not transfer.is_cut_off(call, leg, knows=False):
            ending.terminate(call, Termination.SESSION_EXPIRED)
        return
    if timing.is_ours:
        refresh(call, leg)
    if call.live:
        call.emit(SetTimer(Timer.SESSION, min(AGAIN_SECONDS, left) if left > 0 else AGAIN_SECONDS, leg.id))


def refresh(call: CallState, leg: Leg) -> None:
    """Refresh the session, unless a change of ours is under way, which does the same."""
    under_way = any(call.asks.awaits(leg.id, purpose) for purpose in (Purpose.REFRESH, Purpose.REINVITE))
    if not leg.invitation.is_open or under_way or leg.talk.ours is None:
        return
    if not leg.allows_update:
        other = call.other(leg)
        change.reoffer(call, leg, direction.offer_from(other) if other is not None else leg.talk.ours.direction)
        return
    try:
        request = leg.in_dialog("UPDATE")
    except SipError:
        return
    call.send(leg, request, leg.next_hop(), Purpose.REFRESH)


def response(call: CallState, leg: Leg, event: ResponseIn) -> None:
    """A response to a refresh by UPDATE. What is refused for a passing reason is tried again by the clock."""
    status = event.response.status
    if status < 200:
        return
    call.asks.answered(event.ask)
    if status < 300:
        if leg.dialog is not None and flows.note_target(call, leg, event.response, event.flow):
            leg.dialog.refresh_target(event.response)
        accepted(call, leg, event.response)
    elif status == lost_dialog.UNKNOWN_DIALOG:
        lost_dialog.is_over(call, leg, Termination.PEER_GONE, knows=True)
    elif status in NO_UPDATE:
        unanswered(call, leg)
    elif status == TOO_SMALL and wants_more(leg, event.response):
        refresh(call, leg)


def unanswered(call: CallState, leg: Leg) -> None:
    """It takes no UPDATE, or something on the way swallows what it does not know: by re-INVITE, then."""
    leg.allows_update = False
    if call.live and not leg.gone:
        refresh(call, leg)


def wants_more(leg: Leg, refusal: Response) -> bool:
    """Whether a 422 asks for a longer interval that it may have: the next request asks for that (RFC 4028 7.3)."""
    least = session_timer.least_interval(refusal)
    if least is None or least <= leg.min_se or leg.raised >= MAX_RAISED:
        return False
    leg.min_se, leg.raised = least, leg.raised + 1
    return True
