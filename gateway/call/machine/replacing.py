"""An INVITE that takes the place of a leg: a PBX, or another page of the same user, takes a call over (RFC 3891).

The new leg is judged as any that calls, under the policy of the call it comes into. It is answered when the relay has
room, joined with the one who stays, and then the one it replaces is hung up on. Refused, nothing has changed.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.audit import record
from gateway.base.codes import Code
from gateway.base.errors import SdpError, SipError
from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.legs import party
from gateway.call.legs.identity import of_user
from gateway.call.legs.invite_state import CallerEvent
from gateway.call.legs.leg import KeyingError, Leg
from gateway.call.legs.party import Reading
from gateway.call.legs.places import termination_of
from gateway.call.legs.targets import TrunkTarget
from gateway.call.legs.user_agent import warning
from gateway.call.machine import bridge, direction, flows, refreshing, routes, security, transfer
from gateway.call.machine.circumstances import asked_by_trunk, for_user
from gateway.call.machine.effects import Relay, Respond, TrackDialog, WriteAudit
from gateway.call.machine.events import Replacing
from gateway.call.machine.hunt import Goal, Hunt, Stage
from gateway.call.machine.judging import judged, may_join, policy_of
from gateway.call.machine.report import announce, note_abilities
from gateway.call.machine.state import CallState
from gateway.media.relay_commands import CloseLeg, OpenLeg
from gateway.policy.facts import Facts
from gateway.policy.model import at_least
from gateway.sdp.session import Description, Session, Way
from gateway.sip.address import NameAddr
from gateway.sip.dialog import Dialog
from gateway.sip.replaces import ACCEPTED, Named, answer_to

PENDING = 491
NO_ROOM = 503


def asked(call: CallState, event: Replacing) -> None:
    """The INVITE is of one who has a say in the dialog it names."""
    named = call.legs[event.leg]
    leg = _made(call, named, event)
    status = _status(call, named, event)
    if status != ACCEPTED:
        _refuse(call, named, leg, status)
        return
    why = _objection(call, named, leg)
    if why is not None:
        _refuse(call, named, leg, why.status, why)
        return
    stays = call.other(named)
    call.legs[call.next_leg()] = leg
    call.hunt = Hunt(asker=stays.id if stays else named.id, goal=Goal.REPLACE, by=named.id, comes=leg.id)
    _note(call, named, leg, ACCEPTED)
    leg.place_asked = True
    call.emit(Relay(OpenLeg(leg.id, leg.place)))


def _status(call: CallState, named: Leg, event: Replacing) -> int:
    if not call.live or named.gone or named.invitation.is_over:
        return answer_to(Named.ENDED, event.replaces)
    if not named.invitation.is_confirmed:
        return answer_to(Named.EARLY_OF_PEER, event.replaces)  # a call that rings is not taken over here
    status = answer_to(Named.CONFIRMED, event.replaces)
    if call.last_leg >= transfer.MAX_LEGS:
        return NO_ROOM
    try:
        transfer.who_stays(call, named)
    except SipError:
        return PENDING if status == ACCEPTED else status
    return status


def _made(call: CallState, named: Leg, event: Replacing) -> Leg:
    """The leg to whoever sent the INVITE."""
    make, invite, number = call.context.make, event.request, LegId(call.last_leg + 1)
    local, remote = NameAddr("", invite.to.uri), NameAddr("", invite.from_.uri)
    leg: Leg
    if named.habits.is_person:
        leg = make.browser(number, event.flow, local, remote, is_caller=True, user=named.number)
        person, plan = call.site.person(named.number), call.site.dialplan
        leg.party = of_user(invite, named.number, person, Reading(call.site.realm, plan.read)).shown()
    else:
        trunk = call.site.trunk(named.trunk_name)
        policy = at_least(call.site.policies.decide(_facts(call, named, event)), policy_of(call, named))
        target = TrunkTarget(trunk, policy, named.number)
        leg = make.trunk(number, event.flow, target, local, remote, is_caller=True)
        leg.party = party.caller(invite, make.reading(trunk.name), trusted=trunk.trust_identity)
    leg.invite, leg.invite_key, leg.call_id = invite, event.key, invite.call_id
    note_abilities(leg, invite)
    return leg


def _facts(call: CallState, named: Leg, event: Replacing) -> Facts:
    """What the policy of the leg that comes from a trunk is decided by; it is for whom the one it replaces is for."""
    calling = routes.calling(event.request.from_.uri, call.site.realm)
    facts = asked_by_trunk(call.site, named.trunk_name, event.flow, call.wall, calling, call.facts.number)
    stays = call.other(named)
    who = for_user(facts, call.site, stays.number) if stays is not None and stays.habits.is_person else facts
    return replace(who, emergency=call.policy.emergency, pins=call.context.pins)


def _objection(call: CallState, named: Leg, leg: Leg) -> Termination | None:
    """Read and judge the offer; why the leg cannot be taken in, recorded where policy is why."""
    body = leg.invite.body if leg.invite is not None else b""
    if policy_of(call, leg).reject:
        return Termination.POLICY_REJECTED
    if leg.invite is None or not body or call.waiting.events:
        return Termination.NOT_ACCEPTABLE
    flows.note_target(call, leg, leg.invite, leg.flow)
    call.count(leg.talk.hear(Way.INVITE, call.context.tokens, carrier=leg.invite_key))
    try:
        return _judged(call, named, leg, body)
    except KeyingError as error:
        security.violation(call, leg, error.codes, error.termination)
        return error.termination
    except SdpError as error:
        return termination_of(error)


def _judged(call: CallState, named: Leg, leg: Leg, body: bytes) -> Termination | None:
    agreed = leg.read_offer(body)
    refusal = leg.refusal_of(agreed, policy_of(call, leg))
    if refusal is not None:
        security.refused_offer(call, leg, refusal)
        return refusal.termination
    leg.talk.consider(Description(agreed, body))
    stays = call.other(named)
    if stays is None or not bridge.possible_codecs(leg, stays):
        return Termination.NO_COMMON_CODEC
    verdict = judged(call, leg, leg.vector).verdict
    if verdict.allowed and may_join(call, leg, leg.vector):
        return None
    why = verdict.termination or Termination.ENCRYPTION_REQUIRED
    codes = verdict.codes if not verdict.allowed else (*verdict.codes, Code.MID_TRANSFER_WEAKER)
    security.violation(call, leg, codes, why)
    return why


def ready(call: CallState, leg: Leg) -> None:
    """The relay has room for the leg that comes: answer it, join it, and let the one go whose place it takes."""
    stays, invite = call.asker, leg.invite
    codecs = bridge.agreed_codecs(leg, stays)
    try:
        session = leg.answer(direction.answer_terms(codecs, leg, stays)) if codecs else None
    except SdpError:
        session = None
    if not isinstance(session, Session) or invite is None:
        failed(call, leg, Termination.NO_COMMON_CODEC.status)
        return
    call.hunt.stage = Stage.OVER
    security.posture_changed(call, leg)
    leg.dialog = Dialog.uas(invite, leg.local_tag)
    call.step(leg, CallerEvent.ANSWER)
    call.emit(TrackDialog(leg.id, leg.dialog.key))
    transfer.join(call, stays, leg)
    response = leg.respond(invite, ACCEPTED, body=session.ours.body, headers=announce(call, leg))
    call.emit(Respond(leg.invite_key, response))
    refreshing.answered(call, leg, invite)
    transfer.joined(call, leg)


def failed(call: CallState, leg: Leg, status: int = NO_ROOM) -> None:
    """It cannot be had after all: the call goes on as it was."""
    call.hunt.stage = Stage.OVER
    del call.legs[leg.id]
    if leg.place_asked:
        call.emit(Relay(CloseLeg(leg.id)))
    if leg.invite is not None:
        call.emit(Respond(leg.invite_key, leg.respond(leg.invite, status)))


def _refuse(call: CallState, named: Leg, leg: Leg, status: int, why: Termination | None = None) -> None:
    if call.transfers_refused < transfer.MAX_REFUSED and call.live:
        call.transfers_refused += 1
        _note(call, named, leg, status)
    if leg.invite is not None:
        headers = warning(why) if why is not None else ()
        call.emit(Respond(leg.invite_key, leg.respond(leg.invite, max(status, 400), headers=headers)))


def _note(call: CallState, named: Leg, leg: Leg, status: int) -> None:
    call.emit(
        WriteAudit(
            record.call_transfer(
                security.info(call, named),
                call.policy,
                leg=named.kind.value,
                leg_id=named.id,
                target=leg.party.number if leg.party is not None else "",
                claimed="",
                sip_status=status,
            )
        )
    )
