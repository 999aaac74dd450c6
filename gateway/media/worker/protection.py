"""The SRTP side of a leg: nothing in without authentication, nothing out without a key, everything else counted."""

from __future__ import annotations

from collections.abc import Callable

from gateway.media.relay_protocol import Leg, RejectCode, UnsentCause
from gateway.media.worker import rtcp as rtcp_packets
from gateway.media.worker import rtp
from gateway.media.worker.counters import Tally
from gateway.media.worker.latch import Address
from gateway.media.worker.proof import Proof
from gateway.media.worker.reports import Reports
from gateway.media.worker.srtp import LegKeys, SrtpFailure


class Protection:
    """Opens and seals the packets of a keyed leg."""

    def __init__(self, leg: Leg, tally: Tally, reports: Reports) -> None:
        self.keys = LegKeys()
        self.proof = Proof()
        self.is_peer: Callable[[str], bool] = lambda host: True
        """Whether media of the peer may come from a host: what a stranger sends proves nothing of the peer."""
        self._leg, self._tally, self._reports = leg, tally, reports

    def open(self, packet: bytes, rtcp: bool, source: Address, now: float) -> bytes | None:
        """The packet in clear, or None."""
        if not self.keys.ready:
            self._tally.unkeyed_dropped += 1
            return None
        result = self.keys.unprotect(packet, rtcp, now)
        if isinstance(result, bytes):
            if self.keys.by_latest and self.proof.opened(now):
                self._reports.restarted(self._leg)
            return result
        self._failed(result, packet, rtcp, source)
        if result is SrtpFailure.FORGED and self.is_peer(source[0]):
            self.proof.failed(packet, rtcp, now)
        return None

    def tick(self, now: float) -> None:
        """Tell what the packets so far prove of the leg, when there is something new."""
        finding = self.proof.tick(now)
        if finding is not None:
            self._reports.found(self._leg, finding)

    def peer_reports(self) -> None:
        """An authenticated report of the peer is about our stream."""
        self._reports.found(self._leg, self.proof.reported())

    def seal(self, packet: bytes, rtcp: bool) -> bytes | None:
        """The packet protected, or None; there is no way around it to a keyed leg's socket."""
        sender = self.keys.sender
        if sender is None:
            self._tally.unkeyed_dropped += 1
            return None
        result = sender.protect(packet, rtcp)
        if isinstance(result, bytes):
            return result
        self._tally.srtp_unsendable += 1
        self._reports.unsent(self._leg, UnsentCause.UNSENDABLE)
        return None

    def _failed(self, failure: SrtpFailure, packet: bytes, rtcp: bool, source: Address) -> None:
        if failure is SrtpFailure.REPLAYED:
            self._tally.srtp_replayed += 1
        elif failure is SrtpFailure.TOO_MANY_SOURCES:
            self._tally.srtp_ssrc_limit += 1
        else:
            self._tally.srtp_auth_failed += 1
            self._tally.plain_dropped += self._is_plain(packet, rtcp)
            self._reports.rejected(self._leg, source, RejectCode.PLAIN_ON_SECURE)

    def _is_plain(self, packet: bytes, rtcp: bool) -> bool:
        if rtcp:
            return rtcp_packets.split(packet) is not None
        return len(packet) < rtp.HEADER + self.keys.tag
