"""A call of a relay worker in this process, with one browser and one trunk that hear each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.base.values import HostPort, LegId, Secret
from gateway.media.relay_commands import EventFormat, PayloadMap, RelayPlan, Route, SetKeys, SetPeer
from gateway.media.relay_events import Event
from gateway.media.worker.call import Call
from gateway.media.worker.credentials import Credentials
from gateway.media.worker.ice_leg import IceLeg
from gateway.media.worker.port_leg import PortLeg
from gateway.media.worker.port_pair import PortPair
from tests.media.peers import BROWSER, TRUNK, Totals

__all__ = ["BROWSER", "TRUNK", "LocalCall"]


DIGITS = EventFormat(101)
"""telephone-event as both sides have it unless a test says otherwise."""


class LocalCall:
    """Both legs are open; what else they are told is up to the test."""

    def __init__(self, sockets: PortPair, consent_seconds: float = 30.0) -> None:
        self.events: list[Event] = []
        self.call = Call(self.events.append)
        self.browser = IceLeg(
            BROWSER, self.events.append, self.call.ssrcs, Credentials("ufrag", b"password"), consent_seconds
        )
        self.trunk = PortLeg(TRUNK, self.events.append, self.call.ssrcs, sockets)
        self.call.add(self.browser)
        self.call.add(self.trunk)
        self._plans = RelayPlan(), RelayPlan()

    def keys(self, leg: LegId, suite: str, tx: Secret[bytes], rx: Secret[bytes], now: float) -> None:
        self.call.obey(SetKeys(leg, suite, tx, rx), now)

    def peer(
        self,
        rtp: tuple[str, int],
        now: float,
        *,
        keyed: bool = False,
        mux: bool = False,
        sources: tuple[str, ...] = (),
    ) -> None:
        self.call.obey(SetPeer(TRUNK, keyed, HostPort(*rtp), None, mux, sources), now)

    def payloads(
        self,
        to_trunk: Iterable[PayloadMap],
        to_browser: Iterable[PayloadMap],
        now: float,
        *,
        trunk: EventFormat = DIGITS,
        browser: EventFormat = DIGITS,
    ) -> None:
        """What is passed on, and telephone-event as each side has it."""
        self._plans = (
            RelayPlan(tuple(to_trunk), heard=(browser,), events=(trunk,)),
            RelayPlan(tuple(to_browser), heard=(trunk,), events=(browser,)),
        )
        self.hold(now)

    def hold(self, now: float, *, to_trunk: bool = True, to_browser: bool = True) -> None:
        """Which ways RTP may pass."""
        self.call.obey(Route(BROWSER, TRUNK, replace(self._plans[0], is_open=to_trunk)), now)
        self.call.obey(Route(TRUNK, BROWSER, replace(self._plans[1], is_open=to_browser)), now)

    @property
    def plan_to_trunk(self) -> RelayPlan:
        """How the trunk hears the browser, as `payloads` has it."""
        return self._plans[0]

    @property
    def counters(self) -> Totals:
        return Totals(self.call.counters())

    def close(self) -> None:
        for leg in list(self.call.legs.values()):
            self.call.remove(leg, 0.0)
