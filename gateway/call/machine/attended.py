"""Attended transfer: a REFER that names a dialog, whose other end the one who stays is to be joined with (RFC 5589 7).

A dialog of ours is one of another call of the same user or trunk: its far leg moves into this call as it is, so that
nobody is asked anew and nobody hears a gap. A dialog we do not know may be one between the trunk that asks and
somebody behind it: then that trunk is called with Replaces (RFC 3891). A dialog of somebody else does not exist for
whoever asks.
"""

from __future__ import annotations

from gateway.base.codes import Code
from gateway.base.errors import SipError
from gateway.base.termination import Termination
from gateway.call.legs.invite_state import Act
from gateway.call.legs.leg import Leg
from gateway.call.legs.party import Party
from gateway.call.machine import bridge, change, ending, liveness, refreshing, routes, security, transfer
from gateway.call.machine.circumstances import of_leg
from gateway.call.machine.effects import FindDialog, Respond, TakeOver
from gateway.call.machine.events import DialogFound, DialogMissing, Handed, NotTaken, RequestIn, TakenOver
from gateway.call.machine.hunt import Goal, Hunt, Refused, Stage
from gateway.call.machine.judging import may_join, policy_of
from gateway.call.machine.state import CallState
from gateway.policy.evaluate import judge
from gateway.policy.model import EffectivePolicy, at_least
from gateway.sip.refer import Referral
from gateway.sip.replaces import Replaces

UNKNOWN = 481
"""There is no such dialog, or none of the one who asks."""


def refer(call: CallState, leg: Leg, event: RequestIn) -> None:
    """A REFER inside a dialog of the call: which dialog it names is looked at before which number."""
    try:
        referral = Referral.read(event.request)
        replaces = referral.refer_to.replaces
        if replaces is None:
            transfer.refer(call, leg, event, referral)
        else:
            _look_up(call, leg, event, referral, replaces)
    except SipError as error:
        call.emit(Respond(event.key, leg.respond(event.request, error.status)))


def _look_up(call: CallState, leg: Leg, event: RequestIn, referral: Referral, replaces: Replaces) -> None:
    stays = transfer.who_stays(call, leg)
    call.hunt = Hunt(asker=stays.id, goal=Goal.TRANSFER, by=leg.id, referral=referral, unanswered=event)
    call.emit(FindDialog(leg.id, replaces, event.flow))


def found(call: CallState, event: DialogFound) -> None:
    """The dialog is one of the same user or trunk: the leg beyond it may be taken if policy agrees."""
    leg, request = call.legs[call.hunt.by], _answerable(call)
    referral = call.hunt.referral
    if request is None or referral is None:
        return
    transfer.accept(call, leg, request, referral, event.handed.leg.number)
    objection = _objection(call, event.handed)
    if objection is None and call.last_leg >= transfer.MAX_LEGS:
        objection = Termination.MEDIA_UNAVAILABLE
    if objection is None:
        call.emit(TakeOver(call.next_leg()))
    else:
        transfer.failed(call, Refused(0, objection))


def missing(call: CallState, event: DialogMissing) -> None:
    """It is no dialog of ours that the one who asks has a say in, or one that cannot be had now."""
    leg, request = call.legs[call.hunt.by], _answerable(call)
    referral = call.hunt.referral
    if request is None or referral is None:
        return
    call.hunt.stage = Stage.OVER
    status = event.status
    if status == UNKNOWN and not event.is_others and not leg.habits.is_person:
        status = _to_the_trunk(call, leg, request, referral)
    if status:
        transfer.turn_down(call, leg, request, referral, referral.refer_to.uri.subscriber, status)
        _is_over(call, leg)


def _answerable(call: CallState) -> RequestIn | None:
    """The REFER that waits for its answer; of a call that has ended meanwhile it gets one here."""
    request, call.hunt.unanswered = call.hunt.unanswered, None
    if request is not None and not call.live:
        leg = call.legs[call.hunt.by]
        call.emit(Respond(request.key, leg.respond(request.request, UNKNOWN)))
        return None
    return request


def _is_over(call: CallState, leg: Leg) -> None:
    """Who asked may have left meanwhile: then there is nobody to speak to any more."""
    if leg.gone:
        ending.terminate(call, Termination.UNAVAILABLE)


def _to_the_trunk(call: CallState, leg: Leg, event: RequestIn, referral: Referral) -> int:
    """Have the trunk that asks replace a dialog of its own with the new leg; the status it is refused with, or 0."""
    try:
        number = routes.dialled(referral.refer_to.uri, call.site.realm)
    except SipError as error:
        return error.status
    route = routes.back_to_trunk(call.site, of_leg(call, leg, "REFER"), number, referral.refer_to.replaces)
    if route.refused is not None:
        return route.refused.status
    transfer.begin(call, leg, call.asker, event, referral, route)
    return 0


def _objection(call: CallState, handed: Handed) -> Termination | None:
    """Why the two may not speak with each other: either would be protected less than where it spoke before."""
    stays, leg = call.asker, handed.leg
    if not bridge.possible_codecs(stays, leg):
        return Termination.NO_COMMON_CODEC
    if call.policy.emergency or handed.floor.emergency:
        return None
    return _weakness(call, stays, _floor(call, handed)) or _weakness(call, leg, _floor(call, handed))


def _floor(call: CallState, handed: Handed) -> EffectivePolicy:
    """What both must meet from now on (POLICY A2 mid.transfer_weaker)."""
    mine = at_least(call.policy, at_least(policy_of(call, call.asker), _policy_of_who_asked(call)))
    return at_least(mine, handed.floor)


def _policy_of_who_asked(call: CallState) -> EffectivePolicy:
    return policy_of(call, call.legs[call.hunt.by])


def _weakness(call: CallState, leg: Leg, floor: EffectivePolicy) -> Termination | None:
    verdict = judge(at_least(policy_of(call, leg), floor), leg.vector)
    if verdict.allowed and may_join(call, leg, leg.vector):
        return None
    why = verdict.termination or Termination.ENCRYPTION_REQUIRED
    security.violation(call, leg, (*verdict.codes, Code.MID_TRANSFER_WEAKER), why)
    return why


def taken(call: CallState, event: TakenOver) -> None:
    """The leg is one of this call: recorded, joined with the one who stays; then who asked is let go."""
    leg = event.handed.leg
    call.legs[leg.id] = leg
    if not call.live:
        if call.step(leg, leg.end_event) is Act.BYE:
            ending.bye(call, leg, call.termination or Termination.TRANSFERRED)
        return
    stays, floor = call.asker, _floor(call, event.handed)
    for side in (stays, leg):
        if side.policy is not None:
            side.policy = at_least(side.policy, floor)
    call.policy, call.hunt.stage = floor, Stage.OVER
    security.posture_changed(call, leg)
    stays.party = stays.party or Party("", stays.number)
    transfer.joined(call, leg)
    change.follow(call, leg)
    refreshing.resume(call, leg)
    if leg.silent_since is not None:
        liveness.look(call, leg)


def not_taken(call: CallState, event: NotTaken) -> None:
    """It could not be had after all: both calls go on as they were."""
    if call.live:
        transfer.failed(call, Refused(event.status, Termination.UNAVAILABLE))
