"""Where a leg's media may come from and is sent to. Pure: time is an argument.

RFC 7362 advises against latching where it can be abused. So nothing is learned from whoever comes first: the signalled
address owns the leg from the first packet on, another one stands in for it only while it is silent, and each change is
reported.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from enum import Enum

SILENCE_SECONDS = 2.0
"""How long the signalled address must have been silent, since the last offer or answer and since its own last packet,
before another one is listened to: longer than a peer needs to start sending, short enough for a peer behind a NAT."""
CONSECUTIVE_PACKETS = 3
"""Packets with one SSRC and sequence numbers in a row that a new plain source must show."""
HOLD_DOWN_SECONDS = 2.0
"""Time a new source of a keyed leg must send, and the old one be silent, before media is sent there."""

Address = tuple[str, int]
NOWHERE: Address = ("0.0.0.0", 0)
"""Where nothing is sent to."""


class Verdict(Enum):
    """What becomes of a packet."""

    ACCEPT = "from the source in use"
    LEARNED = "its source is in use from now on"
    PENDING = "its source may be learned later; the packet is dropped"
    STRANGER = "its source is neither signalled nor in the peer's networks"
    INTRUDER = "its source is allowed, but another one is in use"


class AllowedSources:
    """The addresses that may be learned: the signalled host, any port, and the peer's media networks.

    Raises ValueError for a network that cannot be read.
    """

    def __init__(self, signalled: Address, networks: Sequence[str]) -> None:
        self.signalled = signalled
        self.reachable = is_reachable(signalled[0])
        # A leg on hold by address (c=0.0.0.0) expects no media, so nothing may be learned either.
        self._networks = [ipaddress.ip_network(n) for n in networks] if self.reachable else []

    def __contains__(self, host: str) -> bool:
        if host == self.signalled[0]:
            return True
        address = ipaddress.ip_address(host)
        return any(address in network for network in self._networks)


def is_reachable(host: str) -> bool:
    """False for addresses media is never sent to: unspecified (RFC 3264 8.4 hold), multicast, broadcast."""
    address = ipaddress.ip_address(host)
    return not (address.is_unspecified or address.is_multicast or host == "255.255.255.255")


class PlainLatch:
    """The source rule of a leg without SRTP: the signalled address, or who earned its place while that is silent."""

    def __init__(self, allowed: AllowedSources, now: float) -> None:
        self.target = allowed.signalled
        """Where media is sent to and accepted from."""
        self._allowed = allowed
        self.quiet_since = now
        """Since when the signalled address has been silent although it might have spoken."""
        self._held = False
        self.run: tuple[Address, int, int, int] | None = None
        """Packets in a row from one that may be learned: its address, SSRC, latest number, and how many."""

    def is_signalled(self, address: Address) -> bool:
        """Whether it is the one the peer named, and not one that stands in for it."""
        return address == self._allowed.signalled

    def described(self, now: float) -> None:
        """An offer or answer named the same address again: its time to speak begins anew."""
        self.quiet_since, self.run = now, None

    def hold(self, held: bool, now: float) -> None:
        """While the peer is not expected to send, its silence proves nothing and no source is learned."""
        if self._held and not held:
            self.quiet_since = now
        self._held = held
        self.run = None

    def judge(self, source: Address, ssrc: int, sequence: int, known: bool, now: float) -> Verdict:
        """Judge an RTP packet; `known` says that its payload type was agreed."""
        if source == self._allowed.signalled:
            return self.signalled_spoke(now)
        if source == self.target:
            return Verdict.ACCEPT
        if source[0] not in self._allowed:
            return Verdict.STRANGER
        if not self._may_learn(now):
            return Verdict.INTRUDER
        return self._learn(source, ssrc, sequence, known)

    def signalled_spoke(self, now: float) -> Verdict:
        """The signalled address sent something: the leg is its own, at once, whoever stood in for it."""
        self.quiet_since, self.run = now, None
        if self.target == self._allowed.signalled:
            return Verdict.ACCEPT
        self.target = self._allowed.signalled
        return Verdict.LEARNED

    def _may_learn(self, now: float) -> bool:
        if self._held or self.target != self._allowed.signalled:
            return False  # one stands in already: only the signalled address itself takes its place back
        return now - self.quiet_since >= SILENCE_SECONDS

    def _learn(self, source: Address, ssrc: int, sequence: int, known: bool) -> Verdict:
        if not known:
            self.run = None
            return Verdict.PENDING
        count = 1
        if self.run is not None and self.run[:3] == (source, ssrc, (sequence - 1) & 0xFFFF):
            count = self.run[3] + 1
        if count < CONSECUTIVE_PACKETS:
            self.run = (source, ssrc, sequence, count)
            return Verdict.PENDING
        self.target, self.run = source, None
        return Verdict.LEARNED


class KeyedLatch:
    """The source rule of a leg with SRTP: told of authenticated packets only.

    Such a packet is media wherever it came from; the question is only where to send.
    """

    def __init__(self, allowed: AllowedSources) -> None:
        self.target = allowed.signalled
        """Where media is sent to."""
        self._allowed = allowed
        self.candidate: tuple[Address, float] | None = None
        """Another address that has sent since some time, the present one being silent."""

    def authenticated(self, source: Address, now: float) -> Verdict:
        """Take note of an authenticated packet."""
        if source == self.target:
            self.candidate = None
            return Verdict.ACCEPT
        if source[0] not in self._allowed:
            return Verdict.ACCEPT
        if self.candidate is None or self.candidate[0] != source:
            self.candidate = (source, now)
            return Verdict.ACCEPT
        if now - self.candidate[1] < HOLD_DOWN_SECONDS:
            return Verdict.ACCEPT
        self.target, self.candidate = source, None
        return Verdict.LEARNED


class NominatedLatch(KeyedLatch):
    """The source rule of a leg whose peer checks paths (RFC 8445): media goes to the nominated one, and nowhere before.

    Who is heard is decided by the checks, and nothing is learned from packets.
    """

    def __init__(self, allowed: AllowedSources, nominated: Address | None) -> None:
        super().__init__(allowed)
        self.target = nominated or NOWHERE

    def authenticated(self, source: Address, now: float) -> Verdict:
        """Nothing follows from that."""
        return Verdict.ACCEPT


class HandshakeLatch:
    """Where DTLS of a leg without ICE comes from and goes to, before anything could authenticate.

    The signalled address, as for media in clear; another one of the allowed stands in for it only while it is silent.
    """

    def __init__(self, signalled: Address, now: float) -> None:
        self.target = self.signalled = signalled
        self._quiet_since = now

    def judge(self, source: Address, allowed: AllowedSources, now: float) -> Verdict:
        """Judge a datagram."""
        if source == self.signalled:
            self._quiet_since = now
        if source == self.target:
            return Verdict.ACCEPT
        if source != self.signalled:
            if source[0] not in allowed:
                return Verdict.STRANGER
            if self.target != self.signalled or now - self._quiet_since < SILENCE_SECONDS:
                return Verdict.INTRUDER
        self.target = source
        return Verdict.LEARNED
