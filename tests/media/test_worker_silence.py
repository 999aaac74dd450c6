"""A trunk that falls silent, as the relay sees it: RTP and RTCP are both life, junk and strangers are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80
from gateway.base.values import LegId
from gateway.media.relay_client import RelayPool
from gateway.media.relay_events import Event, LegHeard, LegSilent
from gateway.media.worker.reports import Reports
from tests.media import packets
from tests.media.peers import ATTACKER, BROWSER, TRUNK, RelayedCall, media, new_call, running_pool

SECONDS = 20.0
LEG = LegId(7)


class Told:
    """Reports whose events are kept."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reports = Reports(LEG, self.events.append)

    def tick(self, now: float) -> list[Event]:
        self.events.clear()
        self.reports.tick(now, SECONDS)
        return list(self.events)


def test_a_trunk_nobody_described_is_not_expected_to_speak() -> None:
    told = Told()
    assert [told.tick(now) for now in (10.0, 1000.0)] == [[], []]


def test_a_described_trunk_that_says_nothing_is_silent_once() -> None:
    told = Told()
    told.reports.expected(100.0)
    assert told.tick(119.9) == []
    assert told.tick(120.0) == [LegSilent(LEG)]
    assert told.tick(500.0) == []


def test_each_packet_starts_the_time_anew_and_the_first_after_silence_is_told() -> None:
    told = Told()
    told.reports.expected(100.0)
    told.reports.heard = True
    told.tick(115.0)
    assert told.tick(134.9) == []
    assert told.tick(135.0) == [LegSilent(LEG)]
    told.reports.heard = True
    assert told.tick(136.0) == [LegHeard(LEG)]
    assert told.tick(155.9) == []
    assert told.tick(156.0) == [LegSilent(LEG)]


def test_a_new_description_gives_the_trunk_its_time_again() -> None:
    told = Told()
    told.reports.expected(100.0)
    told.reports.expected(119.0)
    assert told.tick(130.0) == []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def impatient() -> AsyncIterator[RelayPool]:
    async with running_pool(media(first_port=10060, trunk_ports=(28100, 28159)), silence_seconds=0.4) as pool:
        yield pool


def _silences(call: RelayedCall) -> list[type[Event]]:
    return [type(e) for e in call.events if isinstance(e, LegSilent | LegHeard) and e.leg == TRUNK]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
async def test_rtcp_alone_keeps_a_muted_trunk_alive_and_junk_does_not(impatient: RelayPool, keyed: bool) -> None:
    async with new_call(impatient) as call:
        call.browser.server = call.browser.server.__class__(call.browser.server.host, 10060)
        await call.connect(suite=AES_CM_128_HMAC_SHA1_80 if keyed else None)
        for _ in range(12):
            call.trunk.send_rtcp(packets.receiver_report())
            await asyncio.sleep(0.1)
        assert _silences(call) == []
        stranger = call.peer(ATTACKER)
        async with asyncio.timeout(10.0):
            while not _silences(call):
                stranger.send(packets.rtp(1, payload_type=8), call.trunk_rtp)
                call.trunk.rtp.send(b"\x80\x08junk", call.trunk_rtp)
                await asyncio.sleep(0.02)
        call.trunk.send_media(packets.rtp(1, payload_type=8))
        assert (await call.event(LegHeard)).leg == TRUNK
        assert _silences(call)[:2] == [LegSilent, LegHeard]


@pytest.mark.asyncio(loop_scope="session")
async def test_comfort_noise_held_audio_and_reports_are_life_on_either_leg_and_a_browser_is_expected_from_its_keys_on(
    impatient: RelayPool,
) -> None:
    """A muted browser sends reports, a phone with silence suppression now and then a packet nobody agreed on."""
    async with new_call(impatient) as call:
        call.browser.server = call.browser.server.__class__(call.browser.server.host, 10060)
        await call.browser.check()
        await asyncio.sleep(0.8)
        assert [e for e in call.events if isinstance(e, LegSilent)] == [], "nothing was agreed with anybody yet"
        await call.connect()
        numbers = iter(range(1000))
        for payload_type in (13, 8):
            for _ in range(7):
                call.trunk.send_media(packets.rtp(next(numbers), payload_type=payload_type))
                call.browser.send_media(packets.receiver_report())
                await asyncio.sleep(0.1)
            call.set_direction(to_trunk=True, to_browser=False)  # the second sign comes against the direction
        assert [e for e in call.events if isinstance(e, LegSilent)] == []
        await call.until(lambda _: {e.leg for e in call.events if isinstance(e, LegSilent)} == {BROWSER, TRUNK})
        call.browser.send_media(packets.rtp(1, payload_type=0))
        assert (await call.event(LegHeard)).leg == BROWSER
