"""Mid-call: re-INVITE, UPDATE, hold and session refresh. Every offer is judged again before it is answered.

A change is answered at once from what the other leg's peer wants; then the other leg is re-offered when its
direction must follow. So hold works even where the other side refuses re-INVITEs.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.base.codes import Code
from gateway.base.errors import SdpError
from gateway.base.termination import Termination
from gateway.call.legs.agreed import AgreedMedia
from gateway.call.legs.leg import KeyingError, Leg
from gateway.call.legs.places import termination_of
from gateway.call.legs.user_agent import warning
from gateway.call.machine import (
    answering,
    bridge,
    direction,
    ending,
    flows,
    judging,
    lost_dialog,
    refreshing,
    report,
    security,
)
from gateway.call.machine.asks import Ask
from gateway.call.machine.effects import Purpose, Respond, SendAck, SetTimer, Timer
from gateway.call.machine.events import RequestIn, ResponseIn
from gateway.call.machine.judging import Judged, policy_of
from gateway.call.machine.state import CallState, Phase
from gateway.sdp.direction import Direction
from gateway.sdp.glare import BackOff, Glare
from gateway.sdp.negotiation import common_codecs
from gateway.sdp.session import Description, OurProposal, Session, Way
from gateway.sip.message import Request

PENDING = 491
"""Something is under way: it may come again."""
NOT_YET = 504
"""It cannot be answered before somebody else has been asked (RFC 3311 5.2)."""
MAX_WEAKENING_ATTEMPTS = 2
"""POLICY A2 mid.crypto_removed: the first try is refused, the second ends the call."""


def offered(call: CallState, leg: Leg, event: RequestIn) -> None:
    """A re-INVITE or UPDATE (RFC 3261 14.2, RFC 3311 5.2)."""
    if not flows.keeps_its_target(call, leg, event):
        return
    request = event.request
    if not call.live:
        call.emit(Respond(event.key, leg.respond(request, 481)))
    elif request.method == "UPDATE" and not request.body:
        _accept(call, leg, event, b"")  # a session refresh is just agreed to
    elif _may_change(call, leg, event):
        (_judged if request.body else _no_offer)(call, leg, event)


def offered_in_prack(call: CallState, leg: Leg, event: RequestIn) -> None:
    """An offer in a PRACK: like one in an UPDATE (RFC 3262 5)."""
    if _may_change(call, leg, event):
        _judged(call, leg, event)


def _may_change(call: CallState, leg: Leg, event: RequestIn) -> bool:
    """Whether it is our turn to answer; else the change has been told to come again.

    One that came before the other side of the call has agreed to anything cannot be answered from there.
    """
    talk, tokens, request = leg.talk, call.context.tokens, event.request
    way = Way.REINVITE if request.method == "INVITE" else Way.UPDATE
    if _is_of_another_phone(leg, request):
        call.emit(Respond(event.key, leg.respond(request, PENDING)))
        return False
    heard = talk.hear(way, tokens, offers=bool(request.body), carrier=event.key)
    other = call.other(leg)
    if heard is None and (other is None or not other.is_agreed):
        talk.refuse()
        heard = talk.put_off(tokens)
    if heard is None:
        return True
    call.count(heard)
    glare = heard if isinstance(heard, Glare) else talk.put_off(tokens)
    retry = () if glare.retry_after is None else (("Retry-After", str(glare.retry_after)),)
    call.emit(Respond(event.key, leg.respond(request, glare.status, headers=retry)))
    return False


def _is_of_another_phone(leg: Leg, request: Request) -> bool:
    """Whether it comes, before the 2xx, from a phone whose answer is not the one we go by (RFC 3311 5.1)."""
    preview = leg.talk.preview if leg.dialog is None else None
    return preview is not None and preview.theirs.content.fork != (request.from_.tag or "")


def _no_offer(call: CallState, leg: Leg, event: RequestIn) -> None:
    """A re-INVITE without an offer gets ours (RFC 3261 14.2)."""
    leg.plan_again(policy_of(call, leg))
    codecs = leg.talk.ours.codecs if leg.talk.ours else leg.usable_codecs
    try:
        made = leg.offer(Way.IN_2XX, direction.offer_terms(codecs, call.other(leg)))
    except SdpError as error:
        _refuse(call, leg, event, error.status)
        return
    if isinstance(made, OurProposal):
        _accept(call, leg, event, made.offer.body)
    else:
        _refuse(call, leg, event, 500)


def _accept(call: CallState, leg: Leg, event: RequestIn, body: bytes) -> None:
    headers = report.announce(call, leg)
    report.note_packages(leg, event.request)
    report.note_party(call, leg, event.request)
    dialog = leg.dialog or leg.early_dialog(event.request.from_.tag or "")
    if dialog is not None:
        dialog.refresh_target(event.request)  # only what is accepted moves the target (RFC 6141 4.2)
    call.emit(Respond(event.key, leg.respond(event.request, 200, body=body, headers=headers)))
    refreshing.answered(call, leg, event.request)


def _judged(call: CallState, leg: Leg, event: RequestIn) -> None:
    """Checkpoint P5: an offer that weakens the leg is refused before anything of it is taken."""
    other = call.other(leg)
    try:
        agreed = leg.read_offer(event.request.body)
        if leg.dialog is None:
            agreed = replace(agreed, fork=event.request.from_.tag or "")
    except KeyingError as error:
        security.violation(call, leg, error.codes, error.termination)
        _weakening(call, leg, event, error.termination, error.codes)
        return
    except SdpError as error:
        _unacceptable(call, leg, event, termination_of(error))
        return
    if other is None or other.remote is None or not common_codecs(agreed.remote.codecs, other.remote.codecs):
        _unacceptable(call, leg, event, Termination.NO_COMMON_CODEC)
        return
    step = judging.change_of(call, leg, agreed)
    if step.verdict.allowed:
        _answer(call, leg, other, event, agreed, step)
        return
    why = step.verdict.termination or Termination.ENCRYPTION_REQUIRED
    security.violation(call, leg, step.verdict.codes, why, step.vector, kind=step.verdict.kind)
    _weakening(call, leg, event, why, step.verdict.codes)


def _weakening(call: CallState, leg: Leg, event: RequestIn, why: Termination, codes: tuple[Code, ...]) -> None:
    """An insecure change is refused once; whoever insists ends the call, unless nothing may end it (POLICY A2)."""
    call.weakening_attempts += 1
    call.refused_changes[leg.id] = codes
    _unacceptable(call, leg, event, why)
    if call.weakening_attempts >= MAX_WEAKENING_ATTEMPTS and not call.policy.emergency:
        ending.terminate(call, why)


def _unacceptable(call: CallState, leg: Leg, event: RequestIn, why: Termination) -> None:
    _refuse(call, leg, event, 488, warning(why))


def _refuse(
    call: CallState, leg: Leg, event: RequestIn, status: int, headers: tuple[tuple[str, str], ...] = ()
) -> None:
    """The session goes on as it was (RFC 3261 14.2)."""
    call.count(leg.talk.refuse())
    call.emit(Respond(event.key, leg.respond(event.request, status, headers=headers)))


def _answer(call: CallState, leg: Leg, other: Leg, event: RequestIn, agreed: AgreedMedia, step: Judged) -> None:
    """Answer an offer policy accepts: the record first, then the relay, then the peer, then the other side."""
    leg.talk.consider(Description(agreed, event.request.body))
    codecs = bridge.agreed_codecs(leg, other)
    if not codecs:
        _unacceptable(call, leg, event, Termination.NO_COMMON_CODEC)
        return
    if leg.talk.changes_early and not bridge.suits(codecs, other):
        _refuse(call, leg, event, NOT_YET)
        return
    try:
        session = leg.answer(direction.answer_terms(codecs, leg, other))
    except SdpError:
        session = None
    if not isinstance(session, Session):
        _unacceptable(call, leg, event, Termination.BAD_SDP)
        return
    security.posture_changed(call, leg, found=judging.removed(step.verdict), step=step)
    bridge.connect(call)
    _accept(call, leg, event, session.ours.body)
    follow(call, other)


def follow(call: CallState, leg: Leg) -> None:
    """Re-offer this leg if its direction or codec no longer is what the other side has."""
    other = call.other(leg)
    wanted = direction.offer_from(other)
    if leg.talk.ours is None or other is None or not call.live:
        return
    if call.phase is not Phase.ESTABLISHED or leg.is_away or not leg.talk.may_offer(Way.REINVITE):
        leg.talk.want()  # looked at again by `settle`
    elif not leg.wants_new_key and _same_for_peer(leg, leg.talk.ours.direction, wanted) and bridge.keeps_up(leg, other):
        leg.talk.waive()
    else:
        reoffer(call, leg, wanted)


def settle(call: CallState) -> None:
    """An event has been dealt with: offers that had to wait leave if they may now, and are still of use."""
    for leg in call.pair if call.phase is Phase.ESTABLISHED else ():
        if leg.talk.is_due():
            follow(call, leg)


def follow_other(call: CallState, leg: Leg) -> None:
    """This leg's peer has spoken: does the other one have to hear of it?"""
    other = call.other(leg)
    if other is not None:
        follow(call, other)


