"""The B2BUA: one call as a machine without I/O. Events in, effects out, in the order they must happen.

    call = Call(state)
    for effect in call.open(now) + call.begin(now): ...
    for effect in call.handle(event, now): ...

The verbs live beside it: `setup` (INVITE to INVITE), `responses`, `answering`, `change` (mid-call), `ending`.
`security` judges and records; `wiring` joins the media of the two sides.
"""

from __future__ import annotations

from gateway.base.termination import Termination
from gateway.call import (
    answering,
    causes,
    change,
    ending,
    flows,
    liveness,
    names,
    proof,
    report,
    responses,
    security,
    setup,
    telling,
)
from gateway.call.browser_leg import BrowserLeg
from gateway.call.effects import ClearTimer, Effect, LegName, Purpose, ReleaseDtlsKeys, Timer
from gateway.call.events import (
    AckIn,
    AckMissing,
    CancelIn,
    ConnectionClosed,
    DtlsConnected,
    DtlsFailed,
    Event,
    FlowMoved,
    FlowRefused,
    LegVerified,
    Lost,
    MediaFailed,
    MediaHeard,
    MediaMismatch,
    MediaOpened,
    MediaSilent,
    MediaStarted,
    MediaUnsent,
    NamesFound,
    RequestFailed,
    RequestIn,
    ResponseIn,
    SourceLearned,
    SourceRejected,
    TimerFired,
    TrunkConnected,
    TrunkFailed,
    TrunkSilent,
)
from gateway.call.leg import Leg
from gateway.call.state import CallState, Phase


