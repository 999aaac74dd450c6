"""Whom DTLS on the ports of a leg is taken from, and where ours goes, in time."""

from __future__ import annotations

import pytest

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80 as SUITE
from gateway.base.values import HostPort, LegId, Secret
from gateway.media.relay_commands import Component, SetPeer
from gateway.media.relay_events import DtlsReceived, Event, SourceLearned, SourceRejected
from gateway.media.worker.counters import Tally
from gateway.media.worker.ice_leg import MAX_DTLS_PER_SECOND
from gateway.media.worker.latch import SILENCE_SECONDS, Address, AllowedSources
from gateway.media.worker.port_dtls import PortDtls
from gateway.media.worker.port_pair import PortPair, open_udp
from gateway.media.worker.reports import Reports
from tests.media.local import TRUNK, LocalCall

LEG = LegId(2)
SIGNALLED, RTCP = ("192.0.2.10", 4000), ("192.0.2.10", 4001)
NATTED, THIRD, STRANGER = ("198.51.100.7", 5000), ("198.51.100.8", 5000), ("203.0.113.66", 5000)
START = 100.0
LATER = START + SILENCE_SECONDS


class Ports:
    """DTLS of a leg whose peer is described at the start."""

    def __init__(self, signalled: Address = SIGNALLED) -> None:
        self.events: list[Event] = []
        self.tally = Tally()
        self.dtls = PortDtls(self.tally, Reports(LEG, self.events.append))
        self.dtls.expect(AllowedSources(signalled, ("198.51.100.0/24",)), RTCP, START)

    def heard(self, source: Address, now: float, component: Component = Component.RTP) -> bool:
        before = len(self.told(DtlsReceived))
        self.dtls.take(b"\x16", source, component, now)
        return len(self.told(DtlsReceived)) > before

    def told(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def test_ours_goes_to_the_signalled_address_of_each_port() -> None:
    ports = Ports()
    assert ports.dtls.target(Component.RTP) == SIGNALLED
    assert ports.dtls.target(Component.RTCP) == RTCP


def test_an_allowed_address_stands_in_once_the_signalled_one_was_silent_and_that_is_told() -> None:
    ports = Ports()
    assert not ports.heard(NATTED, LATER - 0.1)
    assert ports.dtls.target(Component.RTP) == SIGNALLED
    assert ports.heard(NATTED, LATER)
    assert ports.dtls.target(Component.RTP) == NATTED
    assert ports.dtls.target(Component.RTCP) == RTCP, "each port has its own"
    assert ports.told(SourceLearned) == [SourceLearned(LEG, HostPort(*NATTED), HostPort(*SIGNALLED))]
    assert ports.tally.source_moved == 1


def test_nobody_follows_one_that_stands_in_but_the_signalled_address_itself() -> None:
    ports = Ports()
    assert ports.heard(NATTED, LATER)
    assert not ports.heard(THIRD, LATER + 60)
    assert ports.heard(SIGNALLED, LATER + 60)
    assert ports.dtls.target(Component.RTP) == SIGNALLED
    assert not ports.heard(NATTED, LATER + 61)
    assert ports.tally.source_moved == 2


@pytest.mark.parametrize("component", [Component.RTP, Component.RTCP])
def test_a_stranger_is_never_heard_and_told_once(component: Component) -> None:
    ports = Ports()
    for n in range(50):
        assert not ports.heard(STRANGER, LATER + n, component)
    assert ports.told(SourceRejected) == [SourceRejected(LEG, HostPort(*STRANGER), "media.latch_mismatch")]
    assert ports.tally.dtls_rejected == 50


def test_a_peer_that_has_no_address_is_neither_heard_nor_sent_to() -> None:
    ports = Ports(("0.0.0.0", 4000))
    assert not ports.heard(NATTED, LATER)
    assert ports.dtls.target(Component.RTP) is None


def test_where_rtcp_is_muxed_its_port_takes_no_dtls() -> None:
    ports = Ports()
    ports.dtls.expect(AllowedSources(SIGNALLED, ()), None, START)
    assert not ports.heard(RTCP, LATER, Component.RTCP)
    assert ports.dtls.target(Component.RTCP) is None


def test_no_more_is_handed_up_in_a_second_than_a_handshake_needs() -> None:
    ports = Ports()
    heard = [ports.heard(SIGNALLED, START) for _ in range(MAX_DTLS_PER_SECOND + 20)]
    assert heard.count(True) == MAX_DTLS_PER_SECOND
    assert ports.tally.dtls_rejected == 20
    assert ports.heard(SIGNALLED, START + 1)


def test_media_goes_where_the_handshake_came_from_whose_keys_are_set() -> None:
    made = LocalCall(PortPair(open_udp("127.0.0.1", 0, 1000), open_udp("127.0.0.1", 0, 1000), 20000))
    try:
        peer = SetPeer(TRUNK, True, HostPort(*SIGNALLED), None, True, ("198.51.100.0/24",), dtls=True)
        made.call.obey(peer, START)
        made.trunk.receive(b"\x16" * 20, NATTED, LATER)
        assert made.trunk.latch is not None
        assert made.trunk.latch.target == SIGNALLED, "nothing has authenticated"
        made.keys(TRUNK, SUITE.name, Secret(bytes(30)), Secret(b"1" * 30), LATER)
        assert made.trunk.latch.target == NATTED
        made.trunk.latch.target = SIGNALLED
        made.keys(TRUNK, SUITE.name, Secret(bytes(30)), Secret(b"1" * 30), LATER)
        assert made.trunk.latch.target == SIGNALLED, "the same keys again say nothing new"
    finally:
        made.close()
