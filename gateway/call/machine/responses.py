"""What a callee says to its INVITE: ringing, early media, forks, the answer, a refusal and the one retry."""

from __future__ import annotations

from gateway.base.codes import Code
from gateway.base.errors import Party, SdpError
from gateway.base.termination import Termination
from gateway.call.legs.invite_state import Act, CalleeEvent, CallerEvent
from gateway.call.legs.leg import KeyingError, Leg
from gateway.call.machine import (
    answering,
    causes,
    delayed,
    elsewhere,
    ending,
    flows,
    forks,
    invite,
    passing,
    redirecting,
    refreshing,
    reliable,
    report,
    security,
    transfer,
)
from gateway.call.machine.effects import ClearTimer, Timer, TrackDialog
from gateway.call.machine.events import ResponseIn
from gateway.call.machine.hunt import Goal, Refused
from gateway.call.machine.judging import policy_of
from gateway.call.machine.state import CallState
from gateway.policy.offering import RETRY_STATUSES, Refusal
from gateway.sdp.negotiation import common_codecs
from gateway.sip.dialog import Dialog
from gateway.sip.digest_relay import challenges
from gateway.sip.message import Response
from gateway.sip.reason import read_reasons
from gateway.sip.reliable import number_of
from gateway.trunks import failover

CHALLENGES = (401, 407)
SPOKEN = (486, 487, 600, 603)
"""Answers of the callee itself, unless the cause says that it was the network: another trunk would lead to the same
person."""


def invite_response(call: CallState, leg: Leg, event: ResponseIn) -> None:
    """A response to a callee's INVITE."""
    status = event.response.status
    if leg.invitation.is_unheard and leg.id in call.hunt.ringing:
        call.emit(ClearTimer(Timer.SILENT, leg.id))
    if status < 200:
        if call.step(leg, CalleeEvent.RING if status > 100 else CalleeEvent.TRYING) is Act.TELL:
            _provisional(call, leg, event.response)
    elif status < 300:
        _success(call, leg, event)
    else:
        call.asks.answered(event.ask)
        if call.step(leg, CalleeEvent.FAILURE) is Act.DECIDE:
            _failure(call, leg, event.response)


def _provisional(call: CallState, leg: Leg, response: Response) -> None:
    dialog = leg.dialog_of(response)
    if not reliable.is_next(call, leg, dialog, response):
        return
    if dialog is not None and leg.remembers(dialog):
        call.emit(TrackDialog(leg.id, dialog.key))
    if call.hunt.goal is Goal.TRANSFER:
        transfer.ringing(call, response.status)
        return
    report.note_party(call, leg, response)
    leg.said = response
    if _may_be_heard(call, leg) and response.body and _early_media(call, leg, response):
        if _is_on_record(call):
            answering.answer_caller(call, leg, 183)
    else:
        _relay_provisional(call, response.status)


def _is_on_record(call: CallState) -> bool:
    """A trunk that calls is on record, its keys and place at the relay, before it hears anything; a browser is when its
    handshake has finished. False when the call was ended over it.
    """
    return call.caller.habits.handshakes or security.settle(call, call.caller)


def _may_be_heard(call: CallState, leg: Leg) -> bool:
    """Early media is of one leg: the first that brought some, until it is lost."""
    present = call.callee
    return (
        leg.habits.answers_early
        and not call.caller.talk.is_asked
        and (present is leg or present is None or not present.early_media)
    )


def _early_media(call: CallState, leg: Leg, response: Response) -> bool:
    """Checkpoint P2: early media that policy would not accept as an answer is not played; the caller hears ringing.

    The offer stays open: another fork, or the 200, may answer it better (POLICY A2 early.plain, fork.mixed).
    """
    try:
        session = leg.read_answer(response.body, leg.talk.ours_is_open, fork=response.to.tag or "")
        agreed = session.theirs.content
        step = answering.judge_answer(call, leg, agreed)
    except KeyingError as error:
        security.muted(call, leg, error.codes, None)
        return False
    except SdpError:
        return False
    if not step.verdict.allowed:
        security.muted(call, leg, step.verdict.codes, step.vector)
    if not step.verdict.allowed or not common_codecs(call.asked_codecs, agreed.remote.codecs):
        return False
    call.meet(leg)
    is_reliable = number_of(response) is not None
    return answering.use_answer(call, leg, session, step, early=True, reliable=is_reliable)


def _relay_provisional(call: CallState, status: int) -> None:
    """Ringing stays ringing; early dialogs of forks share our one tag towards the caller."""
    caller = call.caller
    status = 180 if status in (180, 183) else status
    if status not in (180, 181, 182) or not reliable.may_ring(caller) or caller.invite is None:
        return
    if call.step(caller, CallerEvent.RING) is not Act.KEEP:
        return
    headers = (*report.announce(call, caller), *passing.answered(call))
    answering.open_dialog(call)
    reliable.send(call, caller, caller.respond(caller.invite, status, headers=headers))


