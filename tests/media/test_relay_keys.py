"""Keys of a leg in a real worker: named in the packets, changed in the middle of a call, and used up."""

from __future__ import annotations

import asyncio

import pytest

from gateway.base.crypto_suite import (
    AEAD_AES_256_GCM,
    AES_256_CM_HMAC_SHA1_80,
    AES_CM_128_HMAC_SHA1_80,
    EVERY_SUITE,
    CryptoSuite,
)
from gateway.media.relay_events import KeysWorn
from gateway.sdp.keying import MIN_LIFETIME
from tests.media import packets
from tests.media.mesh import Mesh, talks
from tests.media.peers import Keys, keys_command

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("suite", EVERY_SUITE, ids=lambda suite: suite.name)
async def test_packets_that_name_their_key_pass_both_ways_and_are_named_as_was_said(
    mesh: Mesh, suite: CryptoSuite
) -> None:
    call, caller = mesh
    trunk = await call.trunk(suite)
    trunk.peer.keys = Keys(suite, names=(b"\0\0\0\x07", b"\x01"))
    call.relay.send(keys_command(trunk.leg, trunk.peer.keys))
    call.join(caller, trunk)
    await call.relay.counters()
    await talks(caller, trunk, 1)
    await talks(trunk, caller, 1)
    trunk.report(packets.receiver_report())
    await call.until(lambda legs: legs[trunk.leg].rtcp_rx == 1)


async def test_a_packet_that_names_another_key_than_was_agreed_is_dropped(mesh: Mesh) -> None:
    call, caller = mesh
    trunk = await call.trunk(AES_CM_128_HMAC_SHA1_80)
    agreed = Keys(AES_CM_128_HMAC_SHA1_80, names=(b"\x01", b"\x01"))
    trunk.peer.keys = Keys(agreed.suite, agreed.from_peer, agreed.to_peer, names=(b"\x02", b"\x01"))
    call.relay.send(keys_command(trunk.leg, agreed))
    call.join(caller, trunk)
    await call.relay.counters()
    trunk.send(packets.rtp(1))
    await call.until(lambda legs: legs[trunk.leg].srtp_auth_failed == 1)
    assert caller.pending() == []


async def test_a_change_of_key_to_another_suite_loses_nothing_and_is_a_stream_of_its_own(mesh: Mesh) -> None:
    call, caller = mesh
    trunk = await call.trunk(AES_256_CM_HMAC_SHA1_80)
    call.join(caller, trunk)
    await call.relay.counters()
    before = await talks(caller, trunk, 1)
    await talks(trunk, caller, 1)
    trunk.peer.keys = Keys(AEAD_AES_256_GCM)
    call.relay.send(keys_command(trunk.leg, trunk.peer.keys))
    await call.relay.counters()
    after = await talks(caller, trunk, 4)
    await talks(trunk, caller, 4)
    assert before[0][8:12] != after[0][8:12], "a new key has a new SSRC, and with it a roll-over counter of zero"


async def test_the_end_of_a_lifetime_is_told_before_it_comes_and_a_new_key_begins_anew(mesh: Mesh) -> None:
    """As key.lifetime of the catalogue."""
    call, caller = mesh
    trunk = await call.trunk(AES_CM_128_HMAC_SHA1_80)
    assert trunk.peer.keys is not None
    call.relay.send(keys_command(trunk.leg, trunk.peer.keys, MIN_LIFETIME))
    call.join(caller, trunk)
    await call.relay.counters()

    async def spend(first: int, count: int) -> None:
        for n in range(first, first + count):
            trunk.send(packets.rtp(n))
            if n % 64 == 0:
                wanted = n - 64
                await call.until(lambda legs, wanted=wanted: legs[trunk.leg].rtp_rx >= wanted)  # type: ignore[misc]

    await spend(1, MIN_LIFETIME - 100)
    assert not (await call.event(KeysWorn, trunk.leg)).spent
    await spend(MIN_LIFETIME - 99, 200)
    async with asyncio.timeout(5):
        while not any(event.spent for event in call.events if isinstance(event, KeysWorn)):
            await call.relay.counters()
    told = [event.spent for event in call.events if isinstance(event, KeysWorn)]
    assert told == [False, True]
    trunk.peer.keys = Keys(AES_CM_128_HMAC_SHA1_80)
    call.relay.send(keys_command(trunk.leg, trunk.peer.keys, MIN_LIFETIME))
    await call.relay.counters()
    caller.pending()
    await talks(trunk, caller, 5000)
