"""A relay loop in this process with real sockets and the test's own clock: what arrives is dealt with when told so."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pylibsrtp import Policy, Session

from gateway.base.crypto_suite import AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80, CryptoSuite
from gateway.base.values import HostPort, LegId, Secret
from gateway.media.relay_commands import (
    EventFormat,
    ExtensionMap,
    IcePort,
    LegCommand,
    OpenLeg,
    OwnPort,
    PayloadMap,
    PlayDigit,
    RelayPlan,
    Route,
    SetKeys,
    SetPeer,
)
from gateway.media.relay_counters import PacketCounters
from gateway.media.relay_packet import apart
from gateway.media.relay_protocol import MAX_CONTROL_PACKET, WorkerConfig
from gateway.media.worker.leg import Leg
from gateway.media.worker.loop import RelayLoop
from tests.media.peers import BROWSER, TRUNK
from tests.rig.ports import free_range
from tests.rig.srtp import PROFILES

HOST = "127.0.0.1"
STAND_IN_HOST = "127.0.0.2"
HOST_6 = "::1"
FAMILIES = {"IPv4": (HOST, HOST), "IPv6": (HOST_6, HOST_6), "6 to 4": (HOST_6, HOST), "4 to 6": (HOST, HOST_6)}
"""Where the two ends of a call are: the browser and the trunk."""
MAPS = (PayloadMap(0, 0), PayloadMap(8, 9), PayloadMap(13, 13), PayloadMap(111, 96, 48000))
EVENTS = EventFormat(101)
MAX_ROUNDS = 8
PAIRS: dict[str, tuple[CryptoSuite, CryptoSuite | None]] = {
    "plain trunk": (AES_CM_128_HMAC_SHA1_80, None),
    "keyed trunk": (AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80),
    "GCM trunk": (AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM),
}


def udp(host: str = HOST) -> socket.socket:
    """A socket of a peer."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((host, 0))
    return made


