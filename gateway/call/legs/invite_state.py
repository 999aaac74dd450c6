"""The INVITE of a leg as a table: what its user agent core knows of it, beside the transaction (RFC 3261 13, 15).

    (state, event) -> (next state, what is to be done)

A callee leg was sent our INVITE, a caller leg sent us its own. The transaction below (`sip/transaction`) repeats,
acknowledges failures and times out; here is what a message *means* to the leg. Every 2xx is acknowledged by whoever
takes it, each time it comes, whatever the state (RFC 3261 13.2.2.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from gateway.base.counters import Counter
from gateway.base.table import Table, Unexpected


class Callee(Enum):
    """Where our INVITE to a callee stands; the value says it in words."""

    IDLE = "nothing was sent"
    CALLING = "our INVITE is out, nothing was heard"
    PROCEEDING = "somebody is there: 100"
    EARLY = "it rings, in one early dialog or more"
    ANSWERED = "a 2xx is there and is being judged"
    CONFIRMED = "a 2xx is the call"
    CANCELLING = "we have given up; the final response is awaited"
    CANCELLED = "we have given up, and that is settled"
    REFUSED = "it was refused; another INVITE may try again"
    TIMED_OUT = "no response, or no way to send"
    ENDED = "it was the call; a BYE has ended it"


class Caller(Enum):
    """Where a caller's INVITE stands; the value says it in words."""

    RECEIVED = "its INVITE waits for us"
    RINGING = "it has heard a response with our tag: the dialog is there"
    WAITING = "our 2xx waits for the PRACK of the answer in our 18x (RFC 3262 3)"
    ANSWERED = "our 2xx is out, its ACK is awaited"
    ACKNOWLEDGED = "our 2xx is acknowledged"
    ENDING = "the call is over; our BYE waits for the ACK (RFC 3261 15)"
    REFUSED = "our final response is a refusal"
    ENDED = "a BYE has ended it"


class CalleeEvent(Enum):
    """What can happen to our INVITE; the value says it in words."""

    SEND = "our INVITE leaves"
    TRYING = "100"
    RING = "18x"
    SUCCESS = "2xx"
    ACCEPT = "the 2xx is accepted"
    REJECT = "the 2xx is refused and another phone still rings"
    FAILURE = "3xx to 6xx"
    NO_RESPONSE = "no response, or no way to send"
    BYE = "their BYE"
    END = "the call ends, or goes on without it"


class CallerEvent(Enum):
    """What can happen to a caller's INVITE; the value says it in words."""

    RING = "we answer 18x"
    WAIT = "a 2xx is due, and a reliable 18x with a description is not acknowledged"
    PRACK = "no description of ours is unacknowledged any more"
    PRACK_MISSING = "no PRACK in 64*T1"
    ANSWER = "we answer 2xx"
    ACK = "ACK"
    ACK_MISSING = "no ACK in 64*T1, or the connection is gone"
    CANCEL = "CANCEL"
    BYE = "their BYE"
    END = "the call ends, or goes on without it"


class Act(Enum):
    """What a row asks for; the value says it in words."""

    KEEP = "nothing"
    TELL = "the caller hears of it"
    ANSWER = "the 2xx leaves"
    JUDGE = "read and judge the answer"
    JOIN = "the leg is part of the call"
    WAIT_ON = "ACK and BYE; the others ring on"
    HANG_UP = "ACK and BYE, unless it is the same 2xx again"
    DECIDE = "try again, try another, or tell the caller"
    FORK_GONE = "that early dialog is over"
    CANCEL = "send CANCEL"
    BYE = "send BYE"
    REFUSE = "send the final response"
    AWAIT_ACK = "the BYE waits for the ACK"
    END_CALL = "the call ends"


CalleeRows = dict[tuple[Callee, CalleeEvent], tuple[Callee, Act]]
CallerRows = dict[tuple[Caller, CallerEvent], tuple[Caller, Act]]


