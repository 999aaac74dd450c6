"""The browser port: one UDP port for every browser of the worker (RFC 7983 demultiplexing).

Only STUN is read from strangers, and only an authenticated check turns a source into a validated path. DTLS and SRTP
from anywhere else never reach a leg: one forged ClientHello must not disturb a handshake (CVE-2023-49786).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from gateway.media.relay_protocol import MAX_DATAGRAM, WorkerConfig
from gateway.media.worker import stun
from gateway.media.worker.counters import Tally
from gateway.media.worker.ice_leg import IceLeg, Path
from gateway.media.worker.port_pair import open_udp

BATCH = 256
"""Datagrams taken per wake-up: the port carries the traffic of every browser, so its share is large."""
RECEIVE_BUFFER = 4_194_304
"""Octets asked for; the system may grant less (net.core.rmem_max)."""
OWNED_SECONDS = 10.0
"""A path its leg checked so lately is not given to another one, whose check could carry a forged source."""


class BrowserPort:
    """The sockets of the browser port and who is behind each source address."""

    def __init__(self, config: WorkerConfig) -> None:
        self.tally = Tally()
        """What belongs to no leg."""
        self.sockets = [open_udp(host, config.browser_port, RECEIVE_BUFFER) for host in config.browser_bind]
        self._legs: dict[str, IceLeg] = {}
        self._owners: dict[Path, IceLeg] = {}

    @property
    def number(self) -> int:
        """The port itself."""
        port: int = self.sockets[0].getsockname()[1]
        return port

    def knows(self, ufrag: str) -> bool:
        return ufrag in self._legs

    def add(self, leg: IceLeg) -> None:
        """Start to answer checks for a leg."""
        self._legs.update(dict.fromkeys(leg.credentials.names, leg))

    def restart(self, leg: IceLeg, ufrag: str, password: bytes) -> None:
        """Answer checks of a leg under another name too; under that alone where consent was lost (RFC 7675 5.1)."""
        leg.unsettle()
        if leg.paths.lost:
            for path in leg.paths.revive():
                self._owners.pop(path, None)
            self._forget(leg.credentials.start_over(ufrag, password))
        else:
            self._forget(leg.credentials.restart(ufrag, password))
        self._legs[ufrag] = leg

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._legs.pop(name, None)

    def remove(self, leg: IceLeg) -> None:
        """Forget a leg and its paths."""
        self._forget(leg.credentials.names)
        for path in leg.paths.clear():
            self._owners.pop(path, None)

    def expire(self, leg: IceLeg, now: float) -> None:
        """Drop what lost consent (RFC 7675)."""
        for path in leg.expire(now):
            self._owners.pop(path, None)

    def read(self, own: socket.socket, now: float) -> bool:
        """Take what has arrived on one of the sockets; whether there may be more."""
        for _ in range(BATCH):
            try:
                datagram, source = own.recvfrom(MAX_DATAGRAM + 1)
            except OSError:
                return False
            self.take(datagram, (own, source), now)
        return True

    def owner(self, path: Path) -> IceLeg | None:
        """Whose validated path it is."""
        return self._owners.get(path)

    def take(self, datagram: bytes, path: Path, now: float) -> None:
        """Take one datagram, whatever it is."""
        leg = self._owners.get(path)
        tally = leg.tally if leg is not None else self.tally
        if not datagram:
            tally.empty_dropped += 1
        elif len(datagram) > MAX_DATAGRAM:
            tally.oversize_dropped += 1
        elif 127 < datagram[0] < 192:
            if leg is None:
                tally.unvalidated_dropped += 1
            else:
                leg.receive(datagram, path[1], now)
        elif datagram[0] < 4:
            self._check(datagram, path, now)
        else:
            self._take_dtls(datagram, leg, tally, now)

    def _take_dtls(self, datagram: bytes, leg: IceLeg | None, tally: Tally, now: float) -> None:
        if not 19 < datagram[0] < 64:
            tally.unknown_dropped += 1
        elif leg is None:
            tally.dtls_rejected += 1
        else:
            leg.receive_dtls(datagram, now)

    def _check(self, datagram: bytes, path: Path, now: float) -> None:
        check = stun.read_check(datagram)
        if check is None:
            self.tally.stun_rejected += not stun.is_indication(datagram)
            return
        leg = self._legs.get(check.ufrag)
        if leg is None:
            self.tally.stun_rejected += 1
        elif leg.paths.lost or not check.is_authentic(leg.credentials.password(check.ufrag)):
            leg.tally.stun_rejected += 1
        elif check.conflicts:
            answer = check.answer_conflict(leg.credentials.password(check.ufrag))
            _answer(path, answer, leg.tally)
        else:
            self._confirm(check, leg, path, now)

    def _confirm(self, check: stun.Check, leg: IceLeg, path: Path, now: float) -> None:
        owner = self._owners.get(path)
        if owner is not None and owner is not leg:
            if owner.paths.checked_since(path, now - OWNED_SECONDS):
                leg.tally.stun_rejected += 1
                return
            owner.paths.drop(path)
            owner.unsettle()
        self._owners[path] = leg
        password = leg.credentials.password(check.ufrag)
        if check.nominates:
            self._forget(leg.credentials.nominated(check.ufrag))
        evicted = leg.confirm(path, check.nominates, now)
        if evicted is not None:
            self._owners.pop(evicted, None)
        host, port = path[1][:2]
        _answer(path, check.answer(password, host, port), leg.tally)


def _answer(path: tuple[socket.socket, tuple[Any, ...]], response: bytes, tally: Tally) -> None:
    """Send from the socket the check came in on: the browser expects the answer from where it sent to."""
    try:
        path[0].sendto(response, path[1])
    except OSError:
        tally.unsent += 1
