"""Answers: taking the callee's when policy allows it, giving the caller its own.

An answer is read, judged and recorded before anything of it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.base.codes import Code
from gateway.base.errors import SdpError
from gateway.base.termination import Termination
from gateway.call.legs.agreed import AgreedMedia
from gateway.call.legs.invite_state import CallerEvent
from gateway.call.legs.leg import KeyingError, Leg
from gateway.call.legs.places import termination_of
from gateway.call.machine import bridge, direction, ending, judging, passing, refreshing, reliable, report, security
from gateway.call.machine.effects import (
    ClearTimer,
    Respond,
    SetTimer,
    Timer,
    TrackDialog,
)
from gateway.call.machine.hunt import Goal
from gateway.call.machine.judging import Judged
from gateway.call.machine.state import CallState, Phase
from gateway.policy.posture import SecurityVector
from gateway.sdp.media import LocalAudio
from gateway.sdp.negotiation import common_codecs
from gateway.sdp.session import OurProposal, Session, Way
from gateway.sip.dialog import Dialog
from gateway.sip.message import Response


def take_answer(call: CallState, leg: Leg, body: bytes, *, fork: str = "") -> bool:
    """Judge and take the answer to our offer on `leg`; False when the call was ended over it.

    Args:
        fork: To-tag of a 2xx to our INVITE; one without a description repeats the answer of its 18x.
    """
    if _is_heard(leg, fork) and (not body or leg.talk.is_renewed):
        return _is_taken(call, leg.talk.agree())
    try:
        session = leg.read_answer(body, leg.talk.ours_is_open)
        step = judge_answer(call, leg, session.theirs.content)
    except KeyingError as error:
        had_keys = leg.recorded is not None and leg.recorded.keying.keyed
        security.violation(call, leg, error.codes, error.termination, kind="D2" if had_keys else "D1")
        ending.terminate(call, error.termination)
        return False
    except SdpError as error:
        ending.terminate(call, termination_of(error))
        return False
    if not step.verdict.allowed:
        termination = step.verdict.termination or Termination.ENCRYPTION_REQUIRED
        security.violation(call, leg, step.verdict.codes, termination, step.vector, kind=step.verdict.kind)
        ending.terminate(call, termination)
        return False
    return use_answer(call, leg, session, step)


def _is_heard(leg: Leg, fork: str) -> bool:
    """Whether an 18x of this fork brought an answer that was taken."""
    preview = leg.talk.preview
    return preview is not None and bool(fork) and preview.theirs.content.fork == fork


def _is_taken(call: CallState, outcome: object) -> bool:
    """Nothing was agreed where no answer was awaited: without a session there is no call."""
    if isinstance(outcome, Session):
        return True
    call.count(outcome)
    ending.terminate(call, Termination.INTERNAL_ERROR)
    return False


@dataclass(frozen=True, slots=True)
class Objection:
    """Why an answer cannot be the call's."""

    codes: tuple[Code, ...]
    termination: Termination
    vector: SecurityVector | None = None


def objection(call: CallState, leg: Leg, response: Response) -> Objection | None:
    """What speaks against the answer in a 2xx to our INVITE; nothing of it is taken, whatever comes out."""
    if _is_heard(leg, response.to.tag or "") and (not response.body or leg.talk.is_renewed):
        return None  # the answer was in an 18x and is taken already
    if response.unreadable:
        return Objection((), Termination.ANSWER_UNREADABLE)
    try:
        return _objection(call, leg, response.body)
    except KeyingError as error:
        return Objection(error.codes, error.termination)
    except SdpError as error:
        return Objection((), termination_of(error))


def _objection(call: CallState, leg: Leg, body: bytes) -> Objection | None:
    agreed = leg.read_answer(body, leg.talk.founding).theirs.content
    step = judge_answer(call, leg, agreed)
    if not step.verdict.allowed:
        why = step.verdict.termination or Termination.ENCRYPTION_REQUIRED
        return Objection(step.verdict.codes, why, step.vector)
    if call.hunt.goal is Goal.TRANSFER and not judging.may_join(call, leg, step.vector):
        return Objection(step.verdict.codes, Termination.ENCRYPTION_REQUIRED, step.vector)
    if not call.caller.talk.is_asked and not common_codecs(call.asked_codecs, agreed.remote.codecs):
        return Objection((), Termination.NO_COMMON_CODEC)
    return None


def fork_vector(leg: Leg, body: bytes) -> SecurityVector | None:
    """How well an answer that was not taken would have protected the leg; None when it cannot be read."""
    try:
        return leg.vector_of(leg.read_answer(body, leg.talk.founding).theirs.content)
    except SdpError:
        return None


