"""The handshakes of a call's legs: one or two for each, and what is told of them; OpenSSL at the other end."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest

from gateway.base.codes import Code
from gateway.base.crypto_suite import SUITES
from gateway.base.values import LegId
from gateway.call.machine.effects import StartDtls
from gateway.call.machine.events import DtlsConnected, DtlsFailed
from gateway.call.run.handshakes import HandshakeEvent, Handshakes
from gateway.media.relay_commands import Component, SendDtls, SetKeys
from gateway.sdp.keying import Fingerprint
from gateway.webrtc.dtls import DtlsEndpoint, DtlsIdentity, DtlsState

NOW = datetime.datetime.now(datetime.UTC)
OURS, THEIRS, FORGED = (DtlsIdentity.generate(NOW) for _ in range(3))
LEG, OTHER = LegId(2), LegId(3)
RTP, RTCP = Component.RTP, Component.RTCP

pytestmark = pytest.mark.asyncio


class Bench:
    """The handshakes of one call, with a peer at each port."""

    def __init__(self) -> None:
        self.told: list[HandshakeEvent] = []
        self.keys: list[SetKeys] = []
        self.sent = 0
        self.peers: dict[Component, DtlsEndpoint] = {}
        self.handshakes = Handshakes(OURS, self._send, self.told.append, self._guarded)

    def start(self, number: int = 1, *, rtcp: bool = False, believed: Fingerprint | None = None) -> None:
        peer = believed or THEIRS.fingerprint
        self.handshakes.start(StartDtls(LEG, "server", (peer,), SUITES, number, checks_paths=False, rtcp=rtcp))

    def meet(self, component: Component = RTP, identity: DtlsIdentity = THEIRS) -> DtlsEndpoint:
        """A peer that begins at this port."""
        peer = self.peers[component] = DtlsEndpoint(identity, "client", [OURS.fingerprint])
        peer.start(0.0)
        self.pump(component)
        return peer

    def pump(self, component: Component) -> None:
        for datagram in self.peers[component].take_datagrams():
            self.handshakes.receive(LEG, component, datagram)

    def _send(self, command: SendDtls | SetKeys) -> None:
        if isinstance(command, SetKeys):
            self.keys.append(command)
            return
        self.sent += 1
        component = Component(command.component)
        if component in self.peers:
            self.peers[component].receive(command.data, 0.0)
            self.pump(component)

    def _guarded(self, step: Callable[[], None]) -> None:
        step()

    def connected(self) -> list[int]:
        return [event.number for event in self.told if isinstance(event, DtlsConnected)]


async def test_a_leg_without_ice_waits_for_nobody_and_its_keys_for_the_record() -> None:
    bench = Bench()
    bench.start()
    peer = bench.meet()
    assert (peer.state, bench.connected(), bench.keys) == (DtlsState.CONNECTED, [1], [])
    bench.handshakes.release(LEG)
    (keys,) = bench.keys
    assert peer.keys is not None
    assert (keys.component, keys.rx, keys.tx) == (Component.BOTH, peer.keys.tx, peer.keys.rx)


@pytest.mark.parametrize("first", [RTP, RTCP])
async def test_rtcp_of_its_own_is_keyed_by_itself_and_never_before_the_record(first: Component) -> None:
    """RFC 5764 4.1."""
    bench = Bench()
    bench.start(rtcp=True)
    bench.meet(first)
    if first is RTP:
        bench.handshakes.release(LEG)
    bench.meet(RTCP if first is RTP else RTP)
    bench.handshakes.release(LEG)
    assert [keys.component for keys in bench.keys][:2] == [RTP, RTCP]
    assert bench.connected() == [1]


async def test_rtcp_of_somebody_else_is_told_and_gets_no_keys() -> None:
    bench = Bench()
    bench.start(rtcp=True)
    bench.meet(RTP)
    bench.handshakes.release(LEG)
    bench.meet(RTCP, FORGED)
    (failed,) = [event for event in bench.told if isinstance(event, DtlsFailed)]
    assert (failed.rtcp, failed.code) == (True, Code.DTLS_FP_MISMATCH)
    assert [keys.component for keys in bench.keys] == [RTP]


async def test_what_comes_before_the_peer_is_known_waits_for_that() -> None:
    bench = Bench()
    bench.meet()
    assert not bench.sent
    bench.start()
    assert bench.connected() == [1]


async def test_another_association_takes_the_place_of_the_one_before_without_a_word() -> None:
    bench = Bench()
    bench.start()
    bench.meet()
    bench.handshakes.release(LEG)
    before = bench.sent
    bench.start(2, believed=FORGED.fingerprint)
    assert bench.sent == before
    bench.handshakes.release(LEG)
    assert len(bench.keys) == 1, "the new one has no keys yet"
    bench.meet(identity=FORGED)
    assert (bench.connected(), len(bench.keys)) == ([1, 2], 1)
    bench.handshakes.release(LEG)
    assert len({keys.tx for keys in bench.keys}) == 2


async def test_what_is_released_of_one_association_releases_nothing_of_the_next() -> None:
    bench = Bench()
    bench.start(rtcp=True)
    bench.meet(RTP)
    bench.start(2, rtcp=True)
    bench.handshakes.release(LEG)
    bench.meet(RTCP)
    assert bench.keys == [], "the record of the second is not written"
    bench.meet(RTP)
    bench.handshakes.release(LEG)
    assert [keys.component for keys in bench.keys] == [RTP, RTCP]


async def test_a_leg_that_moves_to_another_call_takes_its_handshake_along() -> None:
    bench, other = Bench(), Bench()
    bench.start()
    other.handshakes.move(OTHER, bench.handshakes, LEG)
    assert (list(bench.handshakes), list(other.handshakes)) == ([], [OTHER])
    peer = DtlsEndpoint(THEIRS, "client", [OURS.fingerprint])
    peer.start(0.0)
    for datagram in peer.take_datagrams():
        other.handshakes.receive(OTHER, RTP, datagram)
    assert (bench.sent, other.sent > 0) == (0, True)


async def test_a_leg_that_checks_paths_waits_for_one() -> None:
    bench = Bench()
    bench.handshakes.start(StartDtls(LEG, "client", (THEIRS.fingerprint,), SUITES))
    before = bench.sent
    bench.handshakes.validated(LEG)
    assert (before, bench.sent) == (0, 1)
    bench.handshakes.close()
