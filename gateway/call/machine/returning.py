"""A browser that lost its connection in mid-call and comes back over another one (RFC 5626 4.4.1, RFC 8445 2.4).

Networks change while people talk: the WebSocket dies, the device registers again over a new one, and restarts ICE. The
call is kept for a named time meanwhile: the dialog belongs to the device, not to the connection it began on. It ends
when nobody has come back by then, or when media has not. ICE consent runs out in the same change of networks
(RFC 7675), so it does not end a call that waits for its connection; where the connection seems to be there, the 30 s
that consent lasts count as waiting already done. Each loss begins the time anew, but of one who comes and goes and is
never heard it is over after twice as long.
"""

from __future__ import annotations

from gateway.audit import record
from gateway.audit.facts import Checkpoint
from gateway.base.codes import Code
from gateway.base.counters import Counter
from gateway.base.termination import Termination
from gateway.call.legs.leg import Leg
from gateway.call.machine import ending, security
from gateway.call.machine.effects import ClearTimer, Count, SetTimer, Timer, WriteAudit
from gateway.call.machine.state import CallState, Phase
from gateway.media.relay_protocol import CONSENT_SECONDS
from gateway.policy.offering import Refusal
from gateway.sip.flow import Flow

MAX_WAITS = 2
"""How often the time may pass, all in all, before media and connection are both there again: once for a connection,
once more for the restart of ICE over it."""
MAX_RECORDS = 16
"""Changes of one leg's connection that have a record each; they are counted all the same."""


def is_waited_for(call: CallState, leg: Leg) -> bool:
    """Whether the call can wait for this leg: it stands, and its dialog can be gone on with over another connection.

    An INVITE that is not answered, or not acknowledged, is lost with its connection (RFC 3261 8.1.3.1).
    """
    stands = call.live and call.phase is Phase.ESTABLISHED and leg.invitation.is_open
    return stands and leg.habits.returns and leg in call.pair and _seconds(call) > 0


def lost(call: CallState, leg: Leg) -> None:
    """Its connection is gone."""
    leg.is_away = True
    call.emit(Count(Counter.FLOWS_LOST))
    _wait(call, leg, _seconds(call))


def found(call: CallState, leg: Leg, flow: Flow) -> None:
    """Its device is there over another connection, which proves as much: what we have to say leaves there.

    What the peer has missed meanwhile is said now (`change.settle`, `telling.settle`).
    """
    before, away = leg.flow, leg.is_away
    leg.move_to(flow)
    leg.is_away = False
    _record(call, leg, before, away=away)
    call.emit(Count(Counter.FLOWS_MOVED))
    if leg.is_unheard:
        _wait(call, leg, _seconds(call))
    elif away:
        _all_there(call, leg)
    if call.phase is Phase.ESTABLISHED:
        leg.talk.want()
    if leg.told is not None and leg.told.waits:
        leg.told.waits, leg.told.retries = False, 0
        call.emit(ClearTimer(Timer.REPORT, leg.id))


def consent_lost(call: CallState, leg: Leg) -> None:
    """It answers no checks any more: a restart of ICE may bring it back, in what is left of the time."""
    leg.is_unheard = True
    if leg.is_away:
        return  # the clock runs
    left = _seconds(call) - CONSENT_SECONDS
    if left > 0:
        _wait(call, leg, left)
    else:
        no_consent(call, leg)


def no_consent(call: CallState, leg: Leg) -> None:
    """It wants no media any more, as far as it can be known (RFC 7675): nothing is sent, and the call is over."""
    lost = Refusal(Code.BRW_CONSENT_LOST, Termination.CONSENT_LOST)
    security.refused_offer(call, leg, lost, kind="D4", where=Checkpoint.PACKETS)
    ending.terminate(call, Termination.CONSENT_LOST)


def heard(call: CallState, leg: Leg) -> None:
    """It answers checks again, under the name of a restart (RFC 7675 5.1)."""
    if not leg.is_unheard:
        return
    leg.is_unheard = False
    if not leg.is_away:
        _all_there(call, leg)


def too_late(call: CallState, leg: Leg) -> None:
    """The time is over."""
    if leg not in call.pair:
        return
    if leg.is_away:
        ending.terminate(call, Termination.FLOW_LOST)
    elif leg.is_unheard:
        no_consent(call, leg)


def _wait(call: CallState, leg: Leg, seconds: float) -> None:
    """Wait for so long, if there is as much left."""
    if leg.missed_since is None:
        leg.missed_since = call.now
    left = leg.missed_since + MAX_WAITS * _seconds(call) - call.now
    call.emit(SetTimer(Timer.RETURN, max(0.0, min(seconds, left)), leg.id))


def _all_there(call: CallState, leg: Leg) -> None:
    leg.missed_since = None
    call.emit(ClearTimer(Timer.RETURN, leg.id))


def _seconds(call: CallState) -> float:
    return call.site.limits.reconnect_seconds


def _record(call: CallState, leg: Leg, before: Flow, *, away: bool) -> None:
    """leg.moved, within a limit: a page that comes and goes all day does not fill the disk."""
    if not call.live or leg.moves >= MAX_RECORDS:
        return
    leg.moves += 1
    moved = record.leg_moved(
        security.info(call, leg), leg=leg.kind.value, leg_id=leg.id, before=before, now=leg.flow, was_lost=away
    )
    call.emit(WriteAudit(moved))
