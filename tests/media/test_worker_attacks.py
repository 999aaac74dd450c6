"""A running worker under attack, by IPv4 and IPv6, on a plain and on a keyed trunk leg: its call goes on as before.

Each attack is what a stranger can send who knows the ports, or also what the peers send each other (numbers, SSRC). It
comes from the best place for it, another port of the trunk's own host.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80, CryptoSuite
from gateway.base.values import HostPort
from gateway.media.relay_client import RelayPool
from gateway.media.relay_events import SourceLearned
from gateway.media.relay_protocol import MAX_DATAGRAM
from gateway.media.worker.flat import PORT_BATCH
from gateway.media.worker.srtp import MAX_SOURCES
from tests.media import packets
from tests.media.packets import Relayed
from tests.media.peers import TRUNK_BIND, TRUNK_HOST, Keys, Peer, RelayedCall, TrunkPeer

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUITE = AES_CM_128_HMAC_SHA1_80
ROUND = 20
"""Packets an attack sends at once; then it is looked what has become of them, so that no buffer overflows."""


def is_rtcp(packet: bytes) -> bool:
    return 192 <= packet[1] <= 223


async def media(receive: Callable[[], Awaitable[Relayed]]) -> Relayed:
    """What comes next that is no report of the worker's own."""
    while is_rtcp(packet := await receive()):
        pass
    return packet


def from_trunk(sequence: int, ssrc: int = 0x1111) -> bytes:
    return packets.rtp(sequence, payload_type=8, ssrc=ssrc)


@dataclass
class Attacked:
    """A call and somebody on another port of the trunk's host."""

    call: RelayedCall
    attacker: Peer
    said: int = 100

    async def flows(self) -> None:
        """Both sides hear each other, and nothing else has come to either or to the attacker."""
        self.said += 1
        self.call.trunk.send_media(from_trunk(self.said))
        assert await media(self.call.browser.receive_media) == packets.rtp(self.said)
        self.call.browser.send_media(packets.rtp(self.said))
        assert await media(self.call.trunk.receive_media) == packets.rtp(self.said, payload_type=8)
        assert self.attacker.pending() == []

    async def send(self, *datagrams: bytes, to: HostPort | None = None) -> None:
        """From where the attacker is."""
        for first in range(0, len(datagrams), ROUND):
            for datagram in datagrams[first : first + ROUND]:
                self.attacker.send(datagram, to or self.call.trunk_rtp)
            for _ in range(0, ROUND, PORT_BATCH):  # the worker takes no more than these between two answers
                await self.call.counters()


@pytest_asyncio.fixture(
    loop_scope="session",
    params=[(host, suite) for host in (TRUNK_HOST, "::1") for suite in (None, SUITE)],
    ids=["plain", "keyed", "plain IPv6", "keyed IPv6"],
)
async def attacked(pool: RelayPool, request: pytest.FixtureRequest) -> AsyncIterator[Attacked]:
    """A call that is set up and in which nobody has spoken."""
    host, suite = request.param
    made = RelayedCall()
    if host != TRUNK_HOST:
        made.trunk.close()
        made.trunk = TrunkPeer(made, host)
    try:
        await made.open(pool, bind=host if host != TRUNK_HOST else TRUNK_BIND)
        await made.connect(suite=suite)
        yield Attacked(made, made.peer(host))
        assert [event for event in made.events if isinstance(event, SourceLearned)] == []
        await made.close()
    finally:
        made.close_peers()


def suite_of(attacked: Attacked) -> CryptoSuite | None:
    return attacked.call.trunk.keys.suite if attacked.call.trunk.keys is not None else None


async def test_rtpbleed_before_and_in_the_call_gets_no_packet_of_it(attacked: Attacked) -> None:
    await attacked.send(*(from_trunk(n, 0xBAD) for n in range(3 * ROUND)))
    await attacked.flows()
    await attacked.send(*(from_trunk(n, 0xBAD) for n in range(3 * ROUND)))
    await attacked.flows()


async def test_the_next_numbers_of_the_trunks_own_stream_are_injected_in_vain(attacked: Attacked) -> None:
    await attacked.flows()
    await attacked.flows()
    await attacked.send(*(from_trunk(attacked.said + ahead) for ahead in range(1, 2 * ROUND)))
    await attacked.flows()


