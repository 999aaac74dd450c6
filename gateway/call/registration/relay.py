"""The registration relay at work: REGISTERs of browsers go to the registrar, and its word decides who they are.

What may be asked for is decided here, what an answer means in `verdicts`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from gateway.base.errors import SipError
from gateway.base.sources import source_of
from gateway.base.values import Secret
from gateway.call.legs.targets import Relayed, UserTarget
from gateway.call.registration import rewriting
from gateway.call.registration.attempt import Attempt, Doorkeeper, Lines, later
from gateway.call.registration.book import Book
from gateway.call.registration.leaving import Leavers
from gateway.call.registration.limits import Limits
from gateway.call.registration.link import NoAnswerError, RegistrarLink, Roads
from gateway.call.registration.rewriting import Place
from gateway.call.registration.verdicts import Verdicts
from gateway.call.run.services import Services
from gateway.location.asking import StoreUnavailableError
from gateway.location.contacts import wanted
from gateway.location.service import Location
from gateway.location.turns import Turns
from gateway.routing.numbers import normalise
from gateway.sip import digest_relay as digest
from gateway.sip.address import NameAddr
from gateway.sip.digest_relay import Given
from gateway.sip.events import RequestReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response
from gateway.sip.uri import SipUri
from gateway.site import RegistrationRelay as Settings

log = logging.getLogger(__name__)

KEY_LENGTH = 32
"""Octets of the key behind the names of places: one block of SHA-256."""
RETRY_SECONDS = 5
"""When a page may try again whose REGISTER could not be dealt with now."""
LEADING_ASTRAY = ("lr", "maddr", "method", "ttl")
"""Parameters of a request URI by which a proxy sends it somewhere else, or as something else (RFC 3261 19.1.1)."""

Respond = Callable[[Response], None]


class Registrations:
    """Relays the registrations of all browsers to one registrar.

    Args:
        settings: which registrar, and how it reaches us.
        roads: finds the way to it.
        doorkeeper: counts guesses.
    """

    def __init__(
        self, services: Services, location: Location, settings: Settings, roads: Roads, doorkeeper: Doorkeeper
    ) -> None:
        self._services, self._settings, self._doorkeeper = services, settings, doorkeeper
        self.link = RegistrarLink(services, roads, settings.trunk)
        self.book = Book()
        self._limits, self._turns = Limits(), Turns()
        self._guesses = Turns()
        """Of credentials of one name from one place: each is counted before the next one is looked at."""
        self._key = Secret(services.new_key(KEY_LENGTH))
        self._leavers = Leavers(self.link, self.book)
        self._lines = Lines(log, services.clock)
        self._verdicts = Verdicts(services, location, settings, self.book, self._leavers, doorkeeper, self._lines)
        self._jobs: set[asyncio.Task[None]] = set()

    def user_of(self, flow: Flow) -> str | None:
        """The user whose REGISTER got its 200 on this connection, while that holds."""
        return self.book.user_of(flow, self._services.clock())

    def is_for_a_place(self, event: RequestReceived) -> bool:
        """Whether a call is one of the registrar for a place, which may be gone."""
        return event.flow.may_be(self._settings.trunk) and bool(rewriting.named(event.request, self._settings))

    def target_of(self, event: RequestReceived) -> UserTarget | None:
        """Whom a call for a place rings; None when that place is gone."""
        found = self.book.find(rewriting.named(event.request, self._settings), self._services.clock())
        return UserTarget(found.user, at=(found.flow, found.uri)) if found is not None else None

    def relayed(self, event: RequestReceived, trunk: str) -> Relayed | None:
        """What of a browser's INVITE goes to this trunk as it came; None for any trunk but the registrar.

        Credentials pass that name who the connection was proved to be.

        Raises:
            SipError: 404, the request URI leads elsewhere than to the registrar.
        """
        if trunk != self._settings.trunk:
            return None
        request, username = event.request, self.book.username_of(event.flow)
        given = digest.credentials(request, lambda answer: bool(username) and answer.username == username)
        tag, realm = request.from_.tag or "", self._services.sites.current.realm.lower()
        uri = request.request_uri
        if uri.scheme != "tel" and not _is_of(uri, realm):
            raise SipError("not our domain", 404)
        to = NameAddr("", request.to.uri if request.to.uri.host.lower() == realm else uri)
        return Relayed(request.uri, to, request.call_id, tag, request.cseq.number, given.headers, self._settings.realm)

    def flow_closed(self, flow: Flow) -> None:
        """A connection has ended: it is nobody's any more, and its registrations are removed if that can be."""
        gone = self.book.forget(flow)
        if self._settings.unregister:
            for place in gone:
                self._leavers.leave(place)

    async def stop(self) -> None:
        """Relay nothing more."""
        await self._leavers.stop()
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    def register(self, event: RequestReceived, respond: Respond) -> None:
        """Take a REGISTER of whoever it is; `respond` is told the answer, once.

        Raises:
            SipError: it is malformed, or not for us to pass on.
        """
        request, flow = event.request, event.flow
        if not self._services.sip.is_open(flow):
            return  # its end was told before its last words
        user = self._asked_for(request, flow)
        places = self._places(request, user, flow)
        known = self.user_of(flow)
        if not self._limits.admits(flow, self._services.clock(), signed_in=known is not None):
            respond(later(request, RETRY_SECONDS))
            return
        attempt = Attempt(event, user, places)
        self._start(self._relay(attempt, respond), lambda: respond(create_response(request, 500)))

    # --- what may be asked for

    def _asked_for(self, request: Request, flow: Flow) -> str:
        """The user a REGISTER is for: an address of our domain, which asks for itself (RFC 3261 10.2, 10.3)."""
        realm = self._services.sites.current.realm.lower()
        uri, aor = request.request_uri, request.to.uri
        if request.max_forwards == 0:
            raise SipError("no hops left", 483)
        if uri.user is not None or not _is_of(uri, realm) or aor.host.lower() != realm:
            raise SipError("not our domain", 404)
        user = aor.user_decoded
        if not _is_name(user) or (request.from_.uri.user_decoded, request.from_.uri.host.lower()) != (user, realm):
            raise SipError("not an address that registers itself", 403)
        known = self.book.of(flow).user
        if known and known != user:
            raise SipError("this connection is somebody else's", 403)
        return user

    def _places(self, request: Request, user: str, flow: Flow) -> tuple[Place, ...]:
        contacts = [] if request.contact_star else wanted(request, {})
        if self._settings.path and len(contacts) > 1:
            raise SipError("one Contact at a time")  # one Path leads to all of them, and we could not tell them apart
        trunk, key = self._settings.trunk, self._key
        found = tuple(Place(rewriting.place_name(trunk, user, one.contact, flow, key), one) for one in contacts)
        bound = [place.name for place in found if place.wanted.expires]
        if not self.book.has_room(flow, bound, self._services.clock()):
            raise SipError("too many Contacts", 403)
        return found

    # --- one REGISTER

    async def _relay(self, attempt: Attempt, respond: Respond) -> None:
        """One after the other on each connection: a library counts its nonce up in that order."""
        try:
            async with self._turns.take(str(attempt.flow.id)):
                respond(await self._answer(attempt))
        except StoreUnavailableError as error:
            self._lines.tell("user=%s cannot be registered: %s", attempt.user, error)
            respond(later(attempt.request, RETRY_SECONDS))

    async def _answer(self, attempt: Attempt) -> Response:
        attempt = self._proving(attempt)
        if not attempt.given.headers:
            return await self._decided(attempt)
        async with self._guesses.take(f"{source_of(attempt.flow.remote.host)} {attempt.claimed}"):
            wait = self._doorkeeper.wait(attempt.flow, attempt.claimed)
            if wait > 0:
                self._doorkeeper.delayed(attempt.event, attempt.claimed)
                return later(attempt.request, wait)
            return await self._decided(attempt)

    async def _decided(self, attempt: Attempt) -> Response:
        """What the registrar says to it, unless its connection has ended while it waited for its turn."""
        if not self._services.sip.is_open(attempt.flow):
            return create_response(attempt.request, 480)
        try:
            response, over = await self._asked(attempt)
        except NoAnswerError as error:
            self._lines.tell("trunk=%s user=%s cannot be registered: %s", self.link.trunk, attempt.user, error)
            return later(attempt.request, RETRY_SECONDS, error.status)
        return await self._verdicts.of(attempt, response, over)

    def _proving(self, attempt: Attempt) -> Attempt:
        """The attempt as it leaves: with the credentials that may pass."""
        request, settings = attempt.request, self._settings
        given = self._given(request, attempt.flow)
        limit = max(settings.max_expires, self._verdicts.floor)
        transport = self._services.sites.current.trunk(settings.trunk).target.transport
        sent = rewriting.to_registrar(request, attempt.places, given, settings, transport, limit)
        return replace(attempt, given=given, limit=limit, sent=sent)

    def _given(self, request: Request, flow: Flow) -> Given:
        nonces = self.book.of(flow).nonces
        given = digest.credentials(request, lambda answer: answer.nonce in nonces)
        if given.held_back:
            self._lines.tell("flow=%d credentials do not pass: %s", flow.id, given.held_back)
        return given

    async def _asked(self, attempt: Attempt) -> tuple[Response, Flow]:
        names, signed_in = [place.name for place in attempt.places], self.user_of(attempt.flow) is not None
        with self._limits.waiting(attempt.flow, signed_in=signed_in), self._leavers.coming(names):
            await self._leavers.gone(names)
            return await self.link.ask(attempt.sent, self.book.of(attempt.flow).over if attempt.given.headers else None)

    def _start(self, job: Coroutine[Any, Any, None], failed: Callable[[], None]) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(lambda done: self._finished(done, failed))

    def _finished(self, job: asyncio.Task[None], failed: Callable[[], None]) -> None:
        """An error nobody foresaw is this job's, and who asked is answered."""
        self._jobs.discard(job)
        error = None if job.cancelled() else job.exception()
        if error is not None:
            log.error("a registration cannot be relayed: %s", error, exc_info=error)
            failed()


def _is_of(uri: SipUri, realm: str) -> bool:
    """Whether a request URI stays in our domain wherever it is read."""
    return uri.host.lower() == realm and not any(name in uri.params for name in LEADING_ASTRAY)


def _is_name(user: str) -> bool:
    """Whether a user may be called so: what can be dialled, and written in logs and records as it is."""
    try:
        return normalise(user) == user
    except SipError:
        return False
