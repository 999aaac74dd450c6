"""RTCP between the legs through a real worker: its port, its source, its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80, CryptoSuite
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import SetPeer
from gateway.media.relay_events import SourceRejected
from gateway.media.worker import rtcp
from gateway.media.worker.leg import MAX_RTCP_PER_SECOND
from tests.media import packets
from tests.media.peers import (
    ATTACKER,
    TRUNK,
    TRUNK_HOST,
    Keys,
    Peer,
    RelayedCall,
    free_pair,
    media,
    new_call,
    running_pool,
    stands_in,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUITE = AES_CM_128_HMAC_SHA1_80


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def talkative() -> AsyncIterator[RelayPool]:
    """A worker that reports ten times a second."""
    async with running_pool(media(first_port=10061, trunk_ports=(28160, 28199)), report_seconds=0.1) as pool:
        yield pool


FROM_TRUNK = b"\x00\x00\x11\x11"
"""The SSRC the trunk sends under."""


async def asks_the_trunk(call: RelayedCall) -> None:
    """The browser hears the trunk and asks something of it, so that RTCP leaves to the trunk at once."""
    call.trunk.send_media(packets.rtp(1, payload_type=8))
    ours = (await call.browser.receive_media())[8:12]
    call.browser.send_media(packets.receiver_report() + packets.feedback(206, 1, int.from_bytes(ours)))


async def reported(call: RelayedCall, peer: Peer, keys: Keys | None) -> list[int]:
    """The packets of the first compound that comes to a socket, by their type."""
    async with asyncio.timeout(10.0):
        while True:
            datagram, _ = await peer.receive_from()
            if 192 <= datagram[1] <= 223:
                clear = keys.unprotect(datagram) if keys else bytes(datagram)
                assert call.browser.keys.unprotect(await call.browser.receive())[1] in (200, 201)
                return [part[1] for part in rtcp.read(clear) or ()]


@pytest.mark.parametrize("suite", [None, SUITE], ids=["plain", "keyed"])
@pytest.mark.parametrize("mux", [False, True], ids=["own port", "muxed"])
async def test_both_peers_are_sent_our_reports_and_ours_alone(
    talkative: RelayPool, suite: CryptoSuite | None, mux: bool
) -> None:
    async with new_call(talkative) as call:
        call.browser.server = call.browser.server.__class__(call.browser.server.host, 10061)
        await call.connect(suite=suite, mux=mux)
        call.browser.send_media(packets.receiver_report(7))
        ours = await reported(call, call.trunk.rtp if mux else call.trunk.rtcp, call.trunk.keys)
        assert ours == [rtcp.RR, rtcp.SDES]
        counters = await call.until(lambda c: c.rtcp_rx == 1)
        assert (counters.trunk_tx, counters.browser_tx) == (0, 0)


@pytest.mark.parametrize("suite", [None, SUITE], ids=["plain", "keyed"])
async def test_rtcp_has_its_own_port_without_muxing(call: RelayedCall, suite: CryptoSuite | None) -> None:
    await call.connect(suite=suite)
    call.browser.send_media(packets.receiver_report())
    call.trunk.send_rtcp(packets.receiver_report(9))
    counters = await call.until(lambda c: c.rtcp_rx == 2)
    assert (counters.rtcp_tx, counters.rtcp_rejected, counters.trunk_tx, counters.browser_tx) == (0, 0, 0, 0)


@pytest.mark.parametrize("suite", [None, SUITE], ids=["plain", "keyed"])
async def test_rtcp_shares_the_rtp_port_with_muxing(call: RelayedCall, suite: CryptoSuite | None) -> None:
    await call.connect(suite=suite, mux=True)
    call.trunk.send_media(packets.receiver_report(9))
    await call.until(lambda c: c.rtcp_rx == 1)
    call.trunk.send_rtcp(packets.receiver_report(9))
    await call.until(lambda c: c.rtcp_rejected == 1)


async def test_without_muxing_rtcp_on_the_rtp_port_is_dropped(call: RelayedCall) -> None:
    await call.connect()
    call.trunk.send_media(packets.receiver_report())
    await call.until(lambda c: c.rtcp_rejected == 1)
    assert call.browser.pending() == []


async def test_rtp_on_the_rtcp_port_is_dropped(call: RelayedCall) -> None:
    await call.connect()
    call.trunk.send_rtcp(packets.rtp(1, payload_type=8))
    await call.until(lambda c: c.rtcp_rejected == 1)
    assert call.browser.pending() == []


@pytest.mark.parametrize(
    "packet", [b"\x80\xc8\x00\x06" + bytes(8), b"\x80\xc9", packets.app(), packets.receiver_report() + b"\x80"]
)
async def test_short_or_private_rtcp_is_dropped_cve_2017_14099(call: RelayedCall, packet: bytes) -> None:
    await call.connect()
    call.trunk.send_rtcp(packet)
    await call.until(lambda c: c.rtcp_rejected == 1)
    assert call.browser.pending() == []


async def test_rtcp_from_a_stranger_is_dropped(call: RelayedCall) -> None:
    await call.connect()
    for host in (ATTACKER, TRUNK_HOST):
        call.peer(host).send(packets.receiver_report(), call.trunk_rtcp)
    await call.until(lambda c: c.source_rejected == 2)
    assert call.browser.pending() == []
    (rejected,) = [e for e in call.events if isinstance(e, SourceRejected)]
    assert rejected.address.host == ATTACKER


async def test_rtcp_of_the_signalled_address_is_heard_while_another_stands_in_for_its_rtp(call: RelayedCall) -> None:
    await call.connect()
    stand_in = call.peer(TRUNK_HOST)
    await stands_in(call, stand_in)
    call.trunk.send_rtcp(packets.receiver_report(9))
    await call.until(lambda c: c.rtcp_rx == 1)
    call.browser.send_media(packets.rtp(9))
    assert await stand_in.receive() == packets.rtp(9, payload_type=8)
    call.peer(TRUNK_HOST).send(packets.receiver_report(7), call.trunk_rtcp)
    await call.until(lambda c: c.source_rejected >= 1)
    assert call.browser.pending() == []


async def test_with_muxing_a_report_of_the_signalled_address_takes_the_leg_back(call: RelayedCall) -> None:
    await call.connect(mux=True)
    stand_in = call.peer(TRUNK_HOST)
    await stands_in(call, stand_in)
    call.trunk.send_media(packets.receiver_report(9))
    await call.until(lambda c: c.rtcp_rx == 1)
    call.browser.send_media(packets.rtp(9))
    assert await call.trunk.receive_media() == packets.rtp(9, payload_type=8)
    before = (await call.counters()).source_rejected
    stand_in.send(packets.rtp(999, payload_type=8), call.trunk_rtp)
    await call.until(lambda c: c.source_rejected == before + 1)


@pytest.mark.parametrize("mux", [False, True], ids=["own port", "muxed"])
async def test_early_reports_from_another_port_are_dropped_and_teach_nothing(call: RelayedCall, mux: bool) -> None:
    await call.connect(mux=mux)
    early = call.peer(TRUNK_HOST)
    for _ in range(5):
        early.send(packets.sender_report(), call.trunk_rtp if mux else call.trunk_rtcp)
    await call.until(lambda c: c.source_rejected == 5)
    await asks_the_trunk(call)
    told = await (call.trunk.receive_media() if mux else call.trunk.receive_rtcp())
    assert told[-4:] == FROM_TRUNK
    assert early.pending() == call.browser.pending() == []


async def test_an_rtcp_storm_is_capped(call: RelayedCall) -> None:
    await call.connect()
    for _ in range(MAX_RTCP_PER_SECOND + 20):
        call.trunk.send_rtcp(packets.receiver_report())
    counters = await call.until(lambda c: c.rtcp_rx == MAX_RTCP_PER_SECOND + 20)
    assert counters.rtcp_rejected > 0


async def test_without_an_rtcp_address_the_port_above_rtp_is_used(call: RelayedCall) -> None:
    await call.connect()
    call.trunk.close()
    port = free_pair(TRUNK_HOST)
    call.trunk.rtp, call.trunk.rtcp = Peer(TRUNK_HOST, port), Peer(TRUNK_HOST, port + 1)
    call.relay.send(SetPeer(TRUNK, False, call.trunk.rtp.address))
    await call.counters()
    await asks_the_trunk(call)
    assert (await call.trunk.receive_rtcp())[-4:] == FROM_TRUNK
