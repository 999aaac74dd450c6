"""The ACK of a 2xx of ours: it establishes the call, may bring an answer, and may be missing."""

from __future__ import annotations

from gateway.base.termination import Termination
from gateway.call.legs.invite_state import Act, CallerEvent
from gateway.call.legs.leg import Leg
from gateway.call.machine import answering, change, ending, outcomes, proof, returning, transfer
from gateway.call.machine.events import AckIn, AckMissing
from gateway.call.machine.state import CallState, Phase


def acknowledged(call: CallState, event: AckIn) -> None:
    """The ACK of the caller's INVITE, or of a re-INVITE of either side."""
    leg = call.acknowledged_by(event.key)
    if leg is not None and event.key == leg.invite_key:
        _of_an_invite(call, leg)
    if call.live and leg is not None and not leg.gone and leg.talk.is_carried_by(event.key):
        _take_note(call, leg, event)


def _of_an_invite(call: CallState, leg: Leg) -> None:
    """Of one that made the call, or that came into it in the place of another."""
    match call.step(leg, CallerEvent.ACK):
        case Act.JOIN if call.live:
            call.phase = Phase.ESTABLISHED
            proof.settle(call)
        case Act.BYE:
            ending.bye(call, leg, call.termination or Termination.CANCELLED)
        case _:
            pass


def _take_note(call: CallState, leg: Leg, event: AckIn) -> None:
    """The ACK of the INVITE that the open exchange began with: it may bring the answer to our offer."""
    if leg.talk.ours_is_open is None:
        call.count(leg.talk.acknowledged())
    elif answering.late_answer(call, leg, event.request.body):
        change.follow_other(call, leg)


def missing(call: CallState, event: AckMissing) -> None:
    """No ACK within 64*T1 (RFC 3261 13.3.1.4), or the connection closed, perhaps while it still rang.

    A caller whose connection breaks while it waits for the answer has got its 503 from its own transport layer
    (RFC 3261 8.1.3.1), so its call is over. A change whose ACK is lost with the connection is no reason to end a
    call of a trunk: the session stands as both last agreed.
    """
    leg = call.acknowledged_by(event.key)
    if leg is None:
        return
    if event.key != leg.invite_key:
        if not leg.gone:
            _of_a_change(call, leg, event)
        return
    match call.step(leg, CallerEvent.ACK_MISSING):
        case Act.END_CALL:
            ending.terminate(call, outcomes.lost(leg) if event.transport else Termination.ACK_MISSING)
        case Act.BYE:
            ending.bye(call, leg, call.termination or Termination.CANCELLED)
        case _:
            pass


def _of_a_change(call: CallState, leg: Leg, event: AckMissing) -> None:
    """Without the answer it may have held, our offer is void. That alone ends no emergency call, see `lost_dialog`."""
    comes_back = leg.habits.reconnects or returning.is_waited_for(call, leg)
    if comes_back if event.transport else call.policy.emergency:
        call.count(leg.talk.lost())
    elif not transfer.is_cut_off(call, leg, knows=event.transport):
        ending.terminate(call, outcomes.lost(leg) if event.transport else Termination.ACK_MISSING)
