"""The registration relay at work: REGISTERs of browsers go to the registrar, and its word decides who they are.

A connection is whoever's REGISTER got its 200 there, by credentials that answered a challenge given to that very
connection. A registrar that asks for no password proves nothing: its 200 is not believed.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from gateway.base.errors import SipError
from gateway.base.values import Secret
from gateway.call.legs.targets import Relayed, UserTarget
from gateway.call.registration import rewriting
from gateway.call.registration.book import Book, Registered
from gateway.call.registration.leaving import Leavers
from gateway.call.registration.limits import Limits
from gateway.call.registration.link import NoAnswerError, RegistrarLink, Roads
from gateway.call.registration.rewriting import Granted, Place
from gateway.call.run.services import Services
from gateway.location.asking import StoreUnavailableError
from gateway.location.binding import Binding
from gateway.location.contacts import wanted
from gateway.location.service import Location
from gateway.location.turns import Turns
from gateway.routing.numbers import normalise
from gateway.sip import digest_relay as digest
from gateway.sip.address import NameAddr
from gateway.sip.auth import DigestAnswer
from gateway.sip.digest_relay import Given
from gateway.sip.events import RequestReceived
from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response, create_response
from gateway.site import RegistrationRelay as Settings

log = logging.getLogger(__name__)

KEY_LENGTH = 32
"""Octets of the key behind the names of places: one block of SHA-256."""
RETRY_SECONDS = 5
"""When a page may try again whose REGISTER could not be dealt with now."""
FULL_RETRY_SECONDS = 60
"""When one may that has no place for another connection."""
CHALLENGED = (401, 407)
REFUSED = (401, 403, 404, 407)
"""Answers to credentials that say they were wrong, or that there is no such user."""

Respond = Callable[[Response], None]


class Doorkeeper(Protocol):
    """Who counts those that guess passwords, and records who signs in; `call.sign_in.SignIn` has this shape."""

    def wait(self, flow: Flow, claimed: str) -> float: ...

    def guessed(self, event: RequestReceived, claimed: str, reason: str) -> None: ...

    def delayed(self, event: RequestReceived, claimed: str) -> None: ...

    def proved(self, event: RequestReceived, user: str, claimed: str = "") -> None: ...


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
        self._services, self._location, self._settings, self._doorkeeper = services, location, settings, doorkeeper
        self.link = RegistrarLink(services, roads, settings.trunk)
        self.book = Book()
        self._limits, self._turns = Limits(), Turns()
        self._key = Secret(services.new_key(KEY_LENGTH))
        self._leavers = Leavers(self.link, self.book)
        self._transport = services.sites.current.trunk(settings.trunk).target.transport
        self._floor = 0
        """The least seconds the registrar has asked for (423): our own limit must not keep a browser below them."""
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
        """
        if trunk != self._settings.trunk:
            return None
        request, username = event.request, self.book.username_of(event.flow)
        given = digest.credentials(request, lambda answer: bool(username) and answer.username == username)
        tag, to = request.from_.tag or "", NameAddr("", request.to.uri)
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
        user = self._asked_for(request, flow)
        places = self._places(request, user, flow)
        known = self.user_of(flow)
        if not self._limits.admits(flow, self._services.clock(), signed_in=known is not None):
            respond(self._later(request, RETRY_SECONDS))
            return
        self._start(self._relay(event, user, places, respond), lambda: respond(create_response(request, 500)))

    # --- what may be asked for

    def _asked_for(self, request: Request, flow: Flow) -> str:
        """The user a REGISTER is for: an address of our domain, which asks for itself (RFC 3261 10.2, 10.3)."""
        realm = self._services.sites.current.realm.lower()
        uri, aor = request.request_uri, request.to.uri
        if request.max_forwards == 0:
            raise SipError("no hops left", 483)
        if uri.user is not None or uri.host.lower() != realm or aor.host.lower() != realm:
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

    def _later(self, request: Request, seconds: float) -> Response:
        return create_response(request, 503, headers=(("Retry-After", str(max(1, math.ceil(seconds)))),))

    # --- one REGISTER

    async def _relay(self, event: RequestReceived, user: str, places: Sequence[Place], respond: Respond) -> None:
        """One after the other on each connection: a library counts its nonce up in that order."""
        try:
            async with self._turns.take(str(event.flow.id)):
                respond(await self._answer(event, user, places))
        except StoreUnavailableError as error:
            log.warning("user=%s cannot be registered: %s", user, error)
            respond(self._later(event.request, RETRY_SECONDS))

    async def _answer(self, event: RequestReceived, user: str, places: Sequence[Place]) -> Response:
        request, flow = event.request, event.flow
        given = self._given(request, flow)
        claimed = digest.claimed(given.username)
        wait = self._doorkeeper.wait(flow, claimed) if given.headers else 0.0
        if wait > 0:
            self._doorkeeper.delayed(event, claimed)
            return self._later(request, wait)
        limit = max(self._settings.max_expires, self._floor)
        sent = rewriting.to_registrar(request, places, given, self._settings, self._transport, limit)
        try:
            response = await self._asked(sent, flow, places)
        except NoAnswerError as error:
            log.warning("trunk=%s user=%s cannot be registered: %s", self._settings.trunk, user, error)
            return create_response(request, error.status, headers=(("Retry-After", str(RETRY_SECONDS)),))
        if 200 <= response.status < 300:
            return await self._granted(
                event, user, rewriting.granted(response, places, self._settings, limit), sent, response, given
            )
        self._judge(event, response, given)
        return self._refusal(event, response)

    async def _asked(self, sent: Request, flow: Flow, places: Sequence[Place]) -> Response:
        signed_in = self.user_of(flow) is not None
        with self._limits.waiting(flow, signed_in=signed_in), self._leavers.coming(place.name for place in places):
            await self._leavers.gone(place.name for place in places)
            response, _ = await self.link.ask(sent)
        return response

    def _given(self, request: Request, flow: Flow) -> Given:
        nonces = self.book.of(flow).nonces

        def is_known(answer: DigestAnswer) -> bool:
            return answer.nonce in nonces

        given = digest.credentials(request, is_known)
        if given.held_back:
            log.info("flow=%d credentials do not pass: %s", flow.id, given.held_back)
        return given

    # --- what the registrar says

    def _judge(self, event: RequestReceived, response: Response, given: Given) -> None:
        """Whoever's credentials were refused has guessed, unless only the nonce was too old."""
        if not given.headers or response.status not in REFUSED:
            return
        stale = any(one.stale for one in digest.challenges(response, self._settings.realm))
        if response.status in CHALLENGED and stale:
            return
        self.book.revoke(event.flow)
        self._doorkeeper.guessed(event, digest.claimed(given.username), f"refused by the registrar: {response.status}")

    def _refusal(self, event: RequestReceived, response: Response) -> Response:
        """The refusal as the browser gets it: status, challenges and times; no words, no names of what is behind us."""
        request, status = event.request, response.status
        if status < 400:
            log.warning("trunk=%s redirects a REGISTER, which is not followed", self._settings.trunk)
            return create_response(request, 502)
        headers: list[tuple[str, str]] = []
        if status in CHALLENGED:
            passed = digest.challenges(response, self._settings.realm)
            if not passed:
                log.warning(
                    "trunk=%s its challenge cannot pass: no digest with qop=auth%s",
                    self._settings.trunk,
                    f" for {self._settings.realm}" if self._settings.realm else "",
                )
                return create_response(request, 502)
            self.book.challenged(event.flow, (challenge.nonce for challenge in passed))
            headers += [(challenge.name, challenge.text) for challenge in passed]
        headers += [(name, str(value)) for name, value in self._times(response).items()]
        return create_response(request, status, headers=headers)

    def _times(self, response: Response) -> dict[str, int]:
        found: dict[str, int] = {}
        least = rewriting.number(response.headers.get("Min-Expires"))
        if response.status == 423 and least is not None:
            found["Min-Expires"] = least
            self._floor = max(self._floor, min(least, rewriting.MAX_GRANTED))
        after = rewriting.number((response.headers.get("Retry-After") or "").split("(")[0].split(";")[0])
        if response.status >= 400 and after is not None:
            found["Retry-After"] = after
        return found

    async def _granted(
        self,
        event: RequestReceived,
        user: str,
        granted: Sequence[Granted],
        sent: Request,
        response: Response,
        given: Given,
    ) -> Response:
        """A 200: the connection is that user's from now on, if this proves it, and its places may be called."""
        request, flow = event.request, event.flow
        places = [one.place for one in granted if one.seconds]
        refused = self._unproved(event, user, given)
        if refused is None and self._settings.path and not rewriting.keeps_path(response, places):
            log.error("trunk=%s keeps no Path (RFC 3327): set registration.reached_by: contact", self._settings.trunk)
            refused = create_response(request, 502)
        if refused is not None or not self._services.sip.is_open(flow):
            self._take_back(flow, user, granted, sent, given)
            return refused or create_response(request, 480)
        if nonce := digest.next_nonce(response):
            self.book.challenged(flow, (nonce,))
        return await self._bind(event, user, granted, sent, response, given)

    def _unproved(self, event: RequestReceived, user: str, given: Given) -> Response | None:
        """What speaks against believing it: None for a connection that has proved who it is, now or before."""
        request, flow = event.request, event.flow
        signed_in = self.user_of(flow) == user
        if not given.headers:
            if signed_in:
                return None
            log.error(
                "trunk=%s registers user=%s without a password: nobody is signed in by that", self._settings.trunk, user
            )
            return create_response(request, 502)
        if not (self.book.proved(flow, user, given.username) and self._location.identities.authenticate(flow, user)):
            return create_response(request, 403)
        if signed_in:
            return None
        if not self._services.sip.signed_in(flow, user):
            return self._later(request, FULL_RETRY_SECONDS)
        self._doorkeeper.proved(event, user, digest.claimed(given.username))
        return None

    async def _bind(
        self,
        event: RequestReceived,
        user: str,
        granted: Sequence[Granted],
        sent: Request,
        response: Response,
        given: Given,
    ) -> Response:
        request, flow, now = event.request, event.flow, self._services.clock()
        contacts = dict(zip((one.place.name for one in granted), sent.headers.get_all("Contact"), strict=False))
        for one in granted:
            place = one.place
            if one.seconds:
                contact, uri = contacts[place.name], place.wanted.contact.uri
                until = now + one.seconds
                self.book.bind(Registered(place.name, user, flow, uri, until, contact, sent, given))
            else:
                self.book.unbind(place.name, flow)
        bound = [self._binding(request, flow, one) for one in granted if one.seconds]
        unbound = [one.place.uri for one in granted if not one.seconds]
        living = await self._location.bind(user, flow, bound, unbound, all_gone=request.contact_star)
        if request.contact_star:
            self.book.sign_out(user)
        told = {binding.contact_uri: (binding.text, max(1, round(binding.seconds))) for binding in living}
        return rewriting.to_browser(request, response, told)

    def _binding(self, request: Request, flow: Flow, one: Granted) -> Binding:
        wanted_ = one.place.wanted
        node = self._location.node
        return Binding(node, flow, wanted_.contact, wanted_.text, request.call_id, request.cseq.number, one.seconds)

    def _take_back(self, flow: Flow, user: str, granted: Sequence[Granted], sent: Request, given: Given) -> None:
        """The registrar has bound what is not to be: it is asked to forget it."""
        contacts = sent.headers.get_all("Contact")
        for one, contact in zip(granted, contacts, strict=False):
            if one.seconds and self.book.find(one.place.name, self._services.clock()) is None:
                place = one.place
                uri = place.wanted.contact.uri
                self._leavers.leave(Registered(place.name, user, flow, uri, 0.0, contact, sent, given))

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


def _is_name(user: str) -> bool:
    """Whether a user may be called so: what can be dialled, and written in logs and records as it is."""
    try:
        return normalise(user) == user
    except SipError:
        return False