class Call:
    """One call. Everything it knows is in `state`; everything it wants done comes back as effects."""

    def __init__(self, state: CallState) -> None:
        self.state = state

    def open(self, now: float) -> list[Effect]:
        """The INVITE is somebody's: from here on there is one call.start and there will be one call.final."""
        self.state.now = now
        self.state.emit(security.start_record(self.state))
        return self._drain()

    def begin(self, now: float) -> list[Effect]:
        """The INVITE passed identification, routing and limits."""
        call = self.state
        call.now = now
        if call.browser is call.caller and call.browser.invite is not None:
            report.note_allow(call.browser, call.browser.invite)
        names.start(call)
        return self._drain()

    def begin_refused(self, termination: Termination, now: float) -> list[Effect]:
        """The INVITE cannot be served."""
        self.state.now = now
        ending.refuse(self.state, termination)
        return self._drain()

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Advance the call by one event."""
        call = self.state
        call.now = now
        if isinstance(event, NamesFound):
            self._names_found(event)
        elif call.live or isinstance(event, _AFTER_THE_END):
            self._take(event)
        return self._drain()

    def _take(self, event: Event) -> None:
        if not (self.state.live and names.must_wait(self.state, event)):
            self._dispatch(event)

    def _names_found(self, event: NamesFound) -> None:
        """What has waited goes on in its order; a later message may have a name of its own."""
        call = self.state
        if not call.live:
            waited, call.waiting = call.waiting, []
        else:
            waited = names.found(call, event)
        for late in waited:
            if call.live or isinstance(late, _AFTER_THE_END):
                self._take(late)

    def fail(self, now: float) -> list[Effect]:
        """A step raised what it did not declare: the call ends, and what it had decided before still happens."""
        self.state.now = now
        ending.terminate(self.state, Termination.INTERNAL_ERROR)
        return self._drain()

    def _drain(self) -> list[Effect]:
        telling.settle(self.state)
        security.leave_none_unrecorded(self.state)
        ending.settle(self.state)
        out, self.state.out = self.state.out, []
        return out

    def _dispatch(self, event: Event) -> None:
        call = self.state
        match event:
            case RequestIn():
                change.request(call, event)
            case ResponseIn():
                self._response(event)
            case RequestFailed():
                self._request_failed(event)
            case AckIn() | AckMissing() | CancelIn() | TimerFired():
                self._caller_or_timer(event)
            case TrunkConnected() | TrunkFailed() | MediaOpened() | MediaFailed():
                self._preparation(event)
            case TrunkSilent():
                setup.silent(call, event.trunk)
            case _:
                self._media(event)

    def _preparation(self, event: TrunkConnected | TrunkFailed | MediaOpened | MediaFailed) -> None:
        call = self.state
        if call.phase is not Phase.PREPARING:
            return
        match event:
            case TrunkConnected():
                setup.trunk_connected(call, event)
            case MediaOpened():
                setup.media_opened(call, event)
            case TrunkFailed():
                setup.trunk_failed(call, event)
            case MediaFailed():
                ending.refuse(call, Termination.MEDIA_UNAVAILABLE)

    def _media(self, event: Event) -> None:
        call = self.state
        match event:
            case DtlsConnected():
                self._dtls_connected(event)
            case DtlsFailed():
                self._dtls_failed(event)
            case MediaStarted() | LegVerified() | MediaMismatch():
                proof.found(call, event)
            case MediaSilent() | MediaHeard():
                liveness.noticed(call, event)
            case SourceLearned() | SourceRejected():
                call.emit(security.source_record(call, event))
            case MediaUnsent():
                call.media_lost |= {event.leg}
            case Lost():
                ending.terminate(call, event.termination)
            case FlowRefused() | FlowMoved() | ConnectionClosed():
                flows.noticed(call, event)
            case _:
                pass

    def _dtls_connected(self, event: DtlsConnected) -> None:
        """Checkpoint P4: the browser leg is keyed; the record first, then the keys."""
        call = self.state
        browser = call.browser
        if browser is None or browser.keyed is not None or not call.dtls_started:
            return
        browser.set_keyed(event.suite, event.version, event.fingerprint_algorithm)
        if security.settle(call, browser):
            call.emit(ClearTimer(Timer.KEYED), ReleaseDtlsKeys())

    def _dtls_failed(self, event: DtlsFailed) -> None:
        call = self.state
        if call.browser is not None:
            security.dtls_violation(call, call.browser, event.termination)
        ending.terminate(call, event.termination)

    def _response(self, event: ResponseIn) -> None:
        call = self.state
        leg = call.leg(event.leg)
        if leg is None:
            return
        if isinstance(leg, BrowserLeg) and 200 <= event.response.status < 300:
            report.note_allow(leg, event.response)
        match event.purpose:
            case Purpose.INVITE:
                responses.invite_response(call, leg, event)
            case Purpose.REINVITE:
                change.response(call, leg, event)
            case Purpose.UPDATE if isinstance(leg, BrowserLeg):
                telling.response(call, leg, event)
            case Purpose.OPTIONS:
                liveness.response(call, event)
            case Purpose.BYE if event.response.status >= 200:
                call.answered(event.ask)
            case _:
                pass

    def _request_failed(self, event: RequestFailed) -> None:
        call = self.state
        call.answered(event.ask)
        leg = call.leg(event.leg)
        if event.ask in call.abandoned:
            return
        if event.purpose is Purpose.INVITE and leg is not None:
            leg.invite_pending = False
            if call.phase is Phase.CALLING and setup.try_next_trunk(call):
                return
            ending.refuse(call, _lost(leg) if event.transport else _unanswered(call, leg))
        elif event.purpose is Purpose.UPDATE and isinstance(leg, BrowserLeg) and not event.transport:
            telling.unanswered(call, leg)
        elif event.purpose in (Purpose.REINVITE, Purpose.UPDATE) and leg is not None:
            change.unanswered(call, leg, event.purpose)
        elif event.purpose is Purpose.OPTIONS:
            liveness.failed(call, event)

    def _caller_or_timer(self, event: AckIn | AckMissing | CancelIn | TimerFired) -> None:
        call = self.state
        match event:
            case AckIn():
                self._acknowledged(event)
            case AckMissing():
                self._unacknowledged(event)
            case CancelIn() if not call.caller.confirmed:
                ending.terminate(call, causes.of_cancel(event.reasons), by=call.caller.name, reasons=event.reasons)
            case TimerFired():
                self._timer(event.name)
            case _:
                pass

    def _unacknowledged(self, event: AckMissing) -> None:
        """No ACK within 64*T1 (RFC 3261 13.3.1.4), or the connection closed, perhaps while it still rang.

        A caller whose connection breaks while it waits for the answer has got its 503 from its own transport layer
        (RFC 3261 8.1.3.1), so its call is over. A change whose ACK is lost with the connection is no reason to end a
        call of a trunk: the session stands as both last agreed.
        """
        call = self.state
        if event.key != call.caller.invite_key:
            self._change_unacknowledged(event)
            return
        call.caller.acked = call.caller.confirmed
        ending.acknowledged(call)
        ending.terminate(call, _lost(call.caller) if event.transport else Termination.ACK_MISSING)

    def _change_unacknowledged(self, event: AckMissing) -> None:
        call = self.state
        leg = next((found for found in (call.caller, call.callee) if found and found.reinvite_key == event.key), None)
        if leg is None:
            return
        if event.transport and leg.name is LegName.TRUNK:
            change.ack_lost(call, leg, event.key)
        else:
            ending.terminate(call, _lost(leg) if event.transport else Termination.ACK_MISSING)

    def _acknowledged(self, event: AckIn) -> None:
        call = self.state
        if event.key == call.caller.invite_key:
            call.caller.acked = True
            ending.acknowledged(call)
            if call.phase is Phase.ANSWERED:
                call.phase = Phase.ESTABLISHED
                proof.settle(call)
        if call.live and event.key == call.ack_offer_key:
            leg = call.leg(call.ack_offer_leg)
            if leg is not None and answering.late_answer(call, leg, event.request.body):
                change.follow_other(call, leg)
        if call.live:
            change.again(call)

    def _timer(self, name: Timer) -> None:
        call = self.state
        match name:
            case Timer.RING if call.phase is Phase.CALLING:
                ending.refuse(call, call.fork_objection or Termination.RING_TIMEOUT)
            case Timer.KEYED if call.answered_at is not None and call.browser and call.browser.keyed is None:
                security.dtls_violation(call, call.browser, Termination.MEDIA_NOT_KEYED)
                ending.terminate(call, Termination.MEDIA_NOT_KEYED)
            case Timer.SILENT:
                setup.unheard(call)
            case Timer.GLARE:
                change.again(call)
            case Timer.REPORT:
                telling.again(call)
            case Timer.LIVENESS:
                liveness.look(call)
            case Timer.LINGER:
                ending.forget(call)
            case _:
                pass


def _unanswered(call: CallState, leg: Leg) -> Termination:
    """What it means that an INVITE of ours timed out: nobody is there, or somebody was and said no more."""
    silent = leg.name is LegName.TRUNK and not call.callee_heard
    return Termination.TRUNK_SILENT if silent else Termination.PEER_TIMEOUT


def _lost(leg: Leg) -> Termination:
    """What it means that the transport of a leg broke."""
    return Termination.TRUNK_UNREACHABLE if leg.name is LegName.TRUNK else Termination.FLOW_LOST


_AFTER_THE_END = (RequestIn, ResponseIn, RequestFailed, AckIn, AckMissing, TimerFired)
"""Events an ended call still listens to: its transactions must close properly."""