def _success(call: CallState, leg: Leg, event: ResponseIn) -> None:
    forks.answered(call, leg, event.ask)
    dialog = leg.dialog_of(event.response)
    if dialog is None:
        return
    waits = leg.talk.awaits_their_offer  # then the ACK brings our answer, as soon as there is one
    if not waits:
        forks.acknowledge(call, leg, dialog, event.response)
    if dialog.remote_tag in leg.done_with or call.step(leg, CalleeEvent.SUCCESS) is not Act.JUDGE:
        if waits:
            forks.acknowledge(call, leg, dialog, event.response)
        forks.unwanted(call, leg, dialog, event.response)
    elif waits or not forks.is_refused(call, leg, dialog, event.response):
        leg.dialog = dialog
        if call.hunt.goal is Goal.CALL:
            call.meet(leg)
        flows.note_target(call, leg, event.response, event.flow)
        call.emit(ClearTimer(Timer.RING), TrackDialog(leg.id, dialog.key))
        report.note_party(call, leg, event.response)
        leg.said = event.response
        if waits:
            _answer_offer(call, leg, dialog, event.response)
        elif event.response.unreadable:
            ending.terminate(call, Termination.ANSWER_UNREADABLE)
        elif answering.take_answer(call, leg, event.response.body, fork=event.response.to.tag or ""):
            _accepted(call, leg, event.response)


def _answer_offer(call: CallState, leg: Leg, dialog: Dialog, response: Response) -> None:
    """The callee makes the offer: what is judged and recorded stands before the ACK, which brings our answer."""
    answer = delayed.answer(call, leg, response)
    leg.answered_in_ack = answer if isinstance(answer, bytes) else b""
    forks.acknowledge(call, leg, dialog, response)
    if isinstance(answer, bytes):
        _accepted(call, leg, response)
    else:
        ending.terminate(call, answer)


def _accepted(call: CallState, leg: Leg, response: Response) -> None:
    """Checkpoint P3: the callee answered; the caller hears of it only if policy accepts both legs."""
    call.step(leg, CalleeEvent.ACCEPT)
    refreshing.accepted(call, leg, response)
    invite.won(call, leg)
    if call.hunt.goal is Goal.TRANSFER:
        transfer.answered(call, leg)
    elif call.caller.talk.is_asked:
        answering.offer_in_answer(call, leg)
    elif security.settle(call, call.caller):
        answering.answer_caller(call, leg, 200)


def _failure(call: CallState, leg: Leg, response: Response) -> None:
    """The callee refused: try weaker only where policy says so, else it is lost."""
    status, reasons = response.status, read_reasons(response.headers)
    if _passed_on(call, leg, response):
        return
    made_ours = not leg.talk.awaits_their_offer
    if made_ours and status in RETRY_STATUSES and _retried(call, leg, status):
        return
    if status == refreshing.TOO_SMALL and refreshing.wants_more(leg, response):
        invite.forget_offer(call, leg)
        invite.send(call, leg)
        return
    if redirecting.followed(call, leg, response, is_spoken=status in SPOKEN):
        return
    if made_ours and status in RETRY_STATUSES and leg.insisted_on_keys:
        why = Termination.ENCRYPTION_REQUIRED
        security.violation(call, leg, (Code.MEDIA_PLAIN_RTP,), why)
        invite.lose(call, leg, Refused(488, why, reasons), spoken=True)
        return
    termination, told = causes.of_refusal(status, reasons, person=leg.habits.is_person)
    refused = Refused(told, termination, reasons, passing.refused(call, leg, response))
    of_the_place = failover.is_of_the_place(status) and termination.party is Party.TRUNK  # no Reason says who else
    if of_the_place and elsewhere.tried(call, leg, refused):
        return
    spoken = status in SPOKEN and termination.party is not Party.TRUNK
    invite.lose(call, leg, refused, spoken=spoken)


def _passed_on(call: CallState, leg: Leg, response: Response) -> bool:
    """Whether the callee asks the caller itself for a password: the call ends, and another INVITE brings the answer.

    Only a call for help goes on to another trunk in place of waiting for that.
    """
    if response.status not in CHALLENGES or leg.relayed is None:
        return False
    passed = challenges(response, leg.relayed.realm)
    if not passed:
        return False
    headers = tuple((challenge.name, challenge.text) for challenge in passed)
    asked = Refused(response.status, Termination.CHALLENGED, headers=headers)
    invite.lose(call, leg, asked, spoken=not call.policy.emergency)
    return True


def _retried(call: CallState, leg: Leg, status: int) -> bool:
    """Whether a refusal that may mean "no SRTP here" has been dealt with by another offer, or by none."""
    plan = leg.plan_retry(policy_of(call, leg), status)
    if plan is None:
        return False
    if isinstance(plan, Refusal):
        security.bid_down(call, leg, plan)
        invite.lose(call, leg, Refused(0, plan.termination), spoken=True)
    else:
        if plan.codes:
            security.retry(call, leg, plan, status)
        invite.forget_offer(call, leg)
        leg.start_over(plan)
        invite.send(call, leg)
    return True
