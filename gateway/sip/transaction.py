"""The four transaction state machines as tables (RFC 3261 17, with the Accepted state of RFC 6026).

    (state, trigger) -> (next state, effects)

A trigger is an `Event` (a message or a wish of the transaction user) or a `Timer` that fired. An effect is an order to
the transaction layer. Which timers run is said once per state: entering a state starts those it names and stops all
others, so no row starts or stops a timer, and a test can walk the tables for states without a way out.

Where we diverge from the figures of the RFC:

- A client INVITE that the user cancelled has two states of its own, CancelPending (no provisional response yet, so no
  CANCEL may be sent: RFC 3261 9.1) and Cancelling (CANCEL sent, waiting at most 64*T1).
- The server retransmits the 2xx to INVITE itself, so Accepted is split: Acknowledged is Accepted after the ACK came.
- A cancelled INVITE at the server is Cancelling: a second CANCEL is answered, but the user hears of one only.
- A non-INVITE request nobody answers gets 100 after 3.5 s and is forgotten after 32 s; it gets no other provisional
  response, whatever the user says (RFC 4320).
- Timer C also bounds Proceeding at the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from gateway.base.errors import SipError
from gateway.sip.budget import Lane
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.sip.timers import Timer


class State(Enum):
    """Where a transaction stands; the names are those of RFC 3261 17 and RFC 6026 7."""

    INITIAL = auto()
    CALLING = auto()
    CANCEL_PENDING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    CANCELLING = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    ACCEPTED = auto()
    ACKNOWLEDGED = auto()
    TERMINATED = auto()


class Event(Enum):
    """What can happen to a transaction besides a timer; response classes are received by clients, sent by servers."""

    START = auto()
    REQUEST = auto()
    """The request came once more."""
    ACK = auto()
    CANCEL = auto()
    PROVISIONAL = auto()
    """1xx."""
    SUCCESS = auto()
    """2xx."""
    FAILURE = auto()
    """3xx to 6xx."""
    TRANSPORT_ERROR = auto()


class Effect(Enum):
    """Orders to the transaction layer."""

    SEND = auto()
    """Send again what was sent last (or the request, at the start)."""
    SEND_TRYING = auto()
    SEND_ACK = auto()
    """Acknowledge a failure; the ACK belongs to this transaction (RFC 3261 17.1.1.3)."""
    SEND_CANCEL = auto()
    RESPOND = auto()
    """Send the user's provisional response."""
    ANSWER = auto()
    """Send the user's final response."""
    EXPECT_ACK = auto()
    """Remember the dialog identifiers by which the ACK of a 2xx is known."""
    SLOW_DOWN = auto()
    """Timer E comes back after T2."""
    PROLONG = auto()
    """Timer C starts anew."""
    PASS_REQUEST = auto()
    PASS_RESPONSE = auto()
    PASS_ACK = auto()
    PASS_CANCEL = auto()
    REPORT_TIMEOUT = auto()
    REPORT_TRANSPORT = auto()
    REPORT_ACK_TIMEOUT = auto()


Trigger = Event | Timer
Step = tuple[State, tuple[Effect, ...]]
Rows = dict[tuple[State, Trigger], Step]


@dataclass(frozen=True, slots=True)
class Machine:
    """One kind of transaction: its table, and the timers that run in each state."""

    name: str
    events: frozenset[Event]
    """Events that every state except Initial must have a row for."""
    rows: Mapping[tuple[State, Trigger], Step]
    timers: Mapping[State, tuple[Timer, ...]]

    def step(self, state: State, trigger: Trigger) -> Step:
        """Look up what follows.

        Raises:
            SipError: the table has no such row.
        """
        step = self.rows.get((state, trigger))
        if step is None:
            raise SipError(f"{self.name}: no {trigger.name} in {state.name}", 500)
        return step


def _absorb(state: State, *events: Event) -> Rows:
    """Rows for events that are expected in a state and change nothing."""
    return {(state, event): (state, ()) for event in events}


