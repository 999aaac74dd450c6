"""The trunk leg through a real worker: source rule, keys, RTCP, hold."""

from __future__ import annotations

import pytest

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80, EVERY_SUITE
from gateway.base.errors import MediaError
from gateway.base.values import HostPort
from gateway.media.relay_commands import SetPeer
from gateway.media.relay_events import CommandRefused, MediaStarted, SourceLearned, SourceRejected
from tests.media import packets
from tests.media.peers import (
    ATTACKER,
    IN_MEDIA_NETWORK,
    MEDIA_NETWORK,
    PAYLOADS,
    TRUNK,
    TRUNK_HOST,
    Keys,
    Peer,
    RelayedCall,
    stands_in,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUITE = AES_CM_128_HMAC_SHA1_80


def _from_trunk(sequence: int, **more: int) -> bytes:
    return packets.rtp(sequence, payload_type=8, **more)  # type: ignore[arg-type]


async def _stream_flows(call: RelayedCall, sequence: int = 500) -> None:
    """The real trunk is heard and answered."""
    call.trunk.send_media(_from_trunk(sequence))
    assert await call.browser.receive_media() == packets.rtp(sequence)
    call.browser.send_media(packets.rtp(sequence))
    assert await call.trunk.receive_media() == packets.rtp(sequence, payload_type=8)
    await call.counters()  # what was told until now has come


async def _spray(call: RelayedCall, attacker: Peer, count: int = 12) -> None:
    """Send what would latch a careless relay, and see that nothing comes of it."""
    before = await call.counters()
    for n in range(count):
        attacker.send(_from_trunk(n, ssrc=0xBAD), call.trunk_rtp)
    await call.until(lambda c: c.source_rejected == before.source_rejected + count)
    assert (await call.counters()).browser_tx == before.browser_tx
    assert call.browser.pending() == []


async def test_media_is_sent_to_the_signalled_address_from_the_start(call: RelayedCall) -> None:
    await call.connect()
    call.browser.send_media(packets.rtp(1))
    data, source = await call.trunk.rtp.receive_from()
    assert (data, source) == (packets.rtp(1, payload_type=8), call.trunk_rtp)


@pytest.mark.parametrize("flowing", [True, False], ids=["stream", "no stream yet"])
async def test_a_stranger_neither_injects_nor_receives_rtpbleed(call: RelayedCall, flowing: bool) -> None:
    await call.connect(sources=(MEDIA_NETWORK,))
    if flowing:
        await _stream_flows(call)
    attacker = call.peer(ATTACKER)
    await _spray(call, attacker)
    await _stream_flows(call, 501)
    assert attacker.pending() == []
    assert [e for e in call.events if isinstance(e, SourceRejected)] == [
        SourceRejected(TRUNK, attacker.address, "media.latch_mismatch")
    ]


async def test_another_port_of_the_trunk_does_not_take_over_a_stream_that_flows(call: RelayedCall) -> None:
    await call.connect()
    await _stream_flows(call)
    intruder = call.peer(TRUNK_HOST)
    await _spray(call, intruder)
    await _stream_flows(call, 501)
    assert intruder.pending() == []
    (rejected,) = [e for e in call.events if isinstance(e, SourceRejected)]
    assert (rejected.address, rejected.code) == (intruder.address, "media.mid_relatch")


async def test_on_hold_nobody_takes_the_place_of_the_silent_trunk(call: RelayedCall) -> None:
    await call.connect()
    call.set_direction(to_trunk=False, to_browser=False)
    intruder = call.peer(TRUNK_HOST)
    await _spray(call, intruder)
    call.set_direction(to_trunk=True, to_browser=True)
    await call.counters()
    await _stream_flows(call)


@pytest.mark.parametrize("host", [TRUNK_HOST, IN_MEDIA_NETWORK], ids=["other port", "media network"])
async def test_early_packets_of_an_allowed_source_get_nothing_before_the_signalled_one_had_its_time(
    call: RelayedCall, host: str
) -> None:
    await call.connect(sources=(MEDIA_NETWORK,))
    early = call.peer(host)
    for n in range(30):
        early.send(_from_trunk(n), call.trunk_rtp)
    await call.until(lambda c: c.source_rejected == 30)
    call.browser.send_media(packets.rtp(9))
    assert await call.trunk.receive_media() == packets.rtp(9, payload_type=8)
    await _stream_flows(call)
    assert early.pending() == []
    assert not [e for e in call.events if isinstance(e, SourceLearned)]


@pytest.mark.parametrize("host", [TRUNK_HOST, IN_MEDIA_NETWORK], ids=["other port", "media network"])
async def test_an_allowed_source_stands_in_while_the_signalled_one_is_silent_and_not_longer(
    call: RelayedCall, host: str
) -> None:
    await call.connect(sources=(MEDIA_NETWORK,))
    natted = call.peer(host)
    await stands_in(call, natted)
    learned = await call.event(SourceLearned)
    assert (learned.address, learned.expected) == (natted.address, call.trunk.rtp.address)
    call.browser.send_media(packets.rtp(9))
    assert await natted.receive() == packets.rtp(9, payload_type=8)
    assert call.trunk.rtp.pending() == []
    call.browser.pending()
    await _spray(call, call.peer(TRUNK_HOST))
    await _stream_flows(call, 501)
    back = [e for e in call.events if isinstance(e, SourceLearned)][1]
    assert back.address == back.expected == call.trunk.rtp.address
    assert (await call.counters()).source_moved == 2


async def test_a_source_in_no_network_of_the_trunk_is_not_learned(call: RelayedCall) -> None:
    await call.connect()
    await _spray(call, call.peer(IN_MEDIA_NETWORK))


async def test_the_same_address_signalled_again_keeps_what_was_learned(call: RelayedCall) -> None:
    await call.connect()
    natted = call.peer(TRUNK_HOST)
    await stands_in(call, natted)
    call.signal_trunk()
    await call.counters()
    call.browser.send_media(packets.rtp(9))
    assert await natted.receive() == packets.rtp(9, payload_type=8)


async def test_another_address_signalled_is_used_at_once_and_the_old_one_no_more(call: RelayedCall) -> None:
    await call.connect()
    await _stream_flows(call)
    old, call.trunk.rtp = call.trunk.rtp, Peer(IN_MEDIA_NETWORK)
    call.signal_trunk()
    await call.counters()
    await _stream_flows(call, 501)
    await _spray(call, old)
    assert old.pending() == []
    old.close()


async def test_before_it_is_signalled_the_trunk_is_neither_heard_nor_sent_to(call: RelayedCall) -> None:
    await call.browser.check()
    call.key_browser()
    call.set_payloads(PAYLOADS, PAYLOADS)
    await call.counters()
    call.trunk.send_media(packets.rtp(1))
    call.trunk.send_rtcp(packets.receiver_report())
    call.browser.send_media(packets.rtp(1))
    counters = await call.until(lambda c: c.unkeyed_dropped == 3)
    assert counters.trunk_tx == counters.browser_tx == counters.rtcp_tx == 0


@pytest.mark.parametrize("suite", EVERY_SUITE, ids=lambda s: s.name)
async def test_before_its_keys_a_keyed_trunk_leg_sends_and_takes_nothing(call: RelayedCall, suite: object) -> None:
    await call.browser.check()
    call.key_browser()
    call.signal_trunk(keyed=True)
    call.set_payloads(PAYLOADS, {8: 0})
    await call.counters()
    call.browser.send_media(packets.rtp(1))
    call.trunk.send_media(_from_trunk(1))
    await call.until(lambda c: c.unkeyed_dropped == 2)
    assert call.trunk.rtp.pending() == call.trunk.rtcp.pending() == []


async def test_plain_media_on_a_keyed_trunk_leg_is_dropped_and_teaches_nothing(call: RelayedCall) -> None:
    await call.connect(suite=SUITE)
    keys, call.trunk.keys = call.trunk.keys, None
    for n in range(5):
        call.trunk.send_media(_from_trunk(n))
    call.trunk.send_rtcp(packets.sender_report())
    counters = await call.until(lambda c: c.srtp_auth_failed == 6)
    assert (counters.trunk_rx, counters.browser_tx, counters.plain_dropped) == (0, 0, 1)
    (rejected,) = [e for e in call.events if isinstance(e, SourceRejected)]
    assert (rejected.leg, rejected.code) == (TRUNK, "media.plain_on_secure")
    assert not any(isinstance(e, MediaStarted) for e in call.events)
    call.trunk.keys = keys
    await _stream_flows(call)


async def test_a_keyed_trunk_leg_never_sends_in_clear(call: RelayedCall) -> None:
    await call.connect(suite=SUITE)
    call.browser.send_media(packets.rtp(1, payload=b"can anybody hear this?"))
    protected = await call.trunk.rtp.receive()
    assert b"can anybody hear this?" not in bytes(protected)


async def test_a_replay_on_the_trunk_leg_is_relayed_once(call: RelayedCall) -> None:
    await call.connect(suite=SUITE)
    assert call.trunk.keys is not None
    packet = call.trunk.keys.protect(_from_trunk(1))
    for _ in range(3):
        call.trunk.rtp.send(packet, call.trunk_rtp)
    counters = await call.until(lambda c: c.srtp_replayed == 2)
    assert counters.browser_tx == 1


async def test_forged_srtp_from_anywhere_is_dropped_es2025_01(call: RelayedCall) -> None:
    await call.connect(suite=SUITE)
    attacker = call.peer(ATTACKER)
    forger = Keys(SUITE)
    for n in range(5):
        attacker.send(forger.protect(_from_trunk(n)), call.trunk_rtp)
    counters = await call.until(lambda c: c.srtp_auth_failed == 5)
    assert counters.browser_tx == 0
    await _stream_flows(call)
    assert attacker.pending() == []


async def test_authenticated_media_from_another_address_does_not_move_the_return_address_at_once(
    call: RelayedCall,
) -> None:
    await call.connect(suite=SUITE)
    assert call.trunk.keys is not None
    other = call.peer(TRUNK_HOST)
    for n in range(20):
        other.send(call.trunk.keys.protect(_from_trunk(n)), call.trunk_rtp)
    assert await call.browser.receive_media() == packets.rtp(0)
    await call.until(lambda c: c.trunk_rx == 20)
    call.browser.send_media(packets.rtp(1))
    assert await call.trunk.receive_media() == packets.rtp(1, payload_type=8)
    assert other.pending() == []


async def test_a_leg_that_turns_plain_by_command_is_plain_and_says_so(call: RelayedCall) -> None:
    await call.connect(suite=SUITE)
    await _stream_flows(call)
    call.trunk.keys = None
    call.signal_trunk(keyed=False)
    await call.counters()
    await _stream_flows(call, 501)
    await call.counters()  # the report comes behind every event of before
    assert [e.leg for e in call.events if isinstance(e, MediaStarted)].count(TRUNK) == 2


async def test_payload_types_are_mapped_both_ways(call: RelayedCall) -> None:
    await call.connect()
    for n, (here, there) in enumerate(PAYLOADS.items()):
        call.browser.send_media(packets.rtp(n, payload_type=here))
        assert await call.trunk.receive_media() == packets.rtp(n, payload_type=there)
        call.trunk.send_media(packets.rtp(n, payload_type=there))
        assert await call.browser.receive_media() == packets.rtp(n, payload_type=here)


async def test_a_payload_type_that_was_not_agreed_is_dropped_and_counted(call: RelayedCall) -> None:
    await call.connect()
    call.browser.send_media(packets.rtp(1, payload_type=13))
    call.trunk.send_media(packets.rtp(1, payload_type=13))
    await call.until(lambda c: c.unmapped_dropped == 2)
    assert call.trunk.rtp.pending() == call.browser.pending() == []


async def test_a_payload_type_that_would_read_as_rtcp_is_never_mapped(call: RelayedCall) -> None:
    await call.connect()
    call.set_payloads({0: 72}, {8: 72})
    await call.counters()
    call.browser.send_media(packets.rtp(1))
    call.trunk.send_media(_from_trunk(1))
    await call.until(lambda c: c.unmapped_dropped == 2)


async def test_header_extensions_do_not_reach_the_trunk(call: RelayedCall) -> None:
    await call.connect()
    call.browser.send_media(packets.rtp(1, csrc=(3,), extension=b"\x10\x85\x00\x00"))
    assert await call.trunk.receive_media() == packets.rtp(1, payload_type=8, csrc=(3,))


async def test_hold_stops_rtp_per_direction_and_rtcp_is_heard_on(call: RelayedCall) -> None:
    await call.connect()
    call.set_direction(to_trunk=False, to_browser=True)
    await call.counters()
    call.browser.send_media(packets.rtp(1))
    call.trunk.send_media(_from_trunk(1))
    assert await call.browser.receive_media() == packets.rtp(1)
    call.set_direction(to_trunk=True, to_browser=False)
    await call.counters()
    call.trunk.send_media(_from_trunk(2))
    call.browser.send_media(packets.rtp(2))
    assert await call.trunk.receive_media() == packets.rtp(2, payload_type=8)
    assert (await call.until(lambda c: c.held_dropped == 2)).browser_tx == 1
    call.trunk.send_rtcp(packets.receiver_report())
    await call.until(lambda c: c.rtcp_rx == 1)


async def test_srtp_survives_a_hold_because_held_packets_are_still_authenticated(call: RelayedCall) -> None:
    await call.connect(suite=SUITE)
    call.set_direction(to_trunk=False, to_browser=False)
    await call.counters()
    # The sequence number wraps during the hold; the context must have seen it.
    for n in range(0x7000, 0x18000, 0x4000):
        call.trunk.send_media(_from_trunk(n))
    await call.until(lambda c: c.held_dropped == 5)
    call.set_direction(to_trunk=True, to_browser=True)
    await call.counters()
    call.trunk.send_media(_from_trunk(0x17001))
    assert await call.browser.receive_media() == packets.rtp(0x17001)


@pytest.mark.parametrize(
    ("datagram", "counter"),
    [
        (b"", "empty_dropped"),
        (b"\x80" + bytes(1999), "oversize_dropped"),
        (b"\x80\x08", "malformed_dropped"),
        (b"\x80\x08" + bytes(8), "malformed_dropped"),
        (b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12), "malformed_dropped"),
        (b"\x9f\x08" + bytes(30), "malformed_dropped"),
    ],
)
async def test_what_is_no_rtp_is_dropped_and_counted(call: RelayedCall, datagram: bytes, counter: str) -> None:
    await call.connect()
    call.trunk.rtp.send(datagram, call.trunk_rtp)
    await call.until(lambda c: getattr(c, counter) == 1)
    call.trunk.rtcp.send(b"", call.trunk_rtcp)
    call.trunk.rtcp.send(bytes(2000), call.trunk_rtcp)
    await call.until(lambda c: c.empty_dropped >= 1 and c.oversize_dropped >= 1)
    await _stream_flows(call)