def _same_for_peer(leg: Leg, now: Direction, wanted: Direction) -> bool:
    """An answer narrowed by the peer's own hold does not count as a difference."""
    return (not leg.will.receives or now.sends == wanted.sends) and (
        not leg.will.sends or now.receives == wanted.receives
    )


def reoffer(call: CallState, leg: Leg, wanted: Direction) -> None:
    """Send our own re-INVITE with the same keys and another direction, or with the codecs of the other side."""
    other = call.other(leg)
    codecs = leg.talk.ours.codecs if leg.talk.ours else ()
    if other is not None and not bridge.keeps_up(leg, other):
        codecs = bridge.agreed_codecs(leg, other)
    try:
        made = leg.offer(Way.REINVITE, direction.terms(codecs, wanted, other))
    except SdpError:
        leg.talk.waive()
        return
    if isinstance(made, OurProposal):
        request = leg.in_dialog("INVITE", made.offer.body, report.announce(call, leg))
        leg.talk.carry(call.send(leg, request, leg.next_hop(), Purpose.REINVITE))


def response(call: CallState, leg: Leg, event: ResponseIn) -> None:
    """A response to our re-INVITE; a 2xx that is repeated is acknowledged again and means nothing more."""
    status = event.response.status
    if status < 200:
        return
    call.asks.answered(event.ask)
    if status < 300:
        _acknowledge(call, leg, event)
    if not leg.talk.is_carried_by(event.ask) or not call.live or leg.gone:
        return  # it answers another one, or comes too late
    if status == 491:
        _collided(call, leg)
    elif status < 300:
        _reoffer_answered(call, leg, event)
    else:
        _reoffer_refused(call, leg, status)
        if status == refreshing.TOO_SMALL and refreshing.wants_more(leg, event.response):
            refreshing.refresh(call, leg)


