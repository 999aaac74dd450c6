"""The keys of an issuer at hand: asked for seldom, replaced in time, and given up when nobody confirms them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.base.counters import Counter, Counters
from gateway.tokens.issuer import Issuer
from gateway.tokens.keys import KeyRing, KeysError
from gateway.tokens.rings import ASK_AGAIN_SECONDS, MAX_AGE_SECONDS, REFRESH_SECONDS, KeyRings
from tests.rig.issuing import AUDIENCE, ISSUER, ec_jwk, jwks

pytestmark = pytest.mark.asyncio
WHO = Issuer(ISSUER, AUDIENCE, "https://login.example.test/keys", ISSUER)


class Place:
    """An issuer whose keys a test says, and a clock."""

    def __init__(self, *kids: str) -> None:
        self.kids, self.now, self.asked, self.down = kids, 1000.0, 0, False
        self.counters = Counters()
        self.rings = KeyRings((WHO,), self.counters, lambda: self.now, self.read)

    async def read(self, issuer: Issuer) -> KeyRing:
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise KeysError("not today")
        return KeyRing.parse(jwks(*[ec_jwk(kid) for kid in self.kids]))

    def knows(self, kid: str) -> bool:
        return self.rings.find(ISSUER, kid, "ES256") is not None

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def started(*kids: str) -> Place:
    place = Place(*kids)
    place.rings.start()
    await place.settle()
    return place


async def test_keys_are_read_at_start_and_not_for_each_token() -> None:
    place = await started("a")
    assert all(place.knows("a") for _ in range(100))
    assert place.asked == 1


async def test_a_new_key_is_asked_for_once_in_a_while_whatever_tokens_say() -> None:
    place = await started("a")
    place.now += ASK_AGAIN_SECONDS
    place.kids = ("a", "b")
    task = place.rings.news(ISSUER)
    assert task is not None
    await task
    assert place.knows("b")
    for _ in range(1000):
        assert place.rings.news(ISSUER) is None
    assert place.asked == 2


async def test_a_key_that_was_taken_back_is_gone_soon_after() -> None:
    place = await started("a", "b")
    place.kids = ("b",)
    place.now += REFRESH_SECONDS + 1
    assert place.knows("a"), "those at hand are used while the others are being read"
    await place.settle()
    assert not place.knows("a")


async def test_an_issuer_that_is_down_locks_nobody_out_for_an_hour_and_then_everybody() -> None:
    place = await started("a")
    place.down = True
    place.now += MAX_AGE_SECONDS - 1
    assert place.knows("a")
    await place.settle()
    assert place.counters[Counter.ISSUER_KEYS_FAILED] == 1
    place.now += 2
    assert not place.knows("a")
    assert not place.rings.has_keys(ISSUER)


async def test_an_issuer_that_is_down_at_start_is_asked_again() -> None:
    place = Place("a")
    place.down = True
    place.rings.start()
    await place.settle()
    assert not place.knows("a")
    place.down = False
    place.now += ASK_AGAIN_SECONDS
    assert not place.knows("a")
    await place.settle()
    assert place.knows("a")


async def test_who_comes_while_keys_are_read_waits_for_that_reading() -> None:
    place = Place("a")
    place.rings.start()
    first, second = place.rings.news(ISSUER), place.rings.news(ISSUER)
    assert first is second
    assert first is not None
    await first
    assert place.asked == 1


async def test_nothing_is_read_any_more_when_the_gateway_has_stopped() -> None:
    place = Place("a")
    place.rings.start()
    await place.rings.stop()
    assert not place.rings.has_keys(ISSUER)
