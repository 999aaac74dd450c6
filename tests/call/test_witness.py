"""Who is shown the media of calls sees reports with their addresses and their call, and can do no call any harm."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from gateway.base.values import CALLER, HostPort, LegId
from gateway.call.run.media import CallMedia
from gateway.call.run.witness import CallWitness
from gateway.hep.reports import EndedWay
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import OpenLeg, OwnPort, SetPeer
from gateway.media.relay_events import IceValidated, LegOpened, RtcpTold, SourceLearned
from tests.call.test_call import talking
from tests.call.test_media import OURS, MediaBench, pool
from tests.media import packets
from tests.media.peers import TRUNK_BIND, TRUNK_HOST, Peer

__all__ = ["pool"]

TRUNK = LegId(2)
BROWSER_PEER, TRUNK_PEER = HostPort("198.51.100.7", 50_000), HostPort("192.0.2.7", 6001)
RTP, RTCP = HostPort("192.0.2.1", 20_000), HostPort("192.0.2.1", 20_001)
HOSTS = (HostPort("2001:db8::1", 10_000), HostPort("192.0.2.1", 10_000))
FACTS = {"rtt_ms": 1.0, "heard": {"mos": 4.0}, "sent": {"mos": 3.0}}


class Onlooker:
    """Remembers what it is shown."""

    def __init__(self) -> None:
        self.is_on = True
        self.compounds: list[tuple[str, HostPort, HostPort, bytes]] = []
        self.ways: list[EndedWay] = []
        self.error: Exception | None = None

    def rtcp(self, correlation: str, source: HostPort, destination: HostPort, compound: bytes) -> None:
        self.compounds.append((correlation, source, destination, compound))
        if self.error is not None:
            raise self.error

    def ended(self, correlation: str, ways: Sequence[EndedWay]) -> None:
        assert correlation == "caller-call-id"
        self.ways += ways
        if self.error is not None:
            raise self.error


@pytest.fixture
def onlooker() -> Onlooker:
    return Onlooker()


@pytest.fixture
def witness(onlooker: Onlooker) -> CallWitness:
    made = CallWitness(talking().state, onlooker)
    made.opened(LegOpened(CALLER, HOSTS, None))
    made.opened(LegOpened(TRUNK, (RTP,), RTCP))
    return made


@pytest.mark.parametrize(
    ("event", "source", "destination"),
    [
        (RtcpTold(TRUNK, TRUNK_PEER, False, False, b"c"), TRUNK_PEER, RTCP),
        (RtcpTold(TRUNK, TRUNK_PEER, False, True, b"c"), RTCP, TRUNK_PEER),
        (RtcpTold(TRUNK, TRUNK_PEER, True, True, b"c"), RTP, TRUNK_PEER),
        (RtcpTold(CALLER, BROWSER_PEER, True, False, b"c"), BROWSER_PEER, HOSTS[1]),
        (RtcpTold(CALLER, HostPort("2001:db8::9", 1), True, True, b"c"), HOSTS[0], HostPort("2001:db8::9", 1)),
    ],
)
def test_a_report_is_shown_with_both_its_ends_and_its_call(
    witness: CallWitness, onlooker: Onlooker, event: RtcpTold, source: HostPort, destination: HostPort
) -> None:
    witness.saw(event)
    assert onlooker.compounds == [("caller-call-id", source, destination, b"c")]


def test_of_a_leg_nobody_opened_nothing_is_shown(witness: CallWitness, onlooker: Onlooker) -> None:
    witness.saw(RtcpTold(LegId(9), TRUNK_PEER, True, True, b"c"))
    assert onlooker.compounds == []


def test_the_end_is_shown_with_where_media_went_last(witness: CallWitness, onlooker: Onlooker) -> None:
    witness.saw(IceValidated(CALLER, BROWSER_PEER))
    witness.saw(SourceLearned(TRUNK, HostPort("192.0.2.7", 7000), HostPort("192.0.2.7", 6000)))
    witness.ended({"browser": FACTS, "trunk": FACTS, "somebody": FACTS})
    shown = [(way.leg, way.source, way.destination, way.is_heard) for way in onlooker.ways]
    assert shown == [
        ("browser", BROWSER_PEER, HOSTS[1], True),
        ("browser", HOSTS[1], BROWSER_PEER, False),
        ("trunk", HostPort("192.0.2.7", 7000), RTP, True),
        ("trunk", RTP, HostPort("192.0.2.7", 7000), False),
    ]


def test_a_leg_that_moves_to_another_call_is_shown_there(witness: CallWitness, onlooker: Onlooker) -> None:
    other = CallWitness(talking().state, onlooker)
    other.takes(LegId(3), witness, TRUNK)
    other.saw(RtcpTold(LegId(3), TRUNK_PEER, True, False, b"c"))
    witness.saw(RtcpTold(TRUNK, TRUNK_PEER, True, False, b"c"))
    assert [shown[1:3] for shown in onlooker.compounds] == [(TRUNK_PEER, RTP)]


@pytest.mark.parametrize("quality", [None, "x", {}, {"trunk": None}, {"trunk": {"heard": 3}}])
def test_a_call_nothing_is_known_of_ends_all_the_same(
    witness: CallWitness, onlooker: Onlooker, quality: object
) -> None:
    witness.ended(quality)
    assert onlooker.ways == []


def test_an_onlooker_that_fails_is_told_of_once_and_harms_nothing(
    witness: CallWitness, onlooker: Onlooker, caplog: pytest.LogCaptureFixture
) -> None:
    onlooker.error = RuntimeError("nobody foresaw this")
    for _ in range(3):
        witness.saw(RtcpTold(TRUNK, TRUNK_PEER, True, True, b"c"))
    witness.ended({"trunk": FACTS})
    assert caplog.text.count("cannot show its media") == 1


class ShownBench(MediaBench):
    """The media of a call that somebody is shown."""

    def __init__(self, pool: RelayPool, onlooker: Onlooker) -> None:
        super().__init__(pool)
        witness = CallWitness(talking().state, onlooker)
        self.media = CallMedia(pool, OURS, self._listen, self.broken.append, witness=witness)


@pytest_asyncio.fixture(loop_scope="module")
async def shown(pool: RelayPool, onlooker: Onlooker) -> AsyncIterator[ShownBench]:
    made = ShownBench(pool, onlooker)
    yield made
    await made.media.close()
    assert made.broken == []


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.asyncio(loop_scope="module")
async def test_the_relay_tells_rtcp_where_somebody_looks_on_and_the_call_never_hears_of_it(
    shown: ShownBench, onlooker: Onlooker, is_on: bool
) -> None:
    onlooker.is_on = is_on
    await shown.media.open(OpenLeg(TRUNK, OwnPort(TRUNK_BIND)))
    opened = await shown.told(LegOpened, TRUNK)
    peer = Peer(TRUNK_HOST)
    shown.media.carry_out(SetPeer(TRUNK, False, peer.address, mux=True))
    await shown.media.counters()
    peer.send(packets.receiver_report(), opened.rtp[0])
    counters = await shown.media.counters()
    while not counters[TRUNK].rtcp_rx:
        counters = await shown.media.counters()
    expected = [("caller-call-id", peer.address, opened.rtp[0], packets.receiver_report())]
    assert onlooker.compounds == (expected if is_on else [])
    assert not any(isinstance(event, RtcpTold) for event in shown.events)
    peer.close()
