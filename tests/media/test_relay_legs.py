"""Calls of many legs through a real worker: they come, go and are connected anew, and none disturbs another."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80, SUITES, CryptoSuite
from gateway.base.errors import MediaError
from gateway.base.values import HostPort, LegId, Secret
from gateway.media import relay_call
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import (
    CloseLeg,
    IcePort,
    LegCommand,
    OpenLeg,
    OwnPort,
    RelayPlan,
    Route,
    SendDtls,
    SetIce,
    SetPeer,
    Unroute,
)
from gateway.media.relay_events import (
    CommandRefused,
    ConsentLost,
    DtlsReceived,
    IceValidated,
    MediaStarted,
    RelayEvent,
    WorkerLost,
)
from gateway.media.relay_protocol import MAX_LEGS, WORKER
from tests.media import packets
from tests.media.mesh import MeshBrowser, MeshPart, RelayedMesh, new_mesh
from tests.media.packets import Relayed
from tests.media.peers import BROWSER_PORT, TRUNK_BIND, Keys, keys_command, media, running_pool

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUITE = AES_CM_128_HMAC_SHA1_80
PORT = BROWSER_PORT + 60


@pytest_asyncio.fixture(loop_scope="session")
async def mesh(pool: RelayPool) -> AsyncIterator[tuple[RelayedMesh, MeshBrowser]]:
    async with new_mesh(pool) as fresh:
        yield fresh


Mesh = tuple[RelayedMesh, MeshBrowser]


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _numbers(packet: Relayed) -> tuple[int, int, int, bool]:
    """SSRC, sequence number, timestamp, marker."""
    _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", bytes(packet))
    return ssrc, sequence, timestamp, second > 127


async def _talks(
    speaker: MeshPart, listener: MeshPart, first: int, count: int = 3, ssrc: int = 0x1111
) -> list[Relayed]:
    """Some packets of one that the other hears."""
    heard = []
    for n in range(first, first + count):
        speaker.send(packets.rtp(n, ssrc=ssrc))
        heard.append(await listener.hears())
        assert heard[-1] == packets.rtp(n)
    return heard


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
        await _talks(browser, trunk, 1)


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
    heard = await _talks(trunk, caller, 100)
    for n in range(1, 4):
        guest = await call.browser() if n % 2 else await call.trunk()
        heard += await _talks(trunk, caller, 100 + 6 * n)
        call.route(trunk, guest)
        await call.relay.counters()
        trunk.send(packets.rtp(103 + 6 * n))
        assert await guest.hears() == packets.rtp(103 + 6 * n)
        heard.append(await caller.hears())
        call.relay.send(CloseLeg(guest.leg))
        heard += await _talks(trunk, caller, 104 + 6 * n, 2)
    assert len({_numbers(packet)[0] for packet in heard}) == 1
    assert sum(_numbers(packet)[3] for packet in heard) == 1, "one run: nothing was heard of the guests"
    assert set(await call.relay.counters()) == {caller.leg, trunk.leg}


async def test_who_is_heard_changes_and_the_listener_hears_one_stream(mesh: Mesh) -> None:
    """A transfer: the browser gives way to another one, and comes back."""
    call, before = mesh
    after, trunk = await call.browser(), await call.trunk()
    call.join(before, trunk)
    await call.relay.counters()
    heard = await _talks(before, trunk, 1, ssrc=0xAAAA)
    call.join(after, trunk)
    await call.relay.counters()
    before.send(packets.rtp(4, ssrc=0xAAAA))
    heard += await _talks(after, trunk, 60_000, ssrc=0xBBBB)
    call.join(before, trunk)
    await call.relay.counters()
    heard += await _talks(before, trunk, 5, ssrc=0xAAAA)
    _is_one_stream(heard)
    assert [n for n, packet in enumerate(heard) if _numbers(packet)[3]] == [0, 3, 6], "the marker tells of each"
    assert (await call.numbers(before)).unrouted_dropped == 1
    assert after.pending() == []


async def test_another_source_with_the_numbers_of_the_one_before_is_heard_from_its_first_packet(mesh: Mesh) -> None:
    """Two browsers may choose one SSRC: late packets of the first and first packets of the second look alike."""
    call, before = mesh
    after, trunk = await call.browser(), await call.trunk()
    call.route(before, trunk)
    heard = await _talks(before, trunk, 100)
    call.route(after, trunk)
    await call.relay.counters()
    heard += await _talks(after, trunk, 98, 5)
    _is_one_stream(heard)
    assert (await call.numbers(trunk)).stale_dropped == 0


async def test_a_listener_hears_one_stream_although_nobody_spoke_in_between(mesh: Mesh) -> None:
    call, before = mesh
    trunk = await call.trunk()
    call.route(before, trunk)
    heard = await _talks(before, trunk, 1)
    call.relay.send(CloseLeg(before.leg))
    after = await call.browser()
    call.route(after, trunk)
    await call.relay.counters()
    heard += await _talks(after, trunk, 30_000)
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
    await _talks(one, other, 1)
    await _talks(other, one, 1)
    one.report(packets.receiver_report())
    assert await other.peer.receive_rtcp() == packets.receiver_report()
    assert {event.leg for event in call.events if isinstance(event, MediaStarted)} == {one.leg, other.leg}


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
async def test_two_browsers_talk_with_each_other_under_keys_of_their_own(mesh: Mesh, suite: CryptoSuite) -> None:
    call, one = mesh
    other = await call.browser()
    other.peer.keys = Keys(suite)
    call.relay.send(keys_command(other.leg, other.peer.keys))
    call.join(one, other)
    await call.relay.counters()
    await _talks(one, other, 1)
    await _talks(other, one, 1)
    one.report(packets.sender_report())
    assert (await other.hears())[1] == 200


async def test_a_leg_that_is_not_routed_is_heard_by_nobody_and_hears_nobody(mesh: Mesh) -> None:
    call, caller = mesh
    trunk = await call.trunk()
    call.join(caller, trunk)
    loners: list[MeshPart] = [await call.browser(), await call.trunk(), await call.trunk(SUITE)]
    for loner in loners:
        loner.send(packets.rtp(1))
        loner.report(packets.sender_report())
    counters = await call.until(lambda legs: all(legs[one.leg].rtcp_rejected == 1 for one in loners))
    assert [counters[one.leg].unrouted_dropped for one in loners] == [1, 1, 1]
    await _talks(caller, trunk, 1)
    await _talks(trunk, caller, 1)
    caller.report(packets.receiver_report())
    assert await trunk.peer.receive_rtcp() == packets.receiver_report()
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
        await _talks(caller, trunk, 1)
        assert other.pending() == their_trunk.pending() == []
    await _talks(trunk, caller, 1)


async def test_reports_go_as_far_as_one_hears_the_other(mesh: Mesh) -> None:
    """The trunk is heard by two, and hears the first of them: what the second says of our stream concerns the trunk."""
    call, partner = mesh
    trunk, guest = await call.trunk(), await call.browser()
    call.join(partner, trunk)
    call.route(trunk, guest)
    await call.relay.counters()
    spoken = _numbers((await _talks(partner, trunk, 1))[0])
    trunk.send(packets.rtp(1))
    ours, sequence, *_ = _numbers(await guest.hears())
    assert await partner.hears() == packets.rtp(1)
    guest.report(_report_on(ours, sequence))
    told = await trunk.peer.receive_rtcp()
    assert struct.unpack_from("!I", bytes(told), 8)[0] == 0x1111, "a block about the source the trunk knows"
    guest.report(packets.sender_report(0x1111))
    assert (await trunk.peer.receive_rtcp())[1] == 201, "what the trunk hears is not the guest, whatever its SSRC is"
    assert partner.pending() == []
    theirs, sequence, *_ = spoken
    trunk.report(_report_on(theirs, sequence))
    assert struct.unpack_from("!BBHII", bytes(await partner.hears()))[0] == 0x81
    assert await guest.hears() == packets.receiver_report(), "of the partner it learns nothing"


def _report_on(ssrc: int, highest: int) -> bytes:
    return struct.pack("!BBHI", 0x81, 201, 7, 0x9999) + struct.pack("!IIIIII", ssrc, 0, highest, 0, 0, 0)


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
    await _talks(trunk, caller, 1)
    call.relay.send(Unroute(caller.leg))
    await call.relay.counters()
    trunk.send(packets.rtp(9))
    await call.until(lambda legs: legs[trunk.leg].unrouted_dropped == 1)
    assert caller.pending() == []
    await _talks(caller, trunk, 1)


async def test_a_closed_leg_gives_its_name_ports_and_sockets_back_at_once() -> None:
    config = media(first_port=PORT + 1, trunk_ports=(29020, 29021))
    async with running_pool(config, quarantine_seconds=0.0) as own:
        first, second = OpenLeg(LegId(1), IcePort("name", Secret("x" * 24))), OpenLeg(LegId(2), OwnPort(TRUNK_BIND))
        call = await own.open(first, second, listener=lambda _: None)
        (pid,) = own.worker_pids
        held = _descriptors(pid)
        with pytest.raises(MediaError, match="no media port"):
            await call.open(OpenLeg(LegId(3), OwnPort(TRUNK_BIND)))
        with pytest.raises(MediaError, match="duplicate"):
            await call.open(OpenLeg(LegId(4), IcePort("name", Secret("x" * 24))))
        call.send(CloseLeg(LegId(1)))
        call.send(CloseLeg(LegId(2)))
        await call.counters()
        assert call.legs == {}
        assert _descriptors(pid) == held - 2
        again = [OpenLeg(LegId(5), first.place), OpenLeg(LegId(6), second.place)]
        for command in again:
            await call.open(command)
        assert set(call.legs) == {LegId(5), LegId(6)}
        assert _descriptors(pid) == held
        assert set(await call.close()) == {LegId(n) for n in (1, 2, 5, 6)}
        assert _descriptors(pid) == held - 2


async def test_of_a_closed_leg_nothing_more_is_told(mesh: Mesh) -> None:
    """What the worker told before it read the command is of no use to anybody."""
    call, stays = mesh
    leaves = await call.browser()
    call.events.clear()
    call.relay.send(CloseLeg(leaves.leg))
    call.relay.deliver(MediaStarted(leaves.leg))
    call.relay.deliver(MediaStarted(stays.leg))
    assert call.events == [MediaStarted(stays.leg)]
    await call.relay.counters()


async def test_a_further_leg_is_refused_in_time_by_a_worker_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_call, "ANSWER_SECONDS", 0.2)
    async with running_pool(media(first_port=PORT + 2, trunk_ports=(29030, 29039))) as own:
        call = await own.open(OpenLeg(LegId(1), OwnPort(TRUNK_BIND)), listener=lambda _: None)
        (pid,), (slot,) = own.worker_pids, own._slots
        held = _descriptors(pid)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(MediaError, match="does not answer"):
                await call.open(OpenLeg(LegId(2), OwnPort(TRUNK_BIND)))
            assert slot.health.slow(asyncio.get_running_loop().time())
        finally:
            os.kill(pid, signal.SIGCONT)
        monkeypatch.undo()
        assert set(await call.counters()) == {LegId(1)}
        assert _descriptors(pid) == held, "what was opened for nobody was closed again"
        assert LegId(2) not in call.legs


async def test_a_further_leg_is_refused_at_once_when_its_worker_dies() -> None:
    async with running_pool(media(first_port=PORT + 3, trunk_ports=(29040, 29049))) as own:
        lost: list[RelayEvent] = []
        call = await own.open(OpenLeg(LegId(1), OwnPort(TRUNK_BIND)), listener=lost.append)
        (pid,) = own.worker_pids
        os.kill(pid, signal.SIGSTOP)
        opening = asyncio.create_task(call.open(OpenLeg(LegId(2), OwnPort(TRUNK_BIND))))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(MediaError, match="died"):
            await opening
        assert lost == [WorkerLost()]
        with pytest.raises(MediaError, match="no relay any more"):
            await call.open(OpenLeg(LegId(3), OwnPort(TRUNK_BIND)))


async def test_a_call_has_so_many_legs_at_a_time_and_no_more(mesh: Mesh) -> None:
    call, first = mesh
    for n in range(2, MAX_LEGS + 1):
        await call.relay.open(OpenLeg(LegId(n), IcePort(f"{first.ufrag}{n}", Secret("x" * 24))))
    over = OpenLeg(LegId(50), IcePort(f"{first.ufrag}-", Secret("x" * 24)))
    with pytest.raises(MediaError, match="too_many_legs"):
        await call.relay.open(over)
    call.relay.send(CloseLeg(LegId(2)))
    await call.relay.open(over)


async def test_a_call_that_opens_legs_for_ever_is_stopped(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    call, _ = mesh
    monkeypatch.setattr(relay_call, "MAX_LEGS_EVER", 3)
    for n in (2, 3):
        await call.relay.open(OpenLeg(LegId(n), OwnPort(TRUNK_BIND)))
        call.relay.send(CloseLeg(LegId(n)))
    with pytest.raises(MediaError, match="too_many_legs"):
        await call.relay.open(OpenLeg(LegId(4), OwnPort(TRUNK_BIND)))


async def test_a_worker_does_not_open_a_number_twice_whatever_it_is_told(mesh: Mesh) -> None:
    call, caller = mesh
    trunk = await call.trunk()
    call.join(caller, trunk)
    for command in (OpenLeg(caller.leg, OwnPort(TRUNK_BIND)), OpenLeg(trunk.leg, OwnPort(TRUNK_BIND))):
        call.relay._home.send(call.relay.id, command)
    call.relay._home.send(WORKER, OpenLeg(LegId(1), OwnPort(TRUNK_BIND)))
    await call.relay.counters()
    await _talks(caller, trunk, 1)
    await _talks(trunk, caller, 1)
    counters = await call.relay.counters()
    assert [counters[leg].rtp_rx for leg in (caller.leg, trunk.leg)] == [3, 3], "the legs are those of before"


@pytest.mark.parametrize("number", [1, 2], ids=["open", "closed before"])
async def test_the_number_of_a_leg_is_not_used_twice(mesh: Mesh, number: int) -> None:
    call, _ = mesh
    await call.relay.open(OpenLeg(LegId(2), OwnPort(TRUNK_BIND)))
    call.relay.send(CloseLeg(LegId(2)))
    with pytest.raises(MediaError, match="duplicate"):
        await call.relay.open(OpenLeg(LegId(number), OwnPort(TRUNK_BIND)))


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (SetPeer(LegId(1), False, HostPort("127.0.0.1", 4000)), "wrong_kind"),
        (SetIce(LegId(2), "name", Secret("x" * 24)), "wrong_kind"),
        (SendDtls(LegId(2), b"\x16"), "wrong_kind"),
        (Route(LegId(2), LegId(2), RelayPlan()), "bad_route"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_a_leg_cannot_do_is_refused_and_changes_nothing(
    mesh: Mesh, command: LegCommand, reason: str
) -> None:
    call, caller = mesh
    trunk = await call.trunk()
    call.join(caller, trunk)
    call.relay.send(command)
    leg = command.sink if isinstance(command, Route) else getattr(command, "leg")  # noqa: B009
    assert (await call.event(CommandRefused, leg)).reason == reason
    await _talks(caller, trunk, 1)
    await _talks(trunk, caller, 1)


async def test_what_is_about_no_leg_there_is_is_ignored_and_counted(mesh: Mesh, pool: RelayPool) -> None:
    call, caller = mesh
    (before,) = await pool.worker_counters()
    nobody = LegId(99)
    for command in (
        Route(caller.leg, nobody, RelayPlan()),
        Route(nobody, caller.leg, RelayPlan()),
        Unroute(nobody),
        SendDtls(nobody, b"\x16"),
        SetIce(nobody, "name", Secret("x" * 24)),
        keys_command(nobody, Keys()),
    ):
        call.relay.send(command)
    await call.relay.counters()
    (after,) = await pool.worker_counters()
    assert after.control_rejected == before.control_rejected + 6
    assert not [event for event in call.events if isinstance(event, CommandRefused)]
