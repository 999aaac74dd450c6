"""What the callee says to its INVITE: ringing, early media, forks, the answer, a refusal and the one retry."""

from __future__ import annotations

from gateway.base.codes import Code
from gateway.base.errors import Party, SdpError
from gateway.base.termination import Termination
from gateway.call import answering, causes, ending, flows, forks, report, security, setup
from gateway.call.browser_leg import BrowserLeg
from gateway.call.effects import (
    ClearTimer,
    Respond,
    Timer,
    TrackDialog,
)
from gateway.call.events import ResponseIn
from gateway.call.leg import Leg
from gateway.call.state import CallState, Phase
from gateway.call.trunk_leg import TrunkLeg
from gateway.policy.evaluate import RETRY_STATUSES, OfferPlan, Refusal, plan_after_proof, plan_retry
from gateway.sdp.negotiation import common_codecs
from gateway.sip.message import Response
from gateway.sip.reason import read_reasons

SPOKEN = (486, 487, 600, 603)
"""Answers of the callee itself, unless the cause says that it was the network: another trunk would lead to the same
person."""


def invite_response(call: CallState, callee: Leg, event: ResponseIn) -> None:
    """A response to the callee's INVITE."""
    status = event.response.status
    if event.ask in call.abandoned:
        forks.of_another_trunk(call, event)
        return
    if not call.callee_heard:
        call.callee_heard = True
        call.emit(ClearTimer(Timer.SILENT))
    if status < 200:
        if call.phase is Phase.CALLING and status > 100:
            _provisional(call, callee, event.response)
    elif status < 300:
        _success(call, callee, event)
    else:
        call.answered(event.ask)
        callee.invite_pending = False
        if call.phase is Phase.CALLING:
            _failure(call, callee, event.response)


def _provisional(call: CallState, callee: Leg, response: Response) -> None:
    dialog = callee.dialog_of(response)
    if dialog is not None and callee.remembers(dialog):
        call.emit(TrackDialog(callee.name, dialog.key))
    if isinstance(callee, TrunkLeg):
        report.note_party(call, response)
    early = bool(response.body) and isinstance(callee, TrunkLeg) and not call.late_offer
    if early and isinstance(callee, TrunkLeg) and _early_media(call, callee, response):
        answering.answer_caller(call, callee, 183)
    else:
        _relay_provisional(call, response.status)


def _early_media(call: CallState, callee: TrunkLeg, response: Response) -> bool:
    """Checkpoint P2: early media that policy would not accept as an answer is not played; the caller hears ringing.

    The offer stays open: another fork, or the 200, may answer it better (POLICY A2 early.plain, fork.mixed).
    """
    memory = callee.remember()
    callee.offered = callee.offered or callee.local
    try:
        agreed = callee.inspect_answer(response.body)
        allowed = answering.judge_answer(call, callee, agreed).allowed
    except SdpError:
        allowed = False
    if not allowed or not common_codecs(call.caller_codecs, agreed.remote.codecs):
        callee.restore(memory)
        return False
    callee.answer_tag = response.to.tag or ""
    answering.use_answer(call, callee, agreed)
    return True


def _relay_provisional(call: CallState, status: int) -> None:
    """Ringing stays ringing; early dialogs of forks share our one tag towards the caller."""
    if call.caller.invite is None or call.caller.confirmed:
        return
    status = 180 if status in (180, 183) else status
    if status not in (180, 181, 182):
        return
    headers = report.announce(call) if call.outbound else ()
    answering.open_dialog(call)
    call.emit(Respond(call.caller.invite_key, call.caller.respond(call.caller.invite, status, headers=headers)))


def _success(call: CallState, callee: Leg, event: ResponseIn) -> None:
    forks.answered(call, event.ask)
    dialog = callee.dialog_of(event.response)
    if dialog is None:
        return
    forks.acknowledge(call, callee, dialog, event.response)
    if callee.confirmed or call.phase is not Phase.CALLING or dialog.remote_tag in callee.done_with:
        forks.unwanted(call, callee, dialog, event.response)
    elif not forks.is_refused(call, callee, dialog, event.response):
        callee.confirm(dialog)
        flows.note_target(call, callee, event.response, event.flow)
        call.emit(ClearTimer(Timer.RING), TrackDialog(callee.name, dialog.key))
        if isinstance(callee, TrunkLeg):
            report.note_party(call, event.response)
        if event.response.unreadable:
            ending.terminate(call, Termination.ANSWER_UNREADABLE)
        else:
            _accept_answer(call, callee, event.response)


def _accept_answer(call: CallState, callee: Leg, response: Response) -> None:
    """Checkpoint P3: the callee answered; the caller hears of it only if policy accepts both legs."""
    answered_early = not response.body and callee.answer_tag == (response.to.tag or "")
    if not answered_early and not answering.take_answer(call, callee, response.body):
        return
    caller = call.caller
    if isinstance(caller, TrunkLeg) and not call.late_offer and not security.settle(call, caller):
        return
    if call.late_offer:
        answering.offer_in_answer(call, callee)
    else:
        answering.answer_caller(call, callee, 200)


def _retry(call: CallState, status: int, callee: TrunkLeg) -> OfferPlan | Refusal | None:
    plan = plan_retry(call.policy, status, callee.plan)
    return plan_after_proof(call.policy, plan) if plan is not None and call.srtp_proved else plan


def _failure(call: CallState, callee: Leg, response: Response) -> None:
    """The callee refused: try weaker only where policy says so, else tell the caller."""
    status, reasons = response.status, read_reasons(response.headers)
    if isinstance(callee, TrunkLeg) and status in RETRY_STATUSES:
        plan = _retry(call, status, callee)
        if isinstance(plan, Refusal):
            security.bid_down(call, callee, plan)
            ending.refuse(call, plan.termination)
            return
        if plan is not None:
            security.retry(call, plan, status)
            callee.start_over(plan)
            setup.send_invite(call, callee)
            return
        if callee.plan and callee.plan.proto.keyed:
            security.violation(call, callee, (Code.MEDIA_PLAIN_RTP,), Termination.ENCRYPTION_REQUIRED)
            ending.refuse(call, Termination.ENCRYPTION_REQUIRED, status=488, reasons=reasons)
            return
    termination, told = causes.of_refusal(status, reasons, person=isinstance(callee, BrowserLeg))
    spoken = status in SPOKEN and termination.party is not Party.TRUNK
    if spoken or not setup.try_next_trunk(call):
        ending.refuse(call, termination, told, reasons)