def _pending(state: Callee) -> CalleeRows:
    """Rows of an INVITE that has no final response yet."""
    return {
        (state, CalleeEvent.TRYING): (Callee.PROCEEDING if state is Callee.CALLING else state, Act.KEEP),
        (state, CalleeEvent.RING): (Callee.EARLY, Act.TELL),
        (state, CalleeEvent.SUCCESS): (Callee.ANSWERED, Act.JUDGE),
        (state, CalleeEvent.FAILURE): (Callee.REFUSED, Act.DECIDE),
        (state, CalleeEvent.NO_RESPONSE): (Callee.TIMED_OUT, Act.DECIDE),
        (state, CalleeEvent.END): (Callee.CANCELLING, Act.CANCEL),
    }


def _over(state: Callee) -> CalleeRows:
    """Rows of an INVITE that came to nothing: answers of other forks are hung up on, for as long as they can come."""
    return {
        (state, CalleeEvent.SUCCESS): (state, Act.HANG_UP),
        (state, CalleeEvent.END): (state, Act.KEEP),
        (state, CalleeEvent.BYE): (state, Act.KEEP),
    }


def _absorb(state: Callee, *events: CalleeEvent) -> CalleeRows:
    """Rows for what comes late and changes nothing."""
    return {(state, event): (state, Act.KEEP) for event in events}


CALLEE: Table[Callee, CalleeEvent, Act] = Table(
    name="INVITE of a callee leg",
    first=Callee.IDLE,
    counter=Counter.INVITE_UNEXPECTED,
    rows={
        (Callee.IDLE, CalleeEvent.SEND): (Callee.CALLING, Act.KEEP),
        (Callee.IDLE, CalleeEvent.END): (Callee.CANCELLED, Act.KEEP),
        **_pending(Callee.CALLING),
        **_pending(Callee.PROCEEDING),
        **_pending(Callee.EARLY),
        (Callee.EARLY, CalleeEvent.BYE): (Callee.EARLY, Act.FORK_GONE),
        (Callee.ANSWERED, CalleeEvent.ACCEPT): (Callee.CONFIRMED, Act.JOIN),
        (Callee.ANSWERED, CalleeEvent.REJECT): (Callee.EARLY, Act.WAIT_ON),
        (Callee.ANSWERED, CalleeEvent.END): (Callee.ENDED, Act.BYE),
        (Callee.ANSWERED, CalleeEvent.BYE): (Callee.ENDED, Act.END_CALL),
        (Callee.ANSWERED, CalleeEvent.SUCCESS): (Callee.ANSWERED, Act.HANG_UP),
        **_absorb(Callee.ANSWERED, CalleeEvent.TRYING, CalleeEvent.RING, CalleeEvent.FAILURE, CalleeEvent.NO_RESPONSE),
        (Callee.CONFIRMED, CalleeEvent.SUCCESS): (Callee.CONFIRMED, Act.HANG_UP),
        (Callee.CONFIRMED, CalleeEvent.BYE): (Callee.ENDED, Act.END_CALL),
        (Callee.CONFIRMED, CalleeEvent.END): (Callee.ENDED, Act.BYE),
        **_absorb(Callee.CONFIRMED, CalleeEvent.TRYING, CalleeEvent.RING, CalleeEvent.FAILURE, CalleeEvent.NO_RESPONSE),
        (Callee.CANCELLING, CalleeEvent.SUCCESS): (Callee.CANCELLED, Act.HANG_UP),
        (Callee.CANCELLING, CalleeEvent.FAILURE): (Callee.CANCELLED, Act.KEEP),
        (Callee.CANCELLING, CalleeEvent.NO_RESPONSE): (Callee.CANCELLED, Act.KEEP),
        **_absorb(Callee.CANCELLING, CalleeEvent.TRYING, CalleeEvent.RING, CalleeEvent.BYE, CalleeEvent.END),
        **_over(Callee.CANCELLED),
        **_absorb(Callee.CANCELLED, CalleeEvent.TRYING, CalleeEvent.RING, CalleeEvent.FAILURE, CalleeEvent.NO_RESPONSE),
        **_over(Callee.REFUSED),
        (Callee.REFUSED, CalleeEvent.SEND): (Callee.CALLING, Act.KEEP),
        **_absorb(Callee.REFUSED, CalleeEvent.TRYING, CalleeEvent.RING),
        **_over(Callee.TIMED_OUT),
        **_absorb(Callee.TIMED_OUT, CalleeEvent.TRYING, CalleeEvent.RING, CalleeEvent.FAILURE),
        **_over(Callee.ENDED),
        **_absorb(Callee.ENDED, CalleeEvent.TRYING, CalleeEvent.RING, CalleeEvent.FAILURE, CalleeEvent.NO_RESPONSE),
    },
)
"""RFC 3261 9.1, 13.2.2, 15.1.1: a UAC that may be answered by several forks."""


