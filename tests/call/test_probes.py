"""Questions to trunks, over a stack that only remembers: who is asked when, and what comes of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.base.counters import Counter
from gateway.base.errors import NoHopError, TransportError
from gateway.base.values import LegId
from gateway.call.machine.effects import Timer
from gateway.call.machine.events import TimerFired
from gateway.call.run import probes as module
from gateway.sip.events import RequestTimeout, ResponseReceived, TransportFailed
from gateway.sip.flow import Flow
from gateway.sip.message import create_response
from gateway.trunks.identity import TrunkIdentity
from tests.call.machine_scene import trunk_flow
from tests.call.office import Office, invite

pytestmark = pytest.mark.asyncio


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def asked(office: Office) -> list[str]:
    """Keys of the questions that were put."""
    return [key for key, (request, _) in office.sip.sent.items() if request.method == "OPTIONS"]


async def unheard(office: Office, number: str = "700") -> None:
    """A call whose trunk says nothing, up to the moment when that is noticed."""
    office.call(number)
    await office.settle()
    (runner,) = office.manager.index.runners
    runner.feed(TimerFired(Timer.SILENT, LegId(2)))
    await office.settle()


async def put(office: Office, number: int) -> None:
    """Wait until so many questions were put."""
    async with asyncio.timeout(5):
        while len(asked(office)) < number:  # noqa: ASYNC110 - what the office sends is a list and no event
            await asyncio.sleep(0.005)


async def lost(office: Office) -> None:
    """The question that was put last has no answer, and all that comes of it."""
    await office.settle()
    office.manager.on_event(RequestTimeout(asked(office)[-1]))
    await office.settle()


def answer(office: Office, key: str, status: int) -> None:
    request, flow = office.sip.sent[key]
    office.manager.on_event(ResponseReceived(key, create_response(request, status, to_tag="x"), flow))


@pytest.mark.parametrize("status", [200, 401, 404, 405, 481, 501, 503])
async def test_any_final_response_means_that_the_trunk_is_there(office: Office, status: int) -> None:
    await unheard(office)
    (key,) = asked(office)
    assert office.sip.sent[key][0].uri == "sip:127.0.0.3:5060"
    answer(office, key, status)
    await office.settle()
    assert office.statuses("in-1") == []
    assert not office.manager.probes.is_down("old")


@pytest.mark.parametrize("event", [RequestTimeout, TransportFailed])
async def test_a_trunk_that_does_not_answer_is_down_and_its_call_over(
    office: Office, event: type[RequestTimeout | TransportFailed], caplog: pytest.LogCaptureFixture
) -> None:
    await unheard(office)
    office.manager.on_event(event(asked(office)[0]))
    await office.settle()
    assert office.statuses("in-1") == [504]
    assert office.manager.probes.down == 1
    assert office.services.counters[Counter.TRUNK_DOWN] == 1
    assert "trunk=old state=up->down" in caplog.text
    await office.manager.probes.stop()


async def test_silence_ends_the_question_in_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.01)
    assert not await office.manager.probes.answers("old")
    assert office.manager.probes.is_down("old")
    await office.manager.probes.stop()


async def test_a_hundred_calls_ask_one_question(office: Office) -> None:
    tasks = [office.manager.probes.answers("old") for _ in range(100)]
    waiting = [asyncio.create_task(task) for task in tasks]
    await office.settle()
    (key,) = asked(office)
    answer(office, key, 405)
    assert await asyncio.gather(*waiting) == [True] * 100


async def test_a_trunk_that_is_down_is_asked_again_until_it_answers(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.005)
    monkeypatch.setattr("gateway.trunks.health.FIRST_PAUSE", 0.005)
    await office.manager.probes.answers("old")
    await put(office, 3)
    monkeypatch.setattr(module, "PROBE_SECONDS", 5.0)
    before = len(asked(office))
    await put(office, before + 1)
    answer(office, asked(office)[-1], 200)
    await office.settle()
    assert office.manager.probes.down == 0
    assert caplog.text.count("trunk=old state=up->down") == 1
    assert caplog.text.count("trunk=old state=down->up") == 1


async def test_a_response_of_the_trunk_takes_it_up(office: Office) -> None:
    probes = office.manager.probes
    office.call("600")
    await office.settle()
    probes._silent("pbx", office.services.clock(), "test")
    assert probes.is_down("pbx")
    office.reply("INVITE", 100)
    assert not probes.is_down("pbx")


@pytest.mark.parametrize(("also", "up"), [(frozenset(), True), (frozenset({"old"}), False)])
async def test_a_request_takes_the_trunk_up_that_alone_can_have_sent_it(
    office: Office, also: frozenset[str], up: bool
) -> None:
    probes = office.manager.probes
    probes._silent("pbx", office.services.clock(), "test")
    office.request(invite("100", call_id="in"), key="in-2", flow=replace(trunk_flow(), also=also))
    assert probes.is_down("pbx") is not up
    await probes.stop()


async def test_a_connection_that_fails_takes_the_trunk_down_and_a_bad_certificate_does_not(office: Office) -> None:
    office.sip.broken = {}
    del office.sip.flows["pbx"]
    with pytest.raises(TransportError):
        await office.manager.probes.connect("pbx")
    assert office.manager.probes.is_down("pbx")

    async def unverified(_name: str, *_tried: object, **_how: object) -> None:
        raise TransportError("no", verification="expired")

    office.sip.connect = unverified  # type: ignore[method-assign, assignment]
    with pytest.raises(TransportError):
        await office.manager.probes.connect("soft")
    assert not office.manager.probes.is_down("soft")
    await office.manager.probes.stop()


async def test_a_trunk_that_is_down_gets_little_time_for_its_connection(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRY_SECONDS", 0.01)
    office.manager.probes._silent("pbx", office.services.clock(), "test")

    async def never(_name: str, *_tried: object, **_how: object) -> None:
        await asyncio.Event().wait()

    office.sip.connect = never  # type: ignore[method-assign, assignment]
    with pytest.raises(TransportError):
        await office.manager.probes.connect("pbx")
    await office.manager.probes.stop()


def keeps_alive(office: Office, seconds: float) -> None:
    """The trunk in clear is asked after so many seconds of silence; the others never."""
    site = office.sites.current
    trunks = {name: replace(trunk, keepalive=seconds if name == "old" else 0) for name, trunk in site.trunks.items()}
    office.sites.current = replace(site, trunks=trunks)
    office.manager.probes.start()


async def test_a_silent_trunk_is_asked_now_and_then_and_stays_up_when_it_answers(office: Office) -> None:
    keeps_alive(office, 0.01)
    for number in (1, 2, 3):
        await put(office, number)
        answer(office, asked(office)[-1], 200)
        await office.settle()
    assert office.manager.probes.down == 0
    await office.manager.probes.stop()


async def test_one_lost_keepalive_takes_no_trunk_down_and_two_do(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    probes = module.TrunkProbes(replace(office.services, clock=lambda: now))
    probes._look("old", 60.0)
    await lost(office)
    assert probes.down == 0
    assert len(asked(office)) == 2
    answer(office, asked(office)[-1], 200)
    await office.settle()
    assert probes.down == 0
    now += 60.0
    probes._look("old", 60.0)
    await lost(office)
    assert probes.down == 0
    await lost(office)
    assert probes.down == 1
    assert caplog.text.count("trunk=old state=up->down") == 1
    assert len(asked(office)) == 4
    await probes.stop()


async def test_a_trunk_that_speaks_is_not_asked(office: Office) -> None:
    office.manager.probes.heard("old")
    office.manager.probes._look("old", 60.0)
    await office.settle()
    assert asked(office) == []
    office.manager.probes._look("pbx", 60.0)
    await office.settle()
    assert len(asked(office)) == 1
    await office.manager.probes.stop()


@pytest.mark.parametrize("name", ["", "sbc.example"])
async def test_a_trunk_is_asked_in_the_name_it_knows_us_by(office: Office, name: str) -> None:
    """Teams answers no OPTIONS whose Contact is an address."""
    site = office.sites.current
    old = replace(site.trunks["old"], contact=name, identity=TrunkIdentity(domain=name))
    office.sites.current = replace(site, trunks={**site.trunks, "old": old})
    await unheard(office)
    (key,) = asked(office)
    sent = office.sip.sent[key][0]
    assert sent.contact is not None
    assert (sent.contact.uri.host, sent.from_.uri.host) == ((name, name) if name else ("127.0.0.1", "example.test"))


async def test_a_place_of_a_trunk_that_does_not_answer_is_left_for_another_one(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.01)
    assert not await office.manager.probes.answers("old")
    assert [flow.trunk for flow in office.sip.silent_at] == [trunk_name(office)]


async def test_a_trunk_that_wants_to_be_left_alone_is_there(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def shut(_name: str, *_tried: object, **_how: object) -> None:
        raise NoHopError("no calls now", shut=True)

    monkeypatch.setattr(office.sip, "connect", shut)
    assert await office.manager.probes.answers("old")
    with pytest.raises(NoHopError):
        await office.manager.probes.connect("old")
    assert office.manager.probes.down == 0


def trunk_name(office: Office) -> str | None:
    return office.sip.flows["old"].trunk


async def test_nothing_of_a_question_runs_after_the_end(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """To close a connection takes turns of the loop."""

    async def connect(*_: object, **__: object) -> Flow:
        try:
            return await asyncio.Future()
        finally:
            await asyncio.sleep(0.01)

    monkeypatch.setattr(office.sip, "connect", connect)
    waiting = asyncio.create_task(office.manager.probes.answers("old"))
    await office.settle()
    await office.manager.probes.stop()
    assert asyncio.all_tasks() <= {asyncio.current_task(), waiting}
    await asyncio.gather(waiting, return_exceptions=True)
