"""Hostile octets against a call in this process: an error in the worker would end every call it carries."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.base.crypto_suite import SUITES
from gateway.base.values import Secret
from gateway.media.relay_commands import PayloadMap
from gateway.media.relay_events import MediaMismatch, SourceRejected
from gateway.media.relay_protocol import WorkerConfig
from gateway.media.worker.demux import BrowserPort
from gateway.media.worker.port_pair import PortPair, open_udp
from gateway.media.worker.proof import MISMATCH_SECONDS
from gateway.media.worker.srtp import SrtpSender
from tests.effort import examples
from tests.media import packets
from tests.media.local import BROWSER, LocalCall
from tests.media.local import TRUNK as TRUNK_LEG
from tests.media.peers import LOOPBACK

SUITE = SUITES[2]
BROWSER_KEY, TRUNK_KEY, OUR_KEY = (Secret(bytes([n]) * SUITE.master_length) for n in (1, 2, 3))
TRUNK = ("127.0.0.9", 40000)
NEAR = ("127.0.0.0/29",)


class Rig:
    """A browser port and a call whose sockets send to nobody."""

    def __init__(self, *, keyed: bool, mux: bool) -> None:
        self.port = BrowserPort(WorkerConfig(-1, (LOOPBACK,), 0, 20000, 20001))
        self.call = LocalCall(PortPair(open_udp(LOOPBACK, 0, 1000), open_udp(LOOPBACK, 0, 1000), 20000))
        self.browser, self.trunk, self.events = self.call.browser, self.call.trunk, self.call.events
        self.port.add(self.browser)
        self.path = (self.port.sockets[0], ("127.0.0.8", 50000))
        self.port._owners[self.path] = self.browser
        self.browser.paths.confirm(self.path, True, 0.0)
        self.call.keys(BROWSER, SUITE.name, OUR_KEY, BROWSER_KEY, 0.0)
        self.call.keys(TRUNK_LEG, SUITE.name, OUR_KEY, TRUNK_KEY, 0.0)
        self.call.peer(TRUNK, 0.0, keyed=keyed, mux=mux, sources=NEAR)
        self.call.payloads((PayloadMap(0, 0), PayloadMap(101, 96)), (PayloadMap(0, 0), PayloadMap(96, 101)), 0.0)

    def close(self) -> None:
        self.call.close()
        for own in self.port.sockets:
            own.close()


@pytest.fixture(params=[(False, False), (False, True), (True, False), (True, True)], ids=str)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    keyed, mux = request.param
    made = Rig(keyed=keyed, mux=mux)
    yield made
    made.close()


_HEADS = st.sampled_from(
    [b"", b"\x80\x00", b"\x90\x00", b"\xbf\xe5", b"\x80\xc8", b"\x81\xca", b"\x00\x01", b"\x16\xfe"]
)
_OCTETS = st.builds(lambda head, rest: head + rest, _HEADS, st.binary(max_size=80))
_SOURCES = st.sampled_from([TRUNK, ("127.0.0.9", 40001), ("127.0.0.1", 1), ("203.0.113.1", 65535)])
_bounded = settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_bounded
@given(data=_OCTETS, source=_SOURCES, now=st.floats(0, 100))
def test_any_octets_to_any_port_are_relayed_or_counted(
    rig: Rig, data: bytes, source: tuple[str, int], now: float
) -> None:
    rig.trunk.receive(data, source, now)
    rig.trunk.receive_rtcp(data, source, now)
    rig.port.take(data, rig.path, now)
    rig.port.take(data, (rig.path[0], source), now)
    assert len([e for e in rig.events if isinstance(e, SourceRejected)]) <= 4


_BROWSER, _TRUNK = SrtpSender(SUITE, BROWSER_KEY), SrtpSender(SUITE, TRUNK_KEY)


@_bounded
@given(data=st.binary(min_size=12, max_size=80), rtcp=st.booleans(), to_trunk=st.booleans())
def test_any_octets_an_authenticated_peer_sends_are_relayed_or_counted(
    rig: Rig, data: bytes, rtcp: bool, to_trunk: bool
) -> None:
    rig.call.hold(0.0, to_trunk=to_trunk)
    head = b"\x80\xc9" if rtcp else bytes((data[0] & 0x3F | 0x80, data[1]))
    for sender, leg in ((_BROWSER, "browser"), (_TRUNK, "trunk")):
        sealed = sender.protect(head + data[2:], rtcp)
        if not isinstance(sealed, bytes):
            continue
        if leg == "browser":
            rig.port.take(sealed, rig.path, 1.0)
        else:
            rig.trunk.receive(sealed, TRUNK, 1.0)
            rig.trunk.receive_rtcp(sealed, TRUNK, 1.0)


def test_a_full_socket_buffer_is_counted_and_nothing_more() -> None:
    rig = Rig(keyed=False, mux=False)

    class Full(socket.socket):
        def sendto(self, *_: object) -> int:
            raise BlockingIOError

    with Full(socket.AF_INET, socket.SOCK_DGRAM) as full:
        rig.browser.paths.confirm((full, ("127.0.0.8", 1)), True, 0.0)
        rig.trunk.receive(packets.rtp(1), TRUNK, 0.0)
        rig.browser.send_dtls(b"\x16")
    assert rig.call.counters.unsent == 2
    assert rig.call.counters.browser_tx == 0
    rig.close()


def test_the_same_address_described_again_gets_its_time_to_speak_again() -> None:
    rig = Rig(keyed=False, mux=False)
    try:
        rig.call.peer(TRUNK, 10.0, sources=NEAR)
        for now in (10.0, 11.9):
            rig.trunk.receive(packets.rtp(1), (TRUNK[0], 40002), now)
        assert rig.call.counters.source_rejected == 2
        rig.trunk.receive(packets.rtp(2), (TRUNK[0], 40002), 12.1)
        assert rig.call.counters.source_pending == 1
    finally:
        rig.close()


@pytest.mark.parametrize(("host", "told"), [(TRUNK[0], 1), ("127.0.0.66", 0)], ids=["peer", "stranger"])
def test_only_packets_from_where_the_peer_is_contradict_a_keyed_leg(host: str, told: int) -> None:
    rig = Rig(keyed=True, mux=False)
    try:
        for n in range(20):
            rig.trunk.receive(packets.rtp(n), (host, TRUNK[1]), 10.0 + n / 50)
        rig.call.call.tick(10.0 + MISMATCH_SECONDS, 1000.0)
        assert len([event for event in rig.events if isinstance(event, MediaMismatch)]) == told
    finally:
        rig.close()


def test_keys_given_to_a_plain_trunk_end_the_plain_both_ways() -> None:
    """A leg the log calls keyed must not go on in clear because a second command is late or lost."""
    rig = Rig(keyed=False, mux=True)
    plain = packets.rtp(1)
    rig.call.keys(TRUNK_LEG, SUITE.name, BROWSER_KEY, TRUNK_KEY, 1.0)
    rig.trunk.receive(plain, TRUNK, 2.0)
    assert rig.call.counters.trunk_rx == 0
    assert rig.trunk._peer is not None
    assert rig.trunk._peer.keyed
    rig.call.peer(TRUNK, 3.0, mux=True, sources=NEAR)
    rig.trunk.receive(plain, TRUNK, 6.0)
    assert rig.call.counters.trunk_rx == 1, "who says plain after the keys means it"
    rig.close()
