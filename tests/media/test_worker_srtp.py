"""SRTP through the one adapter: suites, contexts, replay, bounds."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.crypto_suite import EVERY_SUITE, SUITES, CryptoSuite
from gateway.base.values import Secret
from gateway.media.worker import srtp
from gateway.media.worker.libsrtp import MAX_PACKET
from gateway.media.worker.srtp import (
    MAX_KEPT_KEYS,
    MAX_SEARCHES,
    MAX_SOURCES,
    REKEY_GRACE_SECONDS,
    LegKeys,
    SrtpFailure,
    SrtpReceiver,
    SrtpSender,
    find_suite,
)
from tests.media import packets

SUITE = SUITES[0]


def _key(suite: CryptoSuite = SUITE) -> Secret[bytes]:
    return Secret(os.urandom(suite.master_length))


def _pair(suite: CryptoSuite = SUITE) -> tuple[SrtpSender, SrtpReceiver]:
    key = _key(suite)
    return SrtpSender(suite, key), SrtpReceiver(suite, key)


def _protect(sender: SrtpSender, packet: bytes, rtcp: bool = False) -> bytes:
    result = sender.protect(packet, rtcp)
    assert isinstance(result, bytes)
    return result


every_suite = pytest.mark.parametrize("suite", EVERY_SUITE, ids=lambda s: s.name)


@every_suite
def test_what_is_protected_is_unprotected(suite: CryptoSuite) -> None:
    sender, receiver = _pair(suite)
    protected = _protect(sender, packets.rtp(1))
    assert len(protected) == len(packets.rtp(1)) + suite.tag_bits // 8
    assert receiver.unprotect(protected, False) == packets.rtp(1)
    assert receiver.unprotect(_protect(sender, packets.receiver_report(), True), True) == packets.receiver_report()


@every_suite
def test_a_replay_is_told_from_a_forgery(suite: CryptoSuite) -> None:
    sender, receiver = _pair(suite)
    first = _protect(sender, packets.rtp(1))
    report = _protect(sender, packets.receiver_report(), True)
    receiver.unprotect(first, False)
    receiver.unprotect(report, True)
    assert receiver.unprotect(first, False) is SrtpFailure.REPLAYED
    assert receiver.unprotect(report, True) is SrtpFailure.REPLAYED
    forged = bytearray(_protect(sender, packets.rtp(2)))
    forged[20] ^= 1
    assert receiver.unprotect(bytes(forged), False) is SrtpFailure.FORGED


@every_suite
def test_plain_packets_are_forgeries(suite: CryptoSuite) -> None:
    _, receiver = _pair(suite)
    assert receiver.unprotect(packets.rtp(1), False) is SrtpFailure.FORGED
    assert receiver.unprotect(packets.receiver_report(), True) is SrtpFailure.FORGED
    assert receiver.unprotect(packets.sender_report(), True) is SrtpFailure.FORGED


def test_a_packet_older_than_the_window_is_a_replay() -> None:
    sender, receiver = _pair()
    old = _protect(sender, packets.rtp(1))
    for n in range(2, 132):
        receiver.unprotect(_protect(sender, packets.rtp(n)), False)
    assert receiver.unprotect(old, False) is SrtpFailure.REPLAYED


def test_reordered_packets_inside_the_window_are_taken() -> None:
    sender, receiver = _pair()
    protected = [_protect(sender, packets.rtp(n)) for n in range(1, 100)]
    assert all(isinstance(receiver.unprotect(p, False), bytes) for p in reversed(protected))


def test_every_source_of_a_key_is_heard_and_earlier_ones_still_are() -> None:
    """A PBX takes a new SSRC at every change of source: hold music, announcement, transfer."""
    sender, receiver = _pair()
    for n in range(90):
        assert receiver.unprotect(_protect(sender, packets.rtp(1, ssrc=n)), False) == packets.rtp(1, ssrc=n)
    for n in range(90):
        assert receiver.unprotect(_protect(sender, packets.rtp(2, ssrc=n)), False) == packets.rtp(2, ssrc=n)


def test_only_a_packet_that_authenticates_makes_a_context() -> None:
    sender, receiver = _pair()
    forger = SrtpSender(SUITE, _key())
    for n in range(3 * MAX_SOURCES):
        assert receiver.unprotect(_protect(forger, packets.rtp(1, ssrc=n)), False) is SrtpFailure.FORGED
    assert not receiver._sources
    assert not receiver._retired
    assert isinstance(receiver.unprotect(_protect(sender, packets.rtp(1)), False), bytes)


@pytest.fixture
def few_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srtp, "MAX_SOURCES", 8)


@pytest.mark.usefixtures("few_sources")
def test_the_source_silent_for_longest_makes_room_and_cannot_be_replayed() -> None:
    sender, receiver = _pair()
    sealed = [_protect(sender, packets.rtp(1, ssrc=n)) for n in range(12)]
    report = _protect(sender, packets.receiver_report(0), True)
    assert isinstance(receiver.unprotect(report, True), bytes)
    for packet in sealed:
        assert isinstance(receiver.unprotect(packet, False), bytes)
    for packet in sealed:
        assert receiver.unprotect(packet, False) is SrtpFailure.REPLAYED
    assert receiver.unprotect(report, True) is SrtpFailure.REPLAYED
    assert receiver.unprotect(_protect(sender, packets.rtp(2, ssrc=0)), False) is SrtpFailure.REPLAYED
    assert isinstance(receiver.unprotect(_protect(sender, packets.rtp(2, ssrc=11)), False), bytes)
    receiver._retired.clear()
    assert isinstance(receiver.unprotect(sealed[0], False), bytes), "the library has let go of it: only we remember"


@pytest.mark.usefixtures("few_sources")
def test_a_source_that_goes_on_keeps_its_context_however_many_come_and_go() -> None:
    sender, receiver = _pair()
    for n in range(40):
        assert isinstance(receiver.unprotect(_protect(sender, packets.rtp(n, ssrc=7)), False), bytes)
        assert isinstance(receiver.unprotect(_protect(sender, packets.rtp(1, ssrc=100 + n)), False), bytes)
    assert len(receiver._sources) == 8


@pytest.mark.usefixtures("few_sources")
def test_when_the_memory_of_retired_sources_is_full_no_new_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srtp, "MAX_RETIRED", 4)
    sender, receiver = _pair()
    for n in range(12):
        assert isinstance(receiver.unprotect(_protect(sender, packets.rtp(1, ssrc=n)), False), bytes)
    assert receiver.unprotect(_protect(sender, packets.rtp(1, ssrc=99)), False) is SrtpFailure.TOO_MANY_SOURCES
    assert isinstance(receiver.unprotect(_protect(sender, packets.rtp(2, ssrc=11)), False), bytes)


def test_an_index_is_never_sent_twice() -> None:
    sender, _ = _pair()
    _protect(sender, packets.rtp(1))
    assert sender.protect(packets.rtp(1, payload=b"other"), False) is SrtpFailure.UNSENDABLE


def test_what_the_library_cannot_carry_is_unsendable() -> None:
    sender, _ = _pair()
    assert isinstance(sender.protect(packets.rtp(1, payload=bytes(MAX_PACKET - 12)), False), bytes)
    assert sender.protect(packets.rtp(2, payload=bytes(MAX_PACKET - 11)), False) is SrtpFailure.UNSENDABLE
    assert sender.protect(b"\x80\xc9", True) is SrtpFailure.UNSENDABLE


@settings(deadline=None)
@given(st.binary(max_size=1600), st.booleans())
def test_any_octets_fail_as_a_value(data: bytes, rtcp: bool) -> None:
    assert isinstance(_RECEIVER.unprotect(data, rtcp), SrtpFailure)
    assert isinstance(_SENDER.protect(data, rtcp), bytes | SrtpFailure)


_SENDER, _RECEIVER = SrtpSender(SUITE, _key()), SrtpReceiver(SUITE, _key())


def test_only_suites_of_the_table_with_keys_of_their_length_are_used() -> None:
    assert find_suite(SUITE.name, _key(), _key()) is SUITE
    assert find_suite("NULL_HMAC_SHA1_80", Secret(bytes(30)), Secret(bytes(30))) is None
    assert find_suite(SUITE.name, _key(), Secret(bytes(43))) is None
    assert find_suite(SUITE.name, Secret(bytes(45)), _key()) is None


def test_before_its_keys_a_leg_opens_nothing() -> None:
    keys = LegKeys()
    assert not keys.ready
    assert keys.sender is None
    assert keys.unprotect(packets.rtp(1), False, 0.0) is SrtpFailure.FORGED


def test_the_same_key_again_keeps_the_context_and_its_replay_window() -> None:
    keys, tx, rx = LegKeys(), _key(), _key()
    keys.install(SUITE, tx, rx, 0.0)
    peer = SrtpSender(SUITE, rx)
    # The sequence number wraps: a context that started anew would not know the roll-over counter.
    for n in range(0xFFF0, 0x10010):
        packet = _protect(peer, packets.rtp(n))
        assert isinstance(keys.unprotect(packet, False, 0.0), bytes)
    sender = keys.sender
    assert not keys.install(SUITE, Secret(tx.reveal()), Secret(rx.reveal()), 1.0)
    assert keys.sender is sender
    assert keys.unprotect(packet, False, 1.0) is SrtpFailure.REPLAYED
    assert isinstance(keys.unprotect(_protect(peer, packets.rtp(0x10010)), False, 100.0), bytes)


def test_a_new_receiving_key_does_not_restart_the_sending_one() -> None:
    keys, tx = LegKeys(), _key()
    assert keys.install(SUITE, tx, _key(), 0.0), "another key than before is sent with"
    assert keys.sender is not None
    _protect(keys.sender, packets.rtp(1))
    assert not keys.install(SUITE, tx, _key(), 1.0)
    assert keys.sender is not None
    assert keys.sender.protect(packets.rtp(1), False) is SrtpFailure.UNSENDABLE


def test_packets_under_the_previous_key_are_taken_for_a_short_while() -> None:
    keys, old = LegKeys(), _key()
    keys.install(SUITE, _key(), old, 0.0)
    keys.install(SUITE, _key(), _key(), 10.0)
    peer = SrtpSender(SUITE, old)
    assert isinstance(keys.unprotect(_protect(peer, packets.rtp(1)), False, 10.0 + REKEY_GRACE_SECONDS - 0.1), bytes)
    late = keys.unprotect(_protect(peer, packets.rtp(2)), False, 10.0 + REKEY_GRACE_SECONDS)
    assert late is SrtpFailure.FORGED


def test_going_back_to_an_earlier_key_does_not_restart_its_packet_index() -> None:
    keys, first = LegKeys(), _key()
    keys.install(SUITE, first, _key(), 0.0)
    assert keys.sender is not None
    _protect(keys.sender, packets.rtp(1))
    for _ in range(MAX_KEPT_KEYS - 1):
        keys.install(SUITE, _key(), _key(), 1.0)
    keys.install(SUITE, first, _key(), 2.0)
    assert keys.sender is not None
    assert keys.sender.protect(packets.rtp(1, payload=b"other"), False) is SrtpFailure.UNSENDABLE


def test_the_number_of_kept_keys_is_bounded() -> None:
    keys = LegKeys()
    for _ in range(3 * MAX_KEPT_KEYS):
        keys.install(SUITE, _key(), _key(), 0.0)
    assert len(keys._senders) == len(keys._receivers) == MAX_KEPT_KEYS


def _rekeyed(until: int, key: Secret[bytes], ssrc: int = 0x1111) -> Callable[[int], bytes]:
    """A peer that counted on to there when it took a new key: its packets by extended sequence number."""
    sender = SrtpSender(SUITE, key)
    for n in range(500, until, 0x4000):
        _protect(sender, packets.rtp(n, ssrc=ssrc))
    return lambda n: _protect(sender, packets.rtp(n, ssrc=ssrc))


@pytest.mark.parametrize("rollovers", [0, 1, 2, 66])
@pytest.mark.parametrize("first", [501, 40_000])
def test_a_source_that_keeps_its_roll_over_counter_under_a_new_key_is_heard(rollovers: int, first: int) -> None:
    keys, old, new = LegKeys(), _key(), _key()
    keys.install(SUITE, _key(), old, 0.0)
    keys.unprotect(_protect(SrtpSender(SUITE, old), packets.rtp(7)), False, 0.0)
    keys.install(SUITE, _key(), new, 10.0)
    peer = _rekeyed(rollovers * 0x10000 + first, new)
    # Reports carry their index, so they open at once and say nothing of the counter.
    report = _protect(SrtpSender(SUITE, new), packets.receiver_report(), True)
    assert isinstance(keys.unprotect(report, True, 60.0), bytes)
    sealed = [peer(rollovers * 0x10000 + first + n) for n in range(40)]
    assert all(isinstance(keys.unprotect(packet, False, 60.0), bytes) for packet in sealed)
    assert {keys.unprotect(packet, False, 60.0) for packet in sealed} == {SrtpFailure.REPLAYED}
    assert keys.unprotect(report, True, 60.0) is SrtpFailure.REPLAYED


def test_forgeries_after_a_change_of_key_cost_a_few_searches_only(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[bytes] = []
    look = srtp._rollover

    def counted(trial: SrtpReceiver, packet: bytes, kept: int) -> int | None:
        searched.append(packet)
        return look(trial, packet, kept)

    monkeypatch.setattr(srtp, "_rollover", counted)
    keys, old, new = LegKeys(), _key(), _key()
    keys.install(SUITE, _key(), old, 0.0)
    keys.unprotect(_protect(SrtpSender(SUITE, old), packets.rtp(7)), False, 0.0)
    keys.install(SUITE, _key(), new, 10.0)
    for n in range(3 * MAX_SEARCHES):
        assert keys.unprotect(packets.rtp(n, ssrc=0xBAD), False, 60.0) is SrtpFailure.FORGED
    assert searched == [], "only a source of the previous key is searched for"
    for n in range(3 * MAX_SEARCHES):
        assert keys.unprotect(packets.rtp(n), False, 60.0) is SrtpFailure.FORGED
    assert len(searched) == MAX_SEARCHES
    assert isinstance(keys.unprotect(_protect(SrtpSender(SUITE, new), packets.rtp(9)), False, 60.0), bytes)
    assert keys.unprotect(_rekeyed(3 * 0x10000, new)(3 * 0x10000 + 501), False, 60.0) is SrtpFailure.FORGED
