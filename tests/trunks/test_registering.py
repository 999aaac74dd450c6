"""Registrations are kept: asked for, refreshed, taken up again over a new connection, and taken back at the end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.base.counters import Counter, Counters
from gateway.base.errors import TransportError
from gateway.base.values import HostPort, Secret
from gateway.sip.agent import Agent
from gateway.sip.auth import DigestServer
from gateway.sip.events import RequestTimeout, ResponseReceived, TransportFailed
from gateway.sip.flow import Flow
from gateway.sip.message import Request, create_response
from gateway.trunks import registering, registration
from gateway.trunks.registering import Registrations
from gateway.trunks.registration import Standing
from tests.sip.digest import PASSWORD, REALM, USER, lookup
from tests.sites import made_trunk

pytestmark = pytest.mark.asyncio


class Carrier:
    """A trunk that is asked for registrations, and answers as a test says."""

    def __init__(self, registrations: list[dict[str, object]]) -> None:
        self.sent: dict[str, tuple[Request, Flow]] = {}
        self.unreachable = False
        self.counters = Counters()
        self._keys, numbers = itertools.count(1), itertools.count(1)
        self.agent = Agent(self, lambda length: f"{next(numbers):0{length}d}")
        self.flows = itertools.count(7)
        trunk = made_trunk("sip:carrier.example;transport=tls", registrations=registrations)
        self.registrations = Registrations(
            {"pbx": replace(trunk, name="pbx")},
            self.connect,
            self.agent,
            advertised="198.51.100.1",
            tokens=lambda length: f"{next(numbers):0{length}d}"[-length:],
            clock=lambda: 1000.0,
            counters=self.counters,
        )

    async def connect(self, trunk_name: str) -> Flow:
        if self.unreachable:
            raise TransportError("refused")
        ours, theirs = HostPort("192.0.2.1", 40000), HostPort("192.0.2.9", 5061)
        return Flow(next(self.flows), "tls", ours, theirs, trunk_name, initiated=True)

    def send_request(self, request: Request, flow: Flow) -> str:
        key = f"k{next(self._keys)}"
        self.sent[key] = (request, flow)
        return key

    @property
    def last(self) -> tuple[str, Request, Flow]:
        key, (request, flow) = list(self.sent.items())[-1]
        return key, request, flow

    def answer(self, status: int, *headers: tuple[str, str]) -> None:
        key, request, flow = self.last
        response = create_response(request, status, to_tag="r", headers=headers)
        self.agent.take(ResponseReceived(key, response, flow))

    def stands(self) -> Standing:
        """How the only one stands."""
        (shown,) = self.registrations.shown()
        return shown.standing

    async def asked(self, number: int) -> None:
        """Wait until so many REGISTERs have been sent."""
        async with asyncio.timeout(5):
            while len(self.sent) < number:  # noqa: ASYNC110 - what is sent is a list and no event
                await asyncio.sleep(0.001)


@pytest.fixture
def carrier(monkeypatch: pytest.MonkeyPatch) -> Carrier:
    for name in ("FIRST_PAUSE", "REFUSED_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(registration, name, 0.005)
    return Carrier([{"user": "acme", "auth": {"user": USER, "password": PASSWORD}}])


async def begun(carrier: Carrier) -> Carrier:
    carrier.registrations.start()
    await carrier.asked(1)
    return carrier


async def test_it_is_registered_with_the_address_of_its_flow(carrier: Carrier) -> None:
    await begun(carrier)
    assert carrier.stands() is Standing.TRYING
    carrier.answer(200)
    _, request, _ = carrier.last
    assert request.contact is not None
    assert str(request.contact.uri) == "sip:acme@192.0.2.1:40000;transport=tls"
    assert carrier.stands() is Standing.REGISTERED
    (shown,) = carrier.registrations.shown()
    assert (shown.trunk, shown.aor, shown.left) == ("pbx", "sip:acme@carrier.example", 3600.0)
    assert carrier.registrations.unbound == 0


async def test_who_asks_for_a_password_gets_it_as_digest_and_an_old_nonce_is_renewed(carrier: Carrier) -> None:
    digest = DigestServer(REALM, Secret(b"k"), lambda length: "n" * length)
    await begun(carrier)
    for stale in (False, True):
        carrier.answer(401, *(("WWW-Authenticate", value) for value in digest.challenges(7, 0.0, stale=stale)))
    _, request, _ = carrier.last
    assert request.cseq.number == 3
    assert digest.verify(request, 7, lookup, 1.0).user == USER
    carrier.answer(200)
    assert carrier.stands() is Standing.REGISTERED


async def test_a_wrong_password_is_refused_and_counted_and_not_tried_at_once(carrier: Carrier) -> None:
    await begun(carrier)
    challenge = ("WWW-Authenticate", f'Digest realm="{REALM}", nonce="n", qop="auth"')
    carrier.answer(401, challenge)
    carrier.answer(401, challenge)
    assert carrier.stands() is Standing.REFUSED
    assert len(carrier.sent) == 2
    assert carrier.counters[Counter.REGISTRATION_LOST] == 1


@pytest.mark.parametrize("event", [RequestTimeout, TransportFailed])
async def test_no_answer_is_asked_again(carrier: Carrier, event: Callable[[str], RequestTimeout]) -> None:
    await begun(carrier)
    carrier.agent.take(event(carrier.last[0]))
    assert carrier.stands() is Standing.UNREACHABLE
    await carrier.asked(2)
    carrier.answer(200)
    assert carrier.stands() is Standing.REGISTERED


async def test_a_trunk_that_cannot_be_reached_is_tried_again(carrier: Carrier) -> None:
    carrier.unreachable = True
    carrier.registrations.start()
    async with asyncio.timeout(5):
        while carrier.stands() is not Standing.UNREACHABLE:  # noqa: ASYNC110 - a state, no event
            await asyncio.sleep(0.001)
    carrier.unreachable = False
    await carrier.asked(1)


async def test_a_binding_is_refreshed_before_it_ends(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "SHORTEST", 0.01)
    await begun(carrier)
    monkeypatch.setattr(registration, "REFRESH", 0.00001)
    carrier.answer(200)
    await carrier.asked(2)
    first, second = (request for request, _ in carrier.sent.values())
    assert second.cseq.number == first.cseq.number + 1
    assert carrier.stands() is Standing.REGISTERED


async def test_the_connection_of_a_binding_is_gone_and_it_comes_back_over_a_new_one(carrier: Carrier) -> None:
    await begun(carrier)
    carrier.answer(200)
    flow = carrier.last[2]
    carrier.registrations.flow_closed(replace(flow, id=99))
    assert carrier.stands() is Standing.REGISTERED
    carrier.registrations.flow_closed(flow)
    assert carrier.stands() is Standing.UNREACHABLE
    await carrier.asked(2)
    assert carrier.last[2].id != flow.id


async def test_at_the_end_the_contact_is_taken_back(carrier: Carrier) -> None:
    await begun(carrier)
    carrier.answer(200)
    stopping = asyncio.create_task(carrier.registrations.stop())
    await carrier.asked(2)
    assert carrier.last[1].expires == 0
    carrier.answer(200)
    await stopping
    assert carrier.stands() is Standing.STOPPED
    assert len(carrier.agent) == 0


async def test_a_trunk_that_does_not_answer_holds_no_end_up(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registering, "LEAVE_SECONDS", 0.01)
    await begun(carrier)
    carrier.answer(200)
    await carrier.registrations.stop()


async def test_what_is_not_bound_is_not_taken_back(carrier: Carrier) -> None:
    await begun(carrier)
    await carrier.registrations.stop()
    assert len(carrier.sent) == 1
    assert len(carrier.agent) == 0


async def test_several_of_one_trunk_are_kept_beside_each_other() -> None:
    carrier = Carrier([{"user": "one"}, {"user": "two", "domain": "other.example"}])
    carrier.registrations.start()
    await carrier.asked(2)
    carrier.answer(200)
    assert sorted(shown.standing for shown in carrier.registrations.shown()) == ["registered", "trying"]
    assert {request.uri for request, _ in carrier.sent.values()} == {"sip:carrier.example", "sip:other.example"}