async def test_a_packet_too_long_to_be_protected_is_dropped(call: RelayedCall) -> None:
    await call.connect()
    call.trunk.send_media(packets.rtp(1, payload_type=8, payload=bytes(1400)))
    await call.until(lambda c: c.srtp_unsendable == 1)
    await _stream_flows(call)


@pytest.mark.parametrize(
    "rtp", [HostPort("0.0.0.0", 4000), HostPort("224.0.0.1", 4000), HostPort("::1", 4000), HostPort("127.0.0.1", 65535)]
)
async def test_an_address_that_cannot_be_sent_to_harms_nothing(call: RelayedCall, rtp: HostPort) -> None:
    await call.connect()
    call.relay.send(SetPeer(TRUNK, False, rtp))
    await call.counters()
    call.browser.send_media(packets.rtp(1))
    await call.until(lambda c: c.unsent + c.trunk_tx == 1)
    call.signal_trunk()
    await call.counters()
    await _stream_flows(call)


async def test_a_name_is_no_media_address(call: RelayedCall) -> None:
    with pytest.raises(MediaError):
        call.relay.send(SetPeer(TRUNK, False, HostPort("pbx.example.com", 4000)))


@pytest.mark.parametrize("sources", [("not a network",), ("192.0.2.1/8",)])
async def test_a_bad_network_is_refused_and_changes_nothing(call: RelayedCall, sources: tuple[str, ...]) -> None:
    await call.connect()
    call.signal_trunk(sources=sources)
    assert (await call.event(CommandRefused)).reason == "bad_address"
    await _stream_flows(call)


async def test_a_port_out_of_range_is_refused(call: RelayedCall) -> None:
    call.relay.send(SetPeer(TRUNK, False, HostPort("127.0.0.1", 0)))
    assert (await call.event(CommandRefused)).reason == "bad_address"
