"""The calls of a worker: legs are opened and ended here, and each command finds its leg."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from secrets import SystemRandom
from socket import socket
from typing import Protocol

from gateway.base.errors import MediaError
from gateway.base.values import HostPort, LegId
from gateway.media.relay_commands import Adopt, CloseLeg, IcePort, LegCommand, OpenLeg, OwnPort, SetIce
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_events import (
    CallClosed,
    CountersReport,
    Event,
    FailureReason,
    LegAdopted,
    LegClosed,
    LegFailed,
    LegOpened,
)
from gateway.media.relay_protocol import MAX_CALLS, MAX_LEGS, WORKER, WorkerConfig
from gateway.media.worker.agenda import NEVER, Agenda
from gateway.media.worker.call import Call
from gateway.media.worker.credentials import Credentials
from gateway.media.worker.demux import BrowserPort
from gateway.media.worker.ice_leg import IceLeg
from gateway.media.worker.leg import Leg
from gateway.media.worker.port_leg import PortLeg
from gateway.media.worker.port_pair import PortPair, open_pair
from gateway.media.worker.ports import PortPool, even_ports

Receiver = Callable[[bytes, tuple[str, int], float], None]


TICK_SECONDS = 1.0
"""How often consent and silence of a call are looked at."""


class Watch(Protocol):
    """The loop, as far as sockets come and go."""

    def register(self, own: socket, receive: Receiver, leg: Leg | None = None) -> None:
        """Give what arrives there to `receive`, a few datagrams a turn; `leg` is whose media that is."""

    def unregister(self, own: socket) -> None:
        """Look there no more."""


class Desk:
    """Every call of the worker by its number.

    Args:
        port: the browser port.
        watch: who looks after the sockets.
        emit: where events go, with the number of their call.
    """

    def __init__(
        self, config: WorkerConfig, port: BrowserPort, watch: Watch, emit: Callable[[int, Event], None]
    ) -> None:
        self._config, self._port, self._watch, self._emit = config, port, watch, emit
        pairs = even_ports(config.trunk_first, config.trunk_last)
        # In random order, so that the ports of the next calls cannot be guessed.
        SystemRandom().shuffle(pairs)
        self._pool = PortPool(pairs, config.quarantine_seconds)
        self._calls: dict[int, Call] = {}
        self._clocks: dict[int, _Clock] = {}
        patience = min(config.consent_seconds, config.silence_seconds, config.report_seconds)
        self.tick_seconds = min(TICK_SECONDS, patience / 4)
        self.agenda = Agenda()
        """What the legs do at moments of their own."""

    def open(self, number: int, command: OpenLeg, now: float) -> None:
        """Open a leg; the first one begins the call."""
        try:
            opened = self._open(number, command, now)
        except MediaError as error:
            opened = LegFailed(command.leg, str(error))
        self._emit(number, opened)

    def adopt(self, number: int, command: Adopt, now: float) -> None:
        """Move a leg from one call to another; a number that means nothing here changes nothing."""
        into, owner = self._calls.get(number), self._calls.get(command.from_call)
        leg = owner.legs.get(command.from_leg) if owner is not None else None
        if into is None or owner is None or leg is None or into is owner:
            self._emit(number, LegFailed(command.leg, FailureReason.NO_LEG))
        elif command.leg in into.legs:
            self._emit(number, LegFailed(command.leg, FailureReason.DUPLICATE))
        elif len(into.legs) >= MAX_LEGS:
            self._emit(number, LegFailed(command.leg, FailureReason.TOO_MANY_LEGS))
        else:
            owner.release(leg, now)
            self._emit(command.from_call, LegClosed(command.from_leg, leg.tally.freeze(), leg.quality))
            into.adopt(leg, command.leg)
            self._emit(number, LegAdopted(command.leg))

    def obey(self, number: int, command: LegCommand, now: float) -> None:
        """Carry out what is about legs that are there; anything else is counted."""
        call = self._calls.get(number)
        leg = call.legs.get(command.leg) if call is not None and isinstance(command, SetIce) else None
        if isinstance(leg, IceLeg) and isinstance(command, SetIce):
            self._restart(leg, command)
        elif call is None or not call.obey(command, now):
            self._port.tally.control_rejected += 1

    def close_leg(self, number: int, command: CloseLeg, now: float) -> None:
        """End one leg of a call."""
        call = self._calls.get(number)
        leg = call.legs.get(command.leg) if call is not None else None
        if call is None or leg is None:
            self._emit(number, LegClosed(command.leg, PacketCounters()))
            return
        self._end(call, leg, now)
        self._emit(number, LegClosed(command.leg, leg.tally.freeze(), leg.quality))

    def close_call(self, number: int, now: float) -> None:
        """End a call with all its legs."""
        call, clock = self._calls.pop(number, None), self._clocks.pop(number, None)
        if clock is not None:
            clock.stop()
        legs = list(call.legs.values()) if call is not None else []
        for leg in legs:
            if call is not None:
                self._end(call, leg, now)
        counters = {leg.id: leg.tally.freeze() for leg in legs}
        self._emit(number, CallClosed(counters, {leg.id: leg.quality for leg in legs}))

    def report(self, number: int) -> None:
        """Tell the counters of a call, or what belonged to none."""
        call = self._calls.get(number)
        if number == WORKER:
            self._emit(number, CountersReport({LegId(0): self._port.tally.freeze()}))
        else:
            self._emit(number, CountersReport(call.counters(), call.quality()) if call else CountersReport({}))

    def look_at(self, call: Call, now: float) -> None:
        """Look at the clock for the legs of a call."""
        for leg in call.legs.values():
            if isinstance(leg, IceLeg):
                self._port.expire(leg, now)
        call.tick(now, self._config.silence_seconds)

    def _open(self, number: int, command: OpenLeg, now: float) -> LegOpened | LegFailed:
        call = self._calls.get(number) or Call(partial(self._emit, number), self.agenda, self._config.report_seconds)
        if number == WORKER or command.leg in call.legs:
            raise MediaError(FailureReason.DUPLICATE)
        if number not in self._calls and len(self._calls) >= MAX_CALLS:
            raise MediaError(FailureReason.TOO_MANY_CALLS)
        if len(call.legs) >= MAX_LEGS:
            raise MediaError(FailureReason.TOO_MANY_LEGS)
        opened = self._open_at(call, command.leg, command.place, now)
        call.legs[command.leg].reports.tells_rtcp = command.tells_rtcp
        if number not in self._calls:
            self._calls[number] = call
            self._clocks[number] = _Clock(self, call, now)
        return opened

    def _open_at(self, call: Call, number: LegId, place: IcePort | OwnPort, now: float) -> LegOpened:
        if isinstance(place, OwnPort):
            return self._open_ports(call, number, place, now)
        if self._port.knows(place.ufrag):
            raise MediaError(FailureReason.DUPLICATE)
        credentials = Credentials(place.ufrag, place.pwd.reveal().encode())
        leg = IceLeg(number, call.emit, call.ssrcs, credentials, self._config.consent_seconds)
        call.add(leg)
        self._port.add(leg)
        hosts = self._config.browser_advertise or self._config.browser_bind
        return LegOpened(number, tuple(HostPort(host, self._port.number) for host in hosts), None)

    def _open_ports(self, call: Call, number: LegId, place: OwnPort, now: float) -> LegOpened:
        sockets = open_pair(place.bind, self._pool, now)
        leg = PortLeg(number, call.emit, call.ssrcs, sockets)
        if place.ice is not None:
            leg.set_ice(place.ice.ufrag, place.ice.pwd.reveal().encode())
        call.add(leg)
        self._watch.register(sockets.rtp, leg.receive, leg)
        self._watch.register(sockets.rtcp, leg.receive_rtcp)
        host = place.advertise or place.bind
        return LegOpened(number, (HostPort(host, sockets.port),), HostPort(host, sockets.port + 1))

    def _restart(self, leg: IceLeg, command: SetIce) -> None:
        if self._port.knows(command.ufrag):
            leg.refuse(FailureReason.DUPLICATE)
        else:
            self._port.restart(leg, command.ufrag, command.pwd.reveal().encode())

    def _end(self, call: Call, leg: Leg, now: float) -> None:
        leg.reporter.leave(now)
        if isinstance(leg, IceLeg):
            self._port.remove(leg)
        elif isinstance(leg, PortLeg):
            self._release(leg.sockets, now)
        call.remove(leg, now)

    def _release(self, sockets: PortPair, now: float) -> None:
        self._watch.unregister(sockets.rtp)
        self._watch.unregister(sockets.rtcp)
        self._pool.release(sockets.port, now)


class _Clock:
    """Looks at one call again and again: each has moments of its own, for all at once would hold up their media."""

    def __init__(self, desk: Desk, call: Call, now: float) -> None:
        self._desk, self.due = desk, NEVER
        self._call: Call | None = call
        self._wait(now)

    def wake(self, now: float) -> None:
        if self._call is not None:
            self._desk.look_at(self._call, now)
            self._wait(now)

    def stop(self) -> None:
        """The call is over; the agenda has this until its next moment, and the call no more."""
        self._call = None

    def _wait(self, now: float) -> None:
        self._desk.agenda.set(self, now + self._desk.tick_seconds)
