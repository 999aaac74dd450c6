"""Other registrations are loaded: what was taken out is taken back, what was changed is asked for after that."""

from __future__ import annotations

import asyncio

import pytest

from gateway.trunks.model import Trunk
from tests.sites import made_trunk
from tests.trunks.test_registering import Carrier

pytestmark = pytest.mark.asyncio

ADVERTISED = "198.51.100.1"


def trunk(*registrations: dict[str, object], target: str = "sip:carrier.example;transport=tls") -> dict[str, Trunk]:
    return {"pbx": made_trunk(target, name="pbx", registrations=list(registrations))}


def expiries(carrier: Carrier) -> list[int]:
    return [int(request.headers.get("Expires") or "-1") for request, _ in carrier.sent.values()]


async def bound(*registrations: dict[str, object]) -> Carrier:
    """All of them are registered, for 600 seconds."""
    carrier = Carrier(list(registrations))
    carrier.registrations.start()
    await carrier.asked(len(registrations))
    for key, (request, _) in list(carrier.sent.items()):
        carrier.answer_to(key, 200, ("Contact", f"{request.headers.get('Contact')};expires=600"))
    assert carrier.registrations.unbound == 0
    return carrier


async def test_what_was_not_changed_is_not_asked_for_again() -> None:
    carrier = await bound({"user": "acme"})
    for _ in range(5):
        carrier.registrations.use(trunk({"user": "acme"}), ADVERTISED)
    await asyncio.sleep(0)
    assert len(carrier.sent) == 1
    await carrier.registrations.stop()


async def test_a_changed_one_is_taken_back_and_asked_for_only_when_that_was_heard() -> None:
    carrier = await bound({"user": "acme"})
    carrier.registrations.use(trunk({"user": "acme", "expires": 1200}), ADVERTISED)
    await carrier.asked(2)
    await asyncio.sleep(0.01)
    assert expiries(carrier) == [3600, 0]  # both would be the same Contact to the registrar
    carrier.registrations.use(trunk({"user": "acme", "expires": 1800}), ADVERTISED)  # and once more, meanwhile
    await asyncio.sleep(0.01)
    assert expiries(carrier) == [3600, 0]
    carrier.answer(200)
    await carrier.asked(3)
    assert expiries(carrier) == [3600, 0, 1800]
    assert carrier.registrations.leaving == []
    stopping = asyncio.create_task(carrier.registrations.stop())
    await asyncio.sleep(0.01)
    carrier.answer(200)
    await stopping


async def test_one_that_is_taken_out_is_taken_back_over_its_connection_and_its_trunk_is_known_until_then() -> None:
    carrier = await bound({"user": "acme"}, {"user": "other"})
    before = carrier.last[2]
    carrier.registrations.use(trunk({"user": "acme"}), ADVERTISED)
    await carrier.asked(3)
    assert expiries(carrier)[-1] == 0
    assert carrier.last[2] == before
    assert [left.name for left in carrier.registrations.leaving] == ["pbx"]
    assert carrier.registrations.is_on(before)
    carrier.answer(200)
    await asyncio.sleep(0.01)
    assert carrier.registrations.leaving == []
    assert [shown.aor for shown in carrier.registrations.shown()] == ["sip:acme@carrier.example"]


async def test_a_trunk_that_is_somewhere_else_now_is_asked_there() -> None:
    carrier = await bound({"user": "acme"})
    carrier.registrations.use(trunk({"user": "acme"}, target="sip:elsewhere.example;transport=tls"), ADVERTISED)
    await carrier.asked(2)
    carrier.answer(200)
    await carrier.asked(3)
    assert [request.uri for request, _ in carrier.sent.values()][-1] == "sip:elsewhere.example"
