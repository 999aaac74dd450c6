"""Answers what is asked over the admin socket: gathers the facts, lets `views` and `traces` put them into words."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Protocol

from gateway.admin import views
from gateway.admin.lines import Ask, AskError, Problem, Question
from gateway.admin.traces import Recorder, Trace, Wish
from gateway.admin.views import CallNumbers, Row, TrunkFacts, UserFacts
from gateway.base.errors import MediaError
from gateway.call.machine.state import CallState
from gateway.call.manager import CallManager
from gateway.call.run.runner import CallRunner
from gateway.location.asking import StoreUnavailableError
from gateway.media.relay_call import LegCounters
from gateway.media.relay_facts import DRAIN_SECONDS, Relief, WorkerFacts
from gateway.sip.flow import Flow
from gateway.site import Sites
from gateway.trunks.registering import Shown
from gateway.trunks.target import Spot, TrunkTarget

ROWS_PER_TURN = 20
"""Rows made before the loop serves others: a few hundred microseconds."""
LOOK_SECONDS = 1.0
"""How often a trace looks whether its call is still there."""
QUIET_SECONDS = 2.0
"""After the last message of a call that is over its trace ends: the answer to a BYE is in it, retransmissions too."""
TRACE_SECONDS = 4 * 3600.0
"""How long one trace goes on, its waiting for the next call included: nobody looks on for longer."""
ALL = "all"
"""Every worker."""
ANYBODY = "*"
"""The next call, whoever's it is."""


class Endpoint(Protocol):
    """What of the SIP endpoint is shown; `net.endpoint.SipEndpoint` has this shape."""

    def flows_of(self, trunk: str) -> list[Flow]: ...

    def places_of(self, trunk: str) -> list[tuple[Spot, TrunkTarget, str]]: ...

    @property
    def opened_at(self) -> Mapping[int, float]: ...


class Relay(Protocol):
    """What of the relay is shown, and can be had; `media.relay_client.RelayPool` has this shape."""

    @property
    def workers(self) -> list[WorkerFacts]: ...

    async def relieve(self, port: int | None = None, seconds: float = ...) -> dict[int, Relief]: ...


