"""The browser leg through a real worker: checks, demultiplexing, keys."""

from __future__ import annotations

import pytest
from aioice import stun

from gateway.base.crypto_suite import AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80, EVERY_SUITE, SUITES, CryptoSuite
from gateway.base.values import HostPort, Secret
from gateway.media.relay_client import RelayPool
from gateway.media.relay_commands import SetKeys
from gateway.media.relay_events import (
    CommandRefused,
    ConsentLost,
    DtlsReceived,
    IceValidated,
    MediaStarted,
    SourceRejected,
)
from gateway.media.worker.ice_leg import MAX_DTLS_PER_SECOND
from tests.media import packets
from tests.media.peers import (
    ATTACKER,
    BROWSER,
    BROWSER_HOST,
    BROWSER_PORT,
    SECOND_LOOPBACK,
    TRUNK,
    BrowserPeer,
    Keys,
    RelayedCall,
    media,
    new_call,
    running_pool,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_check_is_answered_with_the_address_it_came_from(call: RelayedCall) -> None:
    answer = await call.browser.check()
    assert answer.message_class is stun.Class.RESPONSE
    assert HostPort(*answer.attributes["XOR-MAPPED-ADDRESS"]) == call.browser.address
    assert (await call.event(IceValidated)).address == call.browser.address


async def test_the_answer_leaves_from_the_address_the_check_went_to(call: RelayedCall) -> None:
    call.browser.server = HostPort(SECOND_LOOPBACK, BROWSER_PORT)
    await call.browser.check()
    call.send_dtls(b"\x16over the second address")
    data, source = await call.browser.receive_from()
    assert (data, source) == (b"\x16over the second address", call.browser.server)


async def test_validation_is_told_once(call: RelayedCall) -> None:
    await call.browser.check(nominate=False)
    await call.browser.check()
    await call.counters()
    assert [type(e) for e in call.events] == [IceValidated]


async def test_a_peer_in_the_controlled_role_is_told_to_switch_and_validates_nothing(call: RelayedCall) -> None:
    answer = await call.browser.check(role="ICE-CONTROLLED")
    assert answer.attributes["ERROR-CODE"][0] == 487
    call.browser.send(packets.CLIENT_HELLO, call.browser.server)
    await call.browser.check()
    await call.counters()
    assert call.events == [IceValidated(BROWSER, call.browser.address)]


async def test_an_unauthenticated_check_is_never_answered(call: RelayedCall) -> None:
    wrong = call.browser.request(password="not the password at all")
    bare = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes={"USERNAME": f"{call.ufrag}:x"})
    bad_sum = call.browser.request()[:-1] + b"\x00"
    for data in (wrong, bytes(bare), bad_sum, call.browser.request()[:40], b"\x00", b"\x00\x01\x00\x00" + bytes(16)):
        call.browser.send(data, call.browser.server)
    assert (await call.browser.check()).message_class is stun.Class.RESPONSE
    assert call.browser.pending() == []
    assert (await call.counters()).stun_rejected == 1


async def test_dtls_is_handed_up_from_validated_addresses_only_cve_2023_49786(
    call: RelayedCall, pool: RelayPool
) -> None:
    before = (await pool.worker_counters())[0].dtls_rejected
    stranger = call.peer(ATTACKER)
    stranger.send(packets.CLIENT_HELLO, call.browser.server)
    same_host = call.peer(BROWSER_HOST)
    same_host.send(packets.CLIENT_HELLO, call.browser.server)
    await call.browser.check()
    stranger.send(packets.CLIENT_HELLO, call.browser.server)
    call.browser.send(packets.CLIENT_HELLO, call.browser.server)
    assert (await call.event(DtlsReceived)).data == packets.CLIENT_HELLO
    counters = await call.until(lambda c: c.dtls_rx == 1)
    assert counters.dtls_rejected == 0
    assert (await pool.worker_counters())[0].dtls_rejected == before + 3
    assert stranger.pending() == same_host.pending() == []


async def test_a_client_hello_split_over_two_datagrams_is_handed_up_in_two(call: RelayedCall) -> None:
    await call.browser.check()
    for part in (packets.CLIENT_HELLO + bytes(1100), packets.CLIENT_HELLO + bytes(400)):
        call.browser.send(part, call.browser.server)
    await call.until(lambda c: c.dtls_rx == 2)
    assert [len(e.data) for e in call.events if isinstance(e, DtlsReceived)] == [1169, 469]


