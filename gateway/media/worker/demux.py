"""The browser port: one UDP port for every browser of the worker (RFC 7983 demultiplexing).

Only STUN is read from strangers, and only an authenticated check turns a source into a validated path. DTLS and SRTP
from anywhere else never reach a session: one forged ClientHello must not disturb a handshake (CVE-2023-49786).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from gateway.media.relay_protocol import MAX_DATAGRAM, WorkerConfig
from gateway.media.worker import stun
from gateway.media.worker.browser import Path
from gateway.media.worker.counters import Tally
from gateway.media.worker.session import Session
from gateway.media.worker.trunk_sockets import open_udp

BATCH = 256
"""Datagrams taken per wake-up: the port carries the traffic of every browser, so its share is large."""
RECEIVE_BUFFER = 4_194_304
"""Octets asked for; the system may grant less (net.core.rmem_max)."""
OWNED_SECONDS = 10.0
"""A path its session checked so lately is not given to another one, whose check could carry a forged source."""


class BrowserPort:
    """The sockets of the browser port and who is behind each source address."""

    def __init__(self, config: WorkerConfig) -> None:
        self.tally = Tally()
        """What belongs to no session."""
        self.sockets = [open_udp(host, config.browser_port, RECEIVE_BUFFER) for host in config.browser_bind]
        self._sessions: dict[str, Session] = {}
        self._owners: dict[Path, Session] = {}

    def knows(self, ufrag: str) -> bool:
        return ufrag in self._sessions

    def add(self, session: Session) -> None:
        """Start to answer checks for a session."""
        self._sessions.update(dict.fromkeys(session.browser.credentials.names, session))

    def restart(self, session: Session, ufrag: str, password: bytes) -> None:
        """Answer checks of a session under another name too."""
        self._forget(session.browser.credentials.restart(ufrag, password))
        self._sessions[ufrag] = session

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._sessions.pop(name, None)

    def remove(self, session: Session) -> None:
        """Forget a session and its paths."""
        self._forget(session.browser.credentials.names)
        for path in session.browser.paths.clear():
            self._owners.pop(path, None)

    def expire(self, now: float) -> None:
        """Drop what lost consent (RFC 7675)."""
        for session in set(self._sessions.values()):
            for path in session.browser.expire(now):
                self._owners.pop(path, None)

    def read(self, own: socket.socket, now: float) -> None:
        """Take what has arrived on one of the sockets."""
        for _ in range(BATCH):
            try:
                datagram, source = own.recvfrom(MAX_DATAGRAM + 1)
            except OSError:
                return
            self._take(datagram, (own, source), now)

    def _take(self, datagram: bytes, path: Path, now: float) -> None:
        session = self._owners.get(path)
        tally = session.tally if session is not None else self.tally
        if not datagram:
            tally.empty_dropped += 1
        elif len(datagram) > MAX_DATAGRAM:
            tally.oversize_dropped += 1
        elif 127 < datagram[0] < 192:
            if session is None:
                tally.unvalidated_dropped += 1
            else:
                session.from_browser(datagram, path[1], now)
        elif datagram[0] < 4:
            self._check(datagram, path, now)
        else:
            self._take_dtls(datagram, session, tally, now)

    def _take_dtls(self, datagram: bytes, session: Session | None, tally: Tally, now: float) -> None:
        if not 19 < datagram[0] < 64:
            tally.unknown_dropped += 1
        elif session is None:
            tally.dtls_rejected += 1
        else:
            session.browser.receive_dtls(datagram, now)

    def _check(self, datagram: bytes, path: Path, now: float) -> None:
        check = stun.read_check(datagram)
        if check is None:
            self.tally.stun_rejected += not stun.is_indication(datagram)
            return
        session = self._sessions.get(check.ufrag)
        if session is None:
            self.tally.stun_rejected += 1
        elif session.browser.paths.lost or not check.is_authentic(session.browser.credentials.password(check.ufrag)):
            session.tally.stun_rejected += 1
        elif check.conflicts:
            answer = check.answer_conflict(session.browser.credentials.password(check.ufrag))
            _answer(path, answer, session.tally)
        else:
            self._confirm(check, session, path, now)

    def _confirm(self, check: stun.Check, session: Session, path: Path, now: float) -> None:
        owner = self._owners.get(path)
        if owner is not None and owner is not session:
            if owner.browser.paths.checked_since(path, now - OWNED_SECONDS):
                session.tally.stun_rejected += 1
                return
            owner.browser.paths.drop(path)
        self._owners[path] = session
        password = session.browser.credentials.password(check.ufrag)
        if check.nominates:
            self._forget(session.browser.credentials.nominated(check.ufrag))
        evicted = session.browser.confirm(path, check.nominates, now)
        if evicted is not None:
            self._owners.pop(evicted, None)
        host, port = path[1][:2]
        _answer(path, check.answer(password, host, port), session.tally)


def _answer(path: tuple[socket.socket, tuple[Any, ...]], response: bytes, tally: Tally) -> None:
    """Send from the socket the check came in on: the browser expects the answer from where it sent to."""
    try:
        path[0].sendto(response, path[1])
    except OSError:
        tally.unsent += 1
