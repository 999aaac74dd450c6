"""Whether the far end of a call is still there: asked, when its media falls silent, by OPTIONS inside its dialog.

A BYE can be lost, and so can a whole PBX. Whether a browser is there is known by its connection and by ICE consent
(RFC 7675); a trunk has neither. So when nothing has been accepted from it for a while, neither RTP nor RTCP, it is
asked whether it still knows the dialog (RFC 3261 11, 12.2.1.2): 481, 408 or no answer ends the call, anything else lets
it go on, and it is asked again. Silence alone ends a call only after `limits.silence_seconds`, for peers that agree to
whatever they are asked. On hold silence is agreed on: then it never ends a call, and the question is put seldom. Who is
muted, or sends nothing while nobody speaks (RFC 3389, DTX), still sends RTCP, and is not silent.

A browser is not asked. One that consents and of which nothing authenticates, neither RTP nor RTCP, has a network in
between that lets nothing else through: that ends its call after the same time.

An emergency call ends only when the peer itself says that it does not know the call (481): no inference cuts it off.
"""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.call.legs.leg import Leg
from gateway.call.machine import direction, ending, lost_dialog
from gateway.call.machine.effects import ClearTimer, Purpose, SetTimer, Timer
from gateway.call.machine.events import ResponseIn
from gateway.call.machine.state import CallState, Phase
from gateway.media.relay_events import LegHeard, LegSilent

ASK_AGAIN_SECONDS = 30.0
"""Between two questions while a trunk that should send is silent; a question without answer takes 32 s by itself."""
ASK_HELD_SECONDS = 300.0
"""Between two questions while the call is on hold: music is often not sent, and a hold may last an hour."""


def ask(call: CallState, leg: Leg) -> None:
    """Ask the peer of an established leg whether it still knows the call, unless it is being asked something already.

    What comes of it is taken care of here: the call ends, or goes on as if nothing had happened. A change of ours that
    is under way is a question itself, and one with a higher CSeq must not overtake it (RFC 3261 12.2.2).
    """
    is_asked = any(call.asks.awaits(leg.id, purpose) for purpose in (Purpose.REINVITE, Purpose.OPTIONS))
    if call.phase is not Phase.ESTABLISHED or is_asked:
        return
    try:
        request = leg.in_dialog("OPTIONS")
    except SipError:
        return
    call.send(leg, request, leg.next_hop(), Purpose.OPTIONS)


def noticed(call: CallState, event: LegSilent | LegHeard) -> None:
    """The relay has accepted nothing from a leg for a while, or hears it again, be it by RTCP alone."""
    leg = call.legs.get(event.leg)
    if leg is None or leg not in call.pair:
        return
    if isinstance(event, LegHeard):
        leg.silent_since = None
        call.emit(ClearTimer(Timer.LIVENESS, leg.id))
        return
    leg.silent_since, leg.silent_on_hold = call.now, False
    look(call, leg)


def look(call: CallState, leg: Leg) -> None:
    """Still silent: ask, or end the call when that has lasted too long.

    A leg that waits for somebody else, because the one it spoke to has left, has as little to say as one on hold.
    """
    if leg.silent_since is None:
        return
    other = call.other(leg)
    on_hold = other is None or not direction.hears(other, leg)
    if on_hold or leg.silent_on_hold:
        leg.silent_since = call.now  # what was agreed on does not count
    leg.silent_on_hold = on_hold
    if not call.policy.emergency and call.now - leg.silent_since >= call.site.limits.silence_seconds:
        silent = Termination.BROWSER_SILENT if leg.habits.is_person else Termination.MEDIA_TIMEOUT
        ending.terminate(call, silent)
        return
    if leg.habits.is_asked:
        ask(call, leg)
    call.emit(SetTimer(Timer.LIVENESS, ASK_HELD_SECONDS if on_hold else ASK_AGAIN_SECONDS, leg.id))


def response(call: CallState, leg: Leg, event: ResponseIn) -> None:
    """The answer to the question."""
    status = event.response.status
    if status < 200:
        return
    call.asks.answered(event.ask)
    lost_dialog.is_said(call, leg, status, Termination.PEER_GONE)


def failed(call: CallState, leg: Leg) -> None:
    """Nobody answered, or it could not be asked: with silence that is the end, with media it proves nothing."""
    if leg.silent_since is not None:
        lost_dialog.is_over(call, leg, Termination.PEER_GONE, knows=False)
