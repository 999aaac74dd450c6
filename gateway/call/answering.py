"""Answers: taking the callee's when policy allows it, giving the caller its own.

An answer is read, judged and recorded before anything of it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.codes import Code
from gateway.base.errors import SdpError
from gateway.base.termination import Termination
from gateway.call import bridge, direction, ending, report, security
from gateway.call.agreed import AgreedMedia
from gateway.call.effects import (
    Respond,
    SetTimer,
    Timer,
    TrackDialog,
)
from gateway.call.hunt import Stage
from gateway.call.leg import KeyingError, Leg
from gateway.call.places import termination_of
from gateway.call.state import CallState, Phase
from gateway.policy.evaluate import Verdict
from gateway.policy.posture import SecurityVector
from gateway.sdp.negotiation import common_codecs
from gateway.sip.dialog import Dialog
from gateway.sip.message import Response

KEYED_SECONDS = 10.0
"""POLICY A5 checkpoint P4: media must be keyed this soon after the answer."""


def take_answer(call: CallState, leg: Leg, body: bytes) -> bool:
    """Judge and take the answer to our offer on `leg`; False when the call was ended over it."""
    try:
        agreed = leg.inspect_answer(body)
        verdict = judge_answer(call, leg, agreed)
    except KeyingError as error:
        security.violation(call, leg, error.codes, error.termination)
        ending.terminate(call, error.termination)
        return False
    except SdpError as error:
        ending.terminate(call, termination_of(error))
        return False
    if not verdict.allowed:
        termination = verdict.termination or Termination.ENCRYPTION_REQUIRED
        security.violation(call, leg, verdict.codes, termination, leg.vector_of(agreed))
        ending.terminate(call, termination)
        return False
    use_answer(call, leg, agreed)
    return True


@dataclass(frozen=True, slots=True)
class Objection:
    """Why an answer cannot be the call's."""

    codes: tuple[Code, ...]
    termination: Termination
    vector: SecurityVector | None = None


def objection(call: CallState, leg: Leg, response: Response) -> Objection | None:
    """What speaks against the answer in a 2xx to our INVITE; nothing of it is taken, whatever comes out."""
    if not response.body and leg.answer_tag == (response.to.tag or ""):
        return None  # the answer was in an 18x and is taken already
    try:
        return _objection(call, leg, response.body)
    except KeyingError as error:
        return Objection(error.codes, error.termination)
    except SdpError as error:
        return Objection((), termination_of(error))


def _objection(call: CallState, leg: Leg, body: bytes) -> Objection | None:
    agreed = leg.inspect_answer(body, to_first=True)
    verdict = judge_answer(call, leg, agreed)
    if not verdict.allowed:
        vector = leg.vector_of(agreed)
        return Objection(verdict.codes, verdict.termination or Termination.ENCRYPTION_REQUIRED, vector)
    if not call.changes.late_offer and not common_codecs(call.asked_codecs, agreed.remote.codecs):
        return Objection((), Termination.NO_COMMON_CODEC)
    return None


def fork_vector(leg: Leg, body: bytes) -> SecurityVector | None:
    """How well an answer that was not taken would have protected the leg; None when it cannot be read."""
    try:
        return leg.vector_of(leg.inspect_answer(body, to_first=True))
    except SdpError:
        return None


def judge_answer(call: CallState, leg: Leg, agreed: AgreedMedia) -> Verdict:
    """What policy says of an answer; for an emergency call even broken keying is only noted (POLICY A3).

    Raises:
        KeyingError: the answer breaks a keying rule.
    """
    leg.note_proof(agreed)
    if not call.policy.emergency:
        leg.refuse_broken(agreed)
    return security.judge_as(call, leg, agreed)


def use_answer(call: CallState, leg: Leg, agreed: AgreedMedia) -> None:
    """Policy accepts: the record first, then the relay."""
    said = agreed.remote.direction
    offered = leg.offered_direction or said
    leg.take(agreed, ringing=call.hunt.stage is Stage.RINGING)
    leg.note_answer(said, offered)
    security.posture_changed(call, leg)
    bridge.begin_handshake(call, leg)


def late_answer(call: CallState, leg: Leg, body: bytes) -> bool:
    """The ACK brought the answer to the offer in our 200; False when the call was ended over it."""
    call.changes.ack_offer_key = ""
    other = call.other(leg)
    if other is None or not take_answer(call, leg, body):
        return False
    if not bridge.agreed_codecs(leg, other):
        ending.terminate(call, Termination.NO_COMMON_CODEC)
        return False
    bridge.connect(call)
    return True


def offer_in_answer(call: CallState, callee: Leg) -> None:
    """The caller sent no offer: ours goes into the 200 (RFC 3261 13.3.1.4)."""
    codecs = callee.remote.codecs if callee.remote else ()
    call.caller.keep_pace_with(callee)
    try:
        body = call.caller.build_offer(codecs, direction.offer_from(callee))
    except SdpError:
        ending.terminate(call, Termination.NO_COMMON_CODEC)
        return
    call.changes.ack_offer_key, call.changes.ack_offer_leg = call.caller.invite_key, call.caller.id
    _send_success(call, body)


def answer_caller(call: CallState, callee: Leg, status: int) -> None:
    codecs = bridge.agreed_codecs(call.caller, callee)
    if not codecs:
        ending.terminate(call, Termination.NO_COMMON_CODEC)
        return
    call.caller.keep_pace_with(callee)
    try:
        body = call.caller.build_answer(codecs, direction.answer_to(call.caller, callee))
    except SdpError:
        ending.terminate(call, Termination.BAD_SDP)
        return
    bridge.connect(call)
    if status == 200:
        _send_success(call, body)
    elif call.caller.invite is not None:
        open_dialog(call)
        response = call.caller.respond(
            call.caller.invite, status, body=body, headers=report.announce(call, call.caller)
        )
        call.emit(Respond(call.caller.invite_key, response))


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
    response = caller.respond(caller.invite, 200, body=body, headers=report.announce(call, caller))
    open_dialog(call)
    caller.confirmed, call.phase = True, Phase.ANSWERED
    call.answered_at = call.now
    security.expect(call)
    call.posture.mark_answered()
    for leg in call.pair:
        if leg.habits.handshakes and leg.keyed is None:
            call.emit(SetTimer(Timer.KEYED, KEYED_SECONDS, leg.id))
    call.emit(Respond(caller.invite_key, response))
