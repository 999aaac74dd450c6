"""DTLS on the ports of a trunk leg through a real worker: who is heard, where it goes, and the keys that come of it."""

from __future__ import annotations

import pytest

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80
from gateway.media.relay_commands import Component, DropKeys, SendDtls
from gateway.media.relay_events import DtlsReceived, SourceRejected
from gateway.media.worker.port_dtls import MAX_EARLY
from tests.media import packets
from tests.media.dtls_trunk import DtlsTrunk
from tests.media.packets import CLIENT_HELLO
from tests.media.peers import ATTACKER, IN_MEDIA_NETWORK, TRUNK, TRUNK_HOST, RelayedCall

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _handed_up(call: RelayedCall) -> list[bytes]:
    return [event.data for event in call.events if isinstance(event, DtlsReceived)]


@pytest.mark.parametrize("client", [True, False], ids=["trunk begins", "gateway begins"])
@pytest.mark.parametrize("mux", [True, False], ids=["muxed", "two ports"])
async def test_media_flows_under_the_keys_of_a_handshake_on_the_ports_of_the_leg(
    call: RelayedCall, client: bool, mux: bool
) -> None:
    trunk = DtlsTrunk(call, mux=mux)
    await trunk.describe()
    await trunk.connect(client=client)
    await trunk.talks(1)
    counters = await call.counters()
    assert (counters.srtp_auth_failed, counters.unsent) == (0, 0)


async def test_each_port_has_its_own_keys_and_srtcp_passes_under_those_of_its_own_alone(call: RelayedCall) -> None:
    trunk = DtlsTrunk(call, mux=False)
    await trunk.describe()
    await trunk.connect()
    assert trunk.srtp is not None
    assert trunk.srtcp is not None
    await trunk.talks(1)
    call.trunk.rtcp.send(trunk.srtp.seal_rtcp(packets.receiver_report()), call.trunk_rtcp)
    await call.until(lambda c: c.srtp_auth_failed == 1)
    call.trunk.rtcp.send(trunk.srtcp.seal_rtcp(packets.receiver_report()), call.trunk_rtcp)
    await call.until(lambda c: c.rtcp_rx == 1)


async def test_before_rtcp_has_keys_of_its_own_those_of_rtp_do_not_serve_for_it(call: RelayedCall) -> None:
    trunk = DtlsTrunk(call, mux=False)
    await trunk.describe()
    shake = trunk.handshake()
    shake.begin()
    srtp = await shake.run()
    call.relay.send(shake.keys(Component.RTP))
    before = await call.counters()
    call.trunk.rtcp.send(srtp.seal_rtcp(packets.receiver_report()), call.trunk_rtcp)
    await call.until(lambda c: c.unkeyed_dropped == before.unkeyed_dropped + 1)
    call.browser.send_media(packets.receiver_report())
    await call.until(lambda c: c.unkeyed_dropped >= before.unkeyed_dropped + 1)
    assert call.trunk.rtcp.pending() == []


async def test_dtls_of_a_stranger_is_dropped_counted_and_told(call: RelayedCall) -> None:
    await DtlsTrunk(call).describe()
    attacker = call.peer(ATTACKER)
    for _ in range(3):
        attacker.send(CLIENT_HELLO, call.trunk_rtp)
    await call.until(lambda c: c.dtls_rejected == 3)
    assert _handed_up(call) == []
    assert [event for event in call.events if isinstance(event, SourceRejected)] == [
        SourceRejected(TRUNK, attacker.address, "media.latch_mismatch")
    ]
    call.relay.send(SendDtls(TRUNK, CLIENT_HELLO))
    assert await call.trunk.rtp.receive() == CLIENT_HELLO
    assert attacker.pending() == []


async def test_another_port_of_the_trunk_is_not_heard_while_the_signalled_one_speaks(call: RelayedCall) -> None:
    await DtlsTrunk(call).describe()
    other = call.peer(TRUNK_HOST)
    other.send(CLIENT_HELLO, call.trunk_rtp)
    await call.until(lambda c: c.dtls_rejected == 1)
    call.trunk.rtp.send(CLIENT_HELLO, call.trunk_rtp)
    await call.event(DtlsReceived)
    assert _handed_up(call) == [CLIENT_HELLO]


