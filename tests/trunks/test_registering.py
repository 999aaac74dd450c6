"""Registrations are kept: asked for, refreshed, taken up again over a new connection, and taken back at the end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection
from dataclasses import replace

import pytest

from gateway.base.counters import Counter, Counters
from gateway.base.errors import NoHopError, TransportError
from gateway.base.values import HostPort, Secret
from gateway.sip.agent import Agent
from gateway.sip.auth import DigestServer
from gateway.sip.events import RequestTimeout, ResponseReceived, TransportFailed
from gateway.sip.flow import Flow
from gateway.sip.message import Request, create_response
from gateway.trunks import failover, registering, registration
from gateway.trunks.registering import Registrations
from gateway.trunks.registration import Standing
from gateway.trunks.target import Spot
from tests.sip.digest import PASSWORD, REALM, USER, lookup
from tests.sites import made_trunk

pytestmark = pytest.mark.asyncio


class Carrier:
    """A trunk that is asked for registrations, and answers as a test says."""

    def __init__(self, registrations: list[dict[str, object]]) -> None:
        self.sent: dict[str, tuple[Request, Flow]] = {}
        self.unreachable = False
        self.places = ["192.0.2.9"]
        """Where it is, best first."""
        self.now = 1000.0
        self.gone: set[int] = set()
        """Connections that have ended."""
        self.closed = 0
        self.connecting: asyncio.Event | None = None
        """Set it to let a connection, which hangs until then, fail."""
        self.counters = Counters()
        self._keys, numbers = itertools.count(1), itertools.count(1)
        self.agent = Agent(self, lambda length: f"{next(numbers):0{length}d}")
        self.flows = itertools.count(7)
        trunk = made_trunk("sip:carrier.example;transport=tls", registrations=registrations)
        self.registrations = Registrations(
            {"pbx": replace(trunk, name="pbx")},
            self.connect,
            self.agent,
            is_open=lambda flow: flow.id not in self.gone,
            advertised="198.51.100.1",
            tokens=lambda length: f"{next(numbers):0{length}d}"[-length:],
            clock=lambda: self.now,
            counters=self.counters,
        )

    async def connect(self, trunk_name: str, tried: Collection[Spot]) -> Flow:
        if self.connecting is not None:
            try:
                await self.connecting.wait()
            except asyncio.CancelledError:
                if self.unreachable:
                    raise TransportError("no connection in time") from None
                raise
            finally:
                await asyncio.sleep(0.001)  # it takes turns of the loop to close one
                self.closed += 1
        if self.unreachable:
            raise TransportError("refused")
        left = [host for host in self.places if Spot("tls", HostPort(host, 5061)) not in tried]
        if not left:
            raise NoHopError("every place was tried")
        ours, theirs = HostPort("192.0.2.1", 40000), HostPort(left[0], 5061)
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
        self.answer_to(self.last[0], status, *headers)

    def answer_to(self, key: str, status: int, *headers: tuple[str, str]) -> None:
        request, flow = self.sent[key]
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


def hosts(carrier: Carrier) -> list[str]:
    """Where each REGISTER went."""
    return [flow.remote.host for _, flow in carrier.sent.values()]


def timers() -> int:
    """Timers of the loop that are still to come."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return sum(not timer.cancelled() and "begin" in repr(timer) for timer in scheduled)


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


async def test_a_proxy_and_the_registrar_behind_it_are_each_told_who_we_are(carrier: Carrier) -> None:
    """RFC 3261 22.3."""
    await begun(carrier)
    carrier.answer(407, ("Proxy-Authenticate", 'Digest realm="edge", nonce="p", qop="auth"'))
    carrier.answer(401, ("WWW-Authenticate", f'Digest realm="{REALM}", nonce="n", qop="auth"'))
    _, request, _ = carrier.last
    assert [len(request.headers.get_all(name)) for name in ("Proxy-Authorization", "Authorization")] == [1, 1]
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
    await carrier.asked(2)
    assert carrier.stands() is Standing.UNREACHABLE
    assert carrier.counters[Counter.REGISTRATION_LOST] == 1
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
    assert timers() == 1, "that of the refresh is gone"
    await carrier.asked(2)
    assert carrier.last[2].id != flow.id


async def unregistered(carrier: Carrier, sent: int) -> None:
    """Stop, and take the answer to the last REGISTER."""
    stopping = asyncio.create_task(carrier.registrations.stop())
    await carrier.asked(sent)
    carrier.answer(200)
    await stopping


