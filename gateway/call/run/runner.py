"""Runs one call: feeds events to the pure machine and carries out its effects, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.audit import notices
from gateway.audit.final import call_broken
from gateway.base.codes import Code
from gateway.base.counters import Counter
from gateway.base.errors import MediaError
from gateway.base.short import Short
from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call.legs.leg import Leg
from gateway.call.machine import effects as fx
from gateway.call.machine import events, lines
from gateway.call.machine.call import Call
from gateway.call.machine.final import final_record
from gateway.call.machine.forks import LateForks
from gateway.call.machine.handed import takes_part
from gateway.call.machine.state import CallState, Phase
from gateway.call.run.bulletin import Shown, Sounds
from gateway.call.run.clocks import Clocks
from gateway.call.run.edge import attempt
from gateway.call.run.handover import Handover
from gateway.call.run.index import CallIndex
from gateway.call.run.media import CallMedia
from gateway.call.run.probes import TrunkProbes
from gateway.call.run.seeker import Seeker
from gateway.call.run.sender import Sender
from gateway.call.run.services import Locator, Services
from gateway.call.run.witness import CallWitness
from gateway.media import relay_events as relay
from gateway.media.relay_call import LegCounters
from gateway.media.relay_commands import OpenLeg
from gateway.sip.flow import Flow

log = logging.getLogger(__name__)

MAX_QUEUED_EVENTS = 256
"""Events waiting for a call; a call that cannot keep up is ended by its timers, not by memory."""
_LOGGED = frozenset({"leg.secured", "leg.downgraded", "leg.violation", "leg.verified"})


class CallRunner:
    """The asyncio side of one call. Owns its tasks, timers and media."""

    def __init__(
        self,
        state: CallState,
        services: Services,
        index: CallIndex,
        probes: TrunkProbes,
        location: Locator,
        seat: Callable[[str], Termination | None],
        on_end: Callable[[], None],
    ) -> None:
        self.state = state
        self.call = Call(state)
        self._services, self._index, self._on_end = services, index, on_end
        self._witness = CallWitness(state, services.witness)
        self.media = CallMedia(
            services.pool,
            services.identity,
            self.feed,
            self._media_broke,
            lambda: takes_part(self.state),
            self._witness,
        )
        self._sender = Sender(self, services, index, probes)
        self._seeker = Seeker(self, services, index, probes, location, seat)
        self._handover = Handover(self, index)
        self._clocks = Clocks(self.feed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._events: Short[events.Event] = Short()
        self._effects: Short[fx.Effect] = Short()
        self._first_step: Callable[[], list[fx.Effect]] | None = None
        self._unwritten = 0
        """Records given to the log that are not in it yet."""
        self._record_done: asyncio.Event | None = None
        """Of who waits for the last record."""
        self._busy = False
        self._closing = False
        self._finished = False
        """Media and final record are done, or being done; both happen once, whatever fails."""
        self._failed = False
        index.begin(self)
        index.receives(self, state.caller.invite_key, state.caller.call_id)

    @property
    def id(self) -> str:
        """The short name of the call."""
        return self.state.facts.id

    def legs_on(self, flow: Flow) -> list[Leg]:
        """Legs whose requests leave on this connection."""
        return [leg for leg in self.state.legs.values() if leg.flow.id == flow.id]

    def owns(self, leg: LegId, flow: Flow) -> bool:
        """Whether a message of a leg's dialog may come over this connection: its browser's, or one of its trunk's."""
        found = self.state.legs.get(leg)
        return found is not None and found.is_reached_by(flow)

    def begin(self, refused: Termination | None = None) -> None:
        """Record the start; then begin the call, or refuse it. Without a record only an emergency call goes on."""
        self._services.counters.add(Counter.CALLS_STARTED)
        log.info(lines.started(self.state))
        self._first_step = lambda: self._recorded_start(refused)
        self._decide(lambda: self.call.open(self._services.clock()))
        self._work()

    def _recorded_start(self, refused: Termination | None) -> list[fx.Effect]:
        """The first step after `call.start` is written, or policy says what to do without it."""
        now = self._services.clock()
        if refused is None and not (self.state.policy.emergency or self._services.audit.accepting_calls):
            refused = Termination.AUDIT_UNAVAILABLE
        return self.call.begin_refused(refused, now) if refused else self.call.begin(now)

    def feed(self, event: events.Event) -> None:
        """Take an event; effects may cause further events, which wait their turn."""
        if len(self._events) >= MAX_QUEUED_EVENTS:
            log.warning("call=%s event queue full, %s dropped", self.id, type(event).__name__)
            return
        self._events.append(event)
        self._work()

    def feed_first(self, event: events.Event) -> None:
        """Take an event before all that wait: it says what is so already, and what they mean depends on it."""
        self._events.appendleft(event)
        self._work()

    @property
    def is_at_rest(self) -> bool:
        """Everything that was decided is done and on record, and nothing waits to be dealt with."""
        waits = self._effects or self._events or self._unwritten or self._first_step is not None
        return not (waits or self._busy or self._finished)

    async def finished(self) -> None:
        """Wait until every task of the call is done and every record of it written or given up."""
        while self._tasks or self._unwritten:
            if self._tasks:
                await asyncio.gather(*self._tasks, return_exceptions=True)
            else:
                self._record_done = self._record_done or asyncio.Event()
                self._record_done.clear()
                await self._record_done.wait()

    def _work(self) -> None:
        """Go on until nothing is left to do, or something must be waited for."""
        if self._busy:
            return
        self._busy = True
        try:
            while self._step():
                pass
        finally:
            self._busy = False

    def _step(self) -> bool:
        """Do one thing; False when there is nothing that may be done now.

        An effect stands behind the records decided before it: it waits until they are in the log, or until policy lets
        it go without (`AuditLog.write`). Records themselves do not wait for each other; the log keeps their order.
        """
        if self._closing:
            return False
        if self._effects and (not self._unwritten or isinstance(self._effects[0], fx.WriteAudit)):
            self._carry_out(self._effects.popleft())
        elif self._effects or self._unwritten:
            return False
        elif self._first_step is not None:
            step, self._first_step = self._first_step, None
            self._decide(step)
        elif self._events:
            self._advance(self._events.popleft())
        else:
            return False
        return True

    def _advance(self, event: events.Event) -> None:
        if isinstance(event, relay.MediaUnsent):
            leg = self.state.legs.get(event.leg)
            kind = leg.kind if leg is not None else event.leg
            log.warning("call=%s leg=%s media is lost: %s", self.id, kind, event.cause)
        before = self.state.phase
        log.debug("call=%s event=%s", self.id, events.describe(event))
        self._decide(lambda: self.call.handle(event, self._services.clock()))
        if self.state.phase is not before:
            answered = self.state.phase is Phase.ANSWERED
            changed = f"call={self.id} state={before.name.lower()}->{self.state.phase.name.lower()}"
            log.log(logging.INFO if answered else logging.DEBUG, lines.answered(self.state) if answered else changed)

    def _decide(self, step: Callable[[], list[fx.Effect]]) -> None:
        """Let the machine decide; what it did not foresee ends this call and no other."""
        error = attempt(lambda: self._effects.extend(step()))
        self._stands()
        if error is None:
            return
        self._tell_failure("decide", error)
        error = attempt(lambda: self._effects.extend(self.call.fail(self._services.clock())))
        if error is not None:  # it cannot even end: it is ended without being asked
            self._tell_failure("end", error)
            self._effects.extend((fx.Finished(Termination.INTERNAL_ERROR, 500), fx.Forget()))

    def _stands(self) -> None:
        """Let the index know where the legs are, which only a decision changes."""
        legs = self.state.legs.values()
        users = {leg.number.lower() for leg in legs if leg.habits.returns}
        self._index.stands(self, {leg.flow.id for leg in legs}, users)

    def _carry_out(self, effect: fx.Effect) -> None:
        error = attempt(lambda: _HANDLERS[type(effect)](self, effect))
        if error is not None:
            self.cannot_carry_out(effect, error)

    def cannot_carry_out(self, effect: fx.Effect, error: Exception) -> None:
        """The call cannot go on as decided; a request that never left gets no response either."""
        self._tell_failure(type(effect).__name__, error)
        self.feed(events.Lost(Termination.INTERNAL_ERROR))
        if isinstance(effect, fx.SendRequest):
            self.feed(events.RequestFailed(effect.ask, transport=True))

    def _media_broke(self, error: Exception) -> None:
        self._tell_failure("media", error)
        self.feed(events.Lost(Termination.INTERNAL_ERROR))

    def _tell_failure(self, what: str, error: BaseException) -> None:
        """Log what went wrong; where, only the first time: a broken call may fail at every message it gets."""
        place = None if self._failed else error
        self._failed = True
        log.error("call=%s cannot %s: %s: %s", self.id, what, type(error).__name__, error, exc_info=place)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work of the call beside it; the call is not forgotten before it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._tell_failure("do a task", error)
            self.feed(events.Lost(Termination.INTERNAL_ERROR))

    # Effects, those that are neither sent nor asked for.

    def _track(self, effect: fx.TrackDialog) -> None:
        self._index.tracks(self, effect.key, effect.leg)

    def _relay(self, effect: fx.Relay) -> None:
        if isinstance(effect.command, OpenLeg):
            self.spawn(self.media.open(effect.command))
            return
        try:
            self.media.carry_out(effect.command)
        except MediaError:
            self.feed(events.Lost(Termination.BAD_SDP))

    def _start_dtls(self, effect: fx.StartDtls) -> None:
        self.media.start_dtls(effect)

    def _release_keys(self, effect: fx.ReleaseDtlsKeys) -> None:
        self.media.release_keys(effect.leg)

    def _audit(self, effect: fx.WriteAudit) -> None:
        kind = str(effect.record.get("type", ""))
        if kind in _LOGGED:
            level = logging.WARNING if kind == "leg.violation" else logging.DEBUG
            log.log(level, "call=%s %s codes=%s", self.id, kind, effect.record.get("codes"))
            codes = effect.record.get("codes")
            if isinstance(codes, list) and Code.PIN_BID_DOWN in codes:
                log.warning("call=%s a peer that is known to encrypt does without: pin.bid_down", self.id)
        elif kind == "leg.quality":
            log.info(lines.turned(self.state, effect.record))
        self._unwritten += 1
        self._services.audit.write(effect.record, self._recorded)

    def _pin(self, effect: fx.Pin) -> None:
        """A pin is on record before it holds anybody."""
        services = self._services
        if services.pins.is_news(effect.peer):
            services.audit.write(notices.pin_learned(effect.peer, self.state.facts.uid))
        services.pins.learn(effect.peer, services.wall())

    def _recorded(self, _written: bool) -> None:
        """A record is in the log, or the call may go on without: then the log has told of that itself."""
        self._unwritten -= 1
        if self._record_done is not None:
            self._record_done.set()
        self._work()

    def _finish(self, effect: fx.Finished) -> None:
        """Media stops, then the final record is written, then the peers are told: nothing overtakes the record."""
        if self._finished:
            return
        self._finished = self._closing = True
        self.spawn(self._close(effect))

    async def _close(self, effect: fx.Finished) -> None:
        counters: LegCounters = {}
        try:
            counters = await self.media.close()
        finally:
            await self._write_final(effect, counters)
            self._closing = False
            self._on_end()
            self._work()

    async def _write_final(self, effect: fx.Finished, counters: LegCounters) -> None:
        final: list[dict[str, object]] = []
        error = attempt(lambda: final.append(self._final(effect, counters)))
        if error is not None:
            self._tell_failure("describe its end", error)
            final.append(call_broken(self.state.facts.uid))
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._services.audit.write(final[0], lambda found: None if written.done() else written.set_result(found))
        await written
        self._witness.ended(final[0].get("quality"))
        self._services.counters.end_call(effect.termination)
        log.info(lines.ended(self.state, effect, self._services.clock()))

    def _final(self, effect: fx.Finished, counters: LegCounters) -> dict[str, object]:
        return final_record(self.state, effect, counters, self._services.clock(), self.media.quality)

    def _measure(self, _effect: fx.Measure) -> None:
        self.spawn(self._measured())

    async def _measured(self) -> None:
        """Ask the relay; one that does not answer, or is lost, says so by itself."""
        with contextlib.suppress(MediaError):
            await self.media.counters()
            self.feed(events.Measured(dict(self.media.quality)))

    def _show(self, effect: fx.ShowReport) -> None:
        shown = Shown(effect.report, effect.sip_call_id, effect.answered)
        self._services.bulletin.show(effect.user, (self.state.facts.uid, effect.leg), shown)

    def _show_quality(self, effect: fx.ShowQuality) -> None:
        sounds = Sounds(self.id, effect.sip_call_id, effect.quality)
        self._services.bulletin.show_quality((self.state.facts.uid, effect.leg), sounds)

    def _take_down(self, effect: fx.TakeDown) -> None:
        self._services.bulletin.take_down((self.state.facts.uid, effect.leg))

    def _count(self, effect: fx.Count) -> None:
        self._services.counters.add(effect.name)

    def _forget(self, _effect: fx.Forget) -> None:
        self._clocks.clear_all()
        self._index.drop(self)
        self._services.bulletin.forget(self.state.facts.uid)
        self._index.ended[self.state.trunk_id] += 1
        now = self._services.clock()
        for leg in self.state.legs.values():
            key, left = self._sender.invite_of(leg.id), leg.forks_until - now
            if left > 0:
                self._index.late_forks[key] = LateForks(leg, self.state.termination)
                asyncio.get_running_loop().call_later(left, self._index.late_forks.pop, key, None)


