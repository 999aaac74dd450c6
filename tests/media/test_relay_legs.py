"""Calls of many legs through a real worker: they come, go and are connected anew, and none disturbs another."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80, SUITES, CryptoSuite
from gateway.base.values import HostPort, LegId
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import (
    CloseLeg,
    OpenLeg,
    SendDtls,
    Unroute,
)
from gateway.media.relay_events import (
    ConsentLost,
    DtlsReceived,
    IceValidated,
    MediaStarted,
)
from tests.media import packets
from tests.media.mesh import Mesh, MeshBrowser, MeshPart, RelayedMesh, new_mesh, talks
from tests.media.packets import Relayed
from tests.media.peers import BROWSER_PORT, Keys, keys_command, media, running_pool

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUITE = AES_CM_128_HMAC_SHA1_80
PORT = BROWSER_PORT + 60


def _numbers(packet: Relayed) -> tuple[int, int, int, bool]:
    """SSRC, sequence number, timestamp, marker."""
    _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", bytes(packet))
    return ssrc, sequence, timestamp, second > 127


def _is_one_stream(heard: list[Relayed]) -> None:
    numbers = [_numbers(packet) for packet in heard]
    assert len({ssrc for ssrc, *_ in numbers}) == 1
    assert all((b[1] - a[1]) & 0xFFFF == 1 for a, b in pairwise(numbers))
    assert all(0 < (b[2] - a[2]) & 0xFFFFFFFF < 8000 for a, b in pairwise(numbers)), "time goes on, and does not jump"


async def test_three_browsers_of_one_call_have_names_keys_and_streams_of_their_own(mesh: Mesh) -> None:
    call, first = mesh
    browsers = [first, await call.browser(), await call.browser()]
    trunk = await call.trunk()
    for browser in browsers:
        assert (await call.event(IceValidated, browser.leg)).address == browser.peer.address
        call.route(trunk, browser)
    await call.relay.counters()
    trunk.send(packets.rtp(7))
    heard = [await browser.hears() for browser in browsers]
    assert heard == [packets.rtp(7)] * 3
    assert len({_numbers(packet)[0] for packet in heard}) == 3
    for browser in browsers:
        call.route(browser, trunk)
        await call.relay.counters()
        await talks(browser, trunk, 1)


async def test_the_keys_of_one_browser_open_nothing_of_another_of_its_call(mesh: Mesh) -> None:
    call, one = mesh
    other, trunk = await call.browser(), await call.trunk()
    call.route(one, trunk)
    call.route(other, trunk)
    other.peer.send(one.peer.keys.protect(packets.rtp(1)), other.peer.server)
    counters = await call.until(lambda legs: legs[other.leg].srtp_auth_failed == 1)
    assert counters[one.leg].srtp_auth_failed == counters[trunk.leg].rtp_tx == 0
    assert trunk.pending() == []


async def test_each_browser_has_a_handshake_of_its_own(mesh: Mesh) -> None:
    call, one = mesh
    other = await call.browser()
    other.peer.send(packets.CLIENT_HELLO, other.peer.server)
    await call.event(DtlsReceived, other.leg)
    assert not [event for event in call.events if isinstance(event, DtlsReceived) and event.leg == one.leg]
    call.relay.send(SendDtls(other.leg, b"\x16for the other"))
    assert await other.peer.receive() == b"\x16for the other"
    assert one.pending() == []


async def test_a_browser_that_is_gone_takes_only_its_own_leg_along() -> None:
    config = media(first_port=PORT, trunk_ports=(29000, 29019))
    async with running_pool(config, consent_seconds=0.4) as short:
        call = RelayedMesh()
        gone = MeshBrowser(call, LegId(1))
        gone.peer.server = HostPort(gone.peer.server.host, PORT)
        call.relay = await short.open(OpenLeg(gone.leg, gone.place), listener=call._listen)
        await gone.connect()
        stays = MeshBrowser(call, LegId(2))
        stays.peer.server = gone.peer.server
        await call.relay.open(OpenLeg(stays.leg, stays.place))
        await stays.connect()
        call.join(gone, stays)
        while not any(isinstance(event, ConsentLost) for event in call.events):
            await stays.peer.check()
        assert [event for event in call.events if isinstance(event, ConsentLost)] == [ConsentLost(gone.leg)]
        stays.send(packets.rtp(1))
        counters = await call.until(lambda legs: legs[stays.leg].rtp_rx == 1)
        assert counters[gone.leg].rtp_tx == 0
        await call.relay.close()
        for part in (gone, stays):
            part.close()


async def test_legs_come_and_go_while_two_others_talk(mesh: Mesh) -> None:
    call, caller = mesh
    trunk = await call.trunk(SUITE)
    call.join(caller, trunk)
    heard = await talks(trunk, caller, 100)
    for n in range(1, 4):
        guest = await call.browser() if n % 2 else await call.trunk()
        heard += await talks(trunk, caller, 100 + 6 * n)
        call.route(trunk, guest)
        await call.relay.counters()
        trunk.send(packets.rtp(103 + 6 * n))
        assert await guest.hears() == packets.rtp(103 + 6 * n)
        heard.append(await caller.hears())
        call.relay.send(CloseLeg(guest.leg))
        heard += await talks(trunk, caller, 104 + 6 * n, 2)
    assert len({_numbers(packet)[0] for packet in heard}) == 1
    assert sum(_numbers(packet)[3] for packet in heard) == 1, "one run: nothing was heard of the guests"
    assert set(await call.relay.counters()) == {caller.leg, trunk.leg}


async def test_who_is_heard_changes_and_the_listener_hears_one_stream(mesh: Mesh) -> None:
    """A transfer: the browser gives way to another one, and comes back."""
    call, before = mesh
    after, trunk = await call.browser(), await call.trunk()
    call.join(before, trunk)
    await call.relay.counters()
    heard = await talks(before, trunk, 1, ssrc=0xAAAA)
    call.join(after, trunk)
    await call.relay.counters()
    before.send(packets.rtp(4, ssrc=0xAAAA))
    heard += await talks(after, trunk, 60_000, ssrc=0xBBBB)
    call.join(before, trunk)
    await call.relay.counters()
    heard += await talks(before, trunk, 5, ssrc=0xAAAA)
    _is_one_stream(heard)
    assert [n for n, packet in enumerate(heard) if _numbers(packet)[3]] == [0, 3, 6], "the marker tells of each"
    assert (await call.numbers(before)).unrouted_dropped == 1
    assert after.pending() == []


async def test_another_source_with_the_numbers_of_the_one_before_is_heard_from_its_first_packet(mesh: Mesh) -> None:
    """Two browsers may choose one SSRC: late packets of the first and first packets of the second look alike."""
    call, before = mesh
    after, trunk = await call.browser(), await call.trunk()
    call.route(before, trunk)
    heard = await talks(before, trunk, 100)
    call.route(after, trunk)
    await call.relay.counters()
    heard += await talks(after, trunk, 98, 5)
    _is_one_stream(heard)
    assert (await call.numbers(trunk)).stale_dropped == 0


async def test_a_listener_hears_one_stream_although_nobody_spoke_in_between(mesh: Mesh) -> None:
    call, before = mesh
    trunk = await call.trunk()
    call.route(before, trunk)
    heard = await talks(before, trunk, 1)
    call.relay.send(CloseLeg(before.leg))
    after = await call.browser()
    call.route(after, trunk)
    await call.relay.counters()
    heard += await talks(after, trunk, 30_000)
    _is_one_stream(heard)


@pytest.mark.parametrize("ours", [None, SUITES[0], SUITES[2]], ids=str)
@pytest.mark.parametrize("theirs", [None, SUITES[2]], ids=str)
async def test_two_trunks_talk_with_each_other_under_keys_of_their_own(
    mesh: Mesh, ours: CryptoSuite | None, theirs: CryptoSuite | None
) -> None:
    call, _ = mesh
    one, other = await call.trunk(ours), await call.trunk(theirs)
    call.join(one, other)
    await call.relay.counters()
    await talks(one, other, 1)
    await talks(other, one, 1)
    one.report(packets.receiver_report())
    await call.until(lambda legs: legs[one.leg].rtcp_rx == 1)
    assert other.pending() == []
    assert {event.leg for event in call.events if isinstance(event, MediaStarted)} == {one.leg, other.leg}


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
async def test_two_browsers_talk_with_each_other_under_keys_of_their_own(mesh: Mesh, suite: CryptoSuite) -> None:
    call, one = mesh
    other = await call.browser()
    other.peer.keys = Keys(suite)
    call.relay.send(keys_command(other.leg, other.peer.keys))
    call.join(one, other)
    await call.relay.counters()
    await talks(one, other, 1)
    await talks(other, one, 1)
    one.report(packets.sender_report())
    await call.until(lambda legs: legs[one.leg].rtcp_rx == 1)
    assert other.pending() == []


async def test_a_leg_that_is_not_routed_is_heard_by_nobody_and_hears_nobody(mesh: Mesh) -> None:
    call, caller = mesh
    trunk = await call.trunk()
    call.join(caller, trunk)
    loners: list[MeshPart] = [await call.browser(), await call.trunk(), await call.trunk(SUITE)]
    for loner in loners:
        loner.send(packets.rtp(1))
        loner.report(packets.sender_report())
    counters = await call.until(lambda legs: all(legs[one.leg].rtcp_rx == 1 for one in loners))
    assert [counters[one.leg].unrouted_dropped for one in loners] == [1, 1, 1]
    await talks(caller, trunk, 1)
    await talks(trunk, caller, 1)
    for loner in loners:
        assert loner.pending() == []
    assert caller.pending() == trunk.pending() == []


async def test_nothing_passes_from_one_call_to_another_with_the_same_numbers(mesh: Mesh, pool: RelayPool) -> None:
    call, caller = mesh
    trunk = await call.trunk()
    call.join(caller, trunk)
    async with new_mesh(pool) as (stranger, other):
        their_trunk = await stranger.trunk()
        assert (other.leg, their_trunk.leg) == (caller.leg, trunk.leg)
        other.send(packets.rtp(1))
        their_trunk.send(packets.rtp(1))
        await stranger.until(lambda legs: sum(leg.unrouted_dropped for leg in legs.values()) == 2)
        assert caller.pending() == trunk.pending() == []
        await talks(caller, trunk, 1)
        assert other.pending() == their_trunk.pending() == []
    await talks(trunk, caller, 1)


async def test_what_is_asked_of_a_stream_goes_to_whose_it_is_and_to_nobody_else(mesh: Mesh) -> None:
    """The trunk is heard by two, and hears the first of them."""
    call, partner = mesh
    trunk, guest = await call.trunk(), await call.browser()
    call.join(partner, trunk)
    call.route(trunk, guest)
    await call.relay.counters()
    spoken = _numbers((await talks(partner, trunk, 1))[0])
    trunk.send(packets.rtp(1))
    ours, *_ = _numbers(await guest.hears())
    assert await partner.hears() == packets.rtp(1)
    guest.report(packets.receiver_report() + packets.feedback(206, 1, ours))
    told = await trunk.peer.receive_rtcp()
    assert told[-12:-8] == packets.feedback(206, 1, 0)[:4]
    assert told[-4:] == struct.pack("!I", 0x1111), "the SSRC the trunk sends under"
    assert partner.pending() == []
    trunk.report(packets.receiver_report() + packets.feedback(206, 1, spoken[0]))
    assert (await partner.hears())[-4:] == struct.pack("!I", 0x1111)
    trunk.report(packets.receiver_report() + packets.feedback(206, 1, ours))
    counters = await call.until(lambda legs: legs[trunk.leg].rtcp_rx == 2)
    assert counters[trunk.leg].feedback_dropped == 1, "the trunk does not hear what the guest hears"
    assert guest.pending() == partner.pending() == []


async def test_a_hold_is_of_one_route_and_of_no_other(mesh: Mesh) -> None:
    call, caller = mesh
    trunk, guest = await call.trunk(), await call.browser()
    call.join(caller, trunk)
    call.route(trunk, guest, is_open=False)
    await call.relay.counters()
    trunk.send(packets.rtp(1))
    assert await caller.hears() == packets.rtp(1)
    counters = await call.until(lambda legs: legs[guest.leg].held_dropped == 1)
    assert counters[caller.leg].held_dropped == 0
    call.route(trunk, guest)
    await call.relay.counters()
    trunk.send(packets.rtp(2))
    assert await guest.hears() == packets.rtp(2)


async def test_a_leg_that_is_unrouted_hears_nothing_more(mesh: Mesh) -> None:
    call, caller = mesh
    trunk = await call.trunk()
    call.join(caller, trunk)
    await talks(trunk, caller, 1)
    call.relay.send(Unroute(caller.leg))
    await call.relay.counters()
    trunk.send(packets.rtp(9))
    await call.until(lambda legs: legs[trunk.leg].unrouted_dropped == 1)
    assert caller.pending() == []
    await talks(caller, trunk, 1)
