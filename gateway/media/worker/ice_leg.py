"""A leg behind the browser port: always keyed, RTP and RTCP on one port, sent to the nominated path only."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any, TypeAlias

from gateway.base.values import HostPort, LegId
from gateway.media.relay_commands import SetKeys
from gateway.media.relay_events import ConsentLost, DtlsReceived, IceValidated, UnsentCause
from gateway.media.worker.counters import RateLimit
from gateway.media.worker.credentials import Credentials
from gateway.media.worker.latch import Address
from gateway.media.worker.leg import Leg
from gateway.media.worker.packet import SHORTEST, Packet
from gateway.media.worker.paths import BrowserPaths
from gateway.media.worker.reports import Emit

MAX_DTLS_PER_SECOND = 200
"""A handshake has about ten datagrams; more than this only wears out the control plane."""

Path: TypeAlias = tuple[socket.socket, tuple[Any, ...]]
"""Our socket, and the browser's address as `recvfrom` gave it."""


class IceLeg(Leg):
    """One browser: its credentials, paths and keys."""

    def __init__(
        self, number: LegId, emit: Emit, used: deque[int], credentials: Credentials, consent_seconds: float
    ) -> None:
        super().__init__(number, emit, used)
        self.credentials = credentials
        self.paths: BrowserPaths[Path] = BrowserPaths(consent_seconds)
        self._dtls_rate = RateLimit(MAX_DTLS_PER_SECOND)

    def confirm(self, path: Path, nominates: bool, now: float) -> Path | None:
        """Note an authenticated check from a path; returns a path that had to make room."""
        self.tally.stun_rx += 1
        if not self.paths.known:
            self.reports.emit(IceValidated(self.id, HostPort(*path[1][:2])))
        before = self.paths.nominated
        evicted = self.paths.confirm(path, nominates, now)
        if evicted is not None or self.paths.nominated != before:
            self.unsettle()
        return evicted

    def expire(self, now: float) -> list[Path]:
        """Drop the paths without consent; tell when it was the last consent."""
        was_lost = self.paths.lost
        stale = self.paths.expire(now)
        if stale:
            self.unsettle()
        if self.paths.lost and not was_lost:
            self.reports.emit(ConsentLost(self.id))
        return stale

    def set_keys(self, command: SetKeys, now: float) -> bool:
        """Install keys; from then on something of this peer is expected, if only its reports."""
        installed = super().set_keys(command, now)
        if installed:
            self.reports.expected(now)
        return installed

    def receive(self, data: bytes, source: tuple[Any, ...], now: float) -> None:
        """Take a datagram of a validated path that is RTP or RTCP by its first octet."""
        if len(data) < SHORTEST:
            self.tally.malformed_dropped += 1
            return
        packet = Packet(data)
        if self.protection.open(packet, source, now):
            self.accepted(packet, now)

    def receive_dtls(self, datagram: bytes, now: float) -> None:
        """Hand a DTLS datagram of a validated path up."""
        if not self._dtls_rate.allows(now):
            self.tally.dtls_rejected += 1
            return
        self.tally.dtls_rx += 1
        self.reports.emit(DtlsReceived(self.id, datagram))

    @property
    def is_ready(self) -> bool:
        return self.paths.nominated is not None and self.protection.keys.sender is not None

    @property
    def rtcp_peer(self) -> tuple[Address, bool] | None:
        path = self.paths.nominated
        return None if path is None else (path[1][:2], True)

    def send(self, packet: bytes, rtcp: bool) -> bool:
        """Protect a packet and send it on the nominated path; whether it left."""
        path = self.paths.nominated
        if path is None:
            self.tally.unsent += 1
            return False
        sealed = self.protection.seal(packet, rtcp)
        if sealed is None or not self._put(sealed, path):
            return False
        if rtcp:
            self.tally.rtcp_tx += 1
            if self.reports.tells_rtcp:
                self.tell_rtcp(packet, sent=True)
        else:
            self.tally.rtp_tx += 1
        return True

    def send_dtls(self, datagram: bytes) -> None:
        """Send a DTLS datagram; lost ones are repeated by DTLS itself."""
        path = self.paths.for_dtls
        if path is None:
            self.tally.unsent += 1
        else:
            self._put(datagram, path)

    def close(self) -> None:
        """The port is everybody's; the demultiplexer forgets the paths."""

    def _put(self, datagram: bytes, path: Path) -> bool:
        try:
            path[0].sendto(datagram, path[1])
        except OSError:
            # Full buffer or unreachable: late media is worth nothing, so there is no second try.
            self.tally.unsent += 1
            self.reports.unsent(UnsentCause.UNSENT)
            return False
        return True
