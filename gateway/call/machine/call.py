"""The B2BUA: one call as a machine without I/O. Events in, effects out, in the order they must happen.

    call = Call(state)
    for effect in call.open(now) + call.begin(now): ...
    for effect in call.handle(event, now): ...

The verbs live beside it: `locate` (INVITE to targets), `invite` (targets to INVITEs), `responses`, `answering`,
`requests`, `change` and `transfer` (mid-call), `ending`. `security` judges and records; `bridge` joins the media of two
legs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.base.codes import Code
from gateway.base.termination import Termination
from gateway.call.legs.invite_state import Act, CallerEvent
from gateway.call.legs.leg import Leg
from gateway.call.machine import (
    acknowledging,
    again,
    attended,
    causes,
    change,
    digits,
    ending,
    flows,
    handed,
    invite,
    keying,
    liveness,
    locate,
    measuring,
    names,
    outcomes,
    proof,
    redirecting,
    refreshing,
    rekeying,
    reliable,
    replacing,
    report,
    requests,
    returning,
    security,
    telling,
    transfer,
)
from gateway.call.machine.effects import Effect, Timer
from gateway.call.machine.events import (
    AckIn,
    AckMissing,
    CancelIn,
    Challenged,
    ConnectionClosed,
    DialogFound,
    DialogMissing,
    DtlsAskedAgain,
    DtlsConnected,
    DtlsFailed,
    Event,
    FlowMoved,
    FlowRefused,
    HandedOver,
    Located,
    Lost,
    Measured,
    NamesFound,
    NotTaken,
    Replacing,
    RequestFailed,
    RequestIn,
    ResponseIn,
    TakenOver,
    TimerFired,
    TrunkConnected,
    TrunkFailed,
    TrunkReached,
    TrunkSilent,
)
from gateway.call.machine.state import CallState
from gateway.media import relay_events as relay
from gateway.policy.offering import Refusal


class Call:
    """One call. Everything it knows is in `state`; everything it wants done comes back as effects."""

    def __init__(self, state: CallState) -> None:
        self.state = state

    def open(self, now: float) -> list[Effect]:
        """The INVITE is somebody's: from here on there is one call.start and there will be one call.final."""
        self.state.now = self.state.began_at = now
        self.state.emit(security.start_record(self.state))
        security.exception_used(self.state, self.state.policy)
        return self._drain()

    def begin(self, now: float) -> list[Effect]:
        """The INVITE passed identification, routing and limits."""
        call = self.state
        call.now = now
        if call.caller.invite is not None:
            report.note_abilities(call.caller, call.caller.invite)
        names.start(call)
        return self._drain()

    def begin_refused(self, termination: Termination, now: float) -> list[Effect]:
        """The INVITE cannot be served."""
        call = self.state
        call.now = now
        if termination in _REFUSED_FOR:
            security.refused_offer(call, call.caller, Refusal(_REFUSED_FOR[termination], termination))
        by_rule = call.policy.reject if termination is Termination.POLICY_REJECTED else 0
        ending.terminate(call, termination, status=by_rule)
        return self._drain()

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Advance the call by one event."""
        call = self.state
        call.passes(now)
        if isinstance(event, NamesFound):
            self._names_found(event)
        elif call.live or isinstance(event, _AFTER_THE_END):
            self._take(event)
        return self._drain()

    def fail(self, now: float) -> list[Effect]:
        """A step raised what it did not declare: the call ends, and what it had decided before still happens."""
        self.state.passes(now)
        ending.terminate(self.state, Termination.INTERNAL_ERROR)
        return self._drain()

    def _take(self, event: Event) -> None:
        if not (self.state.live and names.must_wait(self.state, event)):
            _HANDLERS[type(event)](self.state, event)

    def _names_found(self, event: NamesFound) -> None:
        """What has waited goes on in its order; a later message may have a name of its own."""
        call = self.state
        if not call.live:
            waited, call.waiting.events = call.waiting.events, []
        else:
            waited = names.found(call, event)
        for late in waited:
            if call.live or isinstance(late, _AFTER_THE_END):
                self._take(late)

    def _drain(self) -> list[Effect]:
        change.settle(self.state)
        telling.settle(self.state)
        measuring.settle(self.state)
        security.leave_none_unrecorded(self.state)
        ending.settle(self.state)
        out, self.state.out = self.state.out, []
        return out


def _cancelled(call: CallState, event: CancelIn) -> None:
    if call.step(call.caller, CallerEvent.CANCEL) is Act.END_CALL:
        ending.terminate(call, causes.of_cancel(event.reasons), by=call.caller.id, reasons=event.reasons)


def _trunk_silent(call: CallState, event: TrunkSilent) -> None:
    leg = call.legs.get(event.leg)
    if leg is not None:
        invite.silent(call, leg)


def _source(call: CallState, event: relay.SourceLearned | relay.SourceRejected) -> None:
    leg = call.legs.get(event.leg)
    if leg is not None:
        call.emit(security.source_record(call, leg, event))


def _unsent(call: CallState, event: relay.MediaUnsent) -> None:
    leg = call.legs.get(event.leg)
    if leg is not None:
        leg.media_lost = True


def _lost(call: CallState, event: Lost) -> None:
    ending.terminate(call, event.termination)


def _worker_lost(call: CallState, event: relay.WorkerLost) -> None:
    if event.drained:
        ending.terminate(call, Termination.WORKER_DRAINED)
    else:
        ending.terminate(call, Termination.WORKER_HUNG if event.hung else Termination.WORKER_LOST)


def _refused(call: CallState, event: relay.CommandRefused) -> None:
    ending.terminate(call, Termination.MEDIA_UNAVAILABLE)


def _timer(call: CallState, event: TimerFired) -> None:
    if event.name in _OF_THE_CALL:
        _OF_THE_CALL[event.name](call)
        return
    leg = call.legs.get(event.leg)
    if leg is not None and call.live:
        _OF_A_LEG[event.name](call, leg)


def _report_again(call: CallState, leg: Leg) -> None:
    telling.again(leg)


_REFUSED_FOR = {Termination.IDENTITY_MISMATCH: Code.BRW_IDENTITY_MISMATCH}
"""Refusals before there is a leg that have a code of the catalogue."""
_OF_THE_CALL: dict[Timer, Callable[[CallState], None]] = {
    Timer.RING: invite.rung_out,
    Timer.LINGER: ending.forget,
    Timer.MEASURE: measuring.due,
}
_OF_A_LEG: dict[Timer, Callable[[CallState, Leg], None]] = {
    Timer.GLARE: change.wait_over,
    Timer.KEYED: keying.too_late,
    Timer.SILENT: invite.unheard,
    Timer.REPORT: _report_again,
    Timer.LIVENESS: liveness.look,
    Timer.REFERRAL: transfer.expired,
    Timer.PRACK: reliable.unacknowledged,
    Timer.RETURN: returning.too_late,
    Timer.SESSION: refreshing.due,
    Timer.RING_ON: reliable.ring_on,
}
_HANDLERS: dict[type[Any], Callable[[CallState, Any], None]] = {
    RequestIn: requests.request,
    ResponseIn: outcomes.response,
    RequestFailed: outcomes.failed,
    Challenged: again.challenged,
    AckIn: acknowledging.acknowledged,
    AckMissing: acknowledging.missing,
    CancelIn: _cancelled,
    Measured: measuring.measured,
    TimerFired: _timer,
    Located: locate.located,
    DialogFound: attended.found,
    DialogMissing: attended.missing,
    TakenOver: attended.taken,
    NotTaken: attended.not_taken,
    HandedOver: handed.given_away,
    Replacing: replacing.asked,
    TrunkConnected: locate.trunk_connected,
    TrunkFailed: locate.trunk_failed,
    TrunkReached: redirecting.reached,
    TrunkSilent: _trunk_silent,
    DtlsConnected: keying.connected,
    DtlsFailed: keying.failed,
    DtlsAskedAgain: keying.asked_again,
    FlowRefused: flows.noticed,
    FlowMoved: flows.noticed,
    ConnectionClosed: flows.noticed,
    Lost: _lost,
    relay.LegOpened: invite.leg_opened,
    relay.LegFailed: invite.leg_failed,
    relay.MediaStarted: proof.found,
    relay.LegVerified: proof.found,
    relay.MediaMismatch: proof.found,
    relay.KeysWorn: rekeying.noticed,
    relay.LegSilent: liveness.noticed,
    relay.LegHeard: liveness.noticed,
    relay.SourceLearned: _source,
    relay.SourceRejected: _source,
    relay.MediaUnsent: _unsent,
    relay.DigitHeard: digits.heard,
    relay.ConsentLost: keying.consent_lost,
    relay.IceValidated: keying.consented,
    relay.CommandRefused: _refused,
    relay.WorkerLost: _worker_lost,
}
"""What each event means. One that is not here is a defect, and ends its call as one (`fail`)."""
_AFTER_THE_END = (
    RequestIn,
    ResponseIn,
    RequestFailed,
    Challenged,
    AckIn,
    AckMissing,
    TimerFired,
    DialogFound,
    DialogMissing,
    TakenOver,
    Replacing,
)
"""Events an ended call still listens to: its transactions must close properly."""
