"""A leg moves from one call to another of its worker: its peer goes on as if nothing had happened."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80, CryptoSuite
from gateway.base.errors import MediaError
from gateway.base.values import LegId
from gateway.media import relay_call
from gateway.media.relay_client import MAX_LEAN, RelayPool
from gateway.media.relay_commands import Adopt, CloseLeg, OpenLeg, OwnPort, SendDtls
from gateway.media.relay_events import CommandRefused, DtlsReceived, MediaStarted
from gateway.media.relay_protocol import MAX_LEGS
from tests.media import packets
from tests.media.mesh import Mesh, MeshPart, RelayedMesh, new_mesh, talks
from tests.media.packets import Relayed
from tests.media.peers import BROWSER_PORT, TRUNK_BIND, keys_command, media, running_pool

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUITE = AES_CM_128_HMAC_SHA1_80
PORT = BROWSER_PORT + 90


@pytest_asyncio.fixture(loop_scope="session")
async def second(pool: RelayPool) -> AsyncIterator[Mesh]:
    """Another call in the same worker."""
    async with new_mesh(pool) as fresh:
        yield fresh


def _numbers(packet: Relayed) -> tuple[int, int, int]:
    """SSRC, sequence number, timestamp."""
    _, _, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", bytes(packet))
    return ssrc, sequence, timestamp


def _is_one_stream(heard: list[Relayed]) -> None:
    numbers = [_numbers(packet) for packet in heard]
    assert len({ssrc for ssrc, *_ in numbers}) == 1
    assert all((b[1] - a[1]) & 0xFFFF == 1 for a, b in pairwise(numbers))
    assert all(0 < (b[2] - a[2]) & 0xFFFFFFFF < 8000 for a, b in pairwise(numbers)), "time goes on, and does not jump"


async def _part(call: RelayedMesh, kind: str, suite: CryptoSuite | None = None) -> MeshPart:
    return await call.browser() if kind == "browser" else await call.trunk(suite)


@pytest.mark.parametrize("moves", ["browser", "trunk"])
@pytest.mark.parametrize("suite", [None, SUITE], ids=str)
async def test_both_peers_hear_one_unbroken_stream_when_two_calls_are_joined(
    mesh: Mesh, second: Mesh, moves: str, suite: CryptoSuite | None
) -> None:
    (call, asker), (other, asker_there) = mesh, second
    stays = await call.trunk(suite)
    far = await _part(other, moves, suite)
    call.join(asker, stays)
    other.join(asker_there, far)
    await call.relay.counters()
    await other.relay.counters()
    at_stays = await talks(asker, stays, 1, ssrc=0xAAAA)
    at_far = await talks(asker_there, far, 700, ssrc=0xBBBB)
    await talks(far, asker_there, 1, ssrc=0xFA00)
    call.adopt(far, other)
    call.join(stays, far)
    await call.relay.counters()
    at_far += await talks(stays, far, 40_000, ssrc=0xCCCC)
    at_stays += await talks(far, stays, 4, ssrc=0xFA00)
    _is_one_stream(at_stays)
    _is_one_stream(at_far)


async def test_nothing_of_the_call_it_left_is_heard_any_more_and_nothing_is_heard_there(
    mesh: Mesh, second: Mesh
) -> None:
    (call, stays), (other, asker) = mesh, second
    far = await other.trunk()
    other.join(asker, far)
    await other.relay.counters()
    await talks(far, asker, 1)
    call.adopt(far, other)
    await call.relay.counters()
    asker.send(packets.rtp(5))
    far.send(packets.rtp(5))
    await other.until(lambda legs: legs[asker.leg].unrouted_dropped == 1)
    await call.until(lambda legs: legs[far.leg].unrouted_dropped == 1)
    assert far.pending() == asker.pending() == stays.pending() == []


async def test_the_call_that_gave_a_leg_away_may_end_and_the_leg_lives_on(mesh: Mesh, second: Mesh) -> None:
    (call, stays), (other, _) = mesh, second
    far = await other.trunk()
    call.adopt(far, other)
    await other.relay.close()
    call.join(stays, far)
    await call.relay.counters()
    await talks(stays, far, 1)
    await talks(far, stays, 1)


async def test_the_leg_keeps_its_keys_and_no_other_leg_gets_them(mesh: Mesh, second: Mesh) -> None:
    (call, stays), (other, _) = mesh, second
    far = await other.browser()
    call.adopt(far, other)
    call.join(stays, far)
    await call.relay.counters()
    far.peer.send(stays.peer.keys.protect(packets.rtp(1)), far.peer.server)
    await call.until(lambda legs: legs[far.leg].srtp_auth_failed == 1)
    await talks(far, stays, 1)


async def test_the_handshake_and_the_keys_of_the_leg_are_told_under_its_new_number(mesh: Mesh, second: Mesh) -> None:
    (call, _), (other, _) = mesh, second
    far = await other.browser()
    was = far.leg
    call.adopt(far, other)
    await call.relay.counters()
    far.peer.send(packets.CLIENT_HELLO, far.peer.server)
    assert (await call.event(DtlsReceived, far.leg)).leg == far.leg
    call.relay.send(SendDtls(far.leg, b"\x16to the same browser"))
    assert await far.peer.receive() == b"\x16to the same browser"
    call.relay.send(keys_command(far.leg, far.peer.keys))
    await call.relay.counters()
    far.send(packets.rtp(1))
    await call.event(MediaStarted, far.leg)
    assert not [event for event in other.events if isinstance(event, DtlsReceived | MediaStarted)]
    other.relay.send(SendDtls(was, b"\x16from the call it left"))
    other.relay.send(CloseLeg(was))
    await other.relay.counters()
    await call.relay.counters()
    assert far.pending() == [], "the call it left has no say in it"
    far.send(packets.rtp(2))
    await call.until(lambda legs: legs[far.leg].rtp_rx == 2)


async def test_each_call_knows_what_was_counted(mesh: Mesh, second: Mesh) -> None:
    (call, stays), (other, asker) = mesh, second
    far = await other.trunk()
    other.join(asker, far)
    await other.relay.counters()
    await talks(asker, far, 1)
    was = far.leg
    call.adopt(far, other)
    call.join(stays, far)
    await call.relay.counters()
    await talks(stays, far, 1)
    assert (await other.relay.close())[was].rtp_tx == 3, "until it left"
    assert (await call.relay.counters())[far.leg].rtp_tx == 6, "and all it ever did"


async def test_a_leg_of_another_worker_cannot_be_had_and_both_calls_go_on() -> None:
    async with running_pool(media(workers=2, first_port=PORT, trunk_ports=(27000, 27019))) as two:
        here, there = RelayedMesh(), RelayedMesh()
        here.relay = await two.open(OpenLeg(LegId(1), OwnPort(TRUNK_BIND)), listener=here._listen)
        there.relay = await two.open(OpenLeg(LegId(1), OwnPort(TRUNK_BIND)), listener=there._listen)
        with pytest.raises(MediaError, match="no_leg"):
            here.relay.adopt(LegId(2), there.relay, LegId(1))
        for call in (here, there):
            assert set(await call.relay.counters()) == {LegId(1)}
            assert set(call.relay.legs) == {LegId(1)}


@pytest.mark.parametrize("legs", [(LegId(9), LegId(99)), (LegId(1), LegId(1))], ids=["unknown", "number in use"])
async def test_a_leg_that_is_not_there_or_a_number_that_is_taken_is_refused(
    mesh: Mesh, second: Mesh, legs: tuple[LegId, LegId]
) -> None:
    (call, _), (other, _) = mesh, second
    with pytest.raises(MediaError):
        call.relay.adopt(legs[0], other.relay, legs[1])
    assert set(await other.relay.counters()) == {LegId(1)}


async def test_a_call_adopts_nothing_of_its_own_nothing_of_a_call_that_ended_and_no_leg_too_many(
    mesh: Mesh, second: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    (call, first), (other, there) = mesh, second
    with pytest.raises(MediaError):
        call.relay.adopt(LegId(9), call.relay, first.leg)
    monkeypatch.setattr(relay_call, "MAX_LEGS", 1)
    with pytest.raises(MediaError, match="too_many_legs"):
        call.relay.adopt(LegId(9), other.relay, there.leg)
    monkeypatch.undo()
    await other.relay.close()
    with pytest.raises(MediaError):
        call.relay.adopt(LegId(9), other.relay, there.leg)


@pytest.mark.parametrize(
    "command",
    [
        Adopt(LegId(5), 10**6, LegId(1)),
        Adopt(LegId(5), 0, LegId(0)),
        Adopt(LegId(5), -1, LegId(1)),
        Adopt(LegId(1), 10**6, LegId(1)),
    ],
    ids=str,
)
async def test_a_worker_refuses_numbers_that_mean_nothing_and_goes_on(mesh: Mesh, command: Adopt) -> None:
    call, caller = mesh
    trunk = await call.trunk()
    call.join(caller, trunk)
    call.relay._home.send(call.relay.id, command)
    call.relay._home.send(10**6 + 1, command)
    await call.relay.counters()
    await talks(caller, trunk, 1)
    await talks(trunk, caller, 1)


async def test_a_worker_keeps_the_leg_where_it_is_when_it_refuses(mesh: Mesh, second: Mesh) -> None:
    (call, first), (other, asker) = mesh, second
    far = await other.trunk()
    other.join(asker, far)
    home = call.relay._home
    home.send(call.relay.id, Adopt(first.leg, other.relay.id, far.leg))  # a number that is taken
    home.send(call.relay.id, Adopt(LegId(9), call.relay.id, first.leg))  # of the same call
    for number in range(2, MAX_LEGS + 1):
        await call.relay.open(OpenLeg(LegId(number), OwnPort(TRUNK_BIND)))
    home.send(call.relay.id, Adopt(LegId(99), other.relay.id, far.leg))  # one too many
    await call.relay.counters()
    await talks(far, asker, 1)
    await talks(asker, far, 1)


async def test_a_refusal_nobody_expected_is_told_of_the_leg(mesh: Mesh, second: Mesh) -> None:
    (call, _), (other, _) = mesh, second
    far = await other.trunk()
    other.relay._home.send(other.relay.id, CloseLeg(far.leg))
    number = LegId(9)
    call.relay.adopt(number, other.relay, far.leg)
    assert (await call.event(CommandRefused, number)).reason == "no_leg"


async def test_calls_that_may_have_to_be_joined_begin_in_one_worker_unless_it_is_much_busier() -> None:
    async with running_pool(media(workers=2, first_port=PORT + 2, trunk_ports=(28000, 28199))) as two:

        async def begin(*affinity: str) -> object:
            mesh = RelayedMesh()
            place = OpenLeg(LegId(1), OwnPort(TRUNK_BIND))
            return (await two.open(place, listener=mesh._listen, affinity=affinity))._home

        home = await begin("alice", "pbx 600")
        assert await begin("bob") is not home
        assert await begin("alice", "pbx 601") is home
        assert await begin("carol", "pbx 600") is home
        homes = [await begin("alice") for _ in range(MAX_LEAN + 1)]
        assert homes[:-3] == [home] * (len(homes) - 3)
        assert homes[-1] is not home
