"""Six peers at one relay loop in this process, with real sockets and the test's own clock, and what each of them hears.

Two browsers behind the port they share, a plain trunk with RTCP on a port of its own, a keyed one, one on IPv6, and one
that is in another call until it is adopted. Around them: a stranger on another address, and one on the trunk's own.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from dataclasses import dataclass, field

from pylibsrtp import Error, Session

from gateway.base.crypto_suite import AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80, CryptoSuite
from gateway.base.values import HostPort, LegId, Secret
from gateway.media.relay_commands import (
    Adopt,
    IcePort,
    LegCommand,
    OpenLeg,
    OwnPort,
    PayloadMap,
    RelayPlan,
    Route,
    SetKeys,
    SetPeer,
    Unroute,
)
from gateway.media.relay_protocol import WorkerConfig
from gateway.media.worker.leg import Leg
from gateway.media.worker.loop import RelayLoop
from tests.media import packets
from tests.media.lanes import srtp_session
from tests.rig.ports import free_range

HOST, HOST_6, STRANGE = "127.0.0.1", "::1", "127.0.0.2"
CM, GCM = AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM
FRAME, RATE, TICK = 160, 8000, 0.02
CLEAR = b"what is said here is for nobody else "
"""Stands in every packet; whoever sees it on the wire of a keyed leg has read along."""
PLAN = (PayloadMap(0, 0), PayloadMap(8, 8))
NOT_AGREED = 3
KEPT = 40
"""Datagrams of a peer that the network may deliver once more."""
MAX_ROUNDS = 20

ALICE, BOB, PLAIN, KEYED, SIX, GUEST = map(LegId, range(1, 7))
ICE = {ALICE: CM, BOB: GCM}
PORTS: dict[LegId, CryptoSuite | None] = {PLAIN: None, KEYED: CM, SIX: None, GUEST: GCM}
CALL, OTHER_CALL = 1, 2


def udp(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((host, 0))
    return made


def arrived(own: socket.socket) -> list[bytes]:
    found = []
    while select.select([own], [], [], 0)[0]:
        found.append(own.recv(4096))
    return found


@dataclass(frozen=True)
class Received:
    """One packet as a peer got it."""

    source: LegId
    word: int
    """Which of the packets of that source it is."""
    sequence: int
    timestamp: int
    ssrc: int
    key: int
    """Under which of the keys of its leg, counted; 0 in clear."""
    at: float


@dataclass
class Member:
    """One peer: what it says next, and what it heard."""

    number: LegId
    suite: CryptoSuite | None
    own: socket.socket
    rtcp: socket.socket | None = None
    sequence: int = 1000
    timestamp: int = 0xFFFFF000
    ssrc: int = 0x5EED
    words: int = 0
    key: int = 0
    missed: int = 0
    """Packets it sent, or numbers it skipped, that never reached the relay or say nothing there."""
    is_fresh: bool = True
    """No packet under this SSRC and key has left: the first one must arrive (RFC 3711 3.3.1)."""
    sealer: Session | None = None
    former: Session | None = None
    opener: Session | None = None
    sent: deque[bytes] = field(default_factory=lambda: deque(maxlen=KEPT))
    under_way: list[bytes] = field(default_factory=list)
    former_sources: deque[tuple[int, int]] = field(default_factory=deque)
    """SSRC and the last number under it; no number is used twice."""
    heard: list[Received] = field(default_factory=list)

    def packet(self, *, step: int = 1, kind: int = 0, **more: bytes) -> bytes:
        """What it says next, in clear; its number and its time are in it."""
        self.sequence = self.sequence + step & 0xFFFF
        self.timestamp = self.timestamp + step * FRAME & 0xFFFFFFFF
        self.words += 1
        payload = self.number.to_bytes(1) + self.words.to_bytes(4) + CLEAR * 4
        return packets.rtp(
            self.sequence,
            timestamp=self.timestamp,
            ssrc=self.ssrc,
            payload_type=kind,
            payload=payload,
            **more,  # type: ignore[arg-type]
        )

    def sealed(self, packet: bytes, *, by_former: bool = False) -> bytes | None:
        """The packet as it leaves; None when there is no key for it, or the library refuses its number."""
        if self.suite is None:
            return packet
        sealer = self.former if by_former else self.sealer
        try:
            return bytes(sealer.protect(packet)) if sealer is not None else None
        except Error:
            return None

    def another_source(self, sequence: int) -> None:
        """Send under an SSRC that is new."""
        self.former_sources.append((self.ssrc, self.sequence))
        self.ssrc, self.sequence, self.is_fresh = self.ssrc + 0x100, sequence, True
        self.timestamp = self.timestamp + 0x12345 & 0xFFFFFFFF

    def former_source(self) -> None:
        """Send under an SSRC that was in use before, as after music, and go on where that was."""
        if self.former_sources:
            self.former_sources.append((self.ssrc, self.sequence))
            self.ssrc, self.sequence = self.former_sources.popleft()

    @property
    def can_speak(self) -> bool:
        return self.suite is None or self.sealer is not None


class RelayCrowd:
    """The peers, the strangers and the relay between them.

    Args:
        unkeyed: a leg that is to be keyed and is not yet.
        shortcuts: False keeps every packet on the long way.
    """

    def __init__(self, unkeyed: LegId | None = None, *, shortcuts: bool) -> None:
        self.now = 100.0
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        first, last = map(int, free_range(2 * len(PORTS) + 2).split("-"))
        self.loop = RelayLoop(WorkerConfig(self._theirs.fileno(), (HOST,), 0, first, last), self._theirs)
        if not shortcuts:
            self.loop._flat.settle = lambda *_: None  # type: ignore[method-assign]
        self.members: dict[LegId, Member] = {}
        self.stranger, self.neighbour = udp(STRANGE), udp(HOST)
        self.places: dict[LegId, tuple[str, int]] = {}
        self.sources: dict[LegId, tuple[LegId, bool]] = {}
        """Whom each leg hears, and whether media may pass."""
        self._calls = dict.fromkeys((*ICE, *PORTS), (CALL, LegId(0))) | {GUEST: (OTHER_CALL, ALICE)}
        self._keys = 0
        for number, suite in ICE.items():
            self._open_browser(number, suite)
        for number, own_suite in PORTS.items():
            self._open_trunk(number, own_suite)
        for number, member in self.members.items():
            if member.suite is not None and number != unkeyed:
                self.rekey(number)
        for a, b in ((ALICE, PLAIN), (BOB, KEYED)):
            self.route(a, b)
            self.route(b, a)

    def name(self, number: LegId) -> tuple[int, LegId]:
        """The call a leg is in, and its number there."""
        call, there = self._calls[number]
        return call, there or number

    def leg(self, number: LegId) -> Leg:
        call, there = self.name(number)
        return self.loop._desk._calls[call].legs[there]

    def _obey(self, number: LegId, command: LegCommand) -> None:
        self.loop._desk.obey(self.name(number)[0], command, self.now)

    def _open_browser(self, number: LegId, suite: CryptoSuite) -> None:
        self.loop._desk.open(CALL, OpenLeg(number, IcePort(f"ufrag{number}", Secret("p" * 24))), self.now)
        member = self.members[number] = Member(number, suite, udp(HOST))
        own = self.loop._port.sockets[0]
        path = own, member.own.getsockname()
        leg = self.leg(number)
        self.loop._port._owners[path] = leg  # type: ignore[assignment]
        leg.confirm(path, True, self.now)  # type: ignore[attr-defined]
        self.places[number] = own.getsockname()

    def _open_trunk(self, number: LegId, suite: CryptoSuite | None) -> None:
        call, there = self.name(number)
        host = HOST_6 if number == SIX else HOST
        self.loop._desk.open(call, OpenLeg(there, OwnPort(host)), self.now)
        self.members[number] = Member(number, suite, udp(host), udp(host) if number == PLAIN else None)
        self.places[number] = self.leg(number).sockets.rtp.getsockname()[:2]  # type: ignore[attr-defined]
        self.describe(number)

    def describe(self, number: LegId) -> None:
        """Say, perhaps once more, where a trunk is and whether it is keyed."""
        member = self.members[number]
        rtcp = HostPort(*member.rtcp.getsockname()[:2]) if member.rtcp is not None else None
        place = HostPort(*member.own.getsockname()[:2])
        self._obey(number, SetPeer(self.name(number)[1], member.suite is not None, place, rtcp, rtcp is None))

    def secure(self, number: LegId, secured: bool) -> None:
        """A trunk that was plain gets keys, or one that has some is plain from now on."""
        member = self.members[number]
        if (member.suite is not None) == secured:
            return
        member.suite = CM if secured else None
        if secured:
            self.rekey(number)
        else:
            self.describe(number)

    def rekey(self, number: LegId) -> None:
        """The first keys of a leg, or others."""
        member, self._keys = self.members[number], self._keys + 1
        suite = member.suite
        assert suite is not None
        ours, theirs = (bytes([self._keys % 256, way]) * (suite.master_length // 2) for way in (1, 2))
        self._obey(number, SetKeys(self.name(number)[1], suite.name, Secret(ours), Secret(theirs)))
        member.former, member.is_fresh, member.key = member.sealer, True, member.key + 1
        member.former_sources.clear()
        member.sealer, member.opener = srtp_session(suite, theirs, sends=True), srtp_session(suite, ours, sends=False)

    def route(self, sink: LegId, source: LegId, *, is_open: bool = True) -> None:
        """Let one hear the other, where they are in one call."""
        if sink != source and self.name(sink)[0] == self.name(source)[0]:
            self._obey(sink, Route(self.name(source)[1], self.name(sink)[1], RelayPlan(PLAN, is_open)))
            self.sources[sink] = source, is_open

    def unroute(self, sink: LegId) -> None:
        self._obey(sink, Unroute(self.name(sink)[1]))
        self.sources.pop(sink, None)

    def adopt(self) -> None:
        """The guest becomes one of the call; once."""
        if self._calls[GUEST][0] == OTHER_CALL:
            self.loop._desk.adopt(CALL, Adopt(GUEST, OTHER_CALL, ALICE), self.now)
            self._calls[GUEST] = CALL, GUEST
            self.route(GUEST, SIX)
            self.route(SIX, GUEST)

    def deliver(self, number: LegId, datagram: bytes, own: socket.socket | None = None) -> None:
        """Let a datagram arrive at a leg, from its peer or from elsewhere."""
        place = self.places[number]
        own = own or self.members[number].own
        if (own.family == socket.AF_INET6) == (":" in place[0]):
            own.sendto(datagram, place)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in which nothing arrives, and the worker is there."""
        self.now += seconds
        self.loop._serve([], self.now)

    def serve(self) -> None:
        """The worker deals with all that has arrived."""
        for _ in range(MAX_ROUNDS):
            ready = [descriptor for descriptor, _ in self.loop._epoll.poll(0, 256)]
            ready = [descriptor for descriptor in ready if descriptor != self._theirs.fileno()]
            if not ready:
                return
            self.loop._serve(ready, self.now)
        raise AssertionError("there is always more")

    def close(self) -> None:
        for call in list(self.loop._desk._calls):
            self.loop._desk.close_call(call, self.now)
        own = [self.stranger, self.neighbour, self._ours, self._theirs, *self.loop._port.sockets]
        for member in self.members.values():
            own += [member.own, *([member.rtcp] if member.rtcp is not None else [])]
        for each in own:
            each.close()
        self.loop._epoll.close()