_RESPONSES = (Event.PROVISIONAL, Event.SUCCESS, Event.FAILURE)

INVITE_CLIENT = Machine(
    name="INVITE client",
    events=frozenset({*_RESPONSES, Event.CANCEL, Event.TRANSPORT_ERROR}),
    rows={
        (State.INITIAL, Event.START): (State.CALLING, (Effect.SEND,)),
        (State.CALLING, Timer.A): (State.CALLING, (Effect.SEND,)),
        (State.CALLING, Timer.B): (State.TERMINATED, (Effect.REPORT_TIMEOUT,)),
        (State.CALLING, Event.PROVISIONAL): (State.PROCEEDING, (Effect.PASS_RESPONSE,)),
        (State.CALLING, Event.SUCCESS): (State.ACCEPTED, (Effect.PASS_RESPONSE,)),
        (State.CALLING, Event.FAILURE): (State.COMPLETED, (Effect.SEND_ACK, Effect.PASS_RESPONSE)),
        (State.CALLING, Event.CANCEL): (State.CANCEL_PENDING, ()),
        (State.CALLING, Event.TRANSPORT_ERROR): (State.TERMINATED, (Effect.REPORT_TRANSPORT,)),
        (State.CANCEL_PENDING, Timer.A): (State.CANCEL_PENDING, (Effect.SEND,)),
        (State.CANCEL_PENDING, Timer.B): (State.TERMINATED, (Effect.REPORT_TIMEOUT,)),
        (State.CANCEL_PENDING, Event.PROVISIONAL): (State.CANCELLING, (Effect.SEND_CANCEL, Effect.PASS_RESPONSE)),
        (State.CANCEL_PENDING, Event.SUCCESS): (State.ACCEPTED, (Effect.PASS_RESPONSE,)),
        (State.CANCEL_PENDING, Event.FAILURE): (State.COMPLETED, (Effect.SEND_ACK, Effect.PASS_RESPONSE)),
        (State.CANCEL_PENDING, Event.TRANSPORT_ERROR): (State.TERMINATED, (Effect.REPORT_TRANSPORT,)),
        **_absorb(State.CANCEL_PENDING, Event.CANCEL),
        (State.PROCEEDING, Timer.C): (State.TERMINATED, (Effect.REPORT_TIMEOUT,)),
        (State.PROCEEDING, Event.PROVISIONAL): (State.PROCEEDING, (Effect.PROLONG, Effect.PASS_RESPONSE)),
        (State.PROCEEDING, Event.SUCCESS): (State.ACCEPTED, (Effect.PASS_RESPONSE,)),
        (State.PROCEEDING, Event.FAILURE): (State.COMPLETED, (Effect.SEND_ACK, Effect.PASS_RESPONSE)),
        (State.PROCEEDING, Event.CANCEL): (State.CANCELLING, (Effect.SEND_CANCEL,)),
        (State.PROCEEDING, Event.TRANSPORT_ERROR): (State.TERMINATED, (Effect.REPORT_TRANSPORT,)),
        (State.CANCELLING, Timer.CANCELLED): (State.TERMINATED, (Effect.REPORT_TIMEOUT,)),
        (State.CANCELLING, Event.PROVISIONAL): (State.CANCELLING, (Effect.PASS_RESPONSE,)),
        (State.CANCELLING, Event.SUCCESS): (State.ACCEPTED, (Effect.PASS_RESPONSE,)),
        (State.CANCELLING, Event.FAILURE): (State.COMPLETED, (Effect.SEND_ACK, Effect.PASS_RESPONSE)),
        (State.CANCELLING, Event.TRANSPORT_ERROR): (State.TERMINATED, (Effect.REPORT_TRANSPORT,)),
        **_absorb(State.CANCELLING, Event.CANCEL),
        (State.COMPLETED, Event.FAILURE): (State.COMPLETED, (Effect.SEND_ACK,)),
        (State.COMPLETED, Timer.D): (State.TERMINATED, ()),
        (State.COMPLETED, Event.TRANSPORT_ERROR): (State.TERMINATED, ()),
        **_absorb(State.COMPLETED, Event.PROVISIONAL, Event.SUCCESS, Event.CANCEL),
        # Retransmissions and 2xx of other branches alike: only the user can acknowledge them (RFC 6026 7.2).
        (State.ACCEPTED, Event.SUCCESS): (State.ACCEPTED, (Effect.PASS_RESPONSE,)),
        (State.ACCEPTED, Timer.M): (State.TERMINATED, ()),
        (State.ACCEPTED, Event.TRANSPORT_ERROR): (State.TERMINATED, ()),
        **_absorb(State.ACCEPTED, Event.PROVISIONAL, Event.FAILURE, Event.CANCEL),
    },
    timers={
        State.CALLING: (Timer.A, Timer.B),
        State.CANCEL_PENDING: (Timer.A, Timer.B),
        State.PROCEEDING: (Timer.C,),
        State.CANCELLING: (Timer.CANCELLED,),
        State.COMPLETED: (Timer.D,),
        State.ACCEPTED: (Timer.M,),
    },
)
"""RFC 3261 17.1.1, RFC 6026 8.4."""

