"""What a real worker tells of packets that are not as they should be on a keyed leg, and of those before the keys."""

from __future__ import annotations

import pytest

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80
from gateway.media.relay_events import MediaMismatch, SourceRejected
from gateway.media.worker.counters import Tally
from gateway.media.worker.packet import Packet
from gateway.media.worker.proof import MIN_MEDIA, SRTCP_SECONDS, Finding, Proof
from gateway.media.worker.protection import MAX_EARLY, MAX_FORGED, Protection
from gateway.media.worker.reports import Reports
from tests.media import packets
from tests.media.peers import BROWSER, TRUNK, RelayedCall

SUITE = AES_CM_128_HMAC_SHA1_80


def rejected(call: RelayedCall, code: str) -> list[SourceRejected]:
    return [e for e in call.events if isinstance(e, SourceRejected) and e.code == code]


def mismatches(call: RelayedCall, code: str) -> list[int]:
    return [e.leg for e in call.events if isinstance(e, MediaMismatch) and e.code == code]


@pytest.mark.asyncio(loop_scope="session")
async def test_rtcp_in_clear_on_a_keyed_leg_is_srtcp_absent_and_told_once(call: RelayedCall) -> None:
    await call.connect(suite=SUITE)
    for _ in range(3):
        call.trunk.rtcp.send(packets.receiver_report(9), call.trunk_rtcp)
    await call.until(lambda c: c.plain_dropped == 3)
    assert mismatches(call, "srtcp.absent") == [TRUNK]
    assert call.browser.pending() == []


@pytest.mark.asyncio(loop_scope="session")
async def test_rtcp_in_clear_from_a_stranger_says_nothing_of_the_peer(call: RelayedCall) -> None:
    await call.connect(suite=SUITE)
    call.peer("127.0.0.9").send(packets.receiver_report(9), call.trunk_rtcp)
    await call.until(lambda c: c.plain_dropped == 1)
    assert mismatches(call, "srtcp.absent") == []
    assert [e.flood for e in rejected(call, "media.plain_on_secure")] == [False]


@pytest.mark.asyncio(loop_scope="session")
async def test_header_extensions_beside_encrypted_media_are_meta_leak_and_not_passed_on(call: RelayedCall) -> None:
    await call.connect(suite=SUITE)
    for number in (1, 2):
        call.trunk.send_media(packets.rtp(number, payload_type=8, extension=b"\x10\x7f\x00\x00"))
        assert await call.browser.receive_media() == packets.rtp(number, payload_type=0)
    await call.counters()  # what was told before has come
    assert mismatches(call, "meta.leak") == [TRUNK]


@pytest.mark.asyncio(loop_scope="session")
async def test_forged_packets_are_told_once_and_once_more_when_they_are_a_flood(call: RelayedCall) -> None:
    await call.connect(suite=SUITE)
    for number in range(3 * MAX_FORGED):
        call.trunk.rtp.send(packets.rtp(number, payload_type=8), call.trunk_rtp)
    await call.until(lambda c: c.srtp_auth_failed == 3 * MAX_FORGED)
    assert [e.flood for e in rejected(call, "media.plain_on_secure")] == [False, True]


@pytest.mark.asyncio(loop_scope="session")
async def test_more_media_before_its_keys_than_their_race_explains_is_early_unkeyed(call: RelayedCall) -> None:
    await call.browser.check()
    for number in range(MAX_EARLY):
        call.browser.send_media(packets.rtp(number))
    await call.until(lambda c: c.unkeyed_dropped == MAX_EARLY)
    assert rejected(call, "early.unkeyed") == []
    call.browser.send_media(packets.rtp(99))
    await call.until(lambda c: c.unkeyed_dropped == MAX_EARLY + 1)
    assert [e.leg for e in rejected(call, "early.unkeyed")] == [BROWSER]


def test_media_without_any_rtcp_is_srtcp_absent_after_a_minute_and_a_thousand_packets() -> None:
    """The row srtcp.absent (silent): time and numbers are passed in."""
    proof = Proof()
    proof.begin()
    proof.opened(100.0)
    assert proof.lacks_srtcp(100.0, 5) is None
    assert proof.lacks_srtcp(100.0 + SRTCP_SECONDS, 5 + MIN_MEDIA - 1) is None, "who is on hold proves nothing"
    assert proof.lacks_srtcp(100.0 + SRTCP_SECONDS - 1, 5 + MIN_MEDIA) is None
    assert proof.lacks_srtcp(100.0 + SRTCP_SECONDS, 5 + MIN_MEDIA) is Finding.NO_SRTCP
    assert proof.lacks_srtcp(1000.0, 9 * MIN_MEDIA) is None, "once"


def test_one_report_that_authenticates_and_srtcp_is_not_absent() -> None:
    proof = Proof()
    proof.begin()
    proof.opened(100.0)
    assert proof.lacks_srtcp(100.0, 0) is None
    proof.has_srtcp = True
    assert proof.lacks_srtcp(1000.0, 9 * MIN_MEDIA) is None
    proof.begin()
    proof.opened(2000.0)
    proof.lacks_srtcp(2000.0, 9 * MIN_MEDIA)
    assert proof.lacks_srtcp(3000.0, 18 * MIN_MEDIA) is Finding.NO_SRTCP, "under new keys everything is proved anew"


def test_a_leg_without_keys_opens_nothing_and_tells_no_flood() -> None:
    told: list[object] = []
    protection = Protection(Tally(), Reports(TRUNK, told.append))
    assert not protection.open(Packet(packets.rtp(1)), ("127.0.0.2", 4002), 0.0)
    assert told == []
