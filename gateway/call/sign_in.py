"""Who a browser is: by digest, with delays for those who guess (RFC 3261 22), or by a signed token (RFC 8898)."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter as Tally
from dataclasses import dataclass

from gateway.audit import notices
from gateway.base.buckets import Buckets, Rate
from gateway.base.codes import Code
from gateway.base.counters import Counter
from gateway.base.values import HostPort, Secret
from gateway.call.failures import Failure, FailureReport
from gateway.call.guesses import Guesses
from gateway.call.run.services import Services
from gateway.location.identities import FOREVER, Identities
from gateway.sip.auth import AuthOutcome, DigestServer
from gateway.sip.bearer import INVALID, bearer_of, challenge
from gateway.sip.events import RequestReceived
from gateway.sip.flow import Flow
from gateway.site import Site
from gateway.tokens.door import Admitted, Refused, TokenDoor, Waiting
from gateway.tokens.token import Fault

log = logging.getLogger(__name__)

RECORDED = Rate(per_second=0.1, burst=20)
"""Sign-ins of one user that have a record each; a page that reconnects all day, or a script with a stolen password, is
told by a number after that."""
MAX_USERS = 4096
"""Users counted apart at one time."""

PASSWORD, TOKEN = "password", "token of "
"""What proved a user; after the second one comes the name of the issuer."""
HANDSHAKE = "GET"
"""Method of a sign-in with the handshake of the WebSocket, as records name it."""
KEYS_RETRY = "30"
"""Seconds until an issuer that did not give its keys is asked again."""
TOO_SOON = "too many failures"
"""Reason of credentials that were not looked at."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request that proves nothing is told."""

    status: int
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody tries to sign in."""

    flow: Flow
    method: str

    @classmethod
    def of(cls, event: RequestReceived) -> Attempt:
        """By a request."""
        return cls(event.flow, event.request.method)


class SignIn:
    """Checks credentials, and keeps count of those that were wrong."""

    def __init__(
        self, services: Services, digest: DigestServer, identities: Identities, tokens: TokenDoor | None = None
    ) -> None:
        self._services, self._digest, self._identities = services, digest, identities
        self._tokens = tokens
        self._guesses = Guesses()
        self._report = FailureReport()
        self._recorded = Buckets(RECORDED, MAX_USERS)
        self._unrecorded: Tally[str] = Tally()
        """Sign-ins by user that were too many for a record each; told with the next one that has one."""

    def user_of(self, event: RequestReceived) -> str | Answer | Waiting:
        """The user of the flow, or what to answer: a challenge (401), or to come back later (503).

        `Waiting`: the key of its token is being asked for, and the request is to be looked at again then.
        """
        token = bearer_of(event.request) if self._tokens is not None and self._tokens.is_open else None
        if token is not None:
            return self._by_token(Attempt.of(event), token)
        known = self._identities.user_of(event.flow)
        if known is not None and self.seconds_left(event.flow) > 0:
            return known
        return self._by_digest(event)

    def revoked(self, before: Site) -> list[tuple[Flow, str]]:
        """Who is signed in by something that counts no longer, now that another site took the place of `before`: a
        password that was changed, a name that is no user's any more, an issuer that is trusted otherwise or not at all.
        """
        now = self._services.sites.current
        known = {issuer.name: issuer for issuer in before.tokens}
        trusted = {TOKEN + issuer.name: issuer for issuer in now.tokens if issuer == known.get(issuer.name)}

        def counts(user: str, proof: str) -> bool:
            if proof == PASSWORD:
                return user in now.users and now.users[user] == before.users.get(user)
            issuer = trusted.get(proof)
            return not proof or (issuer is not None and (issuer.anyone or user in now.users))

        signed_in = self._identities.proofs()
        return [(flow, user) for flow, user, proofs in signed_in if not all(counts(user, proof) for proof in proofs)]

    def seconds_left(self, flow: Flow) -> float:
        """How long what its user proved herself with still counts."""
        return self._identities.until(flow) - self._services.clock()

    def _by_digest(self, event: RequestReceived) -> str | Answer:
        now, host = self._services.clock(), event.flow.remote.host
        outcome = self._digest.verify(
            event.request,
            event.flow.id,
            self._services.sites.current.users.get,
            now,
            may_try=lambda user: self._guesses.wait(host, user, now) <= 0,
        )
        if outcome.user is not None:
            return self._signed_in(Attempt.of(event), outcome.user)
        if outcome.refused:
            return self._too_soon(event, outcome, now)
        if outcome.claimed and not outcome.stale:
            self._guesses.failed(host, outcome.claimed, now)
            self._failed(Attempt.of(event), outcome)
        return self._challenge(event.flow, stale=outcome.stale)

    # --- tokens

    async def welcome(self, flow: Flow, token: Secret[str]) -> None:
        """A token came with the handshake of a connection: if it is good, nothing is challenged until it expires.

        If not, the connection is one of a stranger, who may sign in by SIP.
        """
        attempt = Attempt(flow, HANDSHAKE)
        found = self._by_token(attempt, token)
        if isinstance(found, Waiting):
            await asyncio.wait((found.task,))
            self._by_token(attempt, token)

    def _by_token(self, attempt: Attempt, token: Secret[str]) -> str | Answer | Waiting:
        found = self._look(attempt.flow, token)
        if isinstance(found, Waiting):
            return found
        if isinstance(found, Admitted):
            return self._signed_in(attempt, found.user, self._services.clock() + found.seconds, TOKEN + found.issuer)
        self._services.counters.add(Counter.TOKENS_REFUSED)
        self._failed(attempt, AuthOutcome(None, False, found.fault.value, found.claimed))
        if found.may_come_again:
            return Answer(503, (("Retry-After", KEYS_RETRY),))
        return self._challenge(attempt.flow, error=INVALID)

    def _look(self, flow: Flow, token: Secret[str]) -> Admitted | Refused | Waiting:
        """A token that anybody in between may have read proves nothing (RFC 8898 5)."""
        if self._tokens is None or not (flow.is_secure or flow.remote.is_loopback):
            return Refused(Fault.TRANSPORT)
        return self._tokens.look(token, self._services.sites.current.users)

    # --- what somebody else has looked at: a registrar that authenticates in our place

    def wait(self, flow: Flow, claimed: str) -> float:
        """Seconds until credentials that claim this name are looked at again; 0 when they are now."""
        return self._guesses.wait(flow.remote.host, claimed, self._services.clock())

    def guessed(self, event: RequestReceived, claimed: str, reason: str) -> None:
        """Credentials were looked at and were wrong."""
        now = self._services.clock()
        self._guesses.failed(event.flow.remote.host, claimed, now)
        self._failed(Attempt.of(event), AuthOutcome(None, False, reason, claimed))

    def delayed(self, event: RequestReceived, claimed: str) -> None:
        """Credentials came too soon after others, and were not looked at."""
        self._failed(Attempt.of(event), AuthOutcome(None, False, TOO_SOON, claimed, refused=True))

    def unproved(self, event: RequestReceived, reason: str) -> None:
        """Somebody asks for something without the proof that is needed, and has claimed no name."""
        now, flow = self._services.clock(), event.flow
        told = self._report.note(Failure(flow.remote, flow.transport, "", reason, event.request.method), now)
        if told is not None:
            self._services.audit.write(told)

    def turned_away(self, remote: HostPort, transport: str, code: Code) -> None:
        """A listener did not let somebody in (`base.door`); that is counted and recorded as wrong passwords are."""
        told = self._report.note(Failure(remote, transport, "", str(code), HANDSHAKE), self._services.clock())
        if told is not None:
            self._services.audit.write(told)

    def proved(self, event: RequestReceived, user: str, claimed: str = "") -> None:
        """Credentials were right, and the connection is this user's.

        Args:
            claimed: the name in the credentials, where that is another one.
        """
        self._proved(Attempt.of(event), user, claimed or user)

    # --- records

    def report(self, *, stopping: bool = False) -> None:
        """Write the counts that are due; the owner calls this every second or so, and once when it stops."""
        now = self._services.clock()
        for summary in self._report.rest(now) if stopping else self._report.due(now):
            self._services.audit.write(summary)

    def _signed_in(self, attempt: Attempt, user: str, until: float = FOREVER, proof: str = PASSWORD) -> str | Answer:
        flow = attempt.flow
        again = self._identities.user_of(flow) == user
        if not self._identities.authenticate(flow, user, until, proof):
            return self._challenge(flow)
        if not self._services.sip.signed_in(flow, user):
            self._identities.forget(flow)
            return Answer(503, (("Retry-After", "60"),))
        if not again:
            self._proved(attempt, user, user)
        return user

    def _proved(self, attempt: Attempt, user: str, claimed: str) -> None:
        self._guesses.proved(attempt.flow.remote.host, claimed)
        log.info("user=%s signed in flow=%d", user, attempt.flow.id)
        self._record(attempt, user)

    def _record(self, attempt: Attempt, user: str) -> None:
        """auth.ok, once for each connection: what follows over it is this user's without being proved again."""
        if not self._recorded.take(user, self._services.clock()):
            self._unrecorded[user] += 1
            return
        flow = attempt.flow
        self._services.audit.write(
            notices.auth_ok(
                user=user,
                source=flow.remote,
                transport=flow.transport,
                method=attempt.method,
                unrecorded=self._unrecorded.pop(user, 0),
            )
        )

    def _challenge(self, flow: Flow, *, stale: bool = False, error: str = "") -> Answer:
        """Tokens first and MD5 last: libraries keep the last challenge they read. No digest where nobody has one."""
        site = self._services.sites.current
        issuers = self._tokens.issuers if self._tokens is not None else ()
        challenges = [challenge(site.realm, issuer.authorization_server, error) for issuer in issuers]
        if site.users or not challenges:
            challenges += self._digest.challenges(flow.id, self._services.clock(), stale=stale)
        return Answer(401, tuple(("WWW-Authenticate", value) for value in challenges))

    def _too_soon(self, event: RequestReceived, outcome: AuthOutcome, now: float) -> Answer:
        """Not a challenge: a browser would take that for a wrong password, and ask its user for another one."""
        wait = self._guesses.wait(event.flow.remote.host, outcome.claimed, now)
        self._failed(Attempt.of(event), outcome)
        return Answer(503, (("Retry-After", str(max(1, math.ceil(wait)))),))

    def _failed(self, attempt: Attempt, outcome: AuthOutcome) -> None:
        self._services.counters.add(Counter.AUTH_DELAYED if outcome.refused else Counter.AUTH_FAILED)
        flow = attempt.flow
        failure = Failure(flow.remote, flow.transport, outcome.claimed, outcome.reason, attempt.method)
        told = self._report.note(failure, self._services.clock())
        if told is not None:
            self._services.audit.write(told)