NON_INVITE_CLIENT = Machine(
    name="non-INVITE client",
    events=frozenset({*_RESPONSES, Event.TRANSPORT_ERROR}),
    rows={
        (State.INITIAL, Event.START): (State.TRYING, (Effect.SEND,)),
        (State.TRYING, Timer.E): (State.TRYING, (Effect.SEND,)),
        (State.TRYING, Timer.F): (State.TERMINATED, (Effect.REPORT_TIMEOUT,)),
        (State.TRYING, Event.PROVISIONAL): (State.PROCEEDING, (Effect.PASS_RESPONSE,)),
        (State.TRYING, Event.SUCCESS): (State.COMPLETED, (Effect.PASS_RESPONSE,)),
        (State.TRYING, Event.FAILURE): (State.COMPLETED, (Effect.PASS_RESPONSE,)),
        (State.TRYING, Event.TRANSPORT_ERROR): (State.TERMINATED, (Effect.REPORT_TRANSPORT,)),
        (State.PROCEEDING, Timer.E): (State.PROCEEDING, (Effect.SEND, Effect.SLOW_DOWN)),
        (State.PROCEEDING, Timer.F): (State.TERMINATED, (Effect.REPORT_TIMEOUT,)),
        (State.PROCEEDING, Event.PROVISIONAL): (State.PROCEEDING, (Effect.PASS_RESPONSE,)),
        (State.PROCEEDING, Event.SUCCESS): (State.COMPLETED, (Effect.PASS_RESPONSE,)),
        (State.PROCEEDING, Event.FAILURE): (State.COMPLETED, (Effect.PASS_RESPONSE,)),
        (State.PROCEEDING, Event.TRANSPORT_ERROR): (State.TERMINATED, (Effect.REPORT_TRANSPORT,)),
        (State.COMPLETED, Timer.K): (State.TERMINATED, ()),
        (State.COMPLETED, Event.TRANSPORT_ERROR): (State.TERMINATED, ()),
        **_absorb(State.COMPLETED, *_RESPONSES),
    },
    timers={
        State.TRYING: (Timer.E, Timer.F),
        State.PROCEEDING: (Timer.E, Timer.F),
        State.COMPLETED: (Timer.K,),
    },
)
"""RFC 3261 17.1.2."""

