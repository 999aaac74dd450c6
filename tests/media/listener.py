"""A strict receiver of what the relay sends: SRTP with its replay window, one SSRC, and a playout clock that waits."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from pylibsrtp import Policy
from pylibsrtp import Session as Srtp

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80
from gateway.base.values import Secret
from gateway.media.relay_commands import PayloadMap
from gateway.media.relay_events import Event
from gateway.media.worker.port_pair import PortPair
from tests.media.local import BROWSER, LocalCall
from tests.media.local import TRUNK as TRUNK_LEG

SUITE = AES_CM_128_HMAC_SHA1_80
TO_BROWSER, TO_TRUNK, FROM_BROWSER, FROM_TRUNK = (Secret(bytes([n]) * SUITE.master_length) for n in (1, 2, 3, 4))
TRUNK = ("127.0.0.9", 40000)
DEPTH = 0.06
"""Seconds a packet waits before it is played: what comes later than that is not heard."""
FRAME = 160
SAME = (
    PayloadMap(0, 0),
    PayloadMap(111, 111, 48000),
    PayloadMap(112, 112, 16000),
)


class ListenerSocket(socket.socket):
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.sent: list[bytes] = []

    def sendto(self, data: bytes, *_: object) -> int:  # type: ignore[override]
        self.sent.append(data)
        return len(data)


@dataclass(frozen=True)
class HeardPacket:
    """A packet as it was heard."""

    arrived: float
    sequence: int
    timestamp: int
    ssrc: int
    marker: bool
    kind: int
    payload: bytes


@dataclass
class RelayListener:
    """Opens every packet and keeps it; fails when one does not open, as nothing that arrives is to be lost."""

    srtp: Srtp | None
    packets: list[HeardPacket] = field(default_factory=list)

    def take(self, data: bytes, now: float) -> None:
        clear = self.srtp.unprotect(data) if self.srtp is not None else data
        _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", clear)
        packet = HeardPacket(now, sequence, timestamp, ssrc, second > 127, second & 127, clear[12:])
        self.packets.append(packet)

    @property
    def numbers(self) -> list[int]:
        """Sequence numbers without their wrap."""
        found = [self.packets[0].sequence]
        for packet in self.packets[1:]:
            found.append(found[-1] + _signed(packet.sequence - found[-1], 16))
        return found

    @property
    def begins(self) -> list[int]:
        """Which packets carry the marker bit."""
        return [n for n, packet in enumerate(self.packets) if packet.marker]

    def gaps(self, rate: int = 8000, frame: float = 0.02) -> list[float]:
        """Silences in what is played, in seconds: packets start at their timestamp, the late ones are not played."""
        first = self.packets[0]
        played = []
        for packet in self.packets:
            at = first.arrived + DEPTH + _signed(packet.timestamp - first.timestamp, 32) / rate
            if packet.arrived <= at:
                played.append(at)
        # The last one that arrived must be heard too: a stream that runs late for ever is silent for ever.
        played = sorted([*played, max(p.arrived for p in self.packets) + DEPTH])
        return [round(b - a - frame, 3) for a, b in pairwise(played) if b - a - frame > 0.001]


def _signed(difference: int, bits: int) -> int:
    difference &= (1 << bits) - 1
    return difference - (1 << bits) if difference >> (bits - 1) else difference


class ListenerRig:
    """A call in this process whose clock is the test's, and a listener at each end."""

    def __init__(self, *, keyed: bool = False) -> None:
        self.now = 100.0
        self.keyed = keyed
        self.to_browser, self.to_trunk, self.to_rtcp = ListenerSocket(), ListenerSocket(), ListenerSocket()
        self.call = LocalCall(PortPair(self.to_trunk, self.to_rtcp, 20000))
        self.call.browser.paths.confirm((self.to_browser, ("127.0.0.8", 50000)), True, self.now)
        self.call.keys(BROWSER, SUITE.name, TO_BROWSER, FROM_BROWSER, self.now)
        if keyed:
            self.call.keys(TRUNK_LEG, SUITE.name, TO_TRUNK, FROM_TRUNK, self.now)
        self.call.peer(TRUNK, self.now, keyed=keyed)
        self.call.payloads(SAME, SAME, self.now)
        self.browser_seals = _srtp(FROM_BROWSER, Policy.SSRC_ANY_OUTBOUND)
        self.trunk_seals = _srtp(FROM_TRUNK, Policy.SSRC_ANY_OUTBOUND)
        self.browser = RelayListener(_srtp(TO_BROWSER, Policy.SSRC_ANY_INBOUND))
        self.trunk = RelayListener(_srtp(TO_TRUNK, Policy.SSRC_ANY_INBOUND) if keyed else None)

    @property
    def events(self) -> list[Event]:
        return self.call.events

    def from_trunk(self, packet: bytes) -> bool:
        """The trunk sends; whether the browser gets something."""
        sealed = self.trunk_seals.protect(packet) if self.keyed else packet
        self.call.trunk.receive(sealed, TRUNK, self.now)
        return self._deliver(self.to_browser, self.browser)

    def from_browser(self, packet: bytes) -> bool:
        """The browser sends; whether the trunk gets something."""
        self.call.browser.receive(self.browser_seals.protect(packet), ("127.0.0.8", 50000), self.now)
        return self._deliver(self.to_trunk, self.trunk)

    def pass_time(self, seconds: float) -> None:
        """Let the clock run, and what the worker does at moments of its own."""
        end, agenda = self.now + seconds, self.call.call.agenda
        while agenda.next <= end:
            self.now = max(self.now, agenda.next)
            agenda.run(self.now)
            self.deliver()
        self.now = end

    def deliver(self) -> None:
        """Hear what was sent."""
        self._deliver(self.to_browser, self.browser)
        self._deliver(self.to_trunk, self.trunk)

    def _deliver(self, wire: ListenerSocket, listener: RelayListener) -> bool:
        sent, wire.sent = wire.sent, []
        for data in sent:
            listener.take(data, self.now)
        return bool(sent)

    def close(self) -> None:
        self.call.close()
        self.to_browser.close()


@contextmanager
def rig(*, keyed: bool = False) -> Iterator[ListenerRig]:
    made = ListenerRig(keyed=keyed)
    try:
        yield made
    finally:
        made.close()


def _srtp(key: Secret[bytes], kind: int) -> Srtp:
    policy = Policy(key=key.reveal(), ssrc_type=kind, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80)
    policy.window_size = 64  # the least a receiver must have (RFC 3711 3.3.2)
    return Srtp(policy)


def voice(sequence: int, timestamp: int, ssrc: int = 0x5EED, *, kind: int = 0, marker: bool = False) -> bytes:
    """20 ms of PCMU with any numbers."""
    head = struct.pack("!BBHII", 0x80, marker << 7 | kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    return head + struct.pack("!I", sequence & 0xFFFFFFFF) * 40