async def test_who_is_faster_than_the_trunk_does_not_get_its_place(attacked: Attacked) -> None:
    await attacked.send(*(from_trunk(n) for n in range(ROUND)))
    attacked.call.browser.send_media(packets.rtp(1))
    assert await media(attacked.call.trunk.receive_media) == packets.rtp(1, payload_type=8)
    await attacked.flows()


def bye(ssrc: int) -> bytes:
    return bytes.fromhex("80c90001") + ssrc.to_bytes(4) + bytes.fromhex("81cb0001") + ssrc.to_bytes(4)


REPORTS: dict[str, Callable[[], bytes]] = {
    "BYE": lambda: bye(0x1111),
    "all is lost": lambda: bytes.fromhex("81c90007") + bytes(4) + 0x1111.to_bytes(4) + b"\xff" * 4 + bytes(16),
    "another's report": lambda: packets.sender_report(0x1111),
    "private": lambda: packets.app(),
    "half a report": lambda: packets.sender_report()[:12],
    "sealed under another key": lambda: Keys(SUITE).protect(packets.sender_report()),
}


@pytest.mark.parametrize("what", REPORTS)
async def test_rtcp_of_a_stranger_ends_nothing_and_reaches_nobody(attacked: Attacked, what: str) -> None:
    await attacked.flows()
    for to in (attacked.call.trunk_rtp, attacked.call.trunk_rtcp):
        await attacked.send(*(REPORTS[what]() for _ in range(ROUND)), to=to)
    await attacked.flows()
    assert [packet for packet in attacked.call.browser.pending() if not is_rtcp(packet)] == []


async def test_a_bye_of_the_peer_itself_ends_nothing(attacked: Attacked) -> None:
    """Music on hold ends with one, and the phone goes on."""
    await attacked.flows()
    attacked.call.trunk.send_rtcp(bye(0x1111))
    await attacked.call.until(lambda counters: counters.rtcp_rx >= 1)
    await attacked.flows()


async def test_a_flood_of_sources_is_nobody_to_a_stranger_and_bounded_for_the_peer(attacked: Attacked) -> None:
    """With keys the trunk may bring as many sources as it likes: the oldest are forgotten, the present one is heard."""
    await attacked.flows()
    await attacked.send(*(from_trunk(1, 0xF100D000 + n) for n in range(MAX_SOURCES + ROUND)))
    await attacked.flows()
    if suite_of(attacked) is None:
        return
    for first in range(0, MAX_SOURCES + 2 * ROUND, ROUND):
        for n in range(first, first + ROUND):
            attacked.call.trunk.send_media(from_trunk(1, 0x10000 + n))
        assert [await media(attacked.call.browser.receive_media) for _ in range(ROUND)] == [packets.rtp(1)] * ROUND
    attacked.said += 1
    attacked.call.trunk.send_media(from_trunk(attacked.said, 0xA11E))
    assert await media(attacked.call.browser.receive_media) == packets.rtp(attacked.said)
    before = (await attacked.call.counters()).srtp_replayed
    attacked.call.trunk.send_media(from_trunk(attacked.said + 1))
    await attacked.call.until(lambda counters: counters.srtp_replayed == before + 1)


SIZES = (0, 1, 7, 8, 11, 12, 13, MAX_DATAGRAM, MAX_DATAGRAM + 1, 9_000, 65_000)


async def test_no_size_of_a_datagram_of_stranger_or_peer_disturbs_the_call(attacked: Attacked) -> None:
    await attacked.flows()
    call = attacked.call
    for first in (b"\x80\x00", b"\x80\xc8", b"\xbf\xff", b"\x16\xfe", b"\x00\x01", os.urandom(2)):
        odd = [(first + bytes(size))[:size] for size in SIZES]
        for to in (call.trunk_rtp, call.trunk_rtcp, call.browser.server):
            if (":" in to.host) == (":" in attacked.attacker.address.host):
                await attacked.send(*odd, to=to)
        for datagram in odd[:7] + odd[8:] if suite_of(attacked) is None else odd:
            call.trunk.rtp.send(datagram, call.trunk_rtp)
            await call.counters()
    counted = await call.counters()
    assert counted.oversize_dropped + counted.malformed_dropped + counted.empty_dropped >= len(SIZES)
    while call.browser.pending():
        await call.counters()
    await attacked.flows()
