"""Keeps the registrations of the configuration at their trunks: asks, refreshes, comes back, and says goodbye."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from gateway.base.counters import Counter, Counters
from gateway.base.errors import GatewayError
from gateway.base.values import TokenSource
from gateway.sip.address import NameAddr
from gateway.sip.agent import Agent
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response
from gateway.trunks import failover
from gateway.trunks.contact import contact_of
from gateway.trunks.failover import Tried
from gateway.trunks.model import Trunk
from gateway.trunks.registration import Registration, RegistrationPlan, Standing
from gateway.trunks.table import is_reached_as
from gateway.trunks.target import Spot

log = logging.getLogger(__name__)

LEAVE_SECONDS = 2.0
"""How long a stopping gateway waits until the trunks know that it is gone."""
LOTS = 36**4

_Outcome = Callable[[float], float]
"""What came of asking: takes a lot from 0 to 1, and gives the seconds until it is asked again."""


class Connector(Protocol):
    """How a trunk is reached; `net.endpoint.SipEndpoint.connect` has this shape."""

    def __call__(self, trunk_name: str, tried: Collection[Spot], /) -> Awaitable[Flow]: ...


@dataclass(frozen=True, slots=True)
class _Bound:
    """Where our Contact was taken last."""

    flow: Flow
    contact: NameAddr


@dataclass(frozen=True, slots=True)
class Shown:
    """One registration, as administrators are shown it."""

    trunk: str
    aor: str
    standing: Standing
    why: str
    left: float
    """Seconds until the binding runs out; 0 when there is none."""


class Registrations:
    """All registrations of this gateway.

    Args:
        connect: gives a flow to a trunk.
        is_open: whether something sent on a flow can arrive; `net.endpoint.SipEndpoint.is_open` has this shape.
        advertised: where we are when a flow does not know.
    """

    def __init__(
        self,
        trunks: Mapping[str, Trunk],
        connect: Connector,
        agent: Agent,
        *,
        is_open: Callable[[Flow], bool],
        advertised: str,
        tokens: TokenSource,
        clock: Callable[[], float],
        counters: Counters,
    ) -> None:
        self._connect, self._agent, self.is_open, self._advertised = connect, agent, is_open, advertised
        self._tokens, self._clock, self._counters = tokens, clock, counters
        self._kept = [self._keep(trunk, plan) for trunk in trunks.values() for plan in trunk.registrations]
        self._stopping = False
        self._leaving: dict[asyncio.Task[None], _Kept] = {}
        """Those that are taken back, each within `LEAVE_SECONDS`."""

    def start(self) -> None:
        """Begin with all of them."""
        for kept in self._kept:
            kept.begin()

    def use(self, trunks: Mapping[str, Trunk], advertised: str) -> None:
        """Keep those of these trunks from now on. One that was changed is taken back before it is asked for as it is
        now, because both may be the same Contact to the registrar.
        """
        self._advertised = advertised
        before, self._kept = self._kept, []
        for trunk in trunks.values():
            for plan in trunk.registrations:
                old = next((kept for kept in before if kept.is_as(trunk, plan)), None)
                self._kept.append(old or self._keep(trunk, plan))
        for kept in (kept for kept in before if kept not in self._kept):
            self._leave(kept)
        for kept in (kept for kept in self._kept if kept not in before):
            self._begin(kept)

    @property
    def leaving(self) -> list[Trunk]:
        """What the trunks were at which something is being taken back."""
        return [kept.trunk for kept in self._leaving.values()]

    def is_on(self, flow: Flow) -> bool:
        """Whether a registration is being taken back over this connection."""
        return any(kept.is_on(flow) for kept in self._leaving.values())

    def _keep(self, trunk: Trunk, plan: RegistrationPlan) -> _Kept:
        return _Kept(Registration(plan, self._tokens), trunk, self)

    def _leave(self, kept: _Kept) -> None:
        task = asyncio.get_running_loop().create_task(_within(LEAVE_SECONDS, kept.leave()))
        self._leaving[task] = kept
        task.add_done_callback(lambda done: self._has_left(self._leaving.pop(done)))

    def _has_left(self, kept: _Kept) -> None:
        """What stands in the place of one that was taken back may begin."""
        for other in self._kept:
            if other.name == kept.name and not other.has_begun:
                self._begin(other)

    def _begin(self, kept: _Kept) -> None:
        if not self._stopping and all(left.name != kept.name for left in self._leaving.values()):
            kept.begin()

    async def stop(self) -> None:
        """Take back what is bound, within `LEAVE_SECONDS`; after that nothing runs."""
        self._stopping = True
        leaving = [*self._leaving, *(asyncio.create_task(kept.leave()) for kept in self._kept)]
        if leaving:
            await asyncio.wait(leaving, timeout=LEAVE_SECONDS)
            for task in leaving:
                task.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone: a trunk that would have called over it cannot any more."""
        for kept in self._kept:
            kept.flow_closed(flow)

    def shown(self) -> Sequence[Shown]:
        """How they stand."""
        now = self._clock()
        return [
            Shown(r.plan.trunk, r.plan.aor, r.standing, r.why, max(0.0, r.until - now) if r.is_bound else 0.0)
            for r in (kept.registration for kept in self._kept)
        ]

    @property
    def unbound(self) -> int:
        """How many are not registered although they should be."""
        return sum(not kept.registration.is_bound for kept in self._kept)

    def lot(self) -> float:
        """A number from 0 to 1."""
        return int(self._tokens(4), 36) / LOTS

    async def flow_to(self, trunk: str, tried: Collection[Spot]) -> Flow:
        """A flow to the trunk, to another place than those that were tried.

        Raises:
            TransportError: there is none to be had.
        """
        return await self._connect(trunk, tried)

    def contact(self, trunk: Trunk, plan: RegistrationPlan, flow: Flow) -> NameAddr:
        """Where the trunk shall call us for this registration."""
        return contact_of(trunk, flow, self._advertised, plan.user)

    def ask(self, request: Request, flow: Flow, kept: _Kept, tries: int) -> str:
        """Send a REGISTER; gives its key."""
        return self._agent.ask(request, flow, kept, login=kept.registration.plan.login, tries=tries)

    def forget(self, key: str) -> None:
        """Nobody waits for the answer of a REGISTER any more."""
        self._agent.forget(key)

    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock()

    def tell(self, registration: Registration, before: Standing) -> None:
        """Log and count how it stands, when that has changed."""
        plan, standing = registration.plan, registration.standing
        if standing is before:
            return
        level = logging.INFO if registration.is_bound else logging.WARNING
        why = f" reason={registration.why}" if registration.why else ""
        log.log(level, "trunk=%s aor=%s registration=%s->%s%s", plan.trunk, plan.aor, before, standing, why)
        if before is Standing.REGISTERED or (before is Standing.TRYING and not registration.is_bound):
            self._counters.add(Counter.REGISTRATION_LOST)