async def test_dtls_may_answer_before_nomination_and_media_may_not(call: RelayedCall) -> None:
    await call.browser.check(nominate=False)
    call.key_browser()
    call.signal_trunk()
    call.set_payloads({0: 0}, {0: 0})
    call.send_dtls(b"\x16early")
    assert await call.browser.receive() == b"\x16early"
    call.trunk.send_media(packets.rtp(1))
    await call.until(lambda c: c.unsent == 1)
    await call.browser.check()
    call.trunk.send_media(packets.rtp(2))
    assert await call.browser.receive_media() == packets.rtp(2)


async def test_dtls_for_a_browser_that_never_checked_goes_nowhere(call: RelayedCall) -> None:
    call.send_dtls(b"\x16nowhere")
    assert (await call.counters()).unsent == 1


async def test_a_flood_of_dtls_does_not_reach_the_control_plane(call: RelayedCall) -> None:
    await call.browser.check()
    for _ in range(MAX_DTLS_PER_SECOND + 20):
        call.browser.send(packets.CLIENT_HELLO, call.browser.server)
    counters = await call.until(lambda c: c.dtls_rx + c.dtls_rejected == MAX_DTLS_PER_SECOND + 20)
    assert counters.dtls_rejected > 0


async def test_a_new_nomination_moves_the_media(call: RelayedCall) -> None:
    await call.connect()
    other = BrowserPeer(call)
    other.keys = call.browser.keys
    await other.check()
    call.trunk.send_media(packets.rtp(1, payload_type=8))
    assert await other.receive_media() == packets.rtp(1)
    assert call.browser.pending() == []
    other.close()


async def test_the_address_of_a_live_leg_is_not_given_to_another_one(call: RelayedCall, pool: RelayPool) -> None:
    await call.connect()
    async with new_call(pool) as other:
        # The check of another call from this call's address: only a forged source can do that.
        call.browser.send(other.browser.request(), call.browser.server)
        await other.until(lambda c: c.stun_rejected == 1)
        call.browser.send_media(packets.rtp(1))
        assert await call.trunk.receive_media() == packets.rtp(1, payload_type=8)
        assert other.events == []


@pytest.mark.parametrize(
    ("datagram", "counter"),
    [
        (b"", "empty_dropped"),
        (b"\x80" + bytes(1999), "oversize_dropped"),
        (b"\x16" + bytes(1500), "oversize_dropped"),
        (b"\x10" + bytes(20), "unknown_dropped"),
        (b"\x13" + bytes(20), "unknown_dropped"),
        (b"\x40\x00\x00\x00", "unknown_dropped"),
        (b"\x7f" + bytes(20), "unknown_dropped"),
        (b"\xc0" + bytes(20), "unknown_dropped"),
        (b"\xff", "unknown_dropped"),
        (b"\x80", "malformed_dropped"),
        (b"\x80\x00\x00\x00\x00\x00\x00", "malformed_dropped"),
    ],
)
async def test_what_is_neither_stun_dtls_nor_rtp_is_dropped_and_counted(
    call: RelayedCall, datagram: bytes, counter: str
) -> None:
    await call.connect()
    call.browser.send(datagram, call.browser.server)
    await call.until(lambda c: getattr(c, counter) == 1)
    call.browser.send_media(packets.rtp(1))
    assert await call.trunk.receive_media() == packets.rtp(1, payload_type=8)


async def test_the_same_from_strangers_is_counted_by_the_worker(call: RelayedCall, pool: RelayPool) -> None:
    stranger = call.peer(ATTACKER)
    (before,) = await pool.worker_counters()
    for datagram in (b"", bytes(2000), b"\xff", b"\x80" + bytes(50), b"\x00junk"):
        stranger.send(datagram, call.browser.server)
    await call.browser.check()
    (after,) = await pool.worker_counters()
    for name in ("empty_dropped", "oversize_dropped", "unknown_dropped", "unvalidated_dropped", "stun_rejected"):
        assert getattr(after, name) - getattr(before, name) == 1, name
    assert stranger.pending() == []


