"""The browser leg of a session: always keyed, RTP and RTCP on one port, sent to the nominated path only."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any, TypeAlias

from gateway.base.values import HostPort
from gateway.media.relay_protocol import ConsentLost, DtlsReceived, IceValidated, UnsentCause
from gateway.media.worker import rtp
from gateway.media.worker.counters import RateLimit, Tally
from gateway.media.worker.credentials import Credentials
from gateway.media.worker.paths import BrowserPaths
from gateway.media.worker.protection import Protection
from gateway.media.worker.reports import Reports
from gateway.media.worker.srtp import MAX_PACKET
from gateway.media.worker.stream import Stream

MAX_DTLS_PER_SECOND = 200
"""A handshake has about ten datagrams; more than this only wears out the control plane."""
MIN_RTCP = 8
"""Shortest RTCP packet with an SSRC, octets (RFC 3550 6.4.2)."""

Path: TypeAlias = tuple[socket.socket, tuple[Any, ...]]
"""Our socket, and the browser's address as `recvfrom` gave it."""


class BrowserLeg:
    """One browser: its credentials, paths and keys."""

    def __init__(
        self, credentials: Credentials, consent_seconds: float, tally: Tally, reports: Reports, ssrcs: deque[int]
    ) -> None:
        self.credentials = credentials
        self.stream = Stream(ssrcs)
        """What we send to the browser."""
        self.longest = MAX_PACKET
        """Octets of the longest RTP packet that can be sent."""
        self.paths: BrowserPaths[Path] = BrowserPaths(consent_seconds)
        self.protection = Protection("browser", tally, reports)
        self._tally, self._reports = tally, reports
        self._dtls_rate = RateLimit(MAX_DTLS_PER_SECOND)

    def confirm(self, path: Path, nominates: bool, now: float) -> Path | None:
        """Note an authenticated check from a path; returns a path that had to make room."""
        self._tally.stun_rx += 1
        if not self.paths.known:
            self._reports.emit(IceValidated(self._reports.session, HostPort(*path[1][:2])))
        return self.paths.confirm(path, nominates, now)

    def expire(self, now: float) -> list[Path]:
        """Drop the paths without consent; tell when it was the last consent."""
        was_lost = self.paths.lost
        stale = self.paths.expire(now)
        if self.paths.lost and not was_lost:
            self._reports.emit(ConsentLost(self._reports.session))
        return stale

    def receive(self, packet: bytes, source: tuple[Any, ...], now: float) -> bytes | None:
        """Take a datagram of a validated path; the RTP or RTCP packet in clear, or None."""
        if len(packet) < MIN_RTCP:
            self._tally.malformed_dropped += 1
            return None
        rtcp = rtp.is_rtcp(packet)
        clear = self.protection.open(packet, rtcp, source[:2], now)
        if clear is None:
            return None
        if rtcp:
            self._tally.rtcp_rx += 1
        else:
            self._tally.browser_rx += 1
        self._reports.started("browser")
        return clear

    def receive_dtls(self, datagram: bytes, now: float) -> None:
        """Hand a DTLS datagram of a validated path up."""
        if not self._dtls_rate.allows(now):
            self._tally.dtls_rejected += 1
            return
        self._tally.dtls_rx += 1
        self._reports.emit(DtlsReceived(self._reports.session, datagram))

    def send(self, packet: bytes, rtcp: bool) -> bool:
        """Protect a packet and send it on the nominated path; whether it left."""
        path = self.paths.nominated
        if path is None:
            self._tally.unsent += 1
            return False
        sealed = self.protection.seal(packet, rtcp)
        if sealed is None or not self._put(sealed, path):
            return False
        if rtcp:
            self._tally.rtcp_tx += 1
        else:
            self._tally.browser_tx += 1
        return True

    def send_dtls(self, datagram: bytes) -> None:
        """Send a DTLS datagram; lost ones are repeated by DTLS itself."""
        path = self.paths.for_dtls
        if path is None:
            self._tally.unsent += 1
        else:
            self._put(datagram, path)

    def _put(self, datagram: bytes, path: Path) -> bool:
        try:
            path[0].sendto(datagram, path[1])
        except OSError:
            # Full buffer or unreachable: late media is worth nothing, so there is no second try.
            self._tally.unsent += 1
            self._reports.unsent("browser", UnsentCause.UNSENT)
            return False
        return True
