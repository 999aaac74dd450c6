"""The relay worker's loop: one epoll over the control socket, the browser port and the ports of every leg."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gateway import __version__
from gateway.media.relay_commands import Adopt, CloseCall, CloseLeg, Command, GetCounters, Heartbeat, OpenLeg
from gateway.media.relay_events import Alive, WorkerReady
from gateway.media.relay_protocol import MAX_DATAGRAM, WORKER, WorkerConfig
from gateway.media.worker.control import ControlChannel
from gateway.media.worker.demux import BrowserPort
from gateway.media.worker.desk import TICK_SECONDS, Desk, Receiver
from gateway.media.worker.flat import PORT_BATCH, Flat, Flat6
from gateway.media.worker.lane import Take
from gateway.media.worker.leg import Leg
from gateway.media.worker.records import Records

MAX_EVENTS = 256
"""Sockets served per wake-up."""
LONGEST_WAIT = 0.0015
"""Seconds a packet may have to wait here, as far as the worker itself decides. Wake-ups, not packets, are what a relay
spends its time on under few calls: so it sleeps after each, for what this leaves beside the work of that wake-up and of
the next. A packet that just missed one waits for all three; under many calls there is no time left to sleep."""
MAX_SILENT_TICKS = 30
"""Ticks without a heartbeat, once there was one, after which the worker ends: a gateway that hangs for so long neither
ends calls nor watches over them, and its media must not go on without it."""

Handler = Callable[[float], bool]
"""Deals with what has arrived at a socket; True when there may be more."""


class RelayLoop:
    """The worker: its sockets, its clock and its commands.

    Raises OSError when the browser port cannot be bound.
    """

    def __init__(self, config: WorkerConfig, control: socket.socket) -> None:
        self._config = config
        self._port = BrowserPort(config)
        self._control = ControlChannel(control, self._port.tally, self._want_write)
        self._handlers: dict[int, Handler] = {}
        self._browser_ports: dict[int, Callable[[float], bool]] = {}
        """Those that are read by the batch; True when there may be more."""
        records = Records()
        self._flat, self._flat6 = Flat(records), Flat6(records)
        self._epoll = select.epoll()
        self._read_all_at = 0.0
        """When nothing was left to read: what is read now came after that."""
        self._silent_ticks = 0
        self._watched = False
        """The gateway sends heartbeats; from the first on they are missed."""
        self._desk = Desk(config, self._port, self, self._control.emit)
        self._tick = self._desk.tick_seconds
        self._handle(control, self._commands)
        for own in self._port.sockets:
            self._watch_browsers(own)

    def run(self) -> None:
        """Serve until the gateway closes the control socket."""
        self._control.emit(WORKER, WorkerReady(self._port.number, __version__))
        due = time.monotonic() + self._tick
        while not self._control.closed:
            if self._control.has_news:
                self._control.flush()
            wanted = min(due, self._desk.agenda.next)
            events = self._epoll.poll(max(0.0, wanted - time.monotonic()), MAX_EVENTS)
            now = time.monotonic()
            is_idle = self._serve([descriptor for descriptor, _ in events], now)
            if now >= self._desk.agenda.next:
                self._desk.agenda.run(now)
            if now >= due:
                if self._is_orphaned():
                    return
                due = now + self._tick
            pause = LONGEST_WAIT - 2 * (time.monotonic() - now)
            if is_idle and pause > 0:
                time.sleep(pause)

    def _serve(self, descriptors: list[int], now: float) -> bool:
        """Take from each of these sockets what its turn allows; whether that was all there is.

        What came first is dealt with first: a command may be about the packets behind it, or ask what became of those
        before.
        """
        flat, flat6, is_full, at = self._flat, self._flat6, len(descriptors) == MAX_EVENTS, 0
        flat.away = flat6.away = self._desk.agenda.away = now - self._read_all_at
        flat.is_full = flat6.is_full = False
        while (at := flat.receive_from_ports(descriptors, at, now)) < len(descriptors):
            is_full = self._serve_one(descriptors[at], now) or is_full
            at += 1
        self._relay(now)
        is_full = is_full or flat.is_full or flat6.is_full
        if not is_full:
            self._read_all_at = now
        return bool(descriptors) and not is_full

    def _serve_one(self, descriptor: int, now: float) -> bool:
        """One that is no port of a lane by IPv4; whether there may be more."""
        if descriptor in self._flat6.ports:
            self._flat6.receive_from_ports((descriptor,), 0, now)
            return False
        if descriptor in self._browser_ports:
            return self._browser_ports[descriptor](now)
        if descriptor not in self._handlers:  # one before it in this round has closed it
            return False
        self._relay(now)
        return self._handlers[descriptor](now)

    def _relay(self, now: float) -> None:
        """Pass on all that was received."""
        self._flat.relay(now)
        self._flat6.relay(now)

    def _flat_of(self, own: socket.socket) -> Flat:
        """Who takes what arrives there by the batch."""
        return self._flat if own.family == socket.AF_INET else self._flat6

    def register(self, own: socket.socket, receive: Receiver, leg: Leg | None = None) -> None:
        """Give what arrives there to `receive`, a few datagrams a turn, so that every leg gets its turn.

        Args:
            leg: whose media that is, where it is media.
        """
        take: Take = receive if leg is None else partial(self._take_from_port, own, receive, leg)
        self._flat_of(own).takes[own.fileno()] = take
        self._handle(own, partial(_read, own, take))

    def unregister(self, own: socket.socket) -> None:
        """Look there no more."""
        del self._flat_of(own).takes[own.fileno()]
        self._epoll.unregister(own.fileno())
        del self._handlers[own.fileno()]

    def _is_orphaned(self) -> bool:
        """Counted in ticks, so that a worker that was itself held up reads what waits for it first."""
        self._silent_ticks += self._watched
        return self._silent_ticks * self._tick > MAX_SILENT_TICKS * TICK_SECONDS

    def _watch_browsers(self, own: socket.socket) -> None:
        self._handle(own, partial(self._port.read, own))
        flat = self._flat_of(own)
        flat.takes[own.fileno()] = partial(self._take_from_browser, own)
        self._browser_ports[own.fileno()] = partial(flat.receive_from_browsers, own)

    def _take_from_browser(self, own: socket.socket, datagram: bytes, source: tuple[Any, ...], now: float) -> None:
        path = own, source
        leg = self._port.owner(path)
        if leg is not None:
            leg.catch_up()
        self._port.take(datagram, path, now)
        leg = self._port.owner(path)
        if leg is not None:
            self._flat_of(own).settle(leg, own, datagram, source, now)

    def _take_from_port(
        self, own: socket.socket, receive: Receiver, leg: Leg, datagram: bytes, source: tuple[Any, ...], now: float
    ) -> None:
        leg.catch_up()
        source = source[:2]
        receive(datagram, source, now)
        self._flat_of(own).settle(leg, own, datagram, source, now)

    def _handle(self, own: socket.socket, handler: Handler) -> None:
        self._handlers[own.fileno()] = handler
        self._epoll.register(own.fileno(), select.EPOLLIN)

    def _want_write(self, wanted: bool) -> None:
        events = select.EPOLLIN | select.EPOLLOUT if wanted else select.EPOLLIN
        self._epoll.modify(self._control.socket.fileno(), events)

    def _commands(self, now: float) -> bool:
        self._control.flush()
        for call, command in self._control.commands():
            self._obey(call, command, now)
        return False

    def _obey(self, call: int, command: Command, now: float) -> None:
        if isinstance(command, OpenLeg):
            self._desk.open(call, command, now)
        elif isinstance(command, Adopt):
            self._desk.adopt(call, command, now)
        elif isinstance(command, CloseLeg):
            self._desk.close_leg(call, command, now)
        elif isinstance(command, CloseCall):
            self._desk.close_call(call, now)
        elif isinstance(command, GetCounters):
            self._desk.report(call)
        elif isinstance(command, Heartbeat):
            self._watched, self._silent_ticks = True, 0
            self._control.emit(WORKER, Alive(command.number))
        else:
            self._desk.obey(call, command, now)


def _read(own: socket.socket, take: Take, now: float) -> bool:
    """Take a few datagrams of a leg's port; whether it may have more."""
    for _ in range(PORT_BATCH):
        try:
            packet, source = own.recvfrom(MAX_DATAGRAM + 1)
        except OSError:
            return False
        take(packet, source[:2], now)
    return True
