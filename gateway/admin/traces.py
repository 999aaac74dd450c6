"""SIP traces of single calls: recorded from the moment somebody asks for one, redacted before anything is kept. PURE.

    endpoint --received/sent--> Recorder --redacted--> Trace (a ring) --> whoever asked

Nothing is recorded while nobody asks: the endpoint then has no tap. A trace of "the next call" begins with the INVITE
that makes that call; what comes before it is known whose call it is waits in a ring of its own, as little as that is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.admin.views import Row
from gateway.audit.clean import cleaned_text
from gateway.audit.redaction import redacted, summary
from gateway.base.errors import SipError
from gateway.base.values import LegKind
from gateway.call.machine.state import CallState
from gateway.sip.flow import Flow
from gateway.sip.message import Message, Request, parse_message

MAX_TRACES = 8
"""Traces at the same time: each redacts every message of its call, which costs about as much as parsing it."""
MAX_KEPT = 500
"""Messages a trace keeps for a reader that is slow; of more the oldest go, and the reader is told how many."""
MAX_WAITING = 64
"""Messages kept while it is not known whose call they are: the INVITEs of a busy second, with their 100."""
Find = Callable[[str, bool], CallState | None]
"""Gives the call with a leg of this Call-ID; when the second is true, also one whose INVITE leaves just now."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Whose call shall be traced: one there is, or the next one of a trunk, of a user, or of anybody."""

    call: str = ""
    """The id of the call there is."""
    trunk: str = ""
    user: str = ""

    def fits(self, state: CallState) -> bool:
        """Whether this is the call."""
        if self.call:
            return state.facts.id == self.call
        if self.trunk:
            return self.trunk in (state.trunk_id, *(leg.trunk_name for leg in state.legs.values()))
        return not self.user or self.user in (state.facts.user, state.facts.callee)


@dataclass(frozen=True, slots=True)
class Traced:
    """One message as it is kept: redacted."""

    at: float
    """Seconds of the gateway's clock."""
    sent: bool
    call_id: str
    transport: str
    remote: str
    summary: str
    method: str
    has_description: bool
    text: str

    @classmethod
    def of(cls, flow: Flow, message: Message, now: float, *, sent: bool) -> Traced:
        """The message without its secrets."""
        return cls(
            at=now,
            sent=sent,
            call_id=message.call_id,
            transport=flow.transport,
            remote=str(flow.remote),
            summary=summary(message),
            method=cleaned_text(message.cseq.method)[:32],
            has_description=message.content_type == "application/sdp" and bool(message.body),
            text=redacted(message),
        )


@dataclass(eq=False)
class Trace:
    """The messages of one call, for one reader."""

    wish: Wish
    ready: Callable[[], None]
    """Told when there is something to take."""
    call: str = ""
    """The id of the call, as soon as it is known."""
    state: CallState | None = None
    """That call, though it be forgotten by all others."""
    began_at: float | None = None
    dropped: int = 0
    """Messages that gave way because the reader did not take them."""
    _kept: deque[Row] = field(default_factory=deque)

    def keep(self, row: Row) -> None:
        if len(self._kept) >= MAX_KEPT:
            self._kept.popleft()
            self.dropped += 1
        self._kept.append(row)
        self.ready()

    def take(self) -> list[Row]:
        """What came since it was asked last, oldest first."""
        taken, self._kept = list(self._kept), deque()
        return taken


class Recorder:
    """Looks at every message while there are traces, and gives each its own.

    Args:
        find: which call a Call-ID belongs to.
        switch: told True when messages are wanted, False when they are not any more.
    """

    def __init__(self, find: Find, switch: Callable[[bool], None]) -> None:
        self._find, self._switch = find, switch
        self._traces: list[Trace] = []
        self._waiting: deque[Traced] = deque(maxlen=MAX_WAITING)

    @property
    def is_full(self) -> bool:
        """Whether no further trace may begin."""
        return len(self._traces) >= MAX_TRACES

    def begin(self, trace: Trace) -> None:
        """Record for this reader from now on."""
        self._traces.append(trace)
        self._switch(True)

    def end(self, trace: Trace) -> None:
        """This reader is gone."""
        if trace in self._traces:
            self._traces.remove(trace)
        if not self._traces:
            self._waiting.clear()
            self._switch(False)

    def received(self, flow: Flow, message: Message, now: float) -> None:
        """See `net.channel.Tap`."""
        self._take(flow, message, now, sent=False)

    def sent(self, flow: Flow, data: bytes, now: float) -> None:
        """See `net.channel.Tap`."""
        try:
            message = parse_message(data, stream=False)
        except SipError:
            return
        self._take(flow, message, now, sent=True)

    def _take(self, flow: Flow, message: Message, now: float, *, sent: bool) -> None:
        """Keep what a trace wants, and what it may turn out to want."""
        begins = _begins_call(message)
        state = self._find(message.call_id, begins)
        if state is None:
            if begins and any(not trace.call for trace in self._traces):
                self._waiting.append(Traced.of(flow, message, now, sent=sent))
            return
        wanted = [trace for trace in self._traces if self._wants(trace, state)]
        if wanted:
            made = Traced.of(flow, message, now, sent=sent)
            for trace in wanted:
                _keep(trace, state, made)

    def _wants(self, trace: Trace, state: CallState) -> bool:
        """Whether this is the call of the trace; the first one that fits becomes it, with what waited."""
        if trace.call:
            return trace.call == state.facts.id
        if not trace.wish.fits(state):
            return False
        trace.call, trace.state = state.facts.id, state
        ids = {leg.call_id for leg in state.legs.values()}
        for waited in self._waiting:
            if waited.call_id in ids:
                _keep(trace, state, waited)
        return True


def _begins_call(message: Message) -> bool:
    """An INVITE that begins something, or what we say of it before its call is there."""
    return message.cseq.method == "INVITE" and (not isinstance(message, Request) or message.to.tag is None)


def _keep(trace: Trace, state: CallState, made: Traced) -> None:
    if trace.began_at is None:
        trace.began_at = made.at
    trace.keep(row(state, made, trace.began_at))


def row(state: CallState, made: Traced, began_at: float) -> Row:
    """One message as its reader gets it."""
    leg = next((leg for leg in state.legs.values() if leg.call_id == made.call_id), None)
    name = "" if leg is None else leg.trunk_name if leg.kind is LegKind.TRUNK else _user_of(state, leg.is_caller)
    return {
        "call": state.facts.id,
        "at": round(made.at - began_at, 4),
        "leg": 0 if leg is None else int(leg.id),
        "kind": "" if leg is None else leg.kind.value,
        "name": cleaned_text(name),
        "direction": "sent" if made.sent else "received",
        "transport": made.transport,
        "remote": made.remote,
        "summary": made.summary,
        "method": made.method,
        "description": made.has_description,
        "text": made.text,
    }


def _user_of(state: CallState, is_caller: bool) -> str:
    return (state.facts.callee or state.facts.user) if not is_caller else state.facts.user
