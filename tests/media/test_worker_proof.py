"""What the packets of a keyed leg prove: keys that work, keys that do not, and plain RTP where SRTP was agreed."""

from __future__ import annotations

import secrets
import struct

import pytest

from gateway.base.crypto_suite import SUITES, CryptoSuite
from gateway.media.relay_events import LegVerified, MediaMismatch, MediaStarted
from gateway.media.worker import rtcp
from gateway.media.worker.proof import CONFIRM_SECONDS, MIN_FAILED, MISMATCH_SECONDS, Finding, Proof
from tests.media import packets
from tests.media.peers import ATTACKER, BROWSER, TRUNK, Keys, RelayedCall

OPUS = 111


def _keyed() -> Proof:
    proof = Proof()
    proof.begin()
    return proof


def _opus(n: int, size: int = 60) -> bytes:
    return packets.rtp(n, payload_type=OPUS, payload=b"\x78" + secrets.token_bytes(size + n % 7))


def _sealed(packet: bytes, keys: Keys) -> bytes:
    return keys.protect(packet)


def _fail(proof: Proof, kind: str, suite: CryptoSuite, count: int = 20) -> None:
    keys = Keys(suite)
    for n in range(count):
        plain = _opus(n) if "opus" in kind else packets.rtp(n, payload_type=8 if "PCMA" in kind else 0)
        if "report" in kind:
            plain = packets.sender_report()
        proof.failed(plain if kind.startswith("plain") else _sealed(plain, keys), "report" in kind, 100.0 + n)


@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
@pytest.mark.parametrize("kind", ["PCMU", "PCMA", "opus", "report"])
@pytest.mark.parametrize("how", ["plain", "other key"])
def test_packets_that_never_authenticate_are_told_and_what_they_are(how: str, kind: str, suite: CryptoSuite) -> None:
    proof = _keyed()
    _fail(proof, f"{how} {kind}", suite)
    assert proof.tick(100.0 + MISMATCH_SECONDS - 0.1) is None
    assert proof.tick(100.0 + MISMATCH_SECONDS) is (Finding.PLAIN if how == "plain" else Finding.OTHER_KEY)
    assert proof.tick(1000.0) is None, "once"


def test_a_few_stragglers_and_silence_are_no_mismatch() -> None:
    proof = _keyed()
    _fail(proof, "other key PCMU", SUITES[0], MIN_FAILED - 1)
    assert proof.tick(1000.0) is None
    assert _keyed().tick(1000.0) is None


def test_one_packet_that_authenticates_in_time_and_there_is_no_mismatch() -> None:
    proof = _keyed()
    _fail(proof, "other key PCMU", SUITES[0])
    proof.opened(105.0)
    assert not proof.is_awaited
    proof.opened(105.1)
    assert proof.tick(111.0) is None


def test_a_report_of_the_peer_confirms_and_without_one_the_other_direction_stays_unconfirmed() -> None:
    proof = _keyed()
    wanted = [proof.wants_report]
    proof.opened(100.0)
    wanted.append(proof.wants_report)
    assert proof.reported() is Finding.CONFIRMED
    wanted.append(proof.wants_report)
    assert wanted == [False, True, False]
    assert proof.tick(1000.0) is None
    proof.begin()
    proof.opened(200.0)
    assert proof.tick(200.0 + CONFIRM_SECONDS - 0.1) is None
    assert proof.tick(200.0 + CONFIRM_SECONDS) is Finding.UNCONFIRMED
    assert proof.tick(1000.0) is None


def test_after_a_mismatch_the_first_packet_that_authenticates_is_news_and_is_verified() -> None:
    proof = _keyed()
    _fail(proof, "plain PCMU", SUITES[0])
    assert proof.tick(120.0) is Finding.PLAIN
    assert proof.is_awaited
    proof.opened(130.0)
    assert proof.tick(130.0 + CONFIRM_SECONDS) is Finding.UNCONFIRMED


def test_new_keys_are_proved_anew_and_a_plain_leg_proves_nothing() -> None:
    proof = _keyed()
    proof.opened(100.0)
    proof.begin()
    _fail(proof, "other key opus", SUITES[0])
    assert proof.tick(200.0) is Finding.OTHER_KEY
    proof.stop()
    _fail(proof, "plain PCMU", SUITES[0])
    assert proof.tick(1000.0) is None


def test_short_and_broken_packets_are_no_evidence_and_no_error() -> None:
    proof = _keyed()
    for n in range(50):
        proof.failed(b"\x8f\x00" + bytes(10), False, 100.0 + n)
        proof.failed(b"\x90\x00" + bytes(10) + b"\xbe\xde\xff\xff", False, 100.0)
    assert proof.tick(200.0) is Finding.OTHER_KEY, "not readable, so not called plain"


def report_on(ssrc: int, sender: int = 0x1111) -> bytes:
    return struct.pack("!BBHI", 0x81, 201, 7, sender) + struct.pack("!IIIIII", ssrc, 0, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("packet", "found"),
    [
        (report_on(7), True),
        (report_on(8), False),
        (packets.receiver_report(7), False),
        (struct.pack("!BBHI", 0x81, 200, 12, 1) + bytes(20) + struct.pack("!IIIIII", 7, 0, 1, 0, 0, 0), True),
        (struct.pack("!BBHI", 0x9F, 201, 1, 7), False),
        (report_on(7)[:-1], False),
        (b"", False),
    ],
)
def test_only_a_report_block_about_our_stream_is_a_report_on_it(packet: bytes, found: bool) -> None:
    assert rtcp.reports_on(rtcp.split(packet) or (), 7) is found


@pytest.mark.asyncio(loop_scope="session")
async def test_a_keyed_call_is_verified_when_the_peer_reports_on_what_it_received(call: RelayedCall) -> None:
    await call.connect(suite=SUITES[0])
    call.trunk.send_media(packets.rtp(1, payload_type=8))
    assert await call.browser.receive_media() == packets.rtp(1)
    call.browser.send_media(packets.rtp(1))
    ours = struct.unpack_from("!I", bytes(await call.trunk.receive_media()), 8)[0]
    call.trunk.send_rtcp(report_on(ours ^ 1))
    call.trunk.send_rtcp(report_on(ours))
    verified = await call.event(LegVerified)
    assert (verified.leg, verified.confirmed) == (TRUNK, True)
    assert len([e for e in call.events if isinstance(e, LegVerified)]) == 1


@pytest.mark.asyncio(loop_scope="session")
async def test_a_peer_under_another_key_is_told_and_a_stranger_is_not(call: RelayedCall) -> None:
    await call.connect(suite=SUITES[0])
    own, other = call.trunk.keys, Keys(SUITES[0])

    def told() -> set[tuple[int, str]]:
        return {(event.leg, event.code) for event in call.events if isinstance(event, MediaMismatch)}

    stranger = call.peer(ATTACKER)
    for n in range(20):
        stranger.send(packets.rtp(n, payload_type=8), call.trunk_rtp)
    call.trunk.keys = other
    for n in range(20):
        call.trunk.send_media(packets.rtp(n, payload_type=8))
        call.browser.send(packets.rtp(n), call.browser.server)
    await call.event(MediaMismatch, MISMATCH_SECONDS + 10.0)
    await call.until(lambda _: len(told()) == 2)
    assert told() == {(TRUNK, "media.key_mismatch"), (BROWSER, "media.plain_on_secure")}
    call.trunk.keys = own
    call.trunk.send_media(packets.rtp(100, payload_type=8))
    assert (await call.event(MediaStarted)).leg == TRUNK
