"""Who a browser is: digest, with delays for those who guess (RFC 3261 22)."""

from __future__ import annotations

import logging
import math
from collections import Counter as Tally
from dataclasses import dataclass

from gateway.audit import notices
from gateway.base.buckets import Buckets, Rate
from gateway.base.counters import Counter
from gateway.call.failures import Failure, FailureReport
from gateway.call.guesses import Guesses
from gateway.call.run.services import Services
from gateway.location.identities import Identities
from gateway.sip.auth import AuthOutcome, DigestServer
from gateway.sip.events import RequestReceived
from gateway.sip.flow import Flow

log = logging.getLogger(__name__)

RECORDED = Rate(per_second=0.1, burst=20)
"""Sign-ins of one user that have a record each; a page that reconnects all day, or a script with a stolen password, is
told by a number after that."""
MAX_USERS = 4096
"""Users counted apart at one time."""

TOO_SOON = "too many failures"
"""Reason of credentials that were not looked at."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request that proves nothing is told."""

    status: int
    headers: tuple[tuple[str, str], ...]


class SignIn:
    """Checks credentials, and keeps count of those that were wrong."""

    def __init__(self, services: Services, digest: DigestServer, identities: Identities) -> None:
        self._services, self._digest, self._identities = services, digest, identities
        self._guesses = Guesses()
        self._report = FailureReport()
        self._recorded = Buckets(RECORDED, MAX_USERS)
        self._unrecorded: Tally[str] = Tally()
        """Sign-ins by user that were too many for a record each; told with the next one that has one."""

    def user_of(self, event: RequestReceived) -> str | Answer:
        """The user of the flow, or what to answer: a challenge (401), or to come back later (503)."""
        known = self._identities.user_of(event.flow)
        if known is not None:
            return known
        now, host = self._services.clock(), event.flow.remote.host
        outcome = self._digest.verify(
            event.request,
            event.flow.id,
            self._services.sites.current.users.get,
            now,
            may_try=lambda user: self._guesses.wait(host, user, now) <= 0,
        )
        if outcome.user is not None:
            return self._signed_in(event, outcome.user)
        if outcome.refused:
            return self._too_soon(event, outcome, now)
        if outcome.claimed and not outcome.stale:
            self._guesses.failed(host, outcome.claimed, now)
            self._failed(event, outcome, now)
        return self._challenge(event, now, stale=outcome.stale)

    # --- what somebody else has looked at: a registrar that authenticates in our place

    def wait(self, flow: Flow, claimed: str) -> float:
        """Seconds until credentials that claim this name are looked at again; 0 when they are now."""
        return self._guesses.wait(flow.remote.host, claimed, self._services.clock())

    def guessed(self, event: RequestReceived, claimed: str, reason: str) -> None:
        """Credentials were looked at and were wrong."""
        now = self._services.clock()
        self._guesses.failed(event.flow.remote.host, claimed, now)
        self._failed(event, AuthOutcome(None, False, reason, claimed), now)

    def delayed(self, event: RequestReceived, claimed: str) -> None:
        """Credentials came too soon after others, and were not looked at."""
        self._failed(event, AuthOutcome(None, False, TOO_SOON, claimed, refused=True), self._services.clock())

    def unproved(self, event: RequestReceived, reason: str) -> None:
        """Somebody asks for something without the proof that is needed, and has claimed no name."""
        now, flow = self._services.clock(), event.flow
        told = self._report.note(Failure(flow.remote, flow.transport, "", reason, event.request.method), now)
        if told is not None:
            self._services.audit.write(told)

    def proved(self, event: RequestReceived, user: str, claimed: str = "") -> None:
        """Credentials were right, and the connection is this user's.

        Args:
            claimed: the name in the credentials, where that is another one.
        """
        self._guesses.proved(event.flow.remote.host, claimed or user)
        log.info("user=%s signed in flow=%d", user, event.flow.id)
        self._record(event, user)

    # --- records

    def report(self, *, stopping: bool = False) -> None:
        """Write the counts that are due; the owner calls this every second or so, and once when it stops."""
        now = self._services.clock()
        for summary in self._report.rest(now) if stopping else self._report.due(now):
            self._services.audit.write(summary)

    def _signed_in(self, event: RequestReceived, user: str) -> str | Answer:
        flow = event.flow
        if not self._identities.authenticate(flow, user):
            return self._challenge(event, self._services.clock())
        if not self._services.sip.signed_in(flow, user):
            self._identities.forget(flow)
            return Answer(503, (("Retry-After", "60"),))
        self.proved(event, user)
        return user

    def _record(self, event: RequestReceived, user: str) -> None:
        """auth.ok, once for each connection: what follows over it is this user's without being proved again."""
        if not self._recorded.take(user, self._services.clock()):
            self._unrecorded[user] += 1
            return
        flow = event.flow
        self._services.audit.write(
            notices.auth_ok(
                user=user,
                source=flow.remote,
                transport=flow.transport,
                method=event.request.method,
                unrecorded=self._unrecorded.pop(user, 0),
            )
        )

    def _challenge(self, event: RequestReceived, now: float, *, stale: bool = False) -> Answer:
        challenges = self._digest.challenges(event.flow.id, now, stale=stale)
        return Answer(401, tuple(("WWW-Authenticate", challenge) for challenge in challenges))

    def _too_soon(self, event: RequestReceived, outcome: AuthOutcome, now: float) -> Answer:
        """Not a challenge: a browser would take that for a wrong password, and ask its user for another one."""
        wait = self._guesses.wait(event.flow.remote.host, outcome.claimed, now)
        self._failed(event, outcome, now)
        return Answer(503, (("Retry-After", str(max(1, math.ceil(wait)))),))

    def _failed(self, event: RequestReceived, outcome: AuthOutcome, now: float) -> None:
        self._services.counters.add(Counter.AUTH_DELAYED if outcome.refused else Counter.AUTH_FAILED)
        flow = event.flow
        failure = Failure(flow.remote, flow.transport, outcome.claimed, outcome.reason, event.request.method)
        told = self._report.note(failure, now)
        if told is not None:
            self._services.audit.write(told)