@pytest.mark.parametrize("event", [RequestTimeout, TransportFailed])
async def test_a_place_that_says_nothing_is_left_for_the_next_one_at_once(
    carrier: Carrier, event: Callable[[str], RequestTimeout], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 3263 4.3: the trunk is there, at another place."""
    be_patient(monkeypatch)
    carrier.places = ["192.0.2.9", "192.0.2.10"]
    await begun(carrier)
    carrier.agent.take(event(carrier.last[0]))
    await carrier.asked(2)
    assert hosts(carrier) == ["192.0.2.9", "192.0.2.10"]
    carrier.answer(200)
    assert carrier.stands() is Standing.REGISTERED
    assert carrier.counters[Counter.REGISTRATION_LOST] == 0


async def test_a_place_that_wants_to_be_left_alone_for_an_hour_does_not_keep_the_next_one_from_being_asked(
    carrier: Carrier,
) -> None:
    carrier.places = ["192.0.2.9", "192.0.2.10"]
    await begun(carrier)
    carrier.answer(503, ("Retry-After", "3600"))
    await carrier.asked(2)
    assert hosts(carrier) == ["192.0.2.9", "192.0.2.10"]


async def test_where_no_place_takes_it_the_word_of_the_last_counts_and_the_next_round_begins_with_the_first(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "LONGEST_PAUSE", 0.02)
    carrier.places = ["192.0.2.9", "192.0.2.10"]
    await begun(carrier)
    for number in (2, 3):
        carrier.answer(503)
        await carrier.asked(number)
    assert hosts(carrier) == ["192.0.2.9", "192.0.2.10", "192.0.2.9"]
    (shown,) = carrier.registrations.shown()
    assert shown.why.startswith("503")


async def test_a_name_that_leads_elsewhere_each_time_is_followed_to_a_limit(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch)
    monkeypatch.setattr(registration, "LONGEST_PAUSE", 300.0)
    carrier.places = [f"192.0.2.{number}" for number in range(1, 100)]
    await begun(carrier)
    for number in range(2, failover.MAX_PLACES + 2):
        carrier.answer(503)
        await carrier.asked(number)
    carrier.answer(503)
    assert carrier.stands() is Standing.UNREACHABLE


async def test_a_refresh_whose_connection_breaks_leaves_one_timer_and_none_after_the_end(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is told twice: of the connection, and of the REGISTER that was under way on it."""
    monkeypatch.setattr(registration, "SHORTEST", 0.01)
    await begun(carrier)
    monkeypatch.setattr(registration, "REFRESH", 0.00001)
    carrier.answer(200)
    await carrier.asked(2)
    monkeypatch.setattr(registration, "REFRESH", 0.8)
    key, _, flow = carrier.last
    carrier.registrations.flow_closed(flow)
    assert carrier.stands() is Standing.REGISTERED, "the REGISTER tells it by itself"
    carrier.agent.take(TransportFailed(key))
    await carrier.asked(3)
    carrier.answer(200)
    assert timers() == 1
    assert len(carrier.sent) == 3
    await unregistered(carrier, 4)
    assert timers() == 0


async def test_a_connection_that_breaks_while_another_is_opened_leaves_one_timer(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "SHORTEST", 0.01)
    await begun(carrier)
    monkeypatch.setattr(registration, "REFRESH", 0.00001)
    carrier.connecting = asyncio.Event()
    flow = carrier.last[2]
    carrier.answer(200)
    async with asyncio.timeout(5):
        while timers():  # noqa: ASYNC110 - until the refresh has begun
            await asyncio.sleep(0.001)
    monkeypatch.setattr(registration, "REFRESH", 0.8)
    carrier.registrations.flow_closed(flow)
    carrier.connecting.set()
    await carrier.asked(2)
    carrier.answer(200)
    assert timers() == 1


async def test_a_connection_that_fails_as_the_gateway_stops_is_not_asked_for_again(carrier: Carrier) -> None:
    carrier.connecting, carrier.unreachable = asyncio.Event(), True
    carrier.registrations.start()
    await asyncio.sleep(0)
    await carrier.registrations.stop()
    assert carrier.closed == 1
    assert timers() == 0
    assert carrier.stands() is Standing.STOPPED


async def test_nothing_runs_after_the_end_of_one_that_was_still_being_connected(carrier: Carrier) -> None:
    carrier.connecting = asyncio.Event()
    carrier.registrations.start()
    await asyncio.sleep(0)
    await carrier.registrations.stop()
    assert carrier.closed == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert carrier.sent == {}


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
    assert len(carrier.agent) == 0


async def test_what_was_refused_is_not_taken_back(carrier: Carrier) -> None:
    await begun(carrier)
    carrier.answer(403)
    await carrier.registrations.stop()
    assert len(carrier.sent) == 1
    assert len(carrier.agent) == 0


async def test_what_may_be_bound_by_a_request_that_is_out_is_taken_back(carrier: Carrier) -> None:
    await begun(carrier)
    await unregistered(carrier, 2)
    assert [request.expires for request, _ in carrier.sent.values()] == [3600, 0]
    assert len(carrier.agent) == 0


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again while a test lasts."""
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(registration, name, 300.0)


async def refreshed_in_vain(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is bound, and nobody answers the refresh."""
    monkeypatch.setattr(registration, "REFRESH", 0.00001)
    be_patient(monkeypatch)
    await begun(carrier)
    carrier.answer(200)
    await carrier.asked(2)
    carrier.unreachable = True
    carrier.agent.take(RequestTimeout(carrier.last[0]))
    async with asyncio.timeout(5):
        while carrier.stands() is not Standing.UNREACHABLE:  # noqa: ASYNC110 - how it stands is no event
            await asyncio.sleep(0.001)
    carrier.unreachable = False


async def test_a_binding_that_could_not_be_refreshed_is_taken_back_while_it_lasts(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    await refreshed_in_vain(carrier, monkeypatch)
    await unregistered(carrier, 3)
    assert carrier.last[1].expires == 0
    assert carrier.last[1].contact == next(iter(carrier.sent.values()))[0].contact


async def test_a_binding_whose_time_is_over_is_not_taken_back(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    await refreshed_in_vain(carrier, monkeypatch)
    carrier.now += 3600
    await carrier.registrations.stop()
    assert len(carrier.sent) == 2


async def test_a_contact_the_trunk_took_away_is_not_taken_back(carrier: Carrier) -> None:
    await begun(carrier)
    carrier.answer(200)
    carrier.registrations._kept[0].begin()
    await carrier.asked(2)
    carrier.answer(200, ("Contact", "<sip:somebody@192.0.2.77>"))
    await carrier.registrations.stop()
    assert len(carrier.sent) == 2


async def test_a_binding_whose_connection_is_gone_is_taken_back_over_another_by_its_contact(carrier: Carrier) -> None:
    await begun(carrier)
    carrier.answer(200)
    bound, flow = carrier.last[1:]
    carrier.gone.add(flow.id)
    await unregistered(carrier, 2)
    _, request, over = carrier.last
    assert (request.expires, request.contact, over.id == flow.id) == (0, bound.contact, False)


async def test_who_asks_for_a_password_at_the_end_gets_it(carrier: Carrier) -> None:
    digest = DigestServer(REALM, Secret(b"k"), lambda length: "n" * length)
    await begun(carrier)
    carrier.answer(200)
    stopping = asyncio.create_task(carrier.registrations.stop())
    await carrier.asked(2)
    carrier.answer(401, *(("WWW-Authenticate", value) for value in digest.challenges(7, 1000.0)))
    await carrier.asked(3)
    assert digest.verify(carrier.last[1], 7, lookup, 1000.0).user == USER
    carrier.answer(200)
    await stopping
    assert carrier.last[1].expires == 0


async def test_a_refresh_goes_where_the_binding_is_and_elsewhere_only_from_there(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    carrier.places = ["192.0.2.9", "192.0.2.10"]
    await begun(carrier)
    carrier.answer(503)
    await carrier.asked(2)
    monkeypatch.setattr(registration, "REFRESH", 0.00001)
    carrier.answer(200)
    await carrier.asked(3)
    assert hosts(carrier) == ["192.0.2.9", "192.0.2.10", "192.0.2.10"]
    assert carrier.last[2] == list(carrier.sent.values())[1][1]
    carrier.answer(503)
    await carrier.asked(4)
    assert hosts(carrier)[3] == "192.0.2.9"


async def test_a_refresh_whose_connection_is_gone_begins_with_the_first_place(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    carrier.places = ["192.0.2.9", "192.0.2.10"]
    await begun(carrier)
    carrier.answer(503)
    await carrier.asked(2)
    carrier.gone.add(carrier.last[2].id)
    monkeypatch.setattr(registration, "REFRESH", 0.00001)
    carrier.answer(200)
    await carrier.asked(3)
    assert hosts(carrier)[2] == "192.0.2.9"


async def test_several_of_one_trunk_are_kept_beside_each_other() -> None:
    carrier = Carrier([{"user": "one"}, {"user": "two", "domain": "other.example"}])
    carrier.registrations.start()
    await carrier.asked(2)
    carrier.answer(200)
    assert sorted(shown.standing for shown in carrier.registrations.shown()) == ["registered", "trying"]
    assert {request.uri for request, _ in carrier.sent.values()} == {"sip:carrier.example", "sip:other.example"}