class LaneRig:
    """One call with a browser and a trunk that hear each other.

    Args:
        suite: of the browser's leg.
        trunk_suite: of the trunk's; None for plain RTP.
        shortcuts: False keeps every packet on the long way.
        hosts: where browser and trunk are, and we towards each.
    """

    def __init__(
        self,
        suite: CryptoSuite,
        trunk_suite: CryptoSuite | None,
        *,
        shortcuts: bool = True,
        hosts: tuple[str, str] = FAMILIES["IPv4"],
    ) -> None:
        self.now = 100.0
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._theirs = theirs
        first, last = map(int, free_range(4).split("-"))
        self.loop = RelayLoop(WorkerConfig(theirs.fileno(), hosts[:1], 0, first, last), theirs)
        if not shortcuts:
            for flat in (self.loop._flat, self.loop._flat6):
                flat.settle = lambda *_: None  # type: ignore[method-assign]
        self.browser, self.trunk = map(udp, hosts)
        self.strangers = {
            number: udp(HOST_6 if host == HOST_6 else STAND_IN_HOST)
            for number, host in zip((BROWSER, TRUNK), hosts, strict=True)
        }
        self._bind = hosts[1]
        self.suites = {BROWSER: suite, TRUNK: trunk_suite}
        self._sealers: dict[LegId, Session] = {}
        self._openers: dict[LegId, Session] = {}
        self._open()

    def _open(self) -> None:
        desk = self.loop._desk
        desk.open(1, OpenLeg(BROWSER, IcePort("ufrag", Secret("p" * 24))), self.now)
        desk.open(1, OpenLeg(TRUNK, OwnPort(self._bind)), self.now)
        self.call = desk._calls[1]
        self.routes(True, True)
        self.rekey(BROWSER, 1)
        if self.suites[TRUNK] is not None:
            self.rekey(TRUNK, 2)
        self.obey(SetPeer(TRUNK, self.suites[TRUNK] is not None, HostPort(*self.trunk.getsockname()[:2]), None, True))
        own = self.loop._port.sockets[0]
        self.place = {
            BROWSER: own.getsockname(),
            TRUNK: self.leg(TRUNK).sockets.rtp.getsockname(),  # type: ignore[attr-defined]
        }
        leg: Any = self.leg(BROWSER)
        path = own, self.browser.getsockname()
        self.loop._port._owners[path] = leg
        leg.confirm(path, True, self.now)

    @property
    def stranger(self) -> socket.socket:
        """Somebody else, as near to the trunk as its protocol allows."""
        return self.strangers[TRUNK]

    def leg(self, number: LegId) -> Leg:
        return self.call.legs[number]

    def other(self, number: LegId) -> LegId:
        return TRUNK if number == BROWSER else BROWSER

    def obey(self, command: LegCommand) -> None:
        self.loop._desk.obey(1, command, self.now)

    def routes(self, to_trunk: bool, to_browser: bool) -> None:
        """Which ways media may pass."""
        plan = {"payloads": MAPS, "heard": (EVENTS,), "events": (EVENTS,), "extensions": (ExtensionMap(1, 2),)}
        self.obey(Route(BROWSER, TRUNK, RelayPlan(**plan, is_open=to_trunk)))  # type: ignore[arg-type]
        self.obey(Route(TRUNK, BROWSER, RelayPlan(**plan, is_open=to_browser)))  # type: ignore[arg-type]

    def rekey(self, number: LegId, seed: int) -> None:
        """Other keys for a leg, both ways; the same ones for the same number."""
        suite = self.suites[number]
        assert suite is not None
        ours, theirs = (bytes([seed, way]) * (suite.master_length // 2) for way in (1, 2))
        self.obey(SetKeys(number, suite.name, Secret(ours), Secret(theirs)))
        self._sealers[number] = srtp_session(suite, theirs, sends=True)
        self._openers[number] = srtp_session(suite, ours, sends=False)

    def play(self, number: LegId, digit: str) -> None:
        self.obey(PlayDigit(number, Secret(digit), 60))

    def sealed(self, number: LegId, packet: bytes) -> bytes:
        """A packet as the peer of a leg sends it."""
        sealer = self._sealers.get(number)
        if sealer is None:
            return packet
        return sealer.protect_rtcp(packet) if 192 <= packet[1] <= 223 else sealer.protect(packet)

    def send(self, number: LegId, datagram: bytes, own: socket.socket | None = None) -> None:
        """Send from the peer of a leg, or from elsewhere."""
        peer = self.browser if number == BROWSER else self.trunk
        (own or peer).sendto(datagram, self.place[number])

    def serve(self) -> None:
        """Deal with all that has arrived, in time."""
        self.loop._serve([], self.now)
        for _ in range(MAX_ROUNDS):
            if not self.turn():
                return
        raise AssertionError("there is always more")

    def turn(self) -> bool:
        """Deal with one turn's worth of what has arrived since the turn before; whether there was anything."""
        ready = [descriptor for descriptor, _ in self.loop._epoll.poll(0, 256)]
        ready = [descriptor for descriptor in ready if descriptor != self._theirs.fileno()]
        if ready:
            self.loop._serve(ready, self.now)
        return bool(ready)

    def heard(self, number: LegId) -> list[bytes]:
        """What the peer of a leg got, in clear; fails when it does not open."""
        own, opener = (self.browser if number == BROWSER else self.trunk), self._openers.get(number)
        found = []
        while select.select([own], [], [], 0)[0]:
            datagram = own.recv(2048)
            rtcp = 64 <= datagram[1] & 0x7F <= 95
            if opener is not None:
                datagram = opener.unprotect_rtcp(datagram) if rtcp else opener.unprotect(datagram)
            found.append(datagram)
        return found

    def has_lane(self, number: LegId) -> bool:
        """Whether what the peer of a leg sends takes the short way."""
        way = self.leg(number).way_out
        return way is not None and way.stands  # type: ignore[attr-defined]

    def events(self) -> list[bytes]:
        """What the gateway was told since it was asked last, as it was told."""
        found = []
        self.loop._control.flush()
        while select.select([self._ours], [], [], 0)[0]:
            found += apart(self._ours.recv(MAX_CONTROL_PACKET))
        return found

    def counters(self, number: LegId) -> PacketCounters:
        return self.leg(number).tally.freeze()

    def report(self) -> None:
        """Report to both peers, now or as soon as the time has come."""
        for leg in self.call.legs.values():
            leg.reporter.tick(self.now)

    def pass_time(self, seconds: float) -> None:
        """Let the clock run, and do what is due meanwhile."""
        end, agenda = self.now + seconds, self.loop._desk.agenda
        while agenda.next <= end:
            self.now = max(self.now, agenda.next)
            agenda.run(self.now)
        self.now = end

    def numbers_as_in(self, other: LaneRig) -> None:
        """Send under the numbers another one sends under, which chance has chosen."""
        for number, leg in self.call.legs.items():
            ours, theirs = vars(leg.stream), vars(other.call.legs[number].stream)
            ours.update({key: theirs[key] for key in ("ssrc", "_next", "_begins", "timestamp_shift", "cname")})

    def close(self) -> None:
        self.loop._desk.close_call(1, self.now)
        for own in (
            self.browser,
            self.trunk,
            *self.strangers.values(),
            self._ours,
            self._theirs,
            *self.loop._port.sockets,
        ):
            own.close()
        self.loop._epoll.close()


@contextmanager
def lane_rig(
    suite: CryptoSuite,
    trunk_suite: CryptoSuite | None,
    *,
    shortcuts: bool = True,
    hosts: tuple[str, str] = FAMILIES["IPv4"],
) -> Iterator[LaneRig]:
    made = LaneRig(suite, trunk_suite, shortcuts=shortcuts, hosts=hosts)
    try:
        yield made
    finally:
        made.close()


PROFILE = {profile.sdes: profile.library for profile in PROFILES}


def srtp_session(suite: CryptoSuite, key: bytes, *, sends: bool) -> Session:
    """A peer's own end of one direction."""
    kind = Policy.SSRC_ANY_OUTBOUND if sends else Policy.SSRC_ANY_INBOUND
    policy = Policy(key=key, ssrc_type=kind, srtp_profile=PROFILE[suite.name])
    policy.window_size = 128
    return Session(policy)
