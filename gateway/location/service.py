"""The location service: users sign in, bind, leave and are found, whatever keeps the bindings.

REGISTER -> turn of its user -> store: lookup -> `registrar`: what changes -> store: change -> 200 -> losers are told
INVITE   -> store: lookup -> those of living connections, the preferred first
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from gateway.base.counters import Counters
from gateway.base.errors import SipError
from gateway.base.values import TokenSource
from gateway.location import registrar
from gateway.location.announcer import Announcer
from gateway.location.asking import STORE_SECONDS, Asking, StoreUnavailableError
from gateway.location.binding import Binding, FlowName, targets
from gateway.location.devices import Device, Devices
from gateway.location.identities import Identities
from gateway.location.standing import Standings
from gateway.location.store import LocationStore
from gateway.location.turns import Turns
from gateway.sip.agent import Agent
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response

log = logging.getLogger(__name__)

NODE_LENGTH = 12
"""Characters of the name of this process, a new one at each start: numbers of flows begin at 1 again."""
ANY_TERMS = registrar.Terms()
"""Those of a user of whom nothing else is said."""
RETRY_SECONDS = 5
"""When a page may try again that could not be bound."""


def _nothing(_flow: Flow, _new: Sequence[Device]) -> None:
    """Until somebody wants to know."""


class Location:
    """Users and where they can be reached: identities and bindings, both tied to flows. When the flow goes, they go.

    Args:
        agent: sends NOTIFY requests.
        realm: the domain of the users.
    """

    def __init__(
        self,
        store: LocationStore,
        agent: Agent,
        *,
        realm: str,
        tokens: TokenSource,
        counters: Counters,
    ) -> None:
        self.node = tokens(NODE_LENGTH)
        self.identities = Identities()
        self.devices = Devices()
        self.on_bound: Callable[[Flow, Sequence[Device]], None] = _nothing
        """Told of devices that registered over a connection for the first time, before they are answered."""
        self._store = store
        self._asking = Asking(counters)
        self._turns = Turns()
        self._standings = Standings(self.node)
        self._announcer = Announcer(self._standings, agent, realm=realm, tokens=tokens, again=self._tell_again)
        self._jobs: set[asyncio.Task[None]] = set()

    @property
    def users(self) -> int:
        """Users bound on a connection of this process."""
        return len(self._standings)

    async def locate(self, user: str) -> tuple[Binding, ...]:
        """Where this user can be called now, the preferred first; nowhere when the store cannot say in time."""
        try:
            return self.reachable(user, await self._asking.ask(self._store.lookup(user)))
        except StoreUnavailableError as error:
            log.warning("user=%s cannot be located: %s", user, error)
            return ()

    async def bindings(self, user: str) -> tuple[Binding, ...]:
        """Everything that is bound for this user, in any process, in the order in which it came.

        Raises:
            StoreUnavailableError: the store cannot say.
        """
        return await self._asking.ask(self._store.lookup(user))

    def reachable(self, user: str, bindings: Iterable[Binding]) -> tuple[Binding, ...]:
        """Of what a store knows of a user, the connections that live here, as `locate` orders them.

        What another process has is left out: no call goes from process to process.
        """
        return targets(b for b in bindings if b.node == self.node and self.identities.user_of(b.flow) == user)

    def register(
        self,
        request: Request,
        flow: Flow,
        user: str,
        answer: Callable[[Response], None],
        terms: registrar.Terms = ANY_TERMS,
    ) -> None:
        """Take a REGISTER of an authenticated user: bind, refresh, query or unbind.

        Args:
            answer: told the response, once.
            terms: what that user may have.
        """
        job = self._register(request, flow, user, answer, terms)
        self._start(job, lambda: answer(create_response(request, 500)))

    async def bind(
        self, user: str, flow: Flow, bound: Sequence[Binding], unbound: Sequence[str], *, all_gone: bool = False
    ) -> tuple[Binding, ...]:
        """Take over what another registrar has decided of a user's Contacts on a connection; gives what is bound then.

        Args:
            unbound: URIs of the Contacts it has removed.
            all_gone: it has removed every one.

        Raises:
            StoreUnavailableError: the store could not be told.
        """
        async with self._turns.take(user):
            known = await self._asking.ask(self._store.lookup(user))
            living = tuple(binding for binding in known if not self._is_dead(binding))
            gone = [binding.contact_uri for binding in living] if all_gone else unbound
            change = registrar.decided(living, bound, gone)
            bindings = change.applied(living)
            dead = [b.contact_uri for b in known if b not in living]
            await self._change(user, change.bound, [*dead, *change.unbound])
            if self.identities.user_of(flow) == user:
                self._standings.changed(user, flow, change, bindings)
                self.on_bound(flow, self.devices.bound(flow, user, change.bound))
            self._announcer.tell(user, bindings)
            return bindings

    def flow_closed(self, flow: Flow) -> None:
        """Forget who was on a connection that has ended, and its bindings; other connections of the user stay."""
        self._announcer.flow_closed(flow)
        self.devices.forget(flow)
        user = self.identities.forget(flow)
        if user is not None:
            self._standings.drop(user, flow.id)
            self._start(self._leave(user, flow))

    async def stop(self) -> None:
        """Let the store know, within limits, which connections have ended; then nothing of the service runs."""
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=STORE_SECONDS)
        jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    # --- one user's changes, one after the other

    async def _register(
        self, request: Request, flow: Flow, user: str, answer: Callable[[Response], None], terms: registrar.Terms
    ) -> None:
        try:
            async with self._turns.take(user):
                response, bindings = await self._registered(request, flow, user, terms)
                answer(response)
                self._announcer.tell(user, bindings)
        except SipError as error:
            answer(create_response(request, error.status))
        except StoreUnavailableError as error:
            log.warning("user=%s cannot be bound: %s", user, error)
            answer(create_response(request, 503, headers=(("Retry-After", str(RETRY_SECONDS)),)))

    async def _registered(
        self, request: Request, flow: Flow, user: str, terms: registrar.Terms
    ) -> tuple[Response, tuple[Binding, ...]]:
        """The answer, and what is bound then."""
        known = await self._asking.ask(self._store.lookup(user))
        living = tuple(binding for binding in known if not self._is_dead(binding))
        change = registrar.read(request, user, flow, self.node, living, terms)
        if isinstance(change, Response):
            return change, living
        bindings = change.applied(living)
        dead = [b.contact_uri for b in known if b not in living]
        await self._change(user, change.bound, [*dead, *change.unbound])
        if self.identities.user_of(flow) == user:
            self._standings.changed(user, flow, change, bindings)
            self.on_bound(flow, self.devices.bound(flow, user, change.bound))
        return registrar.answer(request, bindings), bindings

    async def _leave(self, user: str, flow: Flow) -> None:
        """What is bound to a connection that has ended goes; a store that cannot do that forgets it in time."""
        try:
            async with self._turns.take(user, must=True):
                known = await self._asking.ask(self._store.lookup(user))
                place = FlowName(self.node, flow.id)
                await self._change(user, (), [b.contact_uri for b in known if b.place == place])
                self._announcer.tell(user, tuple(b for b in known if b.place != place))
        except StoreUnavailableError as error:
            log.warning("user=%s flow=%d cannot be unbound: %s", user, flow.id, error)

    def _tell_again(self, user: str) -> None:
        self._start(self._tell(user))

    async def _tell(self, user: str) -> None:
        try:
            async with self._turns.take(user):
                self._announcer.tell(user, await self._asking.ask(self._store.lookup(user)))
        except StoreUnavailableError as error:
            log.warning("user=%s cannot be told what is bound: %s", user, error)

    async def _change(self, user: str, bound: tuple[Binding, ...], unbound: list[str]) -> None:
        """Write what differs. What is bound and was dead before stands in both lists, and lives."""
        new = {binding.contact_uri for binding in bound}
        gone = [uri for uri in unbound if uri not in new]
        if bound or gone:
            await self._asking.ask(self._store.change(user, bound, gone))

    def _is_dead(self, binding: Binding) -> bool:
        """Whether a binding has outlived its connection, because the store could not be told."""
        return binding.node == self.node and self.identities.user_of(binding.flow) is None

    def _start(self, job: Coroutine[Any, Any, None], failed: Callable[[], None] | None = None) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(lambda done: self._finished(done, failed))

    def _finished(self, job: asyncio.Task[None], failed: Callable[[], None] | None) -> None:
        """An error nobody foresaw is this job's, and who asked for it is answered."""
        self._jobs.discard(job)
        error = None if job.cancelled() else job.exception()
        if error is None:
            return
        log.error("bindings cannot be changed: %s", error, exc_info=error)
        if failed is not None:
            failed()
