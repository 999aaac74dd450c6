"""Forks: several phones may answer one INVITE of ours, each in a dialog of its own (RFC 3261 12.1.2, 13.2.2.4).

The first answer that policy accepts is the call. Every other 2xx is acknowledged and hung up on, for as long as one
can come: 64*T1 after the first, whatever has become of the call by then.
"""

from __future__ import annotations

from gateway.base.codes import Code
from gateway.base.termination import Termination
from gateway.call import answering, ending, security
from gateway.call.effects import Purpose, Respond, SendAck, SendRequest, SetTimer, Timer
from gateway.call.events import RequestIn, ResponseIn
from gateway.call.leg import Leg
from gateway.call.state import CallState
from gateway.call.trunk_leg import TrunkLeg
from gateway.sip.dialog import Dialog
from gateway.sip.message import Response
from gateway.sip.timers import TRANSACTION_TIMEOUT

FORK_SECONDS = TRANSACTION_TIMEOUT
"""How long after the first 2xx another one can come; then the transaction is over (RFC 3261 13.2.2.4, RFC 6026 7.1)."""


def answered(call: CallState, ask: int) -> None:
    """A 2xx is in. The INVITE is no longer unanswered, but for a while it may be answered once more."""
    call.answered(ask)
    if not call.forks_until:
        call.forks_until = call.now + FORK_SECONDS


def acknowledge(call: CallState, callee: Leg, dialog: Dialog, response: Response) -> None:
    """Every 2xx gets its ACK, each time it comes (RFC 3261 13.2.2.4)."""
    ack = dialog.ack(response.cseq.number, callee.contact)
    call.emit(SendAck(callee.name, ack, callee.next_hop(dialog)))


def is_refused(call: CallState, callee: Leg, dialog: Dialog, response: Response) -> bool:
    """Whether this answer is not the call because policy refuses it while another phone may answer better.

    The phone is hung up on with the reason, the caller goes on hearing it ring (POLICY A2 fork.mixed). With nobody
    else to wait for, the refused answer is the outcome of the call, and not dealt with here.
    """
    if not isinstance(callee, TrunkLeg) or not _others_ring(callee, dialog):
        return False
    objection = answering.objection(call, callee, response)
    if objection is None:
        return False
    codes = tuple(sorted({*objection.codes, Code.FORK_MIXED}))
    security.violation(call, callee, codes, objection.termination, objection.vector)
    callee.done_with = callee.done_with | {dialog.remote_tag}
    ending.release_dialog(call, callee, dialog, objection.termination)
    call.fork_objection = call.fork_objection or objection.termination
    call.emit(SetTimer(Timer.RING, max(0.0, min(call.ring_until, call.forks_until) - call.now)))
    return True


def _others_ring(callee: Leg, dialog: Dialog) -> bool:
    early = callee.dialogs.early_tags if callee.dialogs is not None else frozenset()
    return bool(early - callee.done_with - {dialog.remote_tag})


def unwanted(call: CallState, callee: Leg, dialog: Dialog, response: Response) -> None:
    """A 2xx that cannot be the call: another phone was first, or it is over. A repeated one is only acknowledged."""
    if dialog is callee.dialog or dialog.local_seq != response.cseq.number:
        return  # our ACK was lost, or our BYE is out already
    termination = call.termination or Termination.CANCELLED
    if call.live and isinstance(callee, TrunkLeg):
        vector = answering.fork_vector(callee, response.body)
        if vector is not None:
            security.lost_fork(call, callee, vector)
    callee.done_with = callee.done_with | {dialog.remote_tag}
    ending.release_dialog(call, callee, dialog, termination)


def of_another_trunk(call: CallState, event: ResponseIn) -> None:
    """An answer of a trunk that was silent when it was called; another one was called since, so it is hung up on."""
    if event.response.status < 200:
        return
    call.answered(event.ask)
    call.emit(*LateForks(call.abandoned[event.ask], Termination.CANCELLED).answer(event.response))


def hung_up_early(call: CallState, callee: Leg, event: RequestIn) -> None:
    """BYE of the callee in an early dialog: that phone is gone, the others ring on (RFC 3261 15 forbids it, yet ...).

    When none is left the call is over; our INVITE is cancelled, for its transaction has no answer yet.
    """
    call.emit(Respond(event.key, callee.respond(event.request, 200)))
    callee.done_with = callee.done_with | {event.request.from_.tag or ""}
    early = callee.dialogs.early_tags if callee.dialogs is not None else frozenset()
    if call.live and not early - callee.done_with:
        why = call.fork_objection
        ending.refuse(call, why or Termination.REJECTED, status=0 if why else 480)


class LateForks:
    """What is left of a forgotten call: answers to its INVITE that may still come."""

    def __init__(self, callee: Leg, termination: Termination | None) -> None:
        self._callee, self._termination = callee, termination or Termination.CANCELLED

    def answer(self, response: Response) -> list[SendAck | SendRequest]:
        """ACK for any 2xx to the INVITE, and a BYE for each dialog that had none (RFC 3261 13.2.2.4)."""
        callee = self._callee
        success = response.cseq.method == "INVITE" and 200 <= response.status < 300
        dialog = callee.dialog_of(response) if success else None
        if dialog is None:
            return []
        hop, number = callee.next_hop(dialog), response.cseq.number
        sent: list[SendAck | SendRequest] = [SendAck(callee.name, dialog.ack(number, callee.contact), hop)]
        if dialog is not callee.dialog and dialog.local_seq == number:
            bye = ending.bye_of(callee, dialog, self._termination)
            sent.append(SendRequest(callee.name, bye, hop, Purpose.BYE, 0))
        return sent