@pytest.mark.parametrize("suite", EVERY_SUITE, ids=lambda s: s.name)
async def test_media_flows_both_ways_with_every_suite(call: RelayedCall, suite: CryptoSuite) -> None:
    call.browser.keys = Keys(suite)
    await call.connect(suite=suite)
    call.browser.send_media(packets.rtp(1))
    assert await call.trunk.receive_media() == packets.rtp(1, payload_type=8)
    call.trunk.send_media(packets.rtp(7, payload_type=96, ssrc=5))
    assert await call.browser.receive_media() == packets.rtp(7, payload_type=111, ssrc=5)
    counters = await call.counters()
    assert (counters.browser_rx, counters.trunk_tx, counters.trunk_rx, counters.browser_tx) == (1, 1, 1, 1)
    assert {e.leg for e in call.events if isinstance(e, MediaStarted)} == {BROWSER, TRUNK}


async def test_before_its_keys_the_browser_leg_neither_takes_nor_sends(call: RelayedCall) -> None:
    await call.browser.check()
    call.signal_trunk()
    call.set_payloads({0: 0}, {0: 0})
    call.browser.send_media(packets.rtp(1))
    call.trunk.send_media(packets.rtp(2))
    counters = await call.until(lambda c: c.unkeyed_dropped == 2)
    assert (counters.trunk_tx, counters.browser_tx) == (0, 0)
    assert call.browser.pending() == call.trunk.rtp.pending() == []


async def test_plain_media_on_the_browser_leg_is_dropped(call: RelayedCall) -> None:
    await call.connect()
    for packet in (packets.rtp(1), packets.receiver_report(), packets.rtp(2, payload=b"")):
        call.browser.send(packet, call.browser.server)
    counters = await call.until(lambda c: c.srtp_auth_failed == 3)
    assert counters.plain_dropped == 2
    assert call.trunk.rtp.pending() == call.trunk.rtcp.pending() == []
    rejected = [e for e in call.events if isinstance(e, SourceRejected)]
    assert rejected == [SourceRejected(BROWSER, call.browser.address, "media.plain_on_secure")]


@pytest.mark.parametrize("padding", [b"\xff", b"\x00"])
async def test_a_packet_that_authenticates_and_is_no_rtp_is_dropped(call: RelayedCall, padding: bytes) -> None:
    """Padding is encrypted: what it says is known only then (RFC 3550 5.1)."""
    await call.connect(suite=SUITES[0])
    call.browser.send_media(packets.rtp(1, padding=padding))
    call.trunk.send_media(packets.rtp(1, payload_type=8, padding=padding))
    counters = await call.until(lambda c: c.malformed_dropped == 2)
    assert (counters.trunk_tx, counters.browser_tx) == (0, 0)


async def test_a_replayed_packet_is_relayed_once(call: RelayedCall) -> None:
    await call.connect()
    packet = call.browser.keys.protect(packets.rtp(1))
    for _ in range(3):
        call.browser.send(packet, call.browser.server)
    counters = await call.until(lambda c: c.srtp_replayed == 2)
    assert counters.trunk_tx == 1
    assert call.trunk.rtp.pending() == [packets.rtp(1, payload_type=8)]


async def test_a_hundred_bad_packets_do_not_end_the_call_cve_2021_41105(call: RelayedCall) -> None:
    await call.connect()
    for n in range(100):
        call.browser.send(packets.rtp(n), call.browser.server)
    await call.until(lambda c: c.srtp_auth_failed == 100)
    call.browser.send_media(packets.rtp(1))
    assert await call.trunk.receive_media() == packets.rtp(1, payload_type=8)


async def test_the_ninetieth_source_under_one_key_is_heard_as_the_first_was(call: RelayedCall) -> None:
    await call.connect(suite=AES_CM_128_HMAC_SHA1_80)
    for n in range(90):
        call.browser.send_media(packets.rtp(n, ssrc=n))
        assert await call.trunk.receive_media() == packets.rtp(n, payload_type=8)
        call.trunk.send_media(packets.rtp(n, payload_type=8, ssrc=n))
        assert await call.browser.receive_media() == packets.rtp(n)


