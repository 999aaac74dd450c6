"""A peer that does not know the dialog any more, whatever it was asked inside of it (RFC 3261 12.2.1.2).

481 is its own word. 408 is that of a proxy which reached nobody: it ends a call as well, but the peer still gets a BYE.
Who has asked for a transfer may go (`transfer`), the call goes on without it. An emergency call ends by the word of the
peer alone: no inference cuts it off.
"""

from __future__ import annotations

from gateway.base.termination import Termination
from gateway.call.legs.leg import Leg
from gateway.call.machine import ending, transfer
from gateway.call.machine.state import CallState

UNKNOWN_DIALOG = 481
SAID_BY = (408, UNKNOWN_DIALOG)
"""Statuses that say so; all others come from somebody who knows the call."""


def is_said(call: CallState, leg: Leg, status: int, why: Termination = Termination.PEER_TIMEOUT) -> bool:
    """Whether an answer says that the dialog is gone, and is believed; then what follows from it has been done.

    Args:
        why: what the call ends with.
    """
    return status in SAID_BY and is_over(call, leg, why, knows=status == UNKNOWN_DIALOG)


def is_over(call: CallState, leg: Leg, why: Termination, *, knows: bool) -> bool:
    """End the call, or let the one go who has asked for a transfer; False where that would be an inference too much.

    Args:
        knows: the peer has said so itself; else it still gets a BYE.
    """
    if call.policy.emergency and not knows:
        return False
    if call.live and not transfer.is_cut_off(call, leg, knows=knows):
        ending.terminate(call, why, by=leg.id if knows else None)
    return True