INVITE_SERVER = Machine(
    name="INVITE server",
    events=frozenset({*_RESPONSES, Event.REQUEST, Event.ACK, Event.CANCEL, Event.TRANSPORT_ERROR}),
    rows={
        (State.INITIAL, Event.START): (State.PROCEEDING, (Effect.SEND_TRYING, Effect.PASS_REQUEST)),
        (State.PROCEEDING, Event.REQUEST): (State.PROCEEDING, (Effect.SEND,)),
        (State.PROCEEDING, Event.PROVISIONAL): (State.PROCEEDING, (Effect.RESPOND, Effect.PROLONG)),
        (State.PROCEEDING, Event.SUCCESS): (State.ACCEPTED, (Effect.EXPECT_ACK, Effect.ANSWER)),
        (State.PROCEEDING, Event.FAILURE): (State.COMPLETED, (Effect.ANSWER,)),
        (State.PROCEEDING, Event.CANCEL): (State.CANCELLING, (Effect.PASS_CANCEL,)),
        (State.PROCEEDING, Event.TRANSPORT_ERROR): (State.TERMINATED, (Effect.REPORT_TRANSPORT,)),
        (State.PROCEEDING, Timer.C): (State.TERMINATED, (Effect.REPORT_TIMEOUT,)),
        **_absorb(State.PROCEEDING, Event.ACK),
        (State.CANCELLING, Event.REQUEST): (State.CANCELLING, (Effect.SEND,)),
        (State.CANCELLING, Event.SUCCESS): (State.ACCEPTED, (Effect.EXPECT_ACK, Effect.ANSWER)),
        (State.CANCELLING, Event.FAILURE): (State.COMPLETED, (Effect.ANSWER,)),
        (State.CANCELLING, Event.TRANSPORT_ERROR): (State.TERMINATED, (Effect.REPORT_TRANSPORT,)),
        (State.CANCELLING, Timer.C): (State.TERMINATED, (Effect.REPORT_TIMEOUT,)),
        **_absorb(State.CANCELLING, Event.PROVISIONAL, Event.ACK, Event.CANCEL),
        (State.COMPLETED, Event.REQUEST): (State.COMPLETED, (Effect.SEND,)),
        (State.COMPLETED, Timer.G): (State.COMPLETED, (Effect.SEND,)),
        (State.COMPLETED, Timer.H): (State.TERMINATED, ()),
        (State.COMPLETED, Event.ACK): (State.CONFIRMED, ()),
        (State.COMPLETED, Event.TRANSPORT_ERROR): (State.TERMINATED, ()),
        **_absorb(State.COMPLETED, *_RESPONSES, Event.CANCEL),
        (State.CONFIRMED, Timer.I): (State.TERMINATED, ()),
        (State.CONFIRMED, Event.TRANSPORT_ERROR): (State.TERMINATED, ()),
        **_absorb(State.CONFIRMED, *_RESPONSES, Event.REQUEST, Event.ACK, Event.CANCEL),
        (State.ACCEPTED, Timer.ANSWER): (State.ACCEPTED, (Effect.SEND,)),
        (State.ACCEPTED, Timer.L): (State.TERMINATED, (Effect.REPORT_ACK_TIMEOUT,)),
        (State.ACCEPTED, Event.ACK): (State.ACKNOWLEDGED, (Effect.PASS_ACK,)),
        (State.ACCEPTED, Event.TRANSPORT_ERROR): (State.TERMINATED, (Effect.REPORT_TRANSPORT,)),
        **_absorb(State.ACCEPTED, *_RESPONSES, Event.REQUEST, Event.CANCEL),
        (State.ACKNOWLEDGED, Timer.L): (State.TERMINATED, ()),
        (State.ACKNOWLEDGED, Event.TRANSPORT_ERROR): (State.TERMINATED, ()),
        **_absorb(State.ACKNOWLEDGED, *_RESPONSES, Event.REQUEST, Event.ACK, Event.CANCEL),
    },
    timers={
        State.PROCEEDING: (Timer.C,),
        State.CANCELLING: (Timer.C,),
        State.COMPLETED: (Timer.G, Timer.H),
        State.CONFIRMED: (Timer.I,),
        State.ACCEPTED: (Timer.ANSWER, Timer.L),
        State.ACKNOWLEDGED: (Timer.L,),
    },
)
"""RFC 3261 17.2.1, RFC 6026 8.5."""