def unanswered(call: CallState, leg: Leg, ask: Ask) -> None:
    """Our re-INVITE or UPDATE got no answer, or could not be sent: the session stays as it was (RFC 3261 14.1).

    That the peer's signalling is dead is for those to find who ask for nothing else (RFC 3261 12.2.1.2: 481, 408).
    """
    report.missed(call, leg)
    if leg.talk.is_carried_by(ask.number):
        call.count(leg.talk.lost())


def _acknowledge(call: CallState, leg: Leg, event: ResponseIn) -> None:
    if leg.dialog is not None:
        if flows.note_target(call, leg, event.response, event.flow):
            leg.dialog.refresh_target(event.response)
        ack = leg.dialog.ack(event.response.cseq.number, leg.contact).with_added(call.asks.credentials(event.ask))
        call.emit(SendAck(leg.id, ack, leg.next_hop()))


def _reoffer_answered(call: CallState, leg: Leg, event: ResponseIn) -> None:
    report.note_party(call, leg, event.response)
    refreshing.accepted(call, leg, event.response)
    if answering.take_answer(call, leg, event.response.body):
        bridge.connect(call)
        follow_other(call, leg)  # by its answer a peer may end a hold of its own, or begin one


def _collided(call: CallState, leg: Leg) -> None:
    outcome = leg.talk.collided(call.context.tokens)
    call.count(outcome)
    if not isinstance(outcome, BackOff):
        report.reinvite_refused(call, leg, 491)
        return
    if leg.told is not None:
        leg.told.forget()
    call.emit(SetTimer(Timer.GLARE, outcome.seconds, leg.id))


def wait_over(call: CallState, leg: Leg) -> None:
    """The wait after 491 is over; `settle` does the rest."""
    call.count(leg.talk.wait_over())


def _reoffer_refused(call: CallState, leg: Leg, status: int) -> None:
    report.reinvite_refused(call, leg, status)
    call.count(leg.talk.refused())
    lost_dialog.is_said(call, leg, status)
