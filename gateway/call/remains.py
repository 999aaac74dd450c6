"""What is left of a site when another one took its place: calls that go on under it, and users who are none any more.

A call keeps the site it began with, and so its trunks must be heard until it ends. Who is signed in by something that
counts no longer is signed out at once: she is not rung, and begins nothing. Her calls go on, for they began when she
might; her connection is closed when none of them needs it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.call.legs.targets import TrunkTarget
from gateway.call.machine.state import CallState
from gateway.call.run.index import CallIndex
from gateway.call.run.services import Services
from gateway.call.sign_in import SignIn
from gateway.location.service import Location
from gateway.sip.flow import Flow
from gateway.site import Site
from gateway.trunks.model import Trunk

log = logging.getLogger(__name__)


class Remains:
    """Looks after both.

    Args:
        signed_out: told of each connection that is nobody's any more, though it is still there.
    """

    def __init__(
        self,
        services: Services,
        index: CallIndex,
        location: Location,
        sign_in: SignIn,
        signed_out: Callable[[Flow], None],
    ) -> None:
        self._services, self._index, self._tell = services, index, signed_out
        self._location, self._sign_in = location, sign_in
        self._signed_out: dict[int, Flow] = {}
        """Connections of users that were signed out and have calls; each is forgotten when it is closed."""

    def former_trunks(self) -> list[Trunk]:
        """What the trunks were over which calls go that began before those were changed, or taken out."""
        now = self._services.sites.current.trunks
        found: dict[int, Trunk] = {}
        for state in (runner.state for runner in self._index.runners):
            before = state.site.trunks
            if before is not now:
                found.update((id(before[name]), before[name]) for name in _trunks_of(state) if name in before)
        return _different([trunk for trunk in found.values() if trunk != now.get(trunk.name)])

    def sign_out(self, before: Site) -> None:
        """The site has changed: let nobody stay signed in who would not be let in now."""
        for flow, user in self._sign_in.revoked(before):
            log.info("user=%s signed out flow=%d reason=configuration", user, flow.id)
            self._location.flow_closed(flow)
            self._tell(flow)
            self._signed_out[flow.id] = flow
        self.settle()

    def settle(self) -> None:
        """Close the connections that no call needs any more, unless somebody has signed in there meanwhile."""
        for flow in list(self._signed_out.values()):
            if self._location.identities.user_of(flow) is not None:
                del self._signed_out[flow.id]
            elif not self.is_used(flow):
                del self._signed_out[flow.id]
                self._services.sip.close(flow)

    def is_used(self, flow: Flow) -> bool:
        """Whether a call is on this connection."""
        return bool(self._index.on(flow.id))

    def flow_closed(self, flow: Flow) -> None:
        """It has ended by itself."""
        self._signed_out.pop(flow.id, None)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to be looked after, as far as users go."""
        return not self._signed_out


def _trunks_of(state: CallState) -> set[str]:
    """Trunks whose messages the call waits for, or may yet."""
    targets = [target for target in state.hunt.targets if isinstance(target, TrunkTarget)]
    names = {leg.founding.trunk or "" for leg in state.legs.values()}
    names |= {leg.trunk_name for leg in state.legs.values()}
    return names | {target.trunk.name for target in (*targets, *state.hunt.connecting.values())} | {state.trunk_id}


def _different(trunks: list[Trunk]) -> list[Trunk]:
    """Each once, however many sites had it."""
    return [trunk for index, trunk in enumerate(trunks) if trunk not in trunks[:index]]
