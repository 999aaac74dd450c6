"""RTCP is told to the gateway where it wants to know: what came from the right source, and what left; not too much."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80, CryptoSuite
from gateway.base.values import HostPort
from gateway.media.relay_client import RelayPool
from gateway.media.relay_events import RtcpTold
from gateway.media.worker.port_pair import PortPair, open_udp
from gateway.media.worker.reports import MAX_RTCP_TOLD
from tests.media import packets
from tests.media.local import LocalCall
from tests.media.peers import ATTACKER, BROWSER, TRUNK, RelayedCall

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUITE = AES_CM_128_HMAC_SHA1_80


@pytest_asyncio.fixture(loop_scope="session")
async def told(pool: RelayPool) -> AsyncIterator[RelayedCall]:
    call = RelayedCall()
    await call.open(pool, tells_rtcp=True)
    yield call
    await call.close()
    call.close_peers()


@pytest.fixture
def local() -> Iterator[LocalCall]:
    sockets = PortPair(open_udp("127.0.0.1", 0, 1000), open_udp("127.0.0.1", 0, 1000), 20000)
    yield LocalCall(sockets)
    for own in (sockets.rtp, sockets.rtcp):
        own.close()


@pytest.mark.parametrize("mux", [False, True], ids=["own port", "muxed"])
@pytest.mark.parametrize("suite", [None, SUITE], ids=["plain", "keyed"])
async def test_what_a_peer_reports_is_told_in_clear_with_where_it_belongs(
    told: RelayedCall, suite: CryptoSuite | None, mux: bool
) -> None:
    await told.connect(suite=suite, mux=mux)
    report = packets.receiver_report(9)
    (told.trunk.send_media if mux else told.trunk.send_rtcp)(report)
    peer = (told.trunk.rtp if mux else told.trunk.rtcp).address
    found = await told.event(RtcpTold)
    assert found == RtcpTold(TRUNK, peer, mux, False, report)
    told.browser.send_media(report)
    await told.until(lambda counters: counters.rtcp_rx == 2)
    ours = [
        event for event in told.events if isinstance(event, RtcpTold) and (event.leg, event.sent) == (BROWSER, False)
    ]
    assert ours == [RtcpTold(BROWSER, told.browser.address, True, False, report)]


async def test_nobody_who_did_not_ask_is_told(call: RelayedCall) -> None:
    await call.connect()
    call.trunk.send_rtcp(packets.receiver_report(9))
    await call.until(lambda counters: counters.rtcp_rx == 1)
    assert not any(isinstance(event, RtcpTold) for event in call.events)


async def test_nothing_of_a_stranger_is_told(told: RelayedCall) -> None:
    await told.connect()
    stranger = told.peer(ATTACKER)
    stranger.send(packets.receiver_report(7), told.trunk_rtcp)
    await told.until(lambda counters: counters.source_rejected == 1)
    assert not any(isinstance(event, RtcpTold) for event in told.events)


async def test_what_leaves_is_told_and_of_a_flood_only_so_much(local: LocalCall) -> None:
    local.peer(("127.0.0.1", 40_000), 0.0)
    local.trunk.send(packets.sender_report(1), True)
    assert not any(isinstance(event, RtcpTold) for event in local.events)
    local.trunk.reports.tells_rtcp = True
    for _ in range(50):
        local.trunk.send(packets.sender_report(1), True)
    expected = RtcpTold(TRUNK, HostPort("127.0.0.1", 40_001), False, True, packets.sender_report(1))
    assert [event for event in local.events if isinstance(event, RtcpTold)] == [expected] * MAX_RTCP_TOLD
    local.call.tick(1.0, 20.0)
    local.trunk.send(packets.sender_report(1), True)
    assert sum(isinstance(event, RtcpTold) for event in local.events) == MAX_RTCP_TOLD + 1


async def test_where_no_peer_is_described_nothing_is_told(local: LocalCall) -> None:
    local.trunk.reports.tells_rtcp = True
    local.trunk.tell_rtcp(packets.sender_report(1), sent=False)
    local.browser.tell_rtcp(packets.sender_report(1), sent=False)
    assert not any(isinstance(event, RtcpTold) for event in local.events)
