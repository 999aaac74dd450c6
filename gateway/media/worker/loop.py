"""The relay worker's loop: one epoll over the control socket, the browser port and every trunk port."""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Callable
from functools import partial

from gateway.base.errors import MediaError
from gateway.media.relay_protocol import (
    MAX_DATAGRAM,
    WORKER,
    Alive,
    CloseSession,
    Command,
    CountersReport,
    FailureReason,
    GetCounters,
    Heartbeat,
    OpenSession,
    SendDtls,
    SessionClosed,
    SessionCounters,
    SessionFailed,
    SessionOpened,
    SetDirection,
    SetIce,
    SetKeys,
    SetPayloads,
    SetTrunk,
    WorkerConfig,
    WorkerReady,
)
from gateway.media.worker.control import ControlChannel
from gateway.media.worker.demux import BrowserPort
from gateway.media.worker.ports import PortPool, even_ports
from gateway.media.worker.session import Session
from gateway.media.worker.trunk_sockets import open_pair

MAX_EVENTS = 256
"""Sockets served per wake-up."""
MAX_SESSIONS = 4096
"""More than one core can carry; the gateway's own limit is far lower."""
COALESCE_SECONDS = 0.00025
"""Pause after a wake-up that did not fill `MAX_EVENTS`: wake-ups, not packets, are what a relay spends its time on."""
TICK_SECONDS = 1.0
"""How often consent and silence are looked at."""
MAX_SILENT_TICKS = 30
"""Ticks without a heartbeat, once there was one, after which the worker ends: a gateway that hangs for so long neither
ends calls nor watches over them, and its media must not go on without it."""

Handler = Callable[[float], None]


