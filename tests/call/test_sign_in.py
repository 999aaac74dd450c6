"""Signing in at the manager: challenges, delays, and what the audit log is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.counters import Counter
from gateway.base.values import HostPort, Secret
from gateway.call.guesses import NAME_AT_PLACE
from gateway.call.manager import CallManager
from gateway.call.sign_in import RECORDED
from gateway.sip.auth import DigestServer
from gateway.sip.flow import Flow
from gateway.sip.message import Response
from tests.call.office import Office
from tests.sip.digest import REALM, USER, authorization, credentials, parameters, register

pytestmark = pytest.mark.asyncio


class Door:
    """A manager with one user, and connections to it."""

    def __init__(self, directory: Path) -> None:
        self.office = Office(directory)
        self.now = 1000.0
        services = self.office.services
        self.office.sites.current = replace(self.office.sites.current, users={USER: credentials()})
        object.__setattr__(services, "clock", lambda: self.now)
        self.manager = CallManager(services, DigestServer(REALM, Secret(b"k"), services.tokens))
        self.office.manager = self.manager
        self._keys = 0

    async def ask(self, flow: Flow, value: str = "", *, user: str = USER, method: str = "REGISTER") -> Response:
        self._keys += 1
        key = f"ask-{self._keys}"
        message = register(value, method=method)
        message = message.with_header("Call-ID", key)
        message = message.with_header("To", f"<sip:{user}@{REALM}>")
        self.office.request(message, key=key, flow=flow)
        await self.office.settle()
        return [response for k, response in self.office.sip.answers if k == key][-1]

    async def attempt(self, flow: Flow, *, user: str = USER, **changes: str) -> Response:
        """A REGISTER and another one that answers its challenge."""
        nonce = parameters((await self.ask(flow)).headers.get_all("WWW-Authenticate")[0])["nonce"]
        return await self.ask(flow, authorization(nonce, username=user, **changes), user=user)

    @property
    def sign_ins(self) -> list[dict[str, object]]:
        return [dict(r) for r in self.office.audit.records if r["type"] == "auth.ok"]

    @property
    def failures(self) -> list[dict[str, object]]:
        return [dict(r) for r in self.office.audit.records if r["type"] == "auth.fail"]


def browser(number: int, host: str = "192.0.2.1") -> Flow:
    return Flow(number, "wss", HostPort("127.0.0.1", 443), HostPort(host, 1000 + number))


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


async def wrong(door: Door, number: int, **named: str) -> Response:
    return await door.attempt(browser(number, named.pop("host", "192.0.2.1")), password="guess", **named)


async def test_after_some_wrong_passwords_even_the_right_one_waits_and_then_is_taken(door: Door) -> None:
    for number in range(NAME_AT_PLACE.free + 1):
        assert (await wrong(door, number)).status == 401
    early = await door.attempt(browser(90))
    assert (early.status, early.headers.get("Retry-After")) == (503, "1")
    door.now += 1.1
    assert (await door.attempt(browser(91))).status == 200


async def test_a_living_flow_of_the_user_feels_nothing_of_guesses(door: Door) -> None:
    flow = browser(1)
    assert (await door.attempt(flow)).status == 200
    for number in range(100, 200):
        await wrong(door, number, host=f"198.51.100.{number}")
        await wrong(door, number + 200)
    assert (await door.ask(flow, method="OPTIONS")).status == 200
    assert door.manager.location.identities.user_of(flow) == USER
    assert (await door.attempt(browser(2))).status in (200, 503)
    door.now += 60
    assert (await door.attempt(browser(3))).status == 200


async def test_guesses_that_are_not_looked_at_cost_no_hash_and_are_counted_apart(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(NAME_AT_PLACE.free + 1):
        await wrong(door, number)
    monkeypatch.setattr("gateway.sip.auth.DigestServer._proves", None)
    for number in range(50):
        assert (await wrong(door, 100 + number)).status == 503
    counters = door.office.services.counters
    assert counters[Counter.AUTH_FAILED] == NAME_AT_PLACE.free + 1
    assert counters[Counter.AUTH_DELAYED] == 50


async def test_a_user_that_exists_and_one_that_does_not_are_answered_alike(door: Door) -> None:
    """Status and headers of every answer on the way into the delays and out of them again."""

    async def shape(user: str, host: str) -> list[tuple[int, list[str], str | None]]:
        door.now += 5000
        told = []
        for number in range(12):
            answer = await wrong(door, number + 1000, user=user, host=host)
            names = sorted({name for name, _ in answer.headers.items()})
            told.append((answer.status, names, answer.headers.get("Retry-After")))
            door.now += 0.4
        return told

    assert await shape(USER, "192.0.2.50") == await shape("nobody", "192.0.2.51")


async def test_ten_thousand_guesses_are_two_records_a_minute(door: Door) -> None:
    for number in range(2_000):
        await wrong(door, number, user=f"u{number % 50}")
        door.now += 0.02
        door.manager.sign_in.report()
    assert len(door.failures) == 1
    door.now += 60
    door.manager.sign_in.report()
    assert [r.get("count") for r in door.failures] == [None, 1999]


async def test_what_is_counted_is_written_when_the_gateway_stops(door: Door) -> None:
    await wrong(door, 1)
    await wrong(door, 2)
    door.manager.sign_in.report(stopping=True)
    assert [r.get("count") for r in door.failures] == [None, 1]


async def test_who_has_connections_enough_is_told_to_come_back_later(door: Door) -> None:
    door.office.sip.full = True
    flow = browser(1)
    answer = await door.attempt(flow)
    assert (answer.status, answer.headers.get("Retry-After")) == (503, "60")
    assert door.manager.location.identities.user_of(flow) is None


async def test_a_sign_in_is_recorded_once_for_each_connection(door: Door) -> None:
    await door.attempt(browser(1))
    await door.ask(browser(1))
    await door.attempt(browser(2))
    assert [(r["user"], r["source"], r["transport"]) for r in door.sign_ins] == [
        (USER, "192.0.2.1:1001", "wss"),
        (USER, "192.0.2.1:1002", "wss"),
    ]
    assert {r["method"] for r in door.sign_ins} == {"REGISTER"}
    assert door.failures == []


async def test_a_page_that_signs_in_all_day_is_told_by_a_number(door: Door) -> None:
    for number in range(1, RECORDED.burst + 31):
        assert (await door.attempt(browser(number))).status == 200
    assert len(door.sign_ins) == RECORDED.burst
    door.now += 10.0
    await door.attempt(browser(1000))
    door.now += 10.0
    await door.attempt(browser(1001))
    assert [r["unrecorded"] for r in door.sign_ins[-2:]] == [30, 0]


async def test_a_wrong_password_is_no_sign_in(door: Door) -> None:
    await door.attempt(browser(1), response="0" * 32)
    assert door.sign_ins == []
    assert len(door.failures) == 1