async def test_the_same_keys_again_keep_the_roll_over_counter(call: RelayedCall) -> None:
    await call.connect()
    for n in (0xFFFE, 0xFFFF, 0x10000, 0x10001):
        call.browser.send_media(packets.rtp(n))
        await call.trunk.receive_media()
    call.key_browser()
    await call.counters()
    call.browser.send_media(packets.rtp(0x10002))
    assert await call.trunk.receive_media() == packets.rtp(0x10002, payload_type=8)


async def test_new_keys_replace_the_old_ones(call: RelayedCall) -> None:
    await call.connect()
    call.browser.keys = Keys(AEAD_AES_128_GCM)
    call.key_browser()
    await call.counters()
    call.trunk.send_media(packets.rtp(1, payload_type=8))
    assert await call.browser.receive_media() == packets.rtp(1)


@pytest.mark.parametrize(
    ("suite", "length"), [("AES_192_CM_HMAC_SHA1_80", 38), ("NULL_HMAC_SHA1_80", 30), ("AES_CM_128_HMAC_SHA1_80", 16)]
)
async def test_an_unknown_suite_or_a_key_of_another_length_is_refused(
    call: RelayedCall, suite: str, length: int
) -> None:
    call.relay.send(SetKeys(BROWSER, suite, Secret(bytes(length)), Secret(bytes(length))))
    assert (await call.event(CommandRefused)).reason == "bad_keys"
    call.browser.send_media(packets.rtp(1))
    await call.browser.check()
    call.browser.send_media(packets.rtp(2))
    await call.until(lambda c: c.unkeyed_dropped == 1)


async def test_consent_is_lost_once_and_ends_all_sending() -> None:
    config = media(first_port=BROWSER_PORT + 10, trunk_ports=(21000, 21009))
    async with running_pool(config, consent_seconds=0.3) as short, new_call(short) as call:
        call.browser.server = HostPort(call.browser.server.host, BROWSER_PORT + 10)
        await call.connect()
        assert (await call.event(ConsentLost)).leg == BROWSER
        call.trunk.send_media(packets.rtp(1, payload_type=8))
        call.send_dtls(b"\x16too late")
        call.browser.send(call.browser.request(), call.browser.server)
        counters = await call.until(lambda c: c.unsent == 2 and c.stun_rejected == 1)
        assert counters.browser_tx == 0
        assert call.browser.pending() == []
        assert sum(isinstance(e, ConsentLost) for e in call.events) == 1


async def test_consent_that_was_lost_is_had_again_by_a_restart_and_by_nothing_else() -> None:
    """RFC 7675 5.1: a browser in another network, or one that has slept."""
    config = media(first_port=BROWSER_PORT + 12, trunk_ports=(21020, 21029))
    async with running_pool(config, consent_seconds=0.3) as short, new_call(short) as call:
        call.browser.server = HostPort(call.browser.server.host, BROWSER_PORT + 12)
        await call.connect()
        await call.event(ConsentLost)
        old = call.restart()
        new = call.ufrag, call.password
        call.ufrag, call.password = old
        call.browser.send(call.browser.request(), call.browser.server)
        call.ufrag, call.password = new
        await call.browser.check()
        call.trunk.send_media(packets.rtp(1, payload_type=8))
        await call.browser.receive_media()
        assert call.browser.pending() == [], "checks under the old name are not answered"
        assert [type(e) for e in call.events if isinstance(e, IceValidated | ConsentLost)] == [
            IceValidated,
            ConsentLost,
            IceValidated,
        ]


async def test_checks_keep_consent_alive() -> None:
    config = media(first_port=BROWSER_PORT + 11, trunk_ports=(21010, 21019))
    async with running_pool(config, consent_seconds=0.2) as short, new_call(short) as call:
        call.browser.server = HostPort(call.browser.server.host, BROWSER_PORT + 11)
        await call.connect()
        for n in range(40):
            await call.browser.check(nominate=False)
            call.browser.send_media(packets.rtp(n))
            await call.trunk.receive_media()
        assert not any(isinstance(e, ConsentLost) for e in call.events)


async def test_keys_of_one_call_open_nothing_of_another(call: RelayedCall, pool: RelayPool) -> None:
    await call.connect()
    async with new_call(pool) as other:
        await other.connect()
        other.browser.send(call.browser.keys.protect(packets.rtp(1)), other.browser.server)
        await other.until(lambda c: c.srtp_auth_failed == 1)
        assert call.trunk.rtp.pending() == other.trunk.rtp.pending() == []
