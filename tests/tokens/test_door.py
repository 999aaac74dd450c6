"""Whom a token lets in: the users of the file, or whoever the issuer names; for as long as it lasts."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.counters import Counters
from gateway.base.values import Secret
from gateway.tokens.door import MAX_LIFE_SECONDS, MAX_WAITING, Admitted, Refused, TokenDoor, Waiting
from gateway.tokens.issuer import Issuer
from gateway.tokens.keys import KeyRing, KeysError
from gateway.tokens.rings import ASK_AGAIN_SECONDS, KeyRings
from gateway.tokens.token import Fault
from tests.rig.issuing import AUDIENCE, ISSUER, claims, ec_jwk, ec_key, issue, jwks

pytestmark = pytest.mark.asyncio
WHO = Issuer(ISSUER, AUDIENCE, Path("keys"), ISSUER)
OTHER = replace(WHO, name="https://other.example.test/", anyone=True)


class Scene:
    def __init__(self, *issuers: Issuer) -> None:
        self.now, self.keys = 1000.0, [ec_jwk("e1")]
        self.down = False
        self.rings = KeyRings(issuers or (WHO,), Counters(), lambda: self.now, self._read)
        self.door = TokenDoor(issuers or (WHO,), self.rings, lambda: datetime.datetime.now(datetime.UTC).timestamp())

    async def _read(self, issuer: Issuer) -> KeyRing:
        await asyncio.sleep(0)
        if self.down:
            raise KeysError("down")
        return KeyRing.parse(jwks(*self.keys))

    async def start(self) -> Scene:
        self.rings.start()
        await asyncio.sleep(0.01)
        return self

    def look(self, token: str, users: Container[str] = ("alice",)) -> Admitted | Refused | Waiting:
        return self.door.look(Secret(token), users)


async def test_a_listed_user_is_let_in_for_as_long_as_the_token_lasts() -> None:
    found = (await Scene().start()).look(issue(exp=claims()["exp"]))
    assert isinstance(found, Admitted)
    assert found.user == "alice"
    assert 320 < found.seconds <= 330


async def test_who_is_not_listed_is_let_in_only_where_the_configuration_says_so() -> None:
    scene = await Scene(WHO, OTHER).start()
    assert scene.look(issue(sub="carol")) == Refused(Fault.USER, "carol")
    assert isinstance(scene.look(issue(sub="carol", iss=OTHER.name)), Admitted)


async def test_a_token_counts_for_a_day_at_most() -> None:
    found = (await Scene().start()).look(issue(exp=claims()["exp"] + 10**9))
    assert isinstance(found, Admitted)
    assert found.seconds == MAX_LIFE_SECONDS


async def test_an_issuer_nobody_configured_is_asked_for_nothing() -> None:
    scene = await Scene().start()
    scene.now += ASK_AGAIN_SECONDS
    assert scene.look(issue(iss="https://evil.example.test/", kid="new")) == Refused(Fault.ISSUER)
    assert scene.rings.find(ISSUER, "e1", "ES256") is not None


async def test_a_new_key_lets_its_token_in_when_it_has_been_read() -> None:
    scene = await Scene().start()
    scene.now += ASK_AGAIN_SECONDS
    scene.keys.append(ec_jwk("e2", 2))
    waiting = scene.look(issue("e2", key=ec_key(2)))
    assert isinstance(waiting, Waiting)
    await waiting.task
    assert isinstance(scene.look(issue("e2", key=ec_key(2))), Admitted)


async def test_a_key_that_is_not_there_after_all_is_unknown() -> None:
    scene = await Scene().start()
    assert scene.look(issue("e9")) == Refused(Fault.KEY)


async def test_without_any_keys_it_is_not_the_tokens_fault() -> None:
    scene = Scene()
    scene.down = True
    await scene.start()
    found = scene.look(issue())
    assert found == Refused(Fault.KEYS)
    assert found.may_come_again


async def test_no_more_tokens_wait_than_a_limit() -> None:
    scene = Scene()
    scene.rings.start()
    found = [scene.look(issue()) for _ in range(MAX_WAITING + 3)]
    assert [type(one) for one in found[-4:]] == [Waiting, Refused, Refused, Refused]
    await asyncio.sleep(0.01)
    assert isinstance(scene.look(issue()), Admitted)
