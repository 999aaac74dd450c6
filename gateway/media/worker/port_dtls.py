"""DTLS on the ports of a leg: whom it is taken from, and where ours goes.

Nothing of a handshake authenticates before its end, so who is heard is decided as for media in clear, or by the checks
of a peer that makes some.
"""

from __future__ import annotations

from typing import TypeAlias

from gateway.base.short import Short
from gateway.base.values import HostPort
from gateway.media.relay_commands import Component
from gateway.media.relay_events import DtlsReceived, IceValidated, RejectCode
from gateway.media.worker.counters import RateLimit, Tally
from gateway.media.worker.ice_leg import MAX_DTLS_PER_SECOND
from gateway.media.worker.latch import Address, AllowedSources, HandshakeLatch, Verdict
from gateway.media.worker.port_ice import PortIce
from gateway.media.worker.reports import Reports

MAX_EARLY = 8
"""Datagrams kept until the peer is described: a ClientHello in two pieces, with its repetitions, beside the answer that
says who sends it (RFC 5763 6.2). Without them the first second of the call would be silent."""

Early: TypeAlias = tuple[bytes, Address, Component]


class PortDtls:
    """The handshakes of one leg, one for each port that has its own.

    Args:
        tally: where datagrams are counted.
        reports: where refused strangers are told.
    """

    def __init__(self, tally: Tally, reports: Reports) -> None:
        self.ice: PortIce | None = None
        """What checks of the peer are answered with."""
        self._tally, self._reports = tally, reports
        self._rate = RateLimit(MAX_DTLS_PER_SECOND)
        self._allowed = AllowedSources(("0.0.0.0", 0), ())
        self._latches: dict[Component, HandshakeLatch] = {}
        self._by_paths = True
        self._early: Short[Early] = Short()
        self._is_described = False

    def set_ice(self, ufrag: str, password: bytes) -> None:
        """Answer checks under this name, and until a nomination under the one before it too."""
        if self.ice is None:
            self.ice = PortIce(ufrag, password, self._tally)
        else:
            self.ice.restart(ufrag, password)

    def expect(self, allowed: AllowedSources, rtcp: Address | None, now: float) -> None:
        """Take DTLS from the signalled addresses.

        Args:
            rtcp: where that of RTCP comes from; None when it is muxed.
        """
        self._by_paths, self._allowed = False, allowed
        self._latches = {Component.RTP: HandshakeLatch(allowed.signalled, now)}
        if rtcp is not None:
            self._latches[Component.RTCP] = HandshakeLatch(rtcp, now)
        self._described(now)

    def expect_on_paths(self, allowed: AllowedSources, now: float) -> None:
        """Take DTLS from whom a check has shown to be the peer; so it is before its description, too.

        Args:
            allowed: who is no stranger, although it has shown nothing.
        """
        self._by_paths, self._allowed, self._latches = True, allowed, {}
        self._described(now)

    def stop(self, now: float) -> None:
        """Take no DTLS."""
        self._by_paths, self._latches = False, {}
        self._described(now)

    def check(self, datagram: bytes, source: Address, now: float) -> bytes | None:
        """Take a STUN datagram; the answer to it, if it gets one."""
        if self.ice is None:
            self._tally.stun_rejected += 1
            return None
        was_known = self.ice.paths.known
        answer = self.ice.take(datagram, source, now)
        if self.ice.paths.known and not was_known:
            self._reports.emit(IceValidated(self._reports.leg, HostPort(*source)))
        return answer

    def take(self, datagram: bytes, source: Address, component: Component, now: float) -> None:
        """Hand a datagram up when it may be the peer's."""
        if self._is_heard(source, component, now) and self._rate.allows(now):
            self._tally.dtls_rx += 1
            self._reports.emit(DtlsReceived(self._reports.leg, datagram, component))
        elif self._is_described or len(self._early) >= MAX_EARLY:
            self._tally.dtls_rejected += 1
        else:
            self._early.append((datagram, source, component))

    def target(self, component: Component) -> Address | None:
        """Where ours goes; None while that is not known."""
        if self._by_paths:
            return self.ice.paths.for_dtls if self.ice is not None and component is Component.RTP else None
        latch = self._latches.get(component)
        return latch.target if latch is not None and self._allowed.reachable else None

    def _described(self, now: float) -> None:
        """Who the peer is has been said: what came before is judged by that."""
        self._is_described = True
        while self._early:
            self.take(*self._early.popleft(), now)

    def _is_heard(self, source: Address, component: Component, now: float) -> bool:
        if self._by_paths:
            is_on_path = self.ice is not None and component is Component.RTP and source in self.ice.paths
            if not is_on_path and self._is_described and source[0] not in self._allowed:
                self._reports.rejected(source, RejectCode.LATCH_MISMATCH)
            return is_on_path
        latch = self._latches.get(component)
        if latch is None:
            return False
        verdict = latch.judge(source, self._allowed, now)
        if verdict is Verdict.STRANGER:
            self._reports.rejected(source, RejectCode.LATCH_MISMATCH)
        if verdict is Verdict.LEARNED:
            self._tally.source_moved += 1
            self._reports.learned(source, latch.signalled)
        return verdict is Verdict.ACCEPT or verdict is Verdict.LEARNED