def _unanswered(state: Caller) -> CallerRows:
    """Rows of an INVITE that has no final response yet."""
    return {
        (state, CallerEvent.ANSWER): (Caller.ANSWERED, Act.KEEP),
        (state, CallerEvent.CANCEL): (state, Act.END_CALL),
        (state, CallerEvent.ACK_MISSING): (state, Act.END_CALL),
        (state, CallerEvent.END): (Caller.REFUSED, Act.REFUSE),
    }


LATE_PRACK = (Caller.ANSWERED, Caller.ACKNOWLEDGED, Caller.ENDING, Caller.ENDED)
"""A 2xx does not wait for the PRACK of an 18x without a description; that PRACK is answered (RFC 3262 3)."""

CALLER: Table[Caller, CallerEvent, Act] = Table(
    name="INVITE of a caller leg",
    first=Caller.RECEIVED,
    counter=Counter.INVITE_UNEXPECTED,
    rows={
        **_unanswered(Caller.RECEIVED),
        (Caller.RECEIVED, CallerEvent.RING): (Caller.RINGING, Act.KEEP),
        **_unanswered(Caller.RINGING),
        (Caller.RINGING, CallerEvent.RING): (Caller.RINGING, Act.KEEP),
        (Caller.RINGING, CallerEvent.WAIT): (Caller.WAITING, Act.KEEP),
        (Caller.RINGING, CallerEvent.PRACK): (Caller.RINGING, Act.KEEP),
        (Caller.RINGING, CallerEvent.PRACK_MISSING): (Caller.RINGING, Act.END_CALL),
        (Caller.RINGING, CallerEvent.BYE): (Caller.RINGING, Act.END_CALL),
        **_unanswered(Caller.WAITING),
        (Caller.WAITING, CallerEvent.PRACK): (Caller.RINGING, Act.ANSWER),
        (Caller.WAITING, CallerEvent.PRACK_MISSING): (Caller.WAITING, Act.END_CALL),
        (Caller.WAITING, CallerEvent.BYE): (Caller.WAITING, Act.END_CALL),
        **{(late, CallerEvent.PRACK): (late, Act.KEEP) for late in LATE_PRACK},
        (Caller.ANSWERED, CallerEvent.ACK): (Caller.ACKNOWLEDGED, Act.JOIN),
        (Caller.ANSWERED, CallerEvent.ACK_MISSING): (Caller.ACKNOWLEDGED, Act.END_CALL),
        (Caller.ANSWERED, CallerEvent.CANCEL): (Caller.ANSWERED, Act.KEEP),
        (Caller.ANSWERED, CallerEvent.BYE): (Caller.ENDED, Act.END_CALL),
        (Caller.ANSWERED, CallerEvent.END): (Caller.ENDING, Act.AWAIT_ACK),
        (Caller.ACKNOWLEDGED, CallerEvent.ACK): (Caller.ACKNOWLEDGED, Act.KEEP),
        (Caller.ACKNOWLEDGED, CallerEvent.ACK_MISSING): (Caller.ACKNOWLEDGED, Act.KEEP),
        (Caller.ACKNOWLEDGED, CallerEvent.CANCEL): (Caller.ACKNOWLEDGED, Act.KEEP),
        (Caller.ACKNOWLEDGED, CallerEvent.BYE): (Caller.ENDED, Act.END_CALL),
        (Caller.ACKNOWLEDGED, CallerEvent.END): (Caller.ENDED, Act.BYE),
        (Caller.ENDING, CallerEvent.ACK): (Caller.ENDED, Act.BYE),
        (Caller.ENDING, CallerEvent.ACK_MISSING): (Caller.ENDED, Act.BYE),
        (Caller.ENDING, CallerEvent.CANCEL): (Caller.ENDING, Act.KEEP),
        (Caller.ENDING, CallerEvent.BYE): (Caller.ENDED, Act.KEEP),
        (Caller.ENDING, CallerEvent.END): (Caller.ENDING, Act.KEEP),
        (Caller.REFUSED, CallerEvent.ACK_MISSING): (Caller.REFUSED, Act.KEEP),
        (Caller.REFUSED, CallerEvent.CANCEL): (Caller.REFUSED, Act.KEEP),
        (Caller.REFUSED, CallerEvent.BYE): (Caller.REFUSED, Act.KEEP),
        (Caller.REFUSED, CallerEvent.END): (Caller.REFUSED, Act.KEEP),
        (Caller.ENDED, CallerEvent.ACK): (Caller.ENDED, Act.KEEP),
        (Caller.ENDED, CallerEvent.ACK_MISSING): (Caller.ENDED, Act.KEEP),
        (Caller.ENDED, CallerEvent.CANCEL): (Caller.ENDED, Act.KEEP),
        (Caller.ENDED, CallerEvent.BYE): (Caller.ENDED, Act.KEEP),
        (Caller.ENDED, CallerEvent.END): (Caller.ENDED, Act.KEEP),
    },
)
"""RFC 3261 9.2, 13.3.1, 15: a UAS; after the end of the call it refuses, or says BYE once it may."""

