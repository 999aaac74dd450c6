"""Which trunk begins something, and whether it has proved that: by its address, its certificate, digest, or several.

Only what begins something new is asked for proof. What belongs to a dialog has its tags, and is judged by the
connection it came over (`machine.flows`). Whoever proves nothing hears the same, whatever was wrong: a challenge where
a password could help, else 403.
"""

from __future__ import annotations

import ipaddress
import logging
import math
from collections import OrderedDict

from gateway.base.counters import Counter
from gateway.base.profiles import Profile
from gateway.call.run.services import Services
from gateway.call.sign_in import Answer, SignIn
from gateway.sip.auth import Credentials, DigestServer
from gateway.sip.events import RequestReceived
from gateway.sip.flow import Flow
from gateway.trunks.model import Trunk

log = logging.getLogger(__name__)

NO_CERTIFICATE = "no certificate of the trunk"
"""Reason of a request over a connection whose peer did not prove the name it must."""
MAX_PROVED = 1024
"""Connections whose first proof is on record; the oldest gives way, and is recorded once more."""


class TrunkIdentity:
    """Finds the trunk behind a request that begins something."""

    def __init__(self, services: Services, digest: DigestServer, sign_in: SignIn) -> None:
        self._services, self._digest, self._sign_in = services, digest, sign_in
        self._proved: OrderedDict[tuple[str, int], None] = OrderedDict()

    def trunk_of(self, event: RequestReceived) -> str | Answer:
        """The trunk whose request this is, or what to answer: a challenge (401), later (503), or no (403)."""
        possible = self._possible(event.flow)
        if not possible:
            self._services.counters.add(Counter.TRUNK_UNPROVED)
            self._sign_in.unproved(event, NO_CERTIFICATE)
            return Answer(403, ())
        accounts = {t.inbound.user: t for t in possible if t.inbound is not None and t.inbound.credentials is not None}
        if accounts and self._digest.is_answered(event.request):
            return self._by_digest(event, accounts)
        likeliest = possible[0]
        if _has_proved_enough(likeliest, event.flow):
            return likeliest.name
        return self._challenge(event)

    def _possible(self, flow: Flow) -> list[Trunk]:
        """The trunks that may be behind it, the likeliest first, without those whose certificate it should have shown.

        The first one is let call in by the endpoint; others at the address only from their own networks.
        """
        known = self._services.sites.current.trunks
        others = [known[name] for name in flow.also if name in known and _narrowest(known[name], flow) >= 0]
        first = [known[flow.trunk]] if flow.trunk is not None and flow.trunk in known else []
        named = [*first, *sorted(others, key=lambda trunk: _rank(trunk, flow))]
        shown = [trunk for trunk in named if trunk.name in flow.proved] or named
        return [trunk for trunk in shown if not _lacks_certificate(trunk, flow)]

    def _by_digest(self, event: RequestReceived, accounts: dict[str, Trunk]) -> str | Answer:
        """Look at credentials. Only those for a challenge this peer has had are: datagrams can be made up by anybody,
        who must not make the trunk wait for what it never tried.
        """
        now, flow = self._services.clock(), event.flow
        if not self._digest.has_asked(event.request, flow.id):
            return self._challenge(event, stale=True)

        def lookup(user: str) -> Credentials | None:
            inbound = accounts[user].inbound if user in accounts else None
            return inbound.credentials if inbound is not None else None

        outcome = self._digest.verify(
            event.request, flow.id, lookup, now, may_try=lambda user: self._sign_in.wait(flow, user) <= 0
        )
        if outcome.user is not None:
            trunk = accounts[outcome.user]
            self._note(event, trunk.name, outcome.user)
            return trunk.name
        if outcome.refused:
            self._sign_in.delayed(event, outcome.claimed)
            return Answer(503, (("Retry-After", str(max(1, math.ceil(self._sign_in.wait(flow, outcome.claimed))))),))
        if outcome.claimed and not outcome.stale:
            self._sign_in.guessed(event, outcome.claimed, outcome.reason)
        return self._challenge(event, stale=outcome.stale)

    def _note(self, event: RequestReceived, trunk: str, user: str) -> None:
        """auth.ok, once for each connection, or source of datagrams."""
        key = (trunk, event.flow.id)
        if key not in self._proved:
            self._sign_in.proved(event, user)
            self._services.sip.signed_in(event.flow, trunk)
        self._proved[key] = None
        self._proved.move_to_end(key)
        if len(self._proved) > MAX_PROVED:
            self._proved.popitem(last=False)

    def _challenge(self, event: RequestReceived, *, stale: bool = False) -> Answer:
        challenges = self._digest.challenges(event.flow.id, self._services.clock(), stale=stale)
        return Answer(401, tuple(("WWW-Authenticate", challenge) for challenge in challenges))


def _narrowest(trunk: Trunk, flow: Flow) -> int:
    """Prefix length of its narrowest network that holds the address, -1 when none does."""
    try:
        address = ipaddress.ip_address(flow.remote.host)
    except ValueError:
        return -1
    return max((network.prefixlen for network in trunk.networks if address in network), default=-1)


def _rank(trunk: Trunk, flow: Flow) -> tuple[int, bool, int]:
    """As `net.admission.TrunkSources` has it: narrowest network, transport of its target, stricter profile."""
    return -_narrowest(trunk, flow), trunk.target.transport != flow.transport, list(Profile).index(trunk.security)


def _lacks_certificate(trunk: Trunk, flow: Flow) -> bool:
    """Whether a certificate is missing that nothing else stands in for."""
    inbound = trunk.inbound
    if inbound is None or not inbound.certificate or trunk.name in flow.proved:
        return False
    return not inbound.any_is_enough or inbound.credentials is None


def _has_proved_enough(trunk: Trunk, flow: Flow) -> bool:
    """Whether it need not be asked for a password."""
    inbound = trunk.inbound
    if inbound is None or inbound.credentials is None:
        return True
    return inbound.any_is_enough and inbound.certificate and trunk.name in flow.proved