async def test_what_came_before_the_description_is_judged_by_it(call: RelayedCall) -> None:
    trunk = DtlsTrunk(call)
    attacker = call.peer(ATTACKER)
    attacker.send(b"\x16 not of the peer", call.trunk_rtp)
    call.trunk.rtp.send(CLIENT_HELLO, call.trunk_rtp)
    await call.counters()
    assert _handed_up(call) == []
    await trunk.describe()
    assert _handed_up(call) == [CLIENT_HELLO]
    assert (await call.counters()).dtls_rejected == 1


async def test_no_more_is_kept_for_the_description_than_one_client_says(call: RelayedCall) -> None:
    attacker = call.peer(ATTACKER)
    for _ in range(MAX_EARLY + 5):
        attacker.send(CLIENT_HELLO, call.trunk_rtp)
    await call.until(lambda c: c.dtls_rejected == 5)
    await DtlsTrunk(call).describe()
    assert (await call.counters()).dtls_rejected == MAX_EARLY + 5


@pytest.mark.parametrize("suite", [None, AES_CM_128_HMAC_SHA1_80], ids=["plain", "keyed by signalling"])
async def test_a_leg_whose_keys_do_not_come_from_dtls_hands_none_up(call: RelayedCall, suite: object) -> None:
    await call.connect(suite=suite)  # type: ignore[arg-type]
    call.trunk.rtp.send(CLIENT_HELLO, call.trunk_rtp)
    call.trunk.rtcp.send(CLIENT_HELLO, call.trunk_rtcp)
    await call.until(lambda c: c.dtls_rejected == 2)
    call.relay.send(SendDtls(TRUNK, CLIENT_HELLO))
    await call.until(lambda c: c.unsent == 1)
    assert _handed_up(call) == []
    assert call.trunk.rtp.pending() == []


async def test_nothing_passes_before_the_handshake_has_made_keys(call: RelayedCall) -> None:
    trunk = DtlsTrunk(call)
    await trunk.describe()
    call.browser.send_media(packets.rtp(1))
    call.trunk.rtp.send(packets.rtp(1, payload_type=8), call.trunk_rtp)
    counters = await call.until(lambda c: c.unkeyed_dropped == 2)
    assert counters.trunk_tx == counters.browser_tx == 0
    await trunk.connect()
    await trunk.talks(2)


async def test_the_same_peer_described_again_keeps_its_keys(call: RelayedCall) -> None:
    trunk = DtlsTrunk(call)
    await trunk.describe()
    await trunk.connect()
    await trunk.talks(1)
    trunk.signal()
    await call.counters()
    await trunk.talks(2)


async def test_media_moves_with_the_description_under_the_keys_there_are(call: RelayedCall) -> None:
    trunk = DtlsTrunk(call)
    await trunk.describe()
    await trunk.connect()
    await trunk.talks(1)
    old = call.trunk.rtp
    call.trunk.rtp = trunk.own = call.peer(IN_MEDIA_NETWORK)
    trunk.signal()
    await call.counters()
    await trunk.talks(2)
    assert old.pending() == []
    old.close()


async def test_keys_that_are_dropped_open_and_seal_nothing_and_others_take_their_place(call: RelayedCall) -> None:
    trunk = DtlsTrunk(call)
    await trunk.describe()
    await trunk.connect()
    for number in (1, 2, 3):
        await trunk.talks(number)
    call.relay.send(DropKeys(TRUNK))
    trunk.signal()
    before = await call.counters()
    trunk.send(packets.rtp(4, payload_type=8))
    call.browser.send_media(packets.rtp(4))
    after = await call.until(lambda c: c.unkeyed_dropped == before.unkeyed_dropped + 2)
    assert (after.trunk_tx, after.browser_tx) == (before.trunk_tx, before.browser_tx)
    assert (call.trunk.rtp.pending(), call.browser.pending()) == ([], [])
    old = trunk.srtp
    call.events.clear()
    await trunk.connect()
    await trunk.talks(5)
    trunk.srtp, new = old, trunk.srtp
    trunk.send(packets.rtp(6, payload_type=8))
    await call.until(lambda c: c.srtp_auth_failed == before.srtp_auth_failed + 1)
    trunk.srtp = new
    await trunk.talks(7)
