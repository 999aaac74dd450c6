"""Another place of the same trunk, where an INVITE failed for reasons of the place and of nobody who was called.

No answer, no connection any more, or 503: then the request is sent to the next place, in a transaction of its own but
with the same Call-ID, From and CSeq, so that a phone that gets both knows them for one (RFC 3263 4.3, RFC 3261
8.2.2.2). What a person says, or a network about the number, would be said there too.
"""

from __future__ import annotations

from gateway.base.counters import Counter
from gateway.call.legs.leg import Leg
from gateway.call.machine import invite
from gateway.call.machine.effects import ClearTimer, ConnectTrunk, Count, Timer
from gateway.call.machine.hunt import Goal, Refused, Stage
from gateway.call.machine.state import CallState, Phase
from gateway.trunks import failover


def tried(call: CallState, leg: Leg, refused: Refused, *, unheard: bool = False) -> bool:
    """Whether the call goes on at another place of the leg's trunk; False: there is none, or it was sent on enough.

    Args:
        unheard: the place has said nothing at all, and is not called first by the next one either.
    """
    hunt = call.hunt
    target = hunt.called.get(leg.id)
    if target is None or leg.id not in hunt.ringing or not (leg.has_alternatives and failover.may_go_on(hunt.tried)):
        return False
    hunt.tried = failover.after(hunt.tried, leg.founding, leg.flow)
    hunt.refusals.append(refused)
    invite.stop(call, leg)
    hunt.stage, hunt.instead_of = Stage.LOOKING, leg.id
    if hunt.goal is Goal.CALL:
        call.phase = Phase.PREPARING
    new = call.next_leg()
    hunt.connecting[new] = target
    call.emit(
        ClearTimer(Timer.RING),
        Count(Counter.TRUNK_FAILOVER),
        ConnectTrunk(
            new, target.trunk.name, hunt.tried, urgent=call.policy.emergency, unheard=leg.founding if unheard else None
        ),
    )
    return True


def takes_over(call: CallState, leg: Leg) -> None:
    """A leg that is called in place of one that failed sends what that one sent (RFC 3263 4.3)."""
    before = call.legs.get(call.hunt.instead_of)
    if before is not None:
        leg.call_id, leg.local_tag = before.call_id, before.local_tag
        if before.invite is not None:
            leg.first_sequence = before.invite.cseq.number
