"""Whether the far end of a call is still there: asked, when its media falls silent, by OPTIONS inside its dialog.

A BYE can be lost, and so can a whole PBX. The browser's end is watched by its connection and by ICE consent (RFC 7675);
a trunk has neither. So when nothing has been accepted from it for a while, neither RTP nor RTCP, it is asked whether it
still knows the dialog (RFC 3261 11, 12.2.1.2): 481, 408 or no answer ends the call, anything else lets it go on, and it
is asked again. Silence alone ends a call only after `limits.silence_seconds`, for peers that agree to whatever they are
asked. On hold silence is agreed on: then it never ends a call, and the question is put seldom.

An emergency call ends only when the peer itself says that it does not know the call (481): no inference cuts it off.
"""

from __future__ import annotations

from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.call import direction, ending
from gateway.call.effects import ClearTimer, LegName, Purpose, SetTimer, Timer
from gateway.call.events import MediaHeard, MediaSilent, RequestFailed, ResponseIn
from gateway.call.leg import Leg
from gateway.call.state import CallState, Phase

ASK_AGAIN_SECONDS = 30.0
"""Between two questions while a trunk that should send is silent; a question without answer takes 32 s by itself."""
ASK_HELD_SECONDS = 300.0
"""Between two questions while the call is on hold: music is often not sent, and a hold may last an hour."""
UNKNOWN_DIALOG = 481
GONE = (408, UNKNOWN_DIALOG)
"""Answers that mean that there is no such dialog any more (RFC 3261 12.2.1.2); all others come from somebody alive."""


def ask(call: CallState, leg: Leg) -> None:
    """Ask the peer of an established leg whether it still knows the call, unless it is being asked something already.

    What comes of it is taken care of here: the call ends, or goes on as if nothing had happened. A change of ours that
    is under way is a question itself, and one with a higher CSeq must not overtake it (RFC 3261 12.2.2).
    """
    if call.phase is not Phase.ESTABLISHED or call.reoffer is leg.name or call.awaits(leg.name, Purpose.OPTIONS):
        return
    try:
        request = leg.in_dialog("OPTIONS")
    except SipError:
        return
    call.send(leg.name, request, leg.next_hop(), Purpose.OPTIONS)


def noticed(call: CallState, event: MediaSilent | MediaHeard) -> None:
    """The relay has accepted nothing from the trunk for a while, or hears it again, be it by RTCP alone."""
    if event.leg is not LegName.TRUNK:
        return
    if isinstance(event, MediaHeard):
        call.silent_since = None
        call.emit(ClearTimer(Timer.LIVENESS))
        return
    call.silent_since, call.silent_on_hold = call.now, False
    look(call)


def look(call: CallState) -> None:
    """Still silent: ask, or end the call when that has lasted too long."""
    trunk = call.trunk
    if call.silent_since is None or trunk is None:
        return
    on_hold = not direction.relay(call).to_browser
    if on_hold or call.silent_on_hold:
        call.silent_since = call.now  # what was agreed on does not count
    call.silent_on_hold = on_hold
    if not call.policy.emergency and call.now - call.silent_since >= call.site.limits.silence_seconds:
        ending.terminate(call, Termination.MEDIA_TIMEOUT)
        return
    ask(call, trunk)
    call.emit(SetTimer(Timer.LIVENESS, ASK_HELD_SECONDS if on_hold else ASK_AGAIN_SECONDS))


def response(call: CallState, event: ResponseIn) -> None:
    """The answer to the question."""
    status = event.response.status
    if status < 200:
        return
    call.answered(event.ask)
    if status in GONE:
        _gone(call, event.leg, knows=status == UNKNOWN_DIALOG)


def failed(call: CallState, event: RequestFailed) -> None:
    """Nobody answered, or it could not be asked: with silence that is the end, with media it proves nothing."""
    if call.silent_since is not None:
        _gone(call, event.leg, knows=False)


def _gone(call: CallState, leg: LegName, *, knows: bool) -> None:
    """End the call; a peer that did not say so itself still gets a BYE."""
    if knows or not call.policy.emergency:
        ending.terminate(call, Termination.PEER_GONE, by=leg if knows else None)
