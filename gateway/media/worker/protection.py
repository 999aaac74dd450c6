"""The SRTP side of a leg: nothing in without authentication, nothing out without a key, everything else counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.base.crypto_suite import CryptoSuite
from gateway.media.relay_commands import Component, SetKeys
from gateway.media.relay_events import RejectCode, UnsentCause
from gateway.media.worker import rtcp as rtcp_packets
from gateway.media.worker.counters import RateLimit, Tally
from gateway.media.worker.packet import HEADER, Packet
from gateway.media.worker.proof import Finding, Proof
from gateway.media.worker.reports import Reports
from gateway.media.worker.srtp import LegKeys, SrtpFailure, SrtpReceiver
from gateway.media.worker.wear import Wear

MAX_EARLY = 32
"""Packets of a leg before its keys that are no news: two thirds of a second of audio."""
MAX_FORGED = 50
"""Packets that fail to authenticate, in a second, before it is told as a flood: as many as a stream of audio has."""


class Protection:
    """Opens and seals the packets of a keyed leg."""

    def __init__(self, tally: Tally, reports: Reports) -> None:
        self.keys = LegKeys()
        self._rtcp_keys: LegKeys | None = None
        """Those of RTCP, where its port has some of its own."""
        self.proof = Proof()
        self.wear = Wear(tally)
        self.is_peer: Callable[[str], bool] = lambda host: True
        """Whether media of the peer may come from a host: what a stranger sends proves nothing of the peer."""
        self._tally, self._reports = tally, reports
        self._forged_rate = RateLimit(MAX_FORGED)

    def install(self, suite: CryptoSuite, command: SetKeys, now: float) -> bool:
        """Use these keys; whether RTP is sent with others than before."""
        if command.component == Component.RTCP:
            self._rtcp_keys = self._rtcp_keys or LegKeys()
            self._rtcp_keys.install(suite, command.tx, command.rx, now, command.tx_mki, command.rx_mki)
            return False
        if command.component == Component.BOTH:
            self._rtcp_keys = None
        else:
            self._rtcp_keys = self._rtcp_keys or LegKeys()
        keys, generation = self.keys, self.keys.generation
        renewed = keys.install(suite, command.tx, command.rx, now, command.tx_mki, command.rx_mki)
        if keys.sender is not None and keys.receiver is not None:
            self.wear.install(keys.sender.use, keys.receiver.use, command.lifetime)
        if keys.generation != generation:
            self.proof.begin()
        return renewed

    def drop(self) -> None:
        """Use the keys there are no more; until others come nothing is opened and nothing sealed."""
        for keys in (self.keys, self._rtcp_keys):
            if keys is not None:
                keys.drop()

    def open(self, packet: Packet, source: tuple[Any, ...], now: float) -> bool:
        """Put the packet in clear; whether it authenticated."""
        keys = self._keys_for(packet.is_rtcp)
        if not keys.ready:
            self.unkeyed(source)
            return False
        result = keys.unprotect(packet.data, packet.is_rtcp, now)
        if isinstance(result, SrtpFailure):
            self._failed(result, packet, source, now)
            if result is SrtpFailure.FORGED and self.is_peer(source[0]):
                self.proof.failed(packet.data, packet.is_rtcp, now)
            return False
        packet.data = result
        if packet.is_rtcp:
            self.proof.has_srtcp = True
        if self.proof.is_awaited and keys.by_latest and keys is self.keys:
            self.proof.opened(now)
            self._reports.restarted()
        return True

    def settled(self, ssrc: int, now: float) -> SrtpReceiver | None:
        """What opens the packets of a source, when nothing is to be learned from them any more."""
        return self.keys.opener(ssrc, now) if self.keys.ready and not self.proof.is_awaited else None

    def unkeyed(self, source: tuple[Any, ...]) -> None:
        """A packet came before the keys; a few do in every call whose keys and media race each other (RFC 5763 7.1)."""
        self._tally.unkeyed_dropped += 1
        if self._tally.unkeyed_dropped > MAX_EARLY:
            self._reports.rejected(source, RejectCode.UNKEYED)

    def tick(self, now: float) -> None:
        """Tell what the packets so far prove of the leg, and of its keys, when there is something new."""
        for finding in (self.proof.tick(now), self.proof.lacks_srtcp(now, self._tally.rtp_rx)):
            if finding is not None:
                self._reports.found(finding)
        worn = self.wear.tick()
        if worn is not None:
            self._reports.worn(worn)

    def peer_reports(self) -> None:
        """An authenticated report of the peer is about our stream."""
        self._reports.found(self.proof.reported())

    @property
    def seals_rtcp(self) -> bool:
        """Whether there are keys for RTCP: on a port of its own it may have to wait for some."""
        return self._keys_for(True).sender is not None

    def seal(self, packet: bytes, rtcp: bool) -> bytes | None:
        """The packet protected, or None; there is no way around it to a keyed leg's socket."""
        sender = self._keys_for(rtcp).sender
        if sender is None:
            self._tally.unkeyed_dropped += 1
            return None
        result = sender.protect(packet, rtcp)
        if isinstance(result, bytes):
            return result
        self._tally.srtp_unsendable += 1
        self._reports.unsent(UnsentCause.UNSENDABLE)
        return None

    def _keys_for(self, rtcp: bool) -> LegKeys:
        return self._rtcp_keys if rtcp and self._rtcp_keys is not None else self.keys

    def _failed(self, failure: SrtpFailure, packet: Packet, source: tuple[Any, ...], now: float) -> None:
        if failure is SrtpFailure.REPLAYED:
            self._tally.srtp_replayed += 1
        elif failure is SrtpFailure.TOO_MANY_SOURCES:
            self._tally.srtp_ssrc_limit += 1
        else:
            plain = self._is_plain(packet)
            self._tally.srtp_auth_failed += 1
            self._tally.plain_dropped += plain
            self._reports.rejected(source, RejectCode.PLAIN_ON_SECURE)
            if not self._forged_rate.allows(now):
                self._reports.flooded(source)
            if plain and packet.is_rtcp and self.is_peer(source[0]) and self.proof.is_srtcp_news():
                self._reports.found(Finding.NO_SRTCP)

    def _is_plain(self, packet: Packet) -> bool:
        if packet.is_rtcp:
            return rtcp_packets.split(packet.data) is not None
        return len(packet.data) < HEADER + self.keys.tag
