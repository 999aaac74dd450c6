"""Forks: several phones may answer one INVITE of ours, each in a dialog of its own (RFC 3261 12.1.2, 13.2.2.4).

The first answer that policy accepts is the call. Every other 2xx is acknowledged and hung up on, for as long as one
can come: 64*T1 after the first, whatever has become of the call by then.
"""

from __future__ import annotations

from gateway.base.codes import Code
from gateway.base.termination import Termination
from gateway.call.legs.invite_state import CalleeEvent
from gateway.call.legs.leg import Leg
from gateway.call.legs.user_agent import SDP
from gateway.call.machine import answering, ending, invite, security
from gateway.call.machine.effects import Purpose, SendAck, SendRequest, SetTimer, Timer
from gateway.call.machine.hunt import Goal, Refused
from gateway.call.machine.state import CallState
from gateway.sip.dialog import Dialog
from gateway.sip.message import Response
from gateway.sip.timers import TRANSACTION_TIMEOUT

FORK_SECONDS = TRANSACTION_TIMEOUT
"""How long after the first 2xx another one can come; then the transaction is over (RFC 3261 13.2.2.4, RFC 6026 7.1)."""


def answered(call: CallState, leg: Leg, ask: int) -> None:
    """A 2xx is in. The INVITE is no longer unanswered, but for a while it may be answered once more."""
    call.asks.answered(ask)
    if not leg.forks_until:
        leg.forks_until = call.now + FORK_SECONDS


def acknowledge(call: CallState, leg: Leg, dialog: Dialog, response: Response) -> None:
    """Every 2xx gets its ACK, each time it comes (RFC 3261 13.2.2.4)."""
    ack = dialog.ack(response.cseq.number, leg.contact)
    ack = ack.with_added((*leg.credentials, *call.asks.credentials(leg.invite_ask)))
    if leg.answered_in_ack and dialog is leg.dialog:
        ack = ack.with_header("Content-Type", SDP).with_body(leg.answered_in_ack)
    call.emit(SendAck(leg.id, ack, leg.next_hop(dialog)))


def is_refused(call: CallState, leg: Leg, dialog: Dialog, response: Response) -> bool:
    """Whether this answer is not the call because policy refuses it while another phone may answer better.

    The phone is hung up on with the reason, the caller goes on hearing it ring (POLICY A2 fork.mixed). With nobody
    else to wait for, the refused answer is the outcome of the call, and not dealt with here.
    """
    elsewhere = any(other is not leg for other in call.ringing())
    transferred = call.hunt.goal is Goal.TRANSFER
    if not elsewhere and not transferred and not _other_tags(leg, dialog):
        return False
    objection = answering.objection(call, leg, response)
    if objection is None:
        return False
    codes = tuple(sorted({*objection.codes, Code.MID_TRANSFER_WEAKER if transferred else Code.FORK_MIXED}))
    security.violation(call, leg, codes, objection.termination, objection.vector)
    leg.done_with = leg.done_with | {dialog.remote_tag}
    waits_on = bool(_other_tags(leg, dialog))
    call.step(leg, CalleeEvent.REJECT if waits_on else CalleeEvent.END)
    ending.release_dialog(call, leg, dialog, objection.termination)
    call.hunt.objection = call.hunt.objection or objection.termination
    if not waits_on:
        invite.lose(call, leg, Refused(0, objection.termination))
    elif not elsewhere:  # the other phones of this leg are waited for as long as one of them can answer
        call.emit(SetTimer(Timer.RING, max(0.0, min(call.hunt.until, leg.forks_until) - call.now)))
    return True


def _other_tags(leg: Leg, dialog: Dialog) -> frozenset[str]:
    early = leg.dialogs.early_tags if leg.dialogs is not None else frozenset()
    return early - leg.done_with - {dialog.remote_tag}


def unwanted(call: CallState, leg: Leg, dialog: Dialog, response: Response) -> None:
    """A 2xx that cannot be the call: another phone was first, or it is over. A repeated one is only acknowledged."""
    if dialog is leg.dialog or dialog.left:
        return  # our ACK was lost, or our BYE is out already
    termination = call.termination or Termination.CANCELLED
    vector = answering.fork_vector(leg, response.body) if call.live else None
    if vector is not None:
        security.lost_fork(call, leg, vector)
    leg.done_with = leg.done_with | {dialog.remote_tag}
    elsewhere = call.live and any(other.invitation.is_confirmed for other in call.ringing())
    ending.release_dialog(call, leg, dialog, termination, (invite.ELSEWHERE,) if elsewhere else ())


def hung_up_early(call: CallState, leg: Leg, tag: str) -> None:
    """BYE of a callee in an early dialog: that phone is gone, the others ring on (RFC 3261 15 forbids it, yet ...).

    When none is left the leg is lost; our INVITE is cancelled, for its transaction has no answer yet.
    """
    leg.done_with = leg.done_with | {tag}
    early = leg.dialogs.early_tags if leg.dialogs is not None else frozenset()
    if call.live and leg.id in call.hunt.ringing and not early - leg.done_with:
        why = call.hunt.objection
        invite.lose(call, leg, Refused(0 if why else 480, why or Termination.REJECTED), spoken=True)


class LateForks:
    """What is left of a forgotten call: answers to one of its INVITEs that may still come."""

    def __init__(self, leg: Leg, termination: Termination | None) -> None:
        self._leg, self._termination = leg, termination or Termination.CANCELLED

    def answer(self, response: Response) -> list[SendAck | SendRequest]:
        """ACK for any 2xx to the INVITE, and a BYE for each dialog that had none (RFC 3261 13.2.2.4)."""
        leg = self._leg
        success = response.cseq.method == "INVITE" and 200 <= response.status < 300
        dialog = leg.dialog_of(response) if success else None
        if dialog is None:
            return []
        hop, number = leg.next_hop(dialog), response.cseq.number
        sent: list[SendAck | SendRequest] = [SendAck(leg.id, dialog.ack(number, leg.contact), hop)]
        if dialog is not leg.dialog and not dialog.left:
            bye = ending.bye_of(leg, dialog, self._termination)
            sent.append(SendRequest(leg.id, bye, hop, Purpose.BYE, 0))
        return sent
