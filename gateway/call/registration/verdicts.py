"""What an answer of the registrar means: for the browser that asked, and for whom its connection is taken.

A connection is whoever's REGISTER got its 200, by credentials that answered a challenge given to that very connection.
A registrar that asks for no password proves nothing: its 200 is not believed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from gateway.call.registration import rewriting
from gateway.call.registration.attempt import Attempt, Doorkeeper, Lines, later
from gateway.call.registration.book import Book, Registered
from gateway.call.registration.leaving import Leavers
from gateway.call.registration.rewriting import Granted
from gateway.call.run.services import Services
from gateway.location.binding import Binding
from gateway.location.service import Location
from gateway.sip import digest_relay as digest
from gateway.sip.flow import Flow
from gateway.sip.message import Response, create_response
from gateway.site import RegistrationRelay as Settings

FULL_RETRY_SECONDS = 60
"""When a page may try again that has no place for another connection."""
CHALLENGED = (401, 407)
REFUSED = (401, 403, 404, 407)
"""Answers to credentials that say they were wrong, or that there is no such user."""
INTERVAL_TOO_BRIEF = 423


class Verdicts:
    """The answers of one registrar.

    Args:
        book: where it is noted who connections are.
        leavers: take back what the registrar has bound and is not to be.
    """

    def __init__(
        self,
        services: Services,
        location: Location,
        settings: Settings,
        book: Book,
        leavers: Leavers,
        doorkeeper: Doorkeeper,
        lines: Lines,
    ) -> None:
        self._services, self._location, self._settings = services, location, settings
        self._book, self._leavers, self._doorkeeper, self._lines = book, leavers, doorkeeper, lines
        self.floor = 0
        """The least seconds the registrar has asked for (423): our own limit must not keep a browser below them."""

    async def of(self, attempt: Attempt, response: Response, over: Flow) -> Response:
        """What the browser hears.

        Args:
            over: the connection to the server that has answered.

        Raises:
            StoreUnavailableError: it was bound, and that could not be kept.
        """
        if 200 <= response.status < 300:
            return await self._granted(attempt, response, over)
        self._judge(attempt, response)
        if not self._services.sip.is_open(attempt.flow):
            return create_response(attempt.request, 480)
        return self._refusal(attempt, response, over)

    # --- refusals

    def _judge(self, attempt: Attempt, response: Response) -> None:
        """Whoever's credentials were refused has guessed, gone since or not, unless only the nonce was too old."""
        if not attempt.given.headers or response.status not in REFUSED:
            return
        stale = any(one.stale for one in digest.challenges(response, self._settings.realm))
        if response.status in CHALLENGED and stale:
            return
        self._book.revoke(attempt.flow)
        self._doorkeeper.guessed(attempt.event, attempt.claimed, f"refused by the registrar: {response.status}")

    def _refusal(self, attempt: Attempt, response: Response, over: Flow) -> Response:
        """The refusal as the browser gets it: status, challenges and times; no words, no names of what is behind us."""
        request, status = attempt.request, response.status
        if status < 400:
            self._lines.tell("trunk=%s redirects a REGISTER, which is not followed", self._settings.trunk)
            return create_response(request, 502)
        headers = self._times(response)
        if status in CHALLENGED:
            passed = digest.challenges(response, self._settings.realm)
            if not passed:
                where = f" of realm {self._settings.realm}" if self._settings.realm else ""
                words = "trunk=%s asks for a password in a way that cannot be relayed: no digest%s with qop=auth"
                self._lines.tell(words, self._settings.trunk, where)
                return create_response(request, 502)
            self._book.challenged(attempt.flow, (challenge.nonce for challenge in passed), over)
            headers += [(challenge.name, challenge.text) for challenge in passed]
        return create_response(request, status, headers=headers)

    def _times(self, response: Response) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        least = rewriting.number(response.headers.get("Min-Expires"))
        if response.status == INTERVAL_TOO_BRIEF and least is not None:
            found.append(("Min-Expires", str(least)))
            self.floor = max(self.floor, min(least, rewriting.MAX_GRANTED))
        after = rewriting.number((response.headers.get("Retry-After") or "").partition("(")[0].partition(";")[0])
        if after is not None:
            found.append(("Retry-After", str(after)))
        return found

    # --- a 200

    async def _granted(self, attempt: Attempt, response: Response, over: Flow) -> Response:
        """The connection is that user's from now on, if this proves it, and its places may be called."""
        granted = rewriting.granted(response, attempt.places, self._settings, attempt.limit)
        refused = self._objection(attempt, response, granted)
        if refused is not None:
            self._take_back(attempt, granted)
            return refused
        if nonce := digest.next_nonce(response):
            self._book.challenged(attempt.flow, (nonce,), over)
        return await self._bind(attempt, response, granted)

    def _objection(self, attempt: Attempt, response: Response, granted: Sequence[Granted]) -> Response | None:
        """Why a 200 is of no use; None when it is, and then the connection is somebody's."""
        if not self._services.sip.is_open(attempt.flow):
            return create_response(attempt.request, 480)
        places = [one.place for one in granted if one.seconds]
        if self._settings.path and not rewriting.keeps_path(response, places):
            words = (
                "trunk=%s does not give Path back (RFC 3327 5.3): mend that, or set registration.reached_by: contact"
            )
            self._lines.tell(words, self._settings.trunk, level=logging.ERROR)
            return create_response(attempt.request, 502)
        return self._unproved(attempt)

    def _unproved(self, attempt: Attempt) -> Response | None:
        """What speaks against believing it: nothing, where the connection has proved who it is, now or before."""
        request, flow, user = attempt.request, attempt.flow, attempt.user
        signed_in = self._book.user_of(flow, self._services.clock()) == user
        if not attempt.given.headers:
            if signed_in:
                return None
            words = "trunk=%s registers user=%s without a password: nobody is signed in by that"
            self._lines.tell(words, self._settings.trunk, user, level=logging.ERROR)
            return create_response(request, 502)
        known = self._book.proved(flow, user, attempt.given.username)
        if not (known and self._location.identities.authenticate(flow, user)):
            return create_response(request, 403)
        if signed_in:
            return None
        if not self._services.sip.signed_in(flow, user):
            self._location.identities.forget(flow)
            return later(request, FULL_RETRY_SECONDS)
        self._doorkeeper.proved(attempt.event, user, attempt.claimed)
        return None

    async def _bind(self, attempt: Attempt, response: Response, granted: Sequence[Granted]) -> Response:
        request, flow, user, now = attempt.request, attempt.flow, attempt.user, self._services.clock()
        for one, place in zip(granted, self._registered(attempt, granted, now), strict=True):
            if one.seconds:
                self._book.bind(place)
            else:
                self._book.unbind(place.name, flow)
        if request.contact_star:
            self._book.sign_out(user)
        bound = [self._binding(attempt, one) for one in granted if one.seconds]
        unbound = [one.place.uri for one in granted if not one.seconds]
        living = await self._location.bind(user, flow, bound, unbound, all_gone=request.contact_star)
        told = {binding.contact_uri: (binding.text, max(1, round(binding.seconds))) for binding in living}
        return rewriting.to_browser(request, response, told)

    def _binding(self, attempt: Attempt, one: Granted) -> Binding:
        asked, request = one.place.wanted, attempt.request
        node, number = self._location.node, request.cseq.number
        return Binding(node, attempt.flow, asked.contact, asked.text, request.call_id, number, one.seconds)

    def _registered(self, attempt: Attempt, granted: Sequence[Granted], now: float) -> list[Registered]:
        """The places as the registrar has them, in their order."""
        contacts = attempt.sent.headers.get_all("Contact")[: len(granted)]
        return [
            Registered(
                one.place.name,
                attempt.user,
                attempt.flow,
                one.place.wanted.contact.uri,
                now + one.seconds,
                contact,
                attempt.sent,
                attempt.given,
            )
            for one, contact in zip(granted, contacts, strict=True)
        ]

    def _take_back(self, attempt: Attempt, granted: Sequence[Granted]) -> None:
        """The registrar has bound what is not to be: it is asked to forget it, unless it was there before."""
        now = self._services.clock()
        for one, place in zip(granted, self._registered(attempt, granted, now), strict=True):
            if one.seconds and self._book.find(place.name, now) is None:
                self._leavers.leave(place)
