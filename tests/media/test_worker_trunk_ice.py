"""A trunk that checks paths (RFC 8445) through a real worker: ICE-lite on the ports of its leg."""

from __future__ import annotations

import pytest

from gateway.base.values import Secret
from gateway.media.relay_commands import SendDtls, SetIce
from gateway.media.relay_events import ConsentLost, DtlsReceived, IceValidated, SourceLearned, SourceRejected
from tests.media import packets
from tests.media.dtls_trunk import PASSWORD, UFRAG, DtlsTrunk
from tests.media.packets import CLIENT_HELLO
from tests.media.peers import ATTACKER, IN_MEDIA_NETWORK, TRUNK, RelayedCall

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _connected(call: RelayedCall) -> DtlsTrunk:
    trunk = DtlsTrunk(call, ice=True)
    await trunk.describe()
    await trunk.checked(trunk.own)
    await trunk.connect()
    return trunk


@pytest.mark.parametrize("client", [True, False], ids=["trunk begins", "gateway begins"])
async def test_media_flows_over_the_nominated_path(call: RelayedCall, client: bool) -> None:
    trunk = DtlsTrunk(call, ice=True)
    await trunk.describe()
    answer = await trunk.checked(trunk.own)
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == (trunk.own.address.host, trunk.own.address.port)
    await call.counters()
    assert [event.address for event in call.events if isinstance(event, IceValidated) and event.leg == TRUNK] == [
        trunk.own.address
    ]
    await trunk.connect(client=client)
    await trunk.talks(1)
    assert (await call.counters()).srtp_auth_failed == 0


async def test_a_path_may_be_another_address_than_the_signalled_one(call: RelayedCall) -> None:
    relayed = call.peer(IN_MEDIA_NETWORK)
    trunk = DtlsTrunk(call, ice=True, own=relayed)
    await trunk.describe()
    await trunk.checked(relayed)
    await trunk.connect()
    await trunk.talks(1)
    learned = await call.event(SourceLearned)
    assert (learned.leg, learned.address) == (TRUNK, relayed.address)
    assert call.trunk.rtp.pending() == []


async def test_checks_and_dtls_are_taken_before_the_description_and_media_is_not(call: RelayedCall) -> None:
    trunk = DtlsTrunk(call, ice=True)
    call.relay.send(SetIce(TRUNK, UFRAG, Secret(PASSWORD)))
    await call.counters()
    await trunk.checked(trunk.own)
    shake = trunk.handshake()
    shake.begin()
    trunk.srtp = await shake.run()
    trunk.own.send(packets.rtp(1, payload_type=8), call.trunk_rtp)
    await call.until(lambda c: c.unkeyed_dropped == 1)


@pytest.mark.parametrize("what", ["dtls", "media"])
async def test_what_an_address_sends_that_passed_no_check_is_dropped_counted_and_told(
    call: RelayedCall, what: str
) -> None:
    trunk = await _connected(call)
    await trunk.talks(1)
    before = await call.counters()
    stranger = call.peer(ATTACKER)
    assert trunk.srtp is not None
    media = trunk.srtp.seal(packets.rtp(2, payload_type=8))
    stranger.send(CLIENT_HELLO if what == "dtls" else media, call.trunk_rtp)
    counters = await call.until(lambda c: c.dtls_rejected + c.unvalidated_dropped == 1)
    assert counters.browser_tx == before.browser_tx
    assert [event for event in call.events if isinstance(event, SourceRejected)] == [
        SourceRejected(TRUNK, stranger.address, "media.latch_mismatch")
    ]
    await trunk.talks(3)
    assert stranger.pending() == []


async def test_the_signalled_address_is_sent_nothing_before_it_passed_a_check(call: RelayedCall) -> None:
    trunk = DtlsTrunk(call, ice=True)
    await trunk.describe()
    trunk.own.send(CLIENT_HELLO, call.trunk_rtp)
    call.relay.send(SendDtls(TRUNK, CLIENT_HELLO))
    await call.until(lambda c: c.dtls_rejected == 1 and c.unsent == 1)
    assert trunk.own.pending() == []
    assert not [event for event in call.events if isinstance(event, DtlsReceived)]


async def test_a_path_that_is_not_nominated_gets_the_handshake_and_no_media(call: RelayedCall) -> None:
    trunk = DtlsTrunk(call, ice=True)
    await trunk.describe()
    await trunk.checked(trunk.own, nominate=False)
    await trunk.connect()
    call.browser.send_media(packets.rtp(1))
    await call.until(lambda c: c.unsent >= 1)
    await trunk.checked(trunk.own)
    await trunk.talks(2)


async def test_media_follows_another_nomination(call: RelayedCall) -> None:
    trunk = await _connected(call)
    for sequence in range(1, 5):
        await trunk.talks(sequence)
    old, trunk.own = trunk.own, call.peer(IN_MEDIA_NETWORK)
    await trunk.checked(trunk.own)
    for sequence in range(5, 9):
        await trunk.talks(sequence)
    assert old.pending() == []
    assert (await call.event(SourceLearned)).address == trunk.own.address


@pytest.mark.parametrize(("ufrag", "password"), [("another", PASSWORD), (UFRAG, "x" * 24)])
async def test_a_check_that_does_not_authenticate_gets_no_answer(call: RelayedCall, ufrag: str, password: str) -> None:
    trunk = DtlsTrunk(call, ice=True)
    await trunk.describe()
    attacker = call.peer(ATTACKER)
    trunk.check(attacker, ufrag=ufrag, password=password)
    await call.until(lambda c: c.stun_rejected == 1)
    assert attacker.pending() == []
    attacker.send(CLIENT_HELLO, call.trunk_rtp)
    await call.until(lambda c: c.dtls_rejected == 1)


async def test_a_leg_without_ice_answers_no_check(call: RelayedCall) -> None:
    trunk = DtlsTrunk(call)
    await trunk.describe()
    trunk.check(trunk.own)
    await call.until(lambda c: c.malformed_dropped == 1)
    assert trunk.own.pending() == []


async def test_a_restart_brings_another_name_and_the_old_one_ends_with_its_nomination(call: RelayedCall) -> None:
    trunk = await _connected(call)
    await trunk.talks(1)
    call.relay.send(SetIce(TRUNK, "anothername", Secret(PASSWORD)))
    await call.counters()
    await trunk.talks(2)
    trunk.check(trunk.own, ufrag="anothername")
    await call.until(lambda c: c.stun_rx == 3)
    before = await call.counters()
    trunk.check(trunk.own)
    await call.until(lambda c: c.stun_rejected == before.stun_rejected + 1)
    await trunk.talks(3)


async def test_the_leg_asks_for_no_consent(call: RelayedCall) -> None:
    trunk = await _connected(call)
    await trunk.talks(1)
    assert not [event for event in call.events if isinstance(event, ConsentLost)]
