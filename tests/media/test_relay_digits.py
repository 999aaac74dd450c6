"""Digits in a worker process: played by its own clock, while everything else flows."""

from __future__ import annotations

import pytest

from gateway.base.crypto_suite import AES_CM_128_HMAC_SHA1_80
from gateway.base.values import Secret
from gateway.media.relay_commands import EventFormat, PayloadMap, PlayDigit, RelayPlan, Route
from gateway.media.relay_events import DigitHeard
from tests.media import packets
from tests.media.keypad import Keypad
from tests.media.packets import Relayed, payload_type
from tests.media.peers import BROWSER, TRUNK, RelayedCall

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVENTS = (EventFormat(101),)
PCMU = (PayloadMap(0, 0),)


async def until_it_ends(call: RelayedCall) -> list[Relayed]:
    """What the trunk is sent of a digit, to its third end."""
    found: list[Relayed] = []
    while sum(packet[13] >> 7 for packet in found) < 3:
        packet = await call.trunk.receive_media()
        found += [packet] if payload_type(packet) == 101 else []
    return found


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
async def test_a_worker_plays_a_digit_by_its_own_clock_and_relays_the_other_way_meanwhile(
    call: RelayedCall, keyed: bool
) -> None:
    await call.connect(suite=AES_CM_128_HMAC_SHA1_80 if keyed else None)
    call.relay.send(Route(BROWSER, TRUNK, RelayPlan(PCMU, heard=EVENTS, events=EVENTS)))
    call.relay.send(PlayDigit(TRUNK, Secret("7"), 200))
    await call.counters()
    for n in range(5):  # nothing waits for the end of the digit
        call.trunk.send_media(packets.rtp(n, payload_type=8))
        assert await call.browser.receive_media() == packets.rtp(n, payload_type=0)
    digit = await until_it_ends(call)
    assert {packet[12] for packet in digit} == {7}
    assert int.from_bytes(digit[-1][14:16]) == 1600
    assert len(digit) >= 8, "it is woken for its updates, every 20 ms"
    assert len({packet[4:12] for packet in digit}) == 1, "one timestamp, one SSRC"
    numbers = [int.from_bytes(packet[2:4]) for packet in digit]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert (await call.counters()).digits_dropped == 0


async def test_a_worker_tells_a_digit_that_nobody_takes_as_an_event(call: RelayedCall) -> None:
    await call.connect()
    call.relay.send(Route(BROWSER, TRUNK, RelayPlan(PCMU, heard=EVENTS, tells_digits=True)))
    await call.counters()
    for _, packet in Keypad(began=0.0).press("#", 0.1, 1.0):
        call.browser.send_media(packet)
    told = await call.event(DigitHeard)
    assert (told.leg, told.digit.reveal(), told.milliseconds) == (BROWSER, "#", 100)


async def test_a_digit_for_a_leg_without_events_is_counted_and_refuses_nobody(call: RelayedCall) -> None:
    await call.connect()
    call.relay.send(PlayDigit(TRUNK, Secret("1"), 100))  # its route has no events
    assert (await call.counters()).digits_dropped == 1
    call.browser.send_media(packets.rtp(1, payload_type=0))
    assert await call.trunk.receive_media() == packets.rtp(1, payload_type=8)