class RelayLoop:
    """The worker: sockets, sessions, commands.

    Raises OSError when the browser port cannot be bound.
    """

    def __init__(self, config: WorkerConfig, control: socket.socket) -> None:
        self._config = config
        self._port = BrowserPort(config)
        self._control = ControlChannel(control, self._port.tally, self._want_write)
        pairs = even_ports(config.trunk_first, config.trunk_last)
        # In random order, so that the ports of the next calls cannot be guessed.
        secrets.SystemRandom().shuffle(pairs)
        self._pool = PortPool(pairs, config.quarantine_seconds)
        self._sessions: dict[int, Session] = {}
        self._handlers: dict[int, Handler] = {}
        self._epoll = select.epoll()
        self._silent_ticks = 0
        self._watched = False
        """The gateway sends heartbeats; from the first on they are missed."""
        self._tick = min(TICK_SECONDS, config.consent_seconds / 4, config.silence_seconds / 4)
        self._register(control, self._commands)
        for own in self._port.sockets:
            self._register(own, partial(self._port.read, own))

    def run(self) -> None:
        """Serve until the gateway closes the control socket."""
        self._control.emit(WorkerReady(self._port.sockets[0].getsockname()[1]))
        due = time.monotonic() + self._tick
        while not self._control.closed:
            events = self._epoll.poll(max(0.0, due - time.monotonic()), MAX_EVENTS)
            now = time.monotonic()
            for descriptor, _ in events:
                # An earlier event of this round may have closed it.
                handler = self._handlers.get(descriptor)
                if handler is not None:
                    handler(now)
            if now >= due:
                self._look_at_the_clock(now)
                if self._is_orphaned():
                    return
                due = now + self._tick
            if 0 < len(events) < MAX_EVENTS:
                time.sleep(COALESCE_SECONDS)

    def _look_at_the_clock(self, now: float) -> None:
        self._port.expire(now)
        for session in self._sessions.values():
            session.tick(now, self._config.silence_seconds)

    def _is_orphaned(self) -> bool:
        """Counted in ticks, so that a worker that was itself held up reads what waits for it first."""
        self._silent_ticks += self._watched
        return self._silent_ticks * self._tick > MAX_SILENT_TICKS * TICK_SECONDS

    def _register(self, own: socket.socket, handler: Handler) -> None:
        self._handlers[own.fileno()] = handler
        self._epoll.register(own.fileno(), select.EPOLLIN)

    def _unregister(self, own: socket.socket) -> None:
        self._epoll.unregister(own.fileno())
        del self._handlers[own.fileno()]

    def _want_write(self, wanted: bool) -> None:
        events = select.EPOLLIN | select.EPOLLOUT if wanted else select.EPOLLIN
        self._epoll.modify(self._control.socket.fileno(), events)

    def _commands(self, now: float) -> None:
        self._control.flush()
        for command in self._control.commands():
            self._obey(command, now)

    def _obey(self, command: Command, now: float) -> None:
        if isinstance(command, OpenSession):
            self._open(command, now)
        elif isinstance(command, CloseSession):
            self._close(command.session, now)
        elif isinstance(command, GetCounters):
            self._control.emit(CountersReport(command.session, self._counters(command.session)))
        elif isinstance(command, Heartbeat):
            self._watched, self._silent_ticks = True, 0
            self._control.emit(Alive(command.number))
        else:
            session = self._sessions.get(command.session)
            if session is not None and isinstance(command, SetIce):
                self._restart(command, session)
            elif session is not None and not isinstance(command, SetIce):
                _apply(command, session, now)

    def _restart(self, command: SetIce, session: Session) -> None:
        if self._port.knows(command.ice_ufrag):
            self._control.emit(SessionFailed(command.session, FailureReason.DUPLICATE))
        else:
            self._port.restart(session, command.ice_ufrag, command.ice_pwd.reveal().encode())

    def _open(self, command: OpenSession, now: float) -> None:
        try:
            session = self._make(command, now)
        except MediaError as error:
            self._control.emit(SessionFailed(command.session, str(error)))
            return
        self._sessions[session.number] = session
        self._port.add(session)
        sockets = session.trunk.sockets
        self._register(sockets.rtp, partial(_read, sockets.rtp, session.from_trunk))
        self._register(sockets.rtcp, partial(_read, sockets.rtcp, session.rtcp_from_trunk))
        self._control.emit(SessionOpened(session.number, sockets.port, sockets.port + 1))

    def _make(self, command: OpenSession, now: float) -> Session:
        if len(self._sessions) >= MAX_SESSIONS:
            raise MediaError(FailureReason.TOO_MANY_SESSIONS)
        if command.session in self._sessions or command.session == WORKER or self._port.knows(command.ice_ufrag):
            raise MediaError(FailureReason.DUPLICATE)
        sockets = open_pair(command.trunk_bind, self._pool, now)
        return Session(command, sockets, self._config.consent_seconds, self._control.emit)

    def _close(self, number: int, now: float) -> None:
        session = self._sessions.pop(number, None)
        counters = SessionCounters()
        if session is not None:
            sockets = session.trunk.sockets
            self._unregister(sockets.rtp)
            self._unregister(sockets.rtcp)
            self._port.remove(session)
            counters = session.close()
            self._pool.release(sockets.port, now)
        self._control.emit(SessionClosed(number, counters))

    def _counters(self, number: int) -> SessionCounters:
        if number == WORKER:
            return self._port.tally.freeze()
        session = self._sessions.get(number)
        return session.tally.freeze() if session is not None else SessionCounters()


def _apply(command: SetKeys | SetTrunk | SetPayloads | SetDirection | SendDtls, session: Session, now: float) -> None:
    if isinstance(command, SetKeys):
        session.set_keys(command, now)
    elif isinstance(command, SetTrunk):
        session.set_trunk(command, now)
    elif isinstance(command, SetPayloads):
        session.set_payloads(command)
    elif isinstance(command, SetDirection):
        session.set_direction(command, now)
    else:
        session.browser.send_dtls(command.data)


def _read(own: socket.socket, take: Callable[[bytes, tuple[str, int], float], None], now: float) -> None:
    """Take one packet of a trunk port; epoll tells again when there are more, and every call gets its turn."""
    try:
        packet, source = own.recvfrom(MAX_DATAGRAM + 1)
    except OSError:
        return
    take(packet, source[:2], now)