_HANDLERS: dict[type[Any], Callable[[CallRunner, Any], None]] = {
    fx.SendRequest: lambda runner, effect: runner._sender.send(effect),
    fx.SendAck: lambda runner, effect: runner._sender.send(effect),
    fx.CancelInvite: lambda runner, effect: runner._sender.cancel(effect),
    fx.Respond: lambda runner, effect: runner._sender.respond(effect),
    fx.TrackDialog: CallRunner._track,
    fx.Locate: lambda runner, effect: runner._seeker.locate(effect),
    fx.ConnectTrunk: lambda runner, effect: runner._seeker.connect(effect),
    fx.ResolveNames: lambda runner, effect: runner._seeker.resolve(effect),
    fx.ReachTrunk: lambda runner, effect: runner._seeker.reach(effect),
    fx.ProbeTrunk: lambda runner, effect: runner._seeker.probe(effect),
    fx.FindDialog: lambda runner, effect: runner._handover.find(effect),
    fx.TakeOver: lambda runner, effect: runner._handover.take(effect),
    fx.Relay: CallRunner._relay,
    fx.StartDtls: CallRunner._start_dtls,
    fx.ReleaseDtlsKeys: CallRunner._release_keys,
    fx.WriteAudit: CallRunner._audit,
    fx.ShowReport: CallRunner._show,
    fx.TakeDown: CallRunner._take_down,
    fx.ShowQuality: CallRunner._show_quality,
    fx.Measure: CallRunner._measure,
    fx.Pin: CallRunner._pin,
    fx.Count: CallRunner._count,
    fx.SetTimer: lambda runner, effect: runner._clocks.set(effect),
    fx.ClearTimer: lambda runner, effect: runner._clocks.clear(effect),
    fx.Finished: CallRunner._finish,
    fx.Forget: CallRunner._forget,
}
"""Who carries out which effect; one table for all calls."""
