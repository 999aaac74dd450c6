"""One call in the worker: two legs and what goes between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.media.relay_protocol import (
    MAX_DATAGRAM,
    FailureReason,
    OpenSession,
    SessionCounters,
    SessionFailed,
    SetDirection,
    SetKeys,
    SetPayloads,
    SetTrunk,
)
from gateway.media.worker import rtcp, rtp
from gateway.media.worker.browser import BrowserLeg
from gateway.media.worker.counters import RateLimit, Tally
from gateway.media.worker.latch import Address
from gateway.media.worker.reports import Emit, Reports
from gateway.media.worker.srtp import find_suite
from gateway.media.worker.trunk import TrunkLeg
from gateway.media.worker.trunk_sockets import TrunkSockets

MAX_RTCP_PER_SECOND = 50
"""Per direction. Reports come every few seconds, feedback in short bursts."""


class Session:
    """The relay of one call."""

    def __init__(self, command: OpenSession, sockets: TrunkSockets, consent_seconds: float, emit: Emit) -> None:
        self.number = command.session
        self.ufrag = command.ice_ufrag
        self.tally = Tally()
        reports = Reports(command.session, emit)
        self.browser = BrowserLeg(command.ice_pwd.reveal().encode(), consent_seconds, self.tally, reports)
        self.trunk = TrunkLeg(sockets, self.tally, reports)
        self._emit = emit
        self._payloads_to_trunk: Mapping[int, int] = {}
        self._payloads_to_browser: Mapping[int, int] = {}
        self._to_trunk = self._to_browser = True
        self._rtcp_to_trunk = RateLimit(MAX_RTCP_PER_SECOND)
        self._rtcp_to_browser = RateLimit(MAX_RTCP_PER_SECOND)

    def set_keys(self, command: SetKeys, now: float) -> None:
        """Install keys; an unknown suite or a key of another length is refused, never guessed."""
        suite = find_suite(command.suite, command.tx, command.rx)
        if suite is None:
            self._emit(SessionFailed(self.number, FailureReason.BAD_KEYS))
            return
        leg = self.browser if command.leg == "browser" else self.trunk
        leg.protection.keys.install(suite, command.tx, command.rx, now)

    def set_trunk(self, command: SetTrunk, now: float) -> None:
        """Take the trunk's addresses; a bad one is refused and changes nothing."""
        try:
            self.trunk.configure(command, now)
        except ValueError:
            self._emit(SessionFailed(self.number, FailureReason.BAD_ADDRESS))

    def set_payloads(self, command: SetPayloads) -> None:
        self._payloads_to_trunk = _possible(command.to_trunk)
        self._payloads_to_browser = _possible(command.to_browser)

    def set_direction(self, command: SetDirection, now: float) -> None:
        self._to_trunk, self._to_browser = command.to_trunk, command.to_browser
        self.trunk.hold(not command.to_browser, now)

    def from_browser(self, packet: bytes, source: tuple[Any, ...], now: float) -> None:
        """Relay a packet that came from a validated path."""
        clear = self.browser.receive(packet, source, now)
        if clear is None:
            return
        if rtp.is_rtcp(clear):
            self._relay_rtcp(clear, self.trunk, self._rtcp_to_trunk, now)
        else:
            self._relay_rtp(clear, self.trunk, self._payloads_to_trunk, self._to_trunk)

    def from_trunk(self, packet: bytes, source: Address, now: float) -> None:
        """Relay a packet that came to the RTP port."""
        if not self._is_sized(packet):
            return
        clear = self.trunk.receive(packet, source, self._payloads_to_browser, now)
        if clear is None:
            return
        if rtp.is_rtcp(clear):
            self._relay_rtcp(clear, self.browser, self._rtcp_to_browser, now)
        else:
            self._relay_rtp(clear, self.browser, self._payloads_to_browser, self._to_browser)

    def rtcp_from_trunk(self, packet: bytes, source: Address, now: float) -> None:
        """Relay a packet that came to the RTCP port."""
        if not self._is_sized(packet):
            return
        clear = self.trunk.receive_rtcp(packet, source, now)
        if clear is not None:
            self._relay_rtcp(clear, self.browser, self._rtcp_to_browser, now)

    def close(self) -> SessionCounters:
        """Close the sockets; the final counters."""
        self.trunk.sockets.close()
        return self.tally.freeze()

    def _relay_rtp(self, packet: bytes, leg: BrowserLeg | TrunkLeg, payloads: Mapping[int, int], is_open: bool) -> None:
        if not is_open:
            self.tally.held_dropped += 1
            return
        ends = rtp.header_ends(packet)
        if ends is None:
            self.tally.malformed_dropped += 1
            return
        mapped = rtp.rewrite(packet, payloads, ends)
        if mapped is None:
            self.tally.unmapped_dropped += 1
        else:
            leg.send(mapped, False)

    def _relay_rtcp(self, packet: bytes, leg: BrowserLeg | TrunkLeg, rate: RateLimit, now: float) -> None:
        clean = rtcp.relayable(packet)
        if clean is None or not rate.allows(now):
            self.tally.rtcp_rejected += 1
        else:
            leg.send(clean, True)

    def _is_sized(self, packet: bytes) -> bool:
        if not packet:
            self.tally.empty_dropped += 1
        elif len(packet) > MAX_DATAGRAM:
            self.tally.oversize_dropped += 1
        else:
            return True
        return False


def _possible(payloads: Mapping[int, int]) -> dict[int, int]:
    """The entries that are payload types at all; 64 to 95 would read as RTCP (RFC 5761 4)."""

    def fits(kind: int) -> bool:
        return 0 <= kind <= 127 and not 64 <= kind <= 95

    return {source: target for source, target in payloads.items() if fits(source) and fits(target)}