class Desk:
    """One desk of a gateway, for all who ask.

    Args:
        clock: monotonic seconds.
        tapped: told the recorder, and whether it is to see messages from now on.
        registered: what is registered at trunks in our name.
        reload: loads the configuration anew, and tells what came of it.
        relay: the workers that carry the media.
    """

    def __init__(
        self,
        manager: CallManager,
        endpoint: Endpoint,
        sites: Sites,
        clock: Callable[[], float],
        tapped: Callable[[Recorder, bool], None],
        registered: Callable[[], Sequence[Shown]],
        reload: Callable[[], AsyncGenerator[Row]],
        relay: Relay,
    ) -> None:
        self._registered, self._relay = registered, relay
        self._manager, self._endpoint, self._sites, self._clock = manager, endpoint, sites, clock
        self._reload = reload
        self.recorder = Recorder(self._find, lambda wanted: tapped(self.recorder, wanted))

    async def rows(self, question: Question) -> AsyncGenerator[Row]:
        """The answer, row by row.

        Raises:
            AskError: there is none.
        """
        answers = {
            Ask.TRUNKS: self._trunks,
            Ask.USERS: self._users,
            Ask.REGISTRATIONS: self._registrations,
            Ask.CALLS: self._calls,
            Ask.RELOAD: self._reload,
            Ask.PINS: self._pins,
            Ask.WORKERS: self._workers,
        }
        asked = {Ask.TRACE: self._trace, Ask.CLEAR_PIN: self._clear_pin, Ask.RELIEVE: self._relieve}
        by_question = asked.get(question.ask)
        made = by_question(question) if by_question is not None else answers[question.ask]()
        number = 0
        async with aclosing(made) as rows:
            async for row in rows:
                yield row
                number += 1
                if number % ROWS_PER_TURN == 0:
                    await asyncio.sleep(0)

    # --- pins

    async def _pins(self) -> AsyncGenerator[Row]:
        for row in self._manager.pins.rows():
            yield row

    async def _clear_pin(self, question: Question) -> AsyncGenerator[Row]:
        peer = question.get("peer")
        cleared = await self._manager.pins.clear(peer)
        if cleared is None:
            raise AskError(Problem.UNKNOWN, f"{peer or 'nobody'} is not pinned; see sip-gateway pins")
        if not cleared:
            raise AskError(Problem.UNAVAILABLE, f"{peer} is let off, but the file of pins cannot be written yet")
        yield {"peer": peer, "cleared": True}

    # --- relay workers

    async def _workers(self) -> AsyncGenerator[Row]:
        for facts in self._relay.workers:
            yield views.worker(facts)

    async def _relieve(self, question: Question) -> AsyncGenerator[Row]:
        name, within = question.get("worker"), question.get("seconds") or str(DRAIN_SECONDS)
        try:
            port, seconds = None if name == ALL else int(name), float(within)
        except ValueError:
            raise AskError(Problem.MALFORMED, f"name a worker by its number, or {ALL}, and whole seconds") from None
        if not 0 <= seconds < math.inf:
            raise AskError(Problem.MALFORMED, "a time is a number of seconds")
        try:
            outcome = await self._relay.relieve(port, seconds)
        except MediaError as error:
            raise AskError(Problem.UNAVAILABLE, str(error)) from None
        for worker, relief in outcome.items():
            yield {"worker": worker, "outcome": relief.value}

    # --- tables

    async def _trunks(self) -> AsyncGenerator[Row]:
        index = self._manager.index
        live = Counter(runner.state.trunk_id for runner in index.runners)
        registered = self._registered()
        for name, trunk in self._sites.current.trunks.items():
            standing = self._manager.probes.standing(name)
            facts = TrunkFacts(
                trunk=trunk,
                standing=standing,
                flows=self._endpoint.flows_of(name),
                live=live[name],
                total=live[name] + index.ended[name],
                places=self._endpoint.places_of(name),
                registrations=[shown for shown in registered if shown.trunk == name],
            )
            yield views.trunk(facts, self._clock())

    async def _users(self) -> AsyncGenerator[Row]:
        async for facts in self._people():
            yield views.user(facts, self._clock())

    async def _registrations(self) -> AsyncGenerator[Row]:
        async for facts in self._people():
            for row in views.registrations(facts, self._clock()):
                yield row

    async def _people(self) -> AsyncGenerator[UserFacts]:
        location, known = self._manager.location, self._sites.current.users
        live = Counter(user for runner in self._manager.index.runners for user in _people_of(runner.state))
        for name in sorted({*known, *location.identities.users}):
            try:
                bindings = await location.bindings(name)
            except StoreUnavailableError as error:
                raise AskError(Problem.UNAVAILABLE, f"the store of bindings: {error}") from None
            flows = location.identities.flows_of(name)
            opened = self._endpoint.opened_at
            yield UserFacts(name, name in known, bindings, len(flows), live[name], opened, location.node)

    async def _calls(self) -> AsyncGenerator[Row]:
        waiting = list(self._manager.index.runners)
        while waiting:
            some, waiting = waiting[:ROWS_PER_TURN], waiting[ROWS_PER_TURN:]
            numbers = await asyncio.gather(*(_numbers(runner) for runner in some))
            for runner, found in zip(some, numbers, strict=True):
                yield views.call(runner.state, self._clock(), found)

    # --- traces

    async def _trace(self, question: Question) -> AsyncGenerator[Row]:
        if self.recorder.is_full:
            raise AskError(Problem.BUSY, "as many calls are being traced as may be at a time")
        arrived = asyncio.Event()
        trace = Trace(self._wish(question), arrived.set)
        trace.call = trace.wish.call
        trace.state = self._calls_by_id()[trace.call].state if trace.call else None
        self.recorder.begin(trace)
        try:
            yield {"event": "call", **self._call_of(trace)} if trace.state else {"event": "waiting"}
            async for row in self._messages(trace, arrived):
                yield row
        finally:
            self.recorder.end(trace)

    async def _messages(self, trace: Trace, arrived: asyncio.Event) -> AsyncGenerator[Row]:
        """What is recorded, as it comes; an empty row now and then, so that a reader that is gone is noticed."""
        begun = heard = self._clock()
        told = 0
        while self._clock() - begun < TRACE_SECONDS:
            await _within(arrived, LOOK_SECONDS)
            arrived.clear()
            for row in trace.take():
                heard = self._clock()
                yield {"event": "message", **row}
            if trace.dropped > told:
                yield {"event": "dropped", "messages": trace.dropped - told}
                told = trace.dropped
            if trace.state and not trace.state.live and self._clock() - heard >= QUIET_SECONDS:
                yield {"event": "ended", **self._call_of(trace)}
                return
            yield {}
        raise AskError(Problem.TIMEOUT, "this trace has gone on for as long as one may")

    def _wish(self, question: Question) -> Wish:
        if name := question.get("next"):
            return self._wish_for_next(name)
        prefix = question.get("call")
        found = sorted(id for id in self._calls_by_id() if prefix and id.startswith(prefix))
        if prefix in found:
            found = [prefix]
        if not found:
            raise AskError(Problem.NO_SUCH_CALL, f"no call there is begins with {prefix or 'nothing'}")
        if len(found) > 1:
            raise AskError(Problem.AMBIGUOUS, f"{len(found)} calls begin with {prefix}")
        return Wish(call=found[0])

    def _wish_for_next(self, name: str) -> Wish:
        site = self._sites.current
        if name == ANYBODY:
            return Wish()
        if name in site.trunks:
            return Wish(trunk=name)
        if name in site.users or name in self._manager.location.identities.users:
            return Wish(user=name)
        raise AskError(Problem.UNKNOWN, f"there is no trunk and no user {name}")

    def _calls_by_id(self) -> dict[str, CallRunner]:
        """Calls by their short name; of those that are over and still answer late messages too."""
        return {runner.id: runner for runner in self._manager.index.runners}

    def _call_of(self, trace: Trace) -> Row:
        if trace.state is None:
            return {}
        row = views.call(trace.state, self._clock())
        if trace.state.termination is not None:
            row["reason"] = trace.state.termination.slug
        return row

    def _find(self, call_id: str, deep: bool) -> CallState | None:
        """The call of a message; a request that leaves now is in no index before it has left."""
        index = self._manager.index
        found = index.of_call_id(call_id)
        if found:
            return next((runner.state for runner in found if runner.state.live), found[-1].state)
        states = (runner.state for runner in index.runners) if deep else ()
        return next((s for s in states if any(leg.call_id == call_id for leg in s.legs.values())), None)


async def _numbers(runner: CallRunner) -> CallNumbers:
    """What its relay has counted; of one that is lost, or does not answer, what was heard of it last."""
    packets: LegCounters = {}
    with suppress(MediaError):
        packets = await runner.media.counters()
    return CallNumbers(packets, runner.media.quality)


def _people_of(state: CallState) -> set[str]:
    return {name for name in (state.facts.user, state.facts.callee) if name}


async def _within(arrived: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await arrived.wait()
    except TimeoutError:
        return