def judge_answer(call: CallState, leg: Leg, agreed: AgreedMedia) -> Judged:
    """What policy says of an answer; for an emergency call even broken keying is only noted (POLICY A3).

    Raises:
        KeyingError: the answer breaks a keying rule.
    """
    leg.note_proof(agreed)
    if not call.policy.emergency:
        leg.refuse_broken(agreed)
    return judging.answer_of(call, leg, agreed)


def use_answer(
    call: CallState,
    leg: Leg,
    session: Session[LocalAudio, Any],
    step: Judged,
    *,
    early: bool = False,
    reliable: bool = False,
) -> bool:
    """Policy accepts: the record first, then the relay. False when the call was ended instead."""
    if not _is_taken(call, leg.take(session, early=early, reliable=reliable)):
        return False
    security.posture_changed(call, leg, found=judging.removed(step.verdict), step=step)
    bridge.begin_handshake(call, leg)
    return True


def late_answer(call: CallState, leg: Leg, body: bytes) -> bool:
    """The ACK brought the answer to the offer in our 200; False when the call was ended over it.

    It is taken also while the leg waits for somebody to speak to: else it would wait for that answer for ever.
    """
    if not take_answer(call, leg, body):
        return False
    other = call.other(leg)
    if other is not None and not bridge.agreed_codecs(leg, other):
        ending.terminate(call, Termination.NO_COMMON_CODEC)
        return False
    bridge.connect(call)
    return True


def offer_in_answer(call: CallState, callee: Leg) -> None:
    """The caller sent no offer: ours goes into the 200 (RFC 3261 13.3.1.4)."""
    codecs = callee.remote.codecs if callee.remote else ()
    try:
        made = call.caller.offer(Way.IN_2XX, direction.offer_terms(codecs, callee))
    except SdpError:
        made = None
    if isinstance(made, OurProposal):
        _send_success(call, made.offer.body)
    else:
        ending.terminate(call, Termination.NO_COMMON_CODEC)


def answer_caller(call: CallState, callee: Leg, status: int) -> None:
    if status == 200 and reliable.must_wait(call, call.caller):
        return
    if call.caller.talk.is_restated:
        _stand(call, status)
        return
    codecs = bridge.agreed_codecs(call.caller, callee)
    if not codecs:
        ending.terminate(call, Termination.NO_COMMON_CODEC)
        return
    try:
        session = call.caller.answer(direction.answer_terms(codecs, call.caller, callee), early=status != 200)
    except SdpError:
        session = None
    if not isinstance(session, Session):
        ending.terminate(call, Termination.BAD_SDP)
        return
    bridge.connect(call)
    _send(call, status, session.ours.body)


def _stand(call: CallState, status: int) -> None:
    """The caller has changed by UPDATE or PRACK what our 18x answered: no response to its INVITE says more of it (RFC
    3261 13.2.1). What the callee says now is offered to it when the call stands."""
    bridge.connect(call)
    call.caller.talk.want()
    if status != 200:
        _send(call, status, b"")
    elif isinstance(call.caller.talk.stand(), Session):
        _send_success(call, b"")
    else:
        ending.terminate(call, Termination.INTERNAL_ERROR)


def _send(call: CallState, status: int, body: bytes) -> None:
    if status == 200:
        _send_success(call, body)
    elif call.caller.invite is not None:
        call.step(call.caller, CallerEvent.RING)
        open_dialog(call)
        response = call.caller.respond(call.caller.invite, status, body=body, headers=_headers(call))
        reliable.send(call, call.caller, response)


def _headers(call: CallState) -> tuple[tuple[str, str], ...]:
    return (*report.announce(call, call.caller), *passing.answered(call))


def open_dialog(call: CallState) -> None:
    """Our first answer with a tag makes the caller's dialog: from then on BYE or UPDATE may come (RFC 3261 12.1.1)."""
    caller = call.caller
    if caller.dialog is None and caller.invite is not None:
        caller.dialog = Dialog.uas(caller.invite, caller.local_tag)
        call.emit(TrackDialog(caller.id, caller.dialog.key))


def _send_success(call: CallState, body: bytes) -> None:
    caller = call.caller
    if caller.invite is None:
        return
    response = caller.respond(caller.invite, 200, body=body, headers=_headers(call))
    open_dialog(call)
    if caller.provisionals.last is not None:
        call.emit(ClearTimer(Timer.RING_ON, caller.id))
    call.step(caller, CallerEvent.ANSWER)
    call.phase = Phase.ANSWERED
    call.answered_at = call.now
    security.expect(call)
    call.posture.mark_answered()
    for leg in call.pair:
        if leg.awaits_keys:
            call.emit(SetTimer(Timer.KEYED, bridge.KEYED_SECONDS, leg.id))
    call.emit(Respond(caller.invite_key, response))
    refreshing.answered(call, caller, caller.invite)