async def _within(seconds: float, work: Awaitable[None]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


class _Kept:
    """One registration that is kept; a `sip.agent.Asker`."""

    def __init__(self, registration: Registration, trunk: Trunk, owner: Registrations) -> None:
        self.registration, self.trunk, self._owner = registration, trunk, owner
        self.has_begun = False
        self._task: asyncio.Task[None] | None = None
        self._again: asyncio.TimerHandle | None = None
        self._flow: Flow | None = None
        self._contact: NameAddr | None = None
        self._key = ""
        self._tries = 0
        self._tried: Tried = ()
        """Places that did not take it this time."""
        self._bound: _Bound | None = None
        self._outcome: _Outcome | None = None
        """What the last of them came to, which counts when no other takes it."""
        self._is_over = False
        self._left: asyncio.Event | None = None

    def begin(self) -> None:
        """Ask now; one question at a time."""
        self._again, self.has_begun = None, True
        if not self._is_asking:
            self._tried, self._outcome = (), None
            self._ask_in_task()

    def is_as(self, trunk: Trunk, plan: RegistrationPlan) -> bool:
        """Whether this is what is wanted, asked for at the same places."""
        is_same = (self.registration.plan, self.trunk.contact) == (plan, trunk.contact)
        return is_same and is_reached_as(self.trunk, trunk)

    @property
    def name(self) -> tuple[str, str]:
        """What is registered, and where: two of one name are the same Contact to the registrar."""
        return self.trunk.name, self.registration.plan.aor

    def is_on(self, flow: Flow) -> bool:
        """Whether it was asked for over this connection."""
        return self._flow is not None and self._flow.id == flow.id

    @property
    def _is_asking(self) -> bool:
        """Whether an outcome will come by itself."""
        return self._task is not None or bool(self._key)

    async def leave(self) -> None:
        """Take our Contact away, where the trunk may have it; after that nothing of it runs."""
        self._is_over = True
        bound = self._may_be_bound()
        self.registration.stop()
        await self._cease()
        if bound is not None:
            self._left, self._tries = asyncio.Event(), 0
            try:
                await self._take_back(bound)
            except GatewayError as error:
                log.info("trunk=%s cannot unregister: %s", self.registration.plan.trunk, error)
            finally:
                self._owner.forget(self._key)

    def _may_be_bound(self) -> _Bound | None:
        """Where our Contact may still be: of a REGISTER that is out nobody knows, and a binding that could not be
        refreshed holds until its time is over."""
        if self._key and self._flow is not None and self._contact is not None:
            return _Bound(self._flow, self._contact)
        return self._bound if self.registration.until > self._owner.now() else None

    async def _take_back(self, bound: _Bound) -> None:
        """Ask for it where it was given, or wherever the trunk can be reached."""
        self._flow, self._contact = bound.flow, bound.contact
        if not self._owner.is_open(bound.flow):
            self._flow = await self._owner.flow_to(self.registration.plan.trunk, ())
        self._send(self.registration.request(bound.contact, leave=True), self._flow)
        if self._left is not None:
            await self._left.wait()

    async def _cease(self) -> None:
        if self._again is not None:
            self._again.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._owner.forget(self._key)

    def flow_closed(self, flow: Flow) -> None:
        """Come back over a new connection; a question that is under way is told by itself."""
        is_ours = self._flow is not None and self._flow.id == flow.id
        if is_ours and self.registration.is_bound and not self._is_asking:
            self._follow(self.registration.connection_lost)

    # --- what comes of a REGISTER

    def responded(self, response: Response, flow: Flow) -> None:
        """It is bound, or not."""
        if response.status < 200:
            return
        self._key = ""
        if self._left is not None:
            self._left.set()
            return
        contact = self._contact or NameAddr.parse("<sip:gateway@invalid>")

        if response.status < 300 and self._flow is not None:
            self._bound = _Bound(self._flow, contact)

        def outcome(lot: float) -> float:
            return self.registration.answered(response, contact, self._owner.now(), lot)

        if failover.is_of_the_place(response.status):
            self._ask_elsewhere(outcome)
        else:
            self._follow(outcome)

    def unanswered(self, *, transport: bool) -> None:
        """Nobody said anything."""
        self._key = ""
        if self._left is not None:
            self._left.set()
            return
        why = "connection lost" if transport else "no answer"
        self._ask_elsewhere(partial(self.registration.unanswered, why))

    def challenged(self, response: Response, flow: Flow, credentials: tuple[tuple[str, str], ...]) -> None:
        """Say who we are (RFC 3261 10.2, 22.2)."""
        self._key, self._tries = "", self._tries + 1
        if self._flow is None or self._contact is None:
            return
        request = self.registration.request(self._contact, leave=self._left is not None).with_added(credentials)
        try:
            self._send(request, self._flow)
        except GatewayError as error:
            self._cannot(error)

    # --- asking

    def _ask_elsewhere(self, outcome: _Outcome) -> None:
        """This place does not take it: the next one of the trunk is asked at once (RFC 3263 4.3)."""
        if self._flow is None or not failover.may_go_on(self._tried):
            self._follow(outcome)
            return
        self._tried = failover.after(self._tried, self._flow)
        self._outcome = outcome
        self._ask_in_task()

    def _ask_in_task(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._ask())
        self._task.add_done_callback(self._asked)

    async def _ask(self) -> None:
        plan, bound = self.registration.plan, self._bound
        if bound is not None and self.registration.is_bound and not self._tried and self._owner.is_open(bound.flow):
            self._flow = bound.flow  # another place of the trunk may know nothing of the binding
        else:
            self._flow = await self._owner.flow_to(plan.trunk, self._tried)
        self._contact, self._tries = self._owner.contact(self.trunk, plan, self._flow), 0
        self._send(self.registration.request(self._contact), self._flow)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, GatewayError):
            self._cannot(error)
        elif error is not None:
            log.error("trunk=%s cannot register", self.registration.plan.trunk, exc_info=error)
            self._follow(partial(self.registration.unanswered, "internal error"))

    def _cannot(self, error: GatewayError) -> None:
        if self._left is not None:
            self._left.set()
        else:
            self._follow(self._outcome or partial(self.registration.unanswered, str(error)))

    def _send(self, request: Request, flow: Flow) -> None:
        self._key = self._owner.ask(request, flow, self, self._tries)

    def _follow(self, outcome: _Outcome) -> None:
        """Take an outcome, and ask again when it says."""
        if self._is_over:
            return
        if self._again is not None:
            self._again.cancel()
        before = self.registration.standing
        seconds = outcome(self._owner.lot())
        self._owner.tell(self.registration, before)
        self._again = asyncio.get_running_loop().call_later(seconds, self.begin)