INVITES = (CALLEE, CALLER)

SUCCEEDED = frozenset(
    {Callee.ANSWERED, Callee.CONFIRMED, Callee.ENDED, Caller.ANSWERED, Caller.ACKNOWLEDGED, Caller.ENDING, Caller.ENDED}
)
"""A 2xx is, or was, the call, unless another one is still waited for."""
OPEN = frozenset({Callee.CONFIRMED, Caller.ACKNOWLEDGED})
"""Requests of ours may be sent inside the dialog."""
OVER = frozenset({Callee.ENDED, Caller.ENDED, Caller.ENDING})
"""A BYE has ended it, or is about to."""

S = TypeVar("S", Callee, Caller)
E = TypeVar("E", CalleeEvent, CallerEvent)


@dataclass(slots=True)
class InviteState(Generic[S, E]):
    """The INVITE of one leg and where it stands."""

    table: Table[S, E, Act]
    state: S

    def on(self, event: E) -> Act | Unexpected:
        """Take a step. An event without a row changes nothing and is to be counted."""
        step = self.table.step(self.state, event)
        if isinstance(step, Unexpected):
            return step
        self.state, act = step
        return act

    @property
    def is_confirmed(self) -> bool:
        """A 2xx ended the INVITE transaction, in whichever direction, and was the call."""
        return self.state in SUCCEEDED

    @property
    def is_unheard(self) -> bool:
        """Our INVITE is out and the callee has not even said 100."""
        return self.state is Callee.CALLING

    @property
    def is_open(self) -> bool:
        """Requests may be sent inside the dialog: confirmed, and acknowledged where it is the peer's INVITE."""
        return self.state in OPEN

    @property
    def is_over(self) -> bool:
        """It was the call, and is no more."""
        return self.state in OVER

    @property
    def owes_bye(self) -> bool:
        """Our BYE waits for the ACK of our 2xx (RFC 3261 15)."""
        return self.state is Caller.ENDING


CalleeInvite = InviteState[Callee, CalleeEvent]
CallerInvite = InviteState[Caller, CallerEvent]


def callee_invite() -> CalleeInvite:
    """For a leg that we will call."""
    return InviteState(CALLEE, CALLEE.first)


def caller_invite() -> CallerInvite:
    """For a leg that has called us."""
    return InviteState(CALLER, CALLER.first)