NON_INVITE_SERVER = Machine(
    name="non-INVITE server",
    events=frozenset({*_RESPONSES, Event.REQUEST, Event.TRANSPORT_ERROR}),
    rows={
        (State.INITIAL, Event.START): (State.TRYING, (Effect.PASS_REQUEST,)),
        (State.TRYING, Event.SUCCESS): (State.COMPLETED, (Effect.ANSWER,)),
        (State.TRYING, Event.FAILURE): (State.COMPLETED, (Effect.ANSWER,)),
        (State.TRYING, Event.TRANSPORT_ERROR): (State.TERMINATED, (Effect.REPORT_TRANSPORT,)),
        (State.TRYING, Timer.TRYING): (State.PROCEEDING, (Effect.SEND_TRYING,)),
        (State.TRYING, Timer.UNANSWERED): (State.TERMINATED, ()),
        **_absorb(State.TRYING, Event.REQUEST, Event.PROVISIONAL),
        (State.PROCEEDING, Event.REQUEST): (State.PROCEEDING, (Effect.SEND,)),
        (State.PROCEEDING, Event.SUCCESS): (State.COMPLETED, (Effect.ANSWER,)),
        (State.PROCEEDING, Event.FAILURE): (State.COMPLETED, (Effect.ANSWER,)),
        (State.PROCEEDING, Event.TRANSPORT_ERROR): (State.TERMINATED, (Effect.REPORT_TRANSPORT,)),
        (State.PROCEEDING, Timer.UNANSWERED): (State.TERMINATED, ()),
        **_absorb(State.PROCEEDING, Event.PROVISIONAL),
        (State.COMPLETED, Event.REQUEST): (State.COMPLETED, (Effect.SEND,)),
        (State.COMPLETED, Timer.J): (State.TERMINATED, ()),
        (State.COMPLETED, Event.TRANSPORT_ERROR): (State.TERMINATED, ()),
        **_absorb(State.COMPLETED, *_RESPONSES),
    },
    timers={
        State.TRYING: (Timer.TRYING, Timer.UNANSWERED),
        State.PROCEEDING: (Timer.UNANSWERED,),
        State.COMPLETED: (Timer.J,),
    },
)
"""RFC 3261 17.2.2, RFC 4320 4."""

MACHINES = (INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER)


def response_event(status: int) -> Event:
    """The event a response of that status is."""
    if status < 200:
        return Event.PROVISIONAL
    return Event.SUCCESS if status < 300 else Event.FAILURE


@dataclass(frozen=True, slots=True)
class RunningTimer:
    """A started timer: the ticket that stops it and the interval it was started with."""

    ticket: int
    interval: float


@dataclass(slots=True, eq=False)
class Transaction:
    """What client and server transactions have in common (RFC 3261 17)."""

    key: str
    machine: Machine
    flow: Flow
    silent: bool = False
    """The stack itself is the user: nothing is reported upwards."""
    state: State = State.INITIAL
    wire: bytes = b""
    """What a retransmission sends."""
    timers: dict[Timer, RunningTimer] = field(default_factory=dict)


@dataclass(slots=True, eq=False, kw_only=True)
class ClientTransaction(Transaction):
    """A request we sent (RFC 3261 17.1)."""

    request: Request
    """With our Via: ACK and CANCEL are made from it."""
    cancel_headers: tuple[tuple[str, str], ...] = ()
    """What the CANCEL of an INVITE will say besides; it may have to wait for a provisional response."""


@dataclass(slots=True, eq=False, kw_only=True)
class ServerTransaction(Transaction):
    """A request we received (RFC 3261 17.2)."""

    request: Request | None
    """Kept until it is answered, then released: an answered transaction needs only the bytes of its answer."""
    via: str
    """Top Via as responses carry it, with received and rport."""
    source: str
    """Whose share of the limits it counts against."""
    merge_id: tuple[str, str, str, str, str]
    lane: Lane
    """Which of the budgets."""
    to_tag: str = ""
    """Our tag in the last response that had one."""
    ack_id: tuple[str, str, str, int] | None = None
    """Dialog identifiers of the ACK we wait for."""
