"""Runs one call: feeds events to the pure machine and carries out its effects, one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from gateway.audit import notices, record
from gateway.audit.facts import Checkpoint
from gateway.base.counters import Counter
from gateway.base.errors import MediaError, TransportError
from gateway.base.termination import Termination
from gateway.base.values import LegId
from gateway.call import bridge, events, lines, security
from gateway.call import effects as fx
from gateway.call.b2bua import Call
from gateway.call.edge import attempt
from gateway.call.forks import LateForks
from gateway.call.handed import takes_part
from gateway.call.handover import Handover
from gateway.call.index import CallIndex
from gateway.call.leg import Leg
from gateway.call.media_control import CallMedia
from gateway.call.probes import TrunkProbes
from gateway.call.services import Locator, Services
from gateway.call.state import CallState, Phase
from gateway.media import relay_events as relay
from gateway.media.relay_call import LegCounters
from gateway.media.relay_commands import OpenLeg
from gateway.sip.flow import Flow, objection

log = logging.getLogger(__name__)

MAX_QUEUED_EVENTS = 256
"""Events waiting for a call; a call that cannot keep up is ended by its timers, not by memory."""
MAX_REINVITES_KEPT = 4
"""Re-INVITEs of ours whose 2xx may still be repeated (RFC 3261 13.2.2.4); older ones were acknowledged long ago."""

_RECORD_COUNTERS = {
    "leg.secured": Counter.LEGS_SECURED,
    "leg.downgraded": Counter.LEGS_DOWNGRADED,
    "leg.violation": Counter.LEGS_REFUSED,
    "leg.verified": Counter.LEGS_VERIFIED,
}


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
        self._services, self._index, self._probes, self._on_end = services, index, probes, on_end
        self._location, self._seat = location, seat
        self.media = CallMedia(
            services.pool, services.identity, self.feed, self._media_broke, lambda: takes_part(self.state)
        )
        self._handover = Handover(self, index)
        self._loop = asyncio.get_running_loop()
        self._timers: dict[tuple[fx.Timer, LegId], asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._events: deque[events.Event] = deque()
        self._effects: deque[fx.Effect] = deque()
        self._invites: dict[int, str] = {}
        """Transactions of our INVITEs that have begun a leg, by their number."""
        self._invite_of: dict[LegId, str] = {}
        """The last of them for each leg."""
        self._reinvites: deque[str] = deque()
        self._sent_again: set[int] = set()
        """Asks whose connection broke; one entry at most for each request of the call."""
        self._first_step: Callable[[], list[fx.Effect]] | None = None
        self._unwritten = 0
        """Records given to the log that are not in it yet."""
        self._record_done = asyncio.Event()
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
        if error is None:
            return
        self._tell_failure("decide", error)
        error = attempt(lambda: self._effects.extend(self.call.fail(self._services.clock())))
        if error is not None:  # it cannot even end: it is ended without being asked
            self._tell_failure("end", error)
            self._effects.extend((fx.Finished(Termination.INTERNAL_ERROR, 500), fx.Forget()))

    def _carry_out(self, effect: fx.Effect) -> None:
        handler: Callable[[CallRunner, Any], None] = _EFFECTS[type(effect)]
        error = attempt(lambda: handler(self, effect))
        if error is not None:
            self._tell_failure(type(effect).__name__, error)
            self._not_carried_out(effect)

    def _not_carried_out(self, effect: fx.Effect) -> None:
        """The call cannot go on as decided; a request that never left gets no response either."""
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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._tell_failure("do a task", error)
            self.feed(events.Lost(Termination.INTERNAL_ERROR))

    # Effects. One method each; the table below the class names them.

    def _send(self, effect: fx.SendRequest | fx.SendAck) -> None:
        begins = isinstance(effect, fx.SendRequest) and effect.purpose is fx.Purpose.INVITE
        if self._is_cut(effect) and not begins:
            self._spawn(self._reconnect(effect))
        else:
            self._send_over(effect)

    def _send_over(self, effect: fx.SendRequest | fx.SendAck) -> None:
        if isinstance(effect, fx.SendAck):
            self._services.sip.send_ack(effect.request, effect.flow)
        else:
            self._send_request(effect)

    def _send_request(self, effect: fx.SendRequest) -> None:
        key = self._services.sip.send_request(effect.request, effect.flow)
        if self.state.end.forgotten:
            return
        self._index.sends(self, key, effect)
        if effect.purpose is fx.Purpose.INVITE:
            self._invites[effect.ask] = self._invite_of[effect.leg] = key
        elif effect.purpose is fx.Purpose.REINVITE:
            self._reinvites.append(key)
            if len(self._reinvites) > MAX_REINVITES_KEPT:
                self._index.done(self._reinvites.popleft())

    def _is_cut(self, effect: fx.SendRequest | fx.SendAck) -> bool:
        """Whether the connection this should leave on is gone and can be had anew, as that to a trunk can."""
        flow, leg = effect.flow, self.state.legs.get(effect.leg)
        can_be_had = leg is not None and leg.habits.reconnects
        return can_be_had and flow.is_reliable and not self._services.sip.is_open(flow)

    async def _reconnect(self, effect: fx.SendRequest | fx.SendAck) -> None:
        """Send over a new connection to where the request goes (RFC 3261 18.1.1), if one proves as much as the first.

        Several requests of a call wait for the same connection and leave in their order.
        """
        flow = await self._new_connection(effect)
        if flow is None:
            if isinstance(effect, fx.SendRequest):
                self.feed(events.RequestFailed(effect.ask, transport=True))
            return
        error = attempt(lambda: self._send_over(replace(effect, flow=flow)))
        if error is not None:
            self._tell_failure(type(effect).__name__, error)
            self._not_carried_out(effect)

    async def _new_connection(self, effect: fx.SendRequest | fx.SendAck) -> Flow | None:
        leg, method = self.state.legs.get(effect.leg), effect.request.method
        if leg is None or leg.founding.trunk is None:
            return None
        trunk = leg.founding.trunk
        try:
            flow = await self._services.sip.reconnect(trunk, effect.flow, leg.place_of(effect.request))
        except TransportError as error:
            if leg.heard_on is None or not self._services.sip.is_open(leg.heard_on):
                log.warning("call=%s trunk=%s cannot send %s: %s", self.id, trunk, method, error.why)
                return None
            flow = leg.heard_on  # one that the trunk opened, when it cannot be reached from here
        self._record_peer(trunk, flow)
        if why := objection(flow, leg.founding):
            self.feed(events.FlowRefused(leg.id, flow, method, why, 0))
            return None
        log.debug("call=%s %s over a new connection flow=%s", self.id, method, flow)
        self.feed(events.FlowMoved(leg.id, flow))
        return flow

    def sends_again(self, sent: fx.SendRequest) -> bool:
        """Whether a request whose connection broke under it goes once more, over a new one.

        A peer that closes an idle connection may do so while our request is on its way: it never saw it. If it did, it
        answers the second one 481, or like the first. An INVITE that begins a call is not sent twice.
        """
        if sent.purpose is fx.Purpose.INVITE or sent.ask in self._sent_again or not self._is_cut(sent):
            return False
        self._sent_again.add(sent.ask)
        self._spawn(self._reconnect(sent))
        return True

    def _cancel(self, effect: fx.CancelInvite) -> None:
        if effect.ask in self._invites:
            self._services.sip.cancel(self._invites[effect.ask], effect.headers)

    def _respond(self, effect: fx.Respond) -> None:
        if effect.response.cseq.method == "INVITE" and 200 <= effect.response.status < 300:
            if effect.key not in self._index.received:
                self._index.receives(self, effect.key)  # only there something follows: an ACK, or none
        log.debug("call=%s sent=%d %s", self.id, effect.response.status, effect.response.cseq.method)
        self._services.sip.respond(effect.key, effect.response)

    def _track(self, effect: fx.TrackDialog) -> None:
        self._index.tracks(self, effect.key, effect.leg)

    def _relay(self, effect: fx.Relay) -> None:
        if isinstance(effect.command, OpenLeg):
            self._spawn(self.media.open(effect.command))
            return
        try:
            self.media.carry_out(effect.command)
        except MediaError:
            self.feed(events.Lost(Termination.BAD_SDP))

    def _connect(self, effect: fx.ConnectTrunk) -> None:
        self._spawn(self._connect_trunk(effect.leg, effect.trunk))

    async def _connect_trunk(self, leg: LegId, trunk: str) -> None:
        try:
            down = self._probes.is_down(trunk)
            flow = await self._probes.connect(trunk)
        except TransportError as error:
            log.warning("call=%s trunk=%s unreachable: %s %s", self.id, trunk, error.why, error.verification)
            self.feed(events.TrunkFailed(leg, error.why, error.verification))
        else:
            self._record_peer(trunk, flow)
            self.feed(events.TrunkConnected(leg, flow, down))

    def _probe(self, effect: fx.ProbeTrunk) -> None:
        self._spawn(self._ask_trunk(effect.leg, effect.trunk))

    async def _ask_trunk(self, leg: LegId, trunk: str) -> None:
        if not await self._probes.answers(trunk):
            self.feed(events.TrunkSilent(leg))

    def _record_peer(self, trunk: str, flow: Flow) -> None:
        """One tls.peer record per connection, however many calls use it."""
        if flow.tls is not None and flow.id not in self._index.recorded_peers:
            self._index.recorded_peers.add(flow.id)
            self._services.audit.write(notices.tls_peer(trunk=trunk, address=flow.remote, identity=flow.tls))

    def _locate(self, effect: fx.Locate) -> None:
        self._spawn(self._find_user(effect.user))

    async def _find_user(self, user: str) -> None:
        bindings = await self._location.locate(user)
        places = tuple(events.Place(binding.flow, binding.contact.uri) for binding in bindings)
        self.feed(events.Located(user, places, self._seat(user) if places else None))

    def _find_dialog(self, effect: fx.FindDialog) -> None:
        self._handover.find(effect)

    def _take_over(self, effect: fx.TakeOver) -> None:
        self._handover.take(effect)

    def _resolve(self, effect: fx.ResolveNames) -> None:
        self._spawn(self._find_names(effect.names))

    async def _find_names(self, names: tuple[str, ...]) -> None:
        found = await self._services.lookups.find(names)
        log.info("call=%s trunk=%s media names: %s", self.id, self.state.trunk_id, found)
        self.feed(events.NamesFound(found))

    def _start_dtls(self, effect: fx.StartDtls) -> None:
        self.media.start_dtls(effect.leg, effect.role, effect.fingerprints)

    def _release_keys(self, effect: fx.ReleaseDtlsKeys) -> None:
        self.media.release_keys(effect.leg)

    def _audit(self, effect: fx.WriteAudit) -> None:
        kind = str(effect.record.get("type", ""))
        if kind in _RECORD_COUNTERS:
            self._services.counters.add(_RECORD_COUNTERS[kind])
            level = logging.WARNING if kind == "leg.violation" else logging.DEBUG
            log.log(level, "call=%s %s codes=%s", self.id, kind, effect.record.get("codes"))
        if effect.record.get("checkpoint") == Checkpoint.PACKETS and effect.record.get("kind") == "D4":
            self._services.counters.add(Counter.LEGS_CONTRADICTED)
        self._unwritten += 1
        self._services.audit.write(effect.record, self._recorded)

    def _recorded(self, _written: bool) -> None:
        """A record is in the log, or the call may go on without: then the log has told of that itself."""
        self._unwritten -= 1
        self._record_done.set()
        self._work()

    def _set_timer(self, effect: fx.SetTimer) -> None:
        clock = (effect.name, effect.leg)
        self._clear(clock)
        self._timers[clock] = self._loop.call_later(effect.seconds, self._timer_fired, clock)

    def _clear_timer(self, effect: fx.ClearTimer) -> None:
        self._clear((effect.name, effect.leg))

    def _clear(self, clock: tuple[fx.Timer, LegId]) -> None:
        timer = self._timers.pop(clock, None)
        if timer is not None:
            timer.cancel()

    def _timer_fired(self, clock: tuple[fx.Timer, LegId]) -> None:
        self._timers.pop(clock, None)
        self.feed(events.TimerFired(*clock))

    def _finish(self, effect: fx.Finished) -> None:
        """Media stops, then the final record is written, then the peers are told: nothing overtakes the record."""
        if self._finished:
            return
        self._finished = self._closing = True
        self._spawn(self._close(effect))

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
        error = attempt(lambda: final.append(self._final_record(effect, counters)))
        if error is not None:
            self._tell_failure("describe its end", error)
            final.append(record.call_broken(self.state.facts.uid))
        written: asyncio.Future[bool] = self._loop.create_future()
        self._services.audit.write(final[0], lambda found: None if written.done() else written.set_result(found))
        await written
        self._services.counters.end_call(effect.termination)
        log.info(lines.ended(self.state, effect, self._services.clock()))

    def _count(self, effect: fx.Count) -> None:
        self._services.counters.add(effect.name)

    def _final_record(self, effect: fx.Finished, counters: LegCounters) -> dict[str, object]:
        state = self.state
        addressed = next((leg for leg in state.pair if leg.peer_rtp is not None), None)
        answered = state.answered_at
        return record.call_final(
            security.info(state),
            state.policy,
            state.posture,
            effect.termination,
            duration=self._services.clock() - answered if answered is not None else 0.0,
            sip_status=effect.status,
            codecs=self._codecs(),
            counters=self._counted(counters),
            causes=state.end.reasons,
            grade_refused=state.refused.name if state.refused is not None else "",
            codec=bridge.codec_in_use(state),
            trunk_rtp=addressed.peer_rtp if addressed else None,
            own_rtp=addressed.own_rtp if addressed else None,
        )

    def _codecs(self) -> list[str]:
        """What the browser was offered, or answered, last."""
        local = next((leg.talk.ours for leg in self.state.pair if leg.habits.is_person), None)
        return [codec.key[0] for codec in local.codecs] if local is not None else []

    def _counted(self, counters: LegCounters) -> dict[str, dict[str, int]]:
        """What was counted on each leg; of what never happened, nothing."""
        labels, legs = self.state.posture.labels(), self.state.legs
        return {
            labels.get(leg, f"{legs[leg].kind}-{leg}"): {
                name: count for name in numbers.__slots__ if (count := getattr(numbers, name))
            }
            for leg, numbers in counters.items()
            if leg in legs
        }

    def _forget(self, _effect: fx.Forget) -> None:
        for clock in list(self._timers):
            self._clear(clock)
        self._index.drop(self)
        now = self._services.clock()
        for leg in self.state.legs.values():
            key, left = self._invite_of.get(leg.id, ""), leg.forks_until - now
            if left > 0:
                self._index.late_forks[key] = LateForks(leg, self.state.termination)
                self._loop.call_later(left, self._index.late_forks.pop, key, None)


_EFFECTS: dict[type[Any], Callable[[CallRunner, Any], None]] = {
    fx.SendRequest: CallRunner._send,
    fx.SendAck: CallRunner._send,
    fx.CancelInvite: CallRunner._cancel,
    fx.Respond: CallRunner._respond,
    fx.TrackDialog: CallRunner._track,
    fx.Locate: CallRunner._locate,
    fx.FindDialog: CallRunner._find_dialog,
    fx.TakeOver: CallRunner._take_over,
    fx.ConnectTrunk: CallRunner._connect,
    fx.Relay: CallRunner._relay,
    fx.ResolveNames: CallRunner._resolve,
    fx.ProbeTrunk: CallRunner._probe,
    fx.StartDtls: CallRunner._start_dtls,
    fx.ReleaseDtlsKeys: CallRunner._release_keys,
    fx.WriteAudit: CallRunner._audit,
    fx.Count: CallRunner._count,
    fx.SetTimer: CallRunner._set_timer,
    fx.ClearTimer: CallRunner._clear_timer,
    fx.Finished: CallRunner._finish,
    fx.Forget: CallRunner._forget,
}
