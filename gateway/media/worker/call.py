"""One call in the worker: its legs, and which of them hear each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from gateway.base.values import LegId
from gateway.media.relay_commands import (
    DropKeys,
    LegCommand,
    PlayDigit,
    RelayPlan,
    SendDtls,
    SetIce,
    SetKeys,
    SetPeer,
    Unroute,
)
from gateway.media.relay_commands import Route as SetRoute
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_events import FailureReason
from gateway.media.relay_protocol import REPORT_SECONDS
from gateway.media.relay_quality import LegQuality
from gateway.media.worker.agenda import Agenda
from gateway.media.worker.ice_leg import IceLeg
from gateway.media.worker.leg import Leg
from gateway.media.worker.port_leg import PortLeg
from gateway.media.worker.reports import Emit
from gateway.media.worker.route import Route
from gateway.media.worker.stream import MAX_REMEMBERED


class Call:
    """Legs that may be routed to each other; nothing passes from here to another call.

    Args:
        emit: where the events of its legs go.
        agenda: of the worker; its own in tests.
        report_seconds: between RTCP reports to the peer of a leg.
    """

    def __init__(self, emit: Emit, agenda: Agenda | None = None, report_seconds: float = REPORT_SECONDS) -> None:
        self.emit, self._report_seconds = emit, report_seconds
        self.agenda = agenda or Agenda()
        self.legs: dict[LegId, Leg] = {}
        self.ssrcs: deque[int] = deque(maxlen=MAX_REMEMBERED)
        """What the legs are sent under, so that no SSRC is used twice."""
        self._routes: dict[LegId, Route] = {}
        """By their sink: a leg hears one other at most."""

    def add(self, leg: Leg) -> None:
        """A leg is there: keyed, described and routed by what follows."""
        self.legs[leg.id] = leg
        leg.digits.move_to(self.agenda)
        leg.reporter.move_to(self.agenda, self._report_seconds)

    def obey(self, command: LegCommand, now: float) -> bool:
        """Carry out a command; False when it names a leg that is not there."""
        if isinstance(command, SetRoute):
            return self._route(command, now)
        leg = self.legs.get(command.sink if isinstance(command, Unroute) else command.leg)
        if leg is None:
            return False
        leg.unsettle()
        if isinstance(command, Unroute):
            self._unroute(leg.id)
            self._rewire(now)
        elif isinstance(command, SetKeys):
            leg.set_keys(command, now)
        elif isinstance(command, DropKeys):
            leg.protection.drop()
        elif isinstance(command, PlayDigit):
            leg.digits.play(command.digit.reveal(), command.milliseconds / 1000, now)
        else:
            _obey_of_kind(leg, command, now)
        return True

    def remove(self, leg: Leg, now: float) -> None:
        """End a leg: nobody hears it and it hears nobody, and its numbers are final."""
        self.release(leg, now)
        leg.digits.stop()
        leg.close()

    def release(self, leg: Leg, now: float) -> None:
        """A leg is no part of the call any more: nobody hears it and it hears nobody."""
        del self.legs[leg.id]
        for sink in [sink for sink, route in self._routes.items() if leg in (route.source, route.sink)]:
            self._unroute(sink)
        self._rewire(now)
        leg.connect((), None, now)

    def adopt(self, leg: Leg, number: LegId) -> None:
        """Take in a leg that another call has released, as it is."""
        leg.move_to(number, self.emit, self.ssrcs)
        self.add(leg)

    def counters(self) -> Mapping[LegId, PacketCounters]:
        """The counters of each leg as they are now."""
        return {number: leg.tally.freeze() for number, leg in self.legs.items()}

    def quality(self) -> Mapping[LegId, LegQuality]:
        """The quality of each leg up to now."""
        return {number: leg.quality for number, leg in self.legs.items()}

    def tick(self, now: float, silence_seconds: float) -> None:
        """Look at the clock: about once a second, whether or not packets come."""
        for leg in self.legs.values():
            leg.tick(now, silence_seconds)

    def _route(self, command: SetRoute, now: float) -> bool:
        source, sink = self.legs.get(command.source), self.legs.get(command.sink)
        if source is None or sink is None:
            return False
        if source is sink:
            sink.refuse(FailureReason.BAD_ROUTE)
            return True
        self._follow(source, sink, command.plan)
        self._rewire(now)
        return True

    def _follow(self, source: Leg, sink: Leg, plan: RelayPlan) -> None:
        present = self._routes.get(sink.id)
        if present is not None and present.source is source:
            present.follow(plan)
            return
        self._unroute(sink.id)
        self._routes[sink.id] = Route(source, sink, plan)

    def _unroute(self, sink: LegId) -> None:
        route = self._routes.pop(sink, None)
        if route is not None:
            route.end()

    def _rewire(self, now: float) -> None:
        for leg in self.legs.values():
            outgoing = [route for route in self._routes.values() if route.source is leg]
            leg.connect(outgoing, self._routes.get(leg.id), now)


def _obey_of_kind(leg: Leg, command: SetIce | SetPeer | SendDtls, now: float) -> None:
    """A command that each kind of leg carries out its own way; a browser's new name is the browser port's business."""
    if isinstance(leg, PortLeg) and isinstance(command, SetPeer):
        leg.set_peer(command, now)
    elif isinstance(leg, PortLeg) and isinstance(command, SetIce):
        leg.set_ice(command.ufrag, command.pwd.reveal().encode())
    elif isinstance(leg, PortLeg) and isinstance(command, SendDtls):
        leg.send_dtls(command.data, command.component)
    elif isinstance(leg, IceLeg) and isinstance(command, SendDtls):
        leg.send_dtls(command.data)
    else:
        leg.refuse(FailureReason.WRONG_KIND)
